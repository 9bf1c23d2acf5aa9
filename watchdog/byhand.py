"""A deletion by hand: asked of the running daemon, or done here where none runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from watchdog.app import opened_daemon
from watchdog.clocks import SystemClock
from watchdog.core.deletion import AuditEntry, AuditKind, Control, DeletionRequest, Outcome, Pause
from watchdog.daemon.ports import Controls
from watchdog.daemon.requests import EXPIRES_AFTER
from watchdog.settings import Settings
from watchdog.steering import actor
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_beside
from watchdog.store.lock import DatabaseInUseError
from watchdog.stores import Stores

LOOK_EVERY = 0.5
PATIENCE_SECONDS = EXPIRES_AFTER.total_seconds() + 90.0
"""How long a deletion by hand is waited for: until it expires, and is verified."""
QUICK_POLL = 5.0
"""Seconds between the polls of a deletion by hand that no daemon is there for."""
ONLY_BY_HAND = "nothing but what was asked for by hand is deleted"


async def delete_by_hand(
    settings: Settings, request: DeletionRequest, tell: Callable[[str], None]
) -> AuditEntry | None:
    """Have the running daemon delete a room, or do it here where none runs; waits for the outcome.

    Returns None where there is none in time: the request is then taken back.
    """
    try:
        async with _acting_here(settings, request.project) as database:
            tell("No daemon runs on this database: it is done here.")
            return await _ask(database, request, tell)
    except DatabaseInUseError:
        tell("The running daemon is asked.")
        async with await open_beside(settings.database, to_write=True) as database:
            return await _ask(database, request, tell)


async def _ask(
    database: Database, request: DeletionRequest, tell: Callable[[str], None]
) -> AuditEntry | None:
    controls, audit = ControlStore(database), AuditStore(database)
    await controls.request(request)
    told = 0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                entries = await audit.entries(intent=request.id, limit=100)
                for entry in entries[max(1, told) :]:
                    if entry.kind is AuditKind.OUTCOME:
                        return entry
                    tell(_progress(entry))
                told = len(entries)
                await asyncio.sleep(LOOK_EVERY)
    except TimeoutError:
        return None
    finally:
        # However this ends: nobody waits for it any more, and a later daemon must not find it.
        await controls.withdraw(request.id, datetime.now(UTC))


def _progress(entry: AuditEntry) -> str:
    if entry.kind is AuditKind.INTENT:
        return "It was confirmed; a last look, and the request."
    return f"{entry.why}; it is being verified."


class _OnlyByHand:
    """The controls of a daemon that does nothing but what was asked for by hand."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._pause = Pause(datetime.now(UTC), actor(), ONLY_BY_HAND)

    async def read(self, project: str) -> Control:
        """What operators said, and that all else is paused."""
        return replace(await self._controls.read(project), pause=self._pause)


@asynccontextmanager
async def _acting_here(settings: Settings, project: str) -> AsyncIterator[Database]:
    """Watch this one project from this process while the scope lasts. Raises DatabaseInUseError."""
    given = next(p for p in settings.projects if p.name == project)
    poll = min(settings.poll_of(given).total_seconds(), QUICK_POLL)
    mine = settings.only(project, poll)
    stop = asyncio.Event()

    def by_hand(stores: Stores) -> Stores:
        return replace(stores, controls=_OnlyByHand(stores.controls))

    async with opened_daemon(mine, SystemClock(), change=by_hand) as daemon:
        running = asyncio.create_task(daemon.run(stop))
        try:
            async with await open_beside(settings.database, to_write=True) as database:
                yield database
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await running


def is_done(entry: AuditEntry | None) -> bool:
    """Whether the room is gone."""
    return entry is not None and entry.outcome in (Outcome.DELETED, Outcome.ALREADY_GONE)
