"""Writes the dashboards: `python -m grafana.build`; with `--check` it only says whether they are current."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.health import health
from grafana.overview import overview

DASHBOARDS = Path(__file__).with_name("dashboards")


def texts() -> dict[str, str]:
    """What each file in `DASHBOARDS` should hold."""
    boards = {"overview.json": overview(), "health.json": health()}
    return {name: _json(board.build()) for name, board in boards.items()}


def out_of_date() -> list[str]:
    """The files that do not hold what they should."""
    return [
        name
        for name, text in texts().items()
        if not (DASHBOARDS / name).is_file()
        or (DASHBOARDS / name).read_text(encoding="utf-8") != text
    ]


def _json(board: Any) -> str:
    found = json.loads(JSONEncoder().encode(board))
    for annotation in found["annotations"]["list"]:
        # Grafana reads these, and the SDK does not know them.
        annotation |= {"titleFormat": "Deleted in {{project}}", "textFormat": "policy {{policy}}"}
        annotation |= {"step": "1m"}
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m grafana.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when out of date")
    if parser.parse_args(arguments).check:
        for name in (stale := out_of_date()):
            sys.stderr.write(f"{name} is out of date: run python -m grafana.build\n")
        return 1 if stale else 0
    for name, text in texts().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
