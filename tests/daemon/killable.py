"""Watchdogs in processes of their own that kill themselves at the n-th point where they wait for something.

Every suspension of every task counts, from the tick that deletes on: between the decision and the outcome
there is no other moment at which a process can be told from one that was killed a little earlier.

Run as a program it reads lives, one a line of JSON, lives each in a fork of itself, which costs no imports,
and writes for each how many points were passed, or null where it was killed.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.daemon.harness import KEY, POLL, SECRET, TARIFFS, HeldLease
from watchdog.core.budget import TokenBucket
from watchdog.core.deletion import Mode
from watchdog.core.gates import Safeguards
from watchdog.core.policy import Policy, built_in_policies, ordered
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
QUICK = Policy("quick", grace=30.0, respect_room_timeouts=False)


class DrivenClock:
    """A clock that is moved by hand, while the network takes the time it takes."""

    def __init__(self, start: datetime) -> None:
        self._now, self._mono = start, 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._mono

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._mono += seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def timeout(self, seconds: float):
        return asyncio.timeout(seconds)


@dataclass
class Points:
    """Counts the points at which the process waits, and kills it at one of them."""

    kill_at: int | None
    counting: bool = False
    passed: int = 0

    def reached(self) -> None:
        if not self.counting:
            return
        self.passed += 1
        if self.passed == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


class Counted(Coroutine):
    """A coroutine that tells of each of its suspensions."""

    def __init__(self, inner: Coroutine, points: Points) -> None:
        self._inner, self._points = inner, points

    def send(self, value):
        result = self._inner.send(value)
        self._points.reached()
        return result

    def throw(self, *error):
        return self._inner.throw(*error)

    def close(self):
        return self._inner.close()

    def __await__(self):
        return self._inner.__await__()


@dataclass(frozen=True)
class Life:
    """Where to watch and keep what was seen, when to begin (seconds after `START`), how many ticks."""

    url: str
    database: str
    after: float
    ticks: int
    kill_at: int | None


async def watch(life: Life, points: Points) -> int:
    """Live it; returns how many points were passed."""
    asyncio.get_running_loop().set_task_factory(
        lambda loop, work, **more: asyncio.Task(Counted(work, points), loop=loop, **more)
    )
    clock = DrivenClock(START + timedelta(seconds=life.after))
    steady, bucket = SteadyClock(clock), TokenBucket(10_000)
    gateway = LiveKitGateway.connect(life.url, KEY, SECRET, clock=steady, bucket=bucket)
    before, behind = built_in_policies(POLL)
    ids = iter(f"{os.getpid()}_{n}" for n in range(1000))
    async with await open_database(life.database) as opened:
        project = Project(
            ProjectConfig(
                "p",
                POLL,
                TARIFFS,
                policies=ordered(before, (QUICK,), behind),
                safeguards=Safeguards(mode=Mode.ENFORCE),
            ),
            rooms=gateway,
            store=EpisodeStore(opened),
            clock=steady,
            bucket=bucket,
            powers=Powers(
                AuditStore(opened), ControlStore(opened), HeldLease(), lambda: f"in_{next(ids)}"
            ),
            new_id=lambda: f"ep_{next(ids)}",
        )
        for _ in range(life.ticks):
            clock.advance(POLL)
            # From here on every gate lets the room pass: this tick decides.
            points.counting |= project._book.armed_by(clock.monotonic()) > 0
            report = await asyncio.create_task(project.tick())
            if any(entry.outcome is not None for entry in report.outcomes):
                points.counting = False
    await gateway.aclose()
    return points.passed


def lived(life: Life) -> int | None:
    """The points that a life in a fork of this process passed, or None where it was killed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            passed = asyncio.run(watch(life, Points(life.kill_at)))
            os.write(theirs, str(passed).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as said:
        passed = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        raise RuntimeError(f"a life ended with {status}")
    return int(passed)


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(lived(Life(**json.loads(line)))), flush=True)
