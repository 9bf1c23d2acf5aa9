"""SIGKILL at each point where the watchdog waits, between the decision to delete and its settled outcome."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from tests.daemon import killable
from tests.daemon.harness import KEY, LONG, SECRET
from watchdog.core.deletion import AuditKind, Outcome
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.faults import Fault, FaultKind, FaultPlan
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World
from watchdog.store.audit import AuditStore
from watchdog.store.database import open_for_reading

TICKS = 14
"""Enough to see the room, warm up, arm, delete and verify."""
TICKS_AFTER = 26
"""Enough to settle what was left open as well, and to try again after that."""
ROOT = Path(__file__).parents[2]
MOST_POINTS = 1000


def a_world() -> World:
    world = World(VirtualClock(killable.START - timedelta(minutes=10)))
    for room in ("left", "busy"):
        world.create_room(room, empty_timeout=LONG, departure_timeout=LONG)
        world.join(room, "alice")
        world.join_agent(room, "support")
    world.leave("left", "alice")
    return world


class Watchers:
    """Lives one life after the other, each in a process that it forks from a clean one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, life: killable.Life) -> int | None:
        """The points it passed, or None where it was killed."""
        self._process.stdin.write(json.dumps(asdict(life)).encode() + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return json.loads(line)


@asynccontextmanager
async def watchers() -> AsyncIterator[Watchers]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        killable.__name__,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Watchers(process)
    finally:
        process.stdin.close()
        await process.wait()


async def told(live: Watchers, fault: FaultKind | None, point: int, database: str) -> bool:
    """One life that is killed at this point, and one after it; whether the first had such a point at all."""
    world = a_world()
    faults = FaultPlan([Fault(fault, "DeleteRoom", nth=1)] if fault else [])
    simulator = RoomServiceSimulator(world, {KEY: SECRET}, faults)
    async with serve(simulator) as url:
        passed = await live.run(killable.Life(url, database, 0.0, TICKS, point))
        sent = len(simulator.deletions)
        await live.run(killable.Life(url, database, 600.0, TICKS_AFTER, None))
    async with await open_for_reading(database) as opened:
        entries = await AuditStore(opened).entries(limit=1000)
    intents = [e.intent for e in entries if e.kind is AuditKind.INTENT]
    outcomes = [e for e in entries if e.kind is AuditKind.OUTCOME]
    assert sorted(e.intent for e in outcomes) == sorted(intents), f"point {point}: not settled"
    assert len(set(intents)) == len(intents)
    received = [d.room for d in simulator.deletions]
    assert set(received) <= {"left"}
    assert len(received) <= len(intents), f"point {point}: a request without an intent"
    effects = sum(d.effect for d in simulator.deletions)
    assert effects == 1
    assert "left" not in world.rooms
    assert "busy" in world.rooms
    if sent and fault is not FaultKind.ERROR_500:
        assert len(received) == 1, f"point {point}: sent again"
    counted = sum(e.outcome is Outcome.DELETED for e in outcomes)
    assert counted <= effects, f"point {point}: a deletion that was none is counted"
    return passed is None


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (None, "sqlite"),
        (FaultKind.LOST_ANSWER, "sqlite"),
        (FaultKind.ERROR_500, "sqlite"),
        (None, "postgres"),
    ],
)
async def test_a_kill_at_any_point_leaves_a_whole_audit_and_at_most_one_request_for_an_intent(
    fault, kind, tmp_path, request
):
    def database(point: int) -> str:
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path}/{point}.db"
        server = request.getfixturevalue("postgres_server")
        return server.url(server.create("migrated"))

    killed = 0
    async with watchers() as one, watchers() as other:
        for first in range(1, MOST_POINTS, 2):
            lives = (
                told(live, fault, point, database(point))
                for live, point in ((one, first), (other, first + 1))
            )
            found = await asyncio.gather(*lives)
            killed += sum(found)
            if not all(found):
                break
    print(f"killed at {killed} points")
    assert 30 < killed < MOST_POINTS - 2
