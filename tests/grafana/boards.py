"""The committed dashboards as Grafana reads them: their queries, and its variables filled in."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grafana.build import DASHBOARDS

NAMES = ("overview", "health")


@dataclass(frozen=True)
class BoardQuery:
    """One query of a dashboard. `of`: the panel's title, or `variable …` and `annotation …`."""

    board: str
    of: str
    letter: str
    expression: str
    instant: bool
    legend: str = ""

    def __str__(self) -> str:
        return f"{self.board}: {self.of} ({self.letter})"


def board(name: str) -> dict[str, Any]:
    """One dashboard."""
    found: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(name: str) -> list[dict[str, Any]]:
    """Its panels that show something."""
    return [panel for panel in board(name)["panels"] if panel["type"] != "row"]


def panel_queries(name: str, panel: Mapping[str, Any]) -> list[BoardQuery]:
    """What a panel asks."""
    return [
        BoardQuery(
            name,
            panel["title"],
            target["refId"],
            target["expr"],
            bool(target.get("instant")),
            target.get("legendFormat", ""),
        )
        for target in panel["targets"]
    ]


def queries() -> list[BoardQuery]:
    """Every expression of every panel, annotation and variable of every dashboard."""
    asked: list[BoardQuery] = []
    for name in NAMES:
        for panel in panels(name):
            asked += panel_queries(name, panel)
        found = board(name)
        for annotation in found["annotations"]["list"]:
            of = f"annotation {annotation['name']}"
            asked.append(BoardQuery(name, of, "A", annotation["expr"], instant=False))
        for variable in found["templating"]["list"]:
            if variable["type"] == "query":
                of = f"variable {variable['name']}"
                query = variable["query"]["query"]
                asked.append(BoardQuery(name, of, "A", query, instant=True))
    return asked


def filled(expression: str, seconds: float, **chosen: str) -> str:
    """The expression with Grafana's variables filled in, for a range that is so long.

    `chosen` are the dashboard's own variables; those left out are "All". The steps are short, because a
    test does not watch for hours.
    """
    values = {
        "__interval": "5s",
        "__rate_interval": "10s",
        "__range": f"{seconds:.0f}s",
        "project": ".*",
        "agent": ".*",
    } | chosen
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expression)


LABEL_VALUES = re.compile(r"label_values\((?P<selector>.+), (?P<label>\w+)\)")
