"""The daemon's rows: its first tick, its steady tick, a tick with churn, and what is measured besides.

It is the daemon of `run`, with its database, metrics and HTTP, but for its clock: between two ticks 15 s
pass at once.
"""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import livekit.api.room_service
from livekit.protocol.room import ListParticipantsResponse

from benchmarks.scale.measure import Spans, Stretches
from benchmarks.scale.rows import TIMES, Measured
from benchmarks.scale.server import KEY, SECRET, Control, Server
from watchdog.app import Daemon, opened_daemon, served
from watchdog.clocks import SystemClock
from watchdog.core.budget import Purpose
from watchdog.core.model import Look, RoomSnapshot, TickResult, VerdictState
from watchdog.core.report import TickReport
from watchdog.expose.logs import configure_logging
from watchdog.rooms import lists
from watchdog.rooms.gateway import participant_of
from watchdog.settings import load_settings

POLL = 15.0
CHURN = 0.01
"""The share of the rooms that change between two ticks."""
PREPARED_AT_ONCE = 5000
DECODING: tuple[ModuleType, ...] = (livekit.api.room_service, lists)
"""The modules that decode ListRooms answers."""
SETTINGS: Mapping[str, str] = {
    "WATCHDOG_POLL_INTERVAL": f"{POLL:g}s",
    "WATCHDOG_HTTP__LISTEN": "127.0.0.1:0",
    # Money is reckoned by every meter of an agent on LiveKit Cloud.
    "WATCHDOG_PRICES__PROFILE": "self-hosted-on-cloud",
}


