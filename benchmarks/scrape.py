"""How long a scrape takes, and how many series it has, where thousands of agents are stranded.

`.venv/bin/python -m benchmarks.scrape` starts a `run` on a simulated server on loopback, waits until it has
found every orphan, and scrapes it again and again while it goes on ticking.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.cli.program import IN_A_HURRY, LONG, Program, Server, get, sample, simulated_server
from watchdog.simulator.world import World

ORPHANS, NAMES, SCRAPES = 5000, 50, 200
EVERY = 0.05
"""Seconds from one scrape to the next: 200 of them meet several ticks."""


def strand(world: World) -> None:
    """Every room has one agent, and its person has left."""
    for number in range(ORPHANS):
        room = f"call-{number}"
        world.create_room(room, empty_timeout=LONG, departure_timeout=LONG)
        world.join(room, "alice")
        world.join_agent(room, f"agent-{number % NAMES}")
        world.leave(room, "alice")


def found(url: str) -> bool:
    """Whether all of them are known to be orphaned."""
    return sample(url, "rooms", project="default", verdict="orphaned") == ORPHANS


def measure(server: Server, directory: Path) -> None:
    """Scrape, and say what it took."""
    server.do(strand)
    hurry = IN_A_HURRY | {"WATCHDOG_DETECTION__REQUESTS_PER_MINUTE": "1000000"}
    program = Program(directory, **server.variables, **hurry)
    took: list[float] = []
    with program.started("run") as running:
        url = running.url() + "/metrics"
        running.eventually(lambda: found(url))
        ticks = sample(url, "ticks_total", project="default", result="ok") or 0.0
        for _ in range(SCRAPES):
            began = time.perf_counter()
            page = get(url)
            took.append(1000 * (time.perf_counter() - began))
            time.sleep(EVERY)
        ticks = (sample(url, "ticks_total", project="default", result="ok") or 0.0) - ticks
        running.stop()
    series = sum(not line.startswith("#") for line in page.text.splitlines())
    print(f"{ORPHANS} orphaned rooms, {NAMES} agent names: {series} series, {len(page.text)} bytes")
    print(
        f"{SCRAPES} scrapes during {ticks:g} ticks: median {statistics.median(took):.1f} ms, "
        f"95 % within {sorted(took)[int(0.95 * SCRAPES)]:.1f} ms, most {max(took):.1f} ms"
    )


def main() -> int:
    """Run it once."""
    with tempfile.TemporaryDirectory() as directory, simulated_server() as server:
        measure(server, Path(directory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
