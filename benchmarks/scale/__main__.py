"""One project, 100,000 rooms: the watchdog beside what one could write without it, in one run.

`make bench` (about five minutes). It prints the table and the targets, and writes `bench/results.json` and
`bench/results.svg`; `make bench-page` puts them into docs/performance.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.scale.idle import POLLS, idle
from benchmarks.scale.report import draw, rows_table, targets_table, write_page
from benchmarks.scale.server import Control, Server, running_server

SIZES = (1_000, 10_000, 100_000)
ROWS = ("bare", "fields", "naive", "first", "steady", "churn", "due")
OUT = Path("bench")
PAGE, PICTURE = Path("docs/performance.md"), Path("docs/performance.svg")


def measured(row: str, server: Server) -> dict[str, Any]:
    """One row, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale.rows", row, server.url, str(server.control)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "livekit_api": version("livekit-api"),
    }


def bench(sizes: tuple[int, ...] = SIZES, polls: int = POLLS) -> dict[str, Any]:
    """All of it, against one server that grows."""
    results: dict[str, Any] = {"machine": machine(), "rooms": {}}
    with running_server() as server:
        control = Control(server.control)
        for size in sizes:
            control.ask(f"grow {size}")
            rows = results["rooms"][str(size)] = {}
            if size == sizes[0]:
                say("at rest")
                results["idle"] = idle(server, polls)
            for name in ROWS:
                say(f"{size:,} rooms: {name}")
                rows[name] = measured(name, server)
    return results


def say(what: str) -> None:
    """What is under way, for whoever waits."""
    print(f"... {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, or make the page of what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="make docs/performance.md anew")
    parser.add_argument("--rooms", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    if given.page:
        results = json.loads((OUT / "results.json").read_text())
        write_page(results, PAGE)
        draw(results, PICTURE)
        return
    results = bench(tuple(given.rooms))
    OUT.mkdir(exist_ok=True)
    (OUT / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    draw(results, OUT / "results.svg")
    print(rows_table(results), targets_table(results), sep="\n\n")


if __name__ == "__main__":
    main()