class SteppedClock(SystemClock):
    """The machine's clocks, set forward together as often as one likes."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


class Watchdog:
    """The daemon, and its one project."""

    def __init__(self, daemon: Daemon, clock: SteppedClock, control: Control, http: str) -> None:
        self.http = http
        self._daemon = daemon
        self._clock = clock
        self._control = control
        (watched,) = daemon.watched.values()
        self._watched, self._project = watched, watched.project
        self._gateway = watched.gateway
        self._bucket = watched.gateway._bucket  # noqa: SLF001 - the daemon shows its budget to nobody

    async def tick(self, after: float = POLL) -> TickReport:
        """One pass, so many seconds after the last."""
        self._clock.ahead += after
        report = await self._daemon.tick(self._watched)
        assert report.result is TickResult.OK, report.error
        return report

    def spend_budget(self) -> None:
        """Leave no request but the list for the next tick."""
        self._leave(-1000.0)

    def spare_budget(self) -> None:
        """Leave what a poll refills for the next tick."""
        self._leave(0.0)

    def _leave(self, tokens: float) -> None:
        self._bucket.available(self._clock.monotonic())
        self._bucket._tokens = tokens  # noqa: SLF001

    async def prepare(self) -> None:
        """Have looked at every room, as it would have within hours.

        The looks show what the server would, and come without HTTP, to save minutes.
        """
        before, burst = self._gateway.look, self._bucket.burst

        async def look(room: RoomSnapshot, _: Purpose) -> Look:
            asked = self._clock.now()
            body = self._control.ask(f"people {room.name}")
            people = ListParticipantsResponse.FromString(body).participants
            return Look(room.sid, asked, self._clock.now(), tuple(map(participant_of, people)))

        async def answers(_: str) -> None:
            """Every node is there."""

        probe = self._gateway.probe
        self._gateway.look, self._gateway.probe = look, answers  # type: ignore[method-assign]
        unsettled: object = True
        while unsettled:
            self._bucket.burst = PREPARED_AT_ONCE
            self._leave(PREPARED_AT_ONCE)
            report = await self.tick()
            unsettled = report.rooms[VerdictState.UNKNOWN] or report.changes
        self._bucket.burst = burst
        self._gateway.look, self._gateway.probe = before, probe  # type: ignore[method-assign]
        self.spend_budget()

    async def let_all_be_due(self) -> None:
        """Let time pass until every orphan is due: far too many at once, so that nothing is done about it."""
        report = await self.tick()
        while sum(report.due.values()) < len(report.orphans):
            self.spend_budget()
            report = await self.tick(2 * POLL)


@asynccontextmanager
async def watchdog(server: Server, control: Control) -> AsyncIterator[Watchdog]:
    """A daemon that has not ticked yet."""
    for name in [name for name in os.environ if name.startswith(("LIVEKIT_", "WATCHDOG_"))]:
        del os.environ[name]
    os.environ |= {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        **SETTINGS,
    }
    configure_logging("json", "ERROR")
    with tempfile.TemporaryDirectory() as directory:
        database = f"sqlite+aiosqlite:///{Path(directory) / 'watchdog.db'}"
        os.environ["WATCHDOG_DATABASE"] = database
        settings, clock = load_settings(), SteppedClock()
        async with (
            opened_daemon(settings, clock) as daemon,
            served(daemon, settings.http.listen) as http,
        ):
            yield Watchdog(daemon, clock, control, http)


def _found(report: TickReport) -> dict[str, Any]:
    return {"rooms": sum(report.rooms.values()), "orphaned": len(report.orphans)}


async def first(server: Server, control: Control) -> dict[str, Any]:
    """The first tick, at the default budget."""
    measured, stretches = Measured(control), Stretches()
    async with watchdog(server, control) as dog:
        with measured.counted(), stretches.watched(*DECODING):
            report = await dog.tick(0.0)
        measured.rows.append(report.rows_written)
        return measured.row(**_found(report), loop=stretches.summary())


async def _ticks(dog: Watchdog, measured: Measured, between: Callable[[], object]) -> TickReport:
    for _ in range(TIMES):
        between()
        with measured.counted():
            report = await dog.tick()
        measured.rows.append(report.rows_written)
    return report


async def steady(server: Server, control: Control) -> dict[str, Any]:
    """A tick in which nothing changed; the same with its looks; then the event loop, and scrapes."""
    measured, swept = Measured(control), Measured(control)
    async with watchdog(server, control) as dog:
        await dog.prepare()
        report = await _ticks(dog, measured, dog.spend_budget)
        row = measured.row(**_found(report), due=sum(report.due.values()))
        await _ticks(dog, swept, dog.spare_budget)
        return {
            **row,
            "sweep": swept.row(),
            "loop": await _held(dog, dog.spend_budget),
            "scrapes": await _scraped(dog),
        }


async def due(server: Server, control: Control) -> dict[str, Any]:
    """The same where every orphan is due, and held back."""
    measured = Measured(control)
    async with watchdog(server, control) as dog:
        await dog.prepare()
        await dog.let_all_be_due()
        report = await _ticks(dog, measured, dog.spend_budget)
        row = measured.row(**_found(report), due=sum(report.due.values()))
        return {**row, "loop": await _held(dog, dog.spend_budget)}


async def churn(server: Server, control: Control) -> dict[str, Any]:
    """A tick after one room of a hundred changed, with the looks that the budget allows."""
    measured = Measured(control)
    async with watchdog(server, control) as dog:
        await dog.prepare()
        for _ in range(2):  # a room is gone only when two lists lack it
            control.ask(f"churn {CHURN}")
            await dog.tick()

        def change() -> None:
            control.ask(f"churn {CHURN}")
            dog.spare_budget()

        report = await _ticks(dog, measured, change)
        row = measured.row(**_found(report))
        return {**row, "loop": await _held(dog, change)}


async def _held(dog: Watchdog, between: Callable[[], object]) -> dict[str, float]:
    """For how long such ticks hold the event loop at most."""
    stretches = Stretches()
    for _ in range(TIMES):
        between()
        with stretches.watched(*DECODING):
            await dog.tick()
    return stretches.summary()


SCRAPER = """
import json, sys, threading, time, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
found = []
while not stop.wait(0.002):
    began = time.monotonic()
    opener.open(sys.argv[1] + "/metrics").read()
    found.append((began, time.monotonic()))
    if len(found) == 1:
        print("ready", flush=True)
print(json.dumps(found))
"""
SCRAPED_TICKS = 12


async def _scraped(dog: Watchdog) -> dict[str, Any]:
    """How long scrapes take that meet a steady tick, in seconds; a process asks for one after the other."""
    scraper = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRAPER, dog.http),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    assert scraper.stdout is not None
    assert scraper.stdin is not None
    await scraper.stdout.readline()
    ticks = Spans()
    for _ in range(SCRAPED_TICKS):
        dog.spend_budget()
        with ticks.one():
            await dog.tick()
        await asyncio.sleep(0.1)
    scraper.stdin.close()
    scrapes = json.loads(await scraper.stdout.readline())
    await scraper.wait()
    met = [
        ended - began
        for began, ended in scrapes
        if any(began < until and since < ended for since, until in ticks.when)
    ]
    return {"met": len(met), "longest": max(met)}


ROWS: Mapping[str, Callable[[Server, Control], Awaitable[dict[str, Any]]]] = {
    "first": first,
    "steady": steady,
    "due": due,
    "churn": churn,
}
