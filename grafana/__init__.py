"""Dashboards for Grafana, made by `python -m grafana.build`, and what provisions them."""
