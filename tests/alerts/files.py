"""The rules, their cases and the example for Alertmanager as they are shipped, and hurried copies of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "grafana/rules"
ALERTS, RECORDING = RULES / "alerts.yml", RULES / "recording.yml"
CASES = sorted((RULES / "tests").glob("*.yml"))
ALERTMANAGER = ROOT / "grafana/alertmanager/alertmanager.yml"
RUNBOOK = ROOT / "docs/runbook.md"

ALWAYS_FIRES = "LiveKitWatchdogDeadMansSwitch"
"""The one alert that has no case in which it does not fire: that is what it is for."""


@dataclass(frozen=True)
class Rule:
    """An alerting rule, or a recording rule."""

    name: str
    expr: str
    wait: str
    """Its `for`, empty where it has none."""
    labels: dict[str, str]
    annotations: dict[str, str]


def rules_of(path: Path) -> list[Rule]:
    """The rules of one file."""
    return [
        Rule(
            rule.get("alert") or rule["record"],
            rule["expr"],
            rule.get("for", ""),
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alert_cases() -> list[dict[str, Any]]:
    """Every case of an alert in the files for `promtool test rules`."""
    return [
        case
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    ]


def expression_cases() -> list[dict[str, Any]]:
    """Every case of an expression there."""
    return [
        case
        for path in CASES
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("promql_expr_test", ())
    ]


def hurried_rules(directory: Path) -> Path:
    """A copy of the alerts in which each `for` is a second; nothing else is changed."""
    copy = directory / "alerts.yml"
    copy.write_text(re.sub(r"(?m)^( +for:) \w+$", r"\1 1s", ALERTS.read_text()))
    return copy


def hurried_alertmanager(directory: Path, receiver: str) -> Path:
    """A copy of the example that waits a second to group and sends to `receiver`, a URL without a path."""
    text = re.sub(r"(?m)^( +group_(?:wait|interval):) \w+$", r"\1 1s", ALERTMANAGER.read_text())
    copy = directory / "alertmanager.yml"
    copy.write_text(text.replace("http://127.0.0.1:5001/", f"{receiver}/"))
    return copy
