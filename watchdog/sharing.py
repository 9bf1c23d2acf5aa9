"""Several replicas on one Postgres: this one runs the projects whose leases it holds."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from watchdog.core.clock import Clock
from watchdog.core.errors import StoreError
from watchdog.core.shares import ROUNDS
from watchdog.expose.logs import get_logger
from watchdog.settings import Settings
from watchdog.store.database import open_database
from watchdog.store.engine import USUAL, Patience
from watchdog.store.keeper import LeaseKeeper, ProjectLease
from watchdog.store.leases import LeaseStore, Replica, read_holders
from watchdog.store.lock import DatabaseInUseError
from watchdog.stores import Change, Shared, tell_migration, unchanged

log = get_logger("watchdog.sharing")


class Host(Protocol):
    """The daemon, as leases come and go."""

    def configured(self) -> Collection[str]:
        """The projects it is to watch where it can."""
        ...

    async def settle(self, project: str) -> None:
        """Have a project run or not, as its stores are there or not; returns when that is so."""
        ...

    def turned(self, *, standby: bool | None = None) -> None:
        """It is alive, whether it has a project or not; `standby`: one that it gets it would run."""
        ...


@asynccontextmanager
async def opened_shared(settings: Settings, change: Change = unchanged) -> AsyncIterator[Shared]:
    """A database that several replicas have, at its newest schema; no project is had yet.

    Raises ConfigurationError or StoreError.
    """
    lease = settings.replicas.lease.total_seconds()
    # A replica that is stopped in a transaction must not keep a project from the others for long.
    patience = Patience(idle=min(USUAL.idle, lease / 2))
    async with await open_database(settings.database, patience) as database:
        tell_migration(database)
        yield Shared(database, change)


@asynccontextmanager
async def leased(
    settings: Settings, clock: Clock, shared: Shared, host: Host, *, alone: bool
) -> AsyncIterator[None]:
    """Take this replica's share of the projects while the scope lasts, and give all back at its end.

    `alone`: raise DatabaseInUseError where another replica has one of them. Raises StoreError.
    """
    seconds = settings.replicas.lease.total_seconds()
    every = seconds / ROUNDS
    # Connections of its own: a renewal waits for nothing else that this process does.
    patience = Patience(connect=every, answer=every, idle=every)
    async with await open_database(settings.database, patience) as database:
        if alone:
            async with database.reading() as connection:
                _refuse_held(await read_holders(connection), host.configured())
        members = Members(shared, host)
        keeper = LeaseKeeper(
            LeaseStore(database, _this_process(), settings.replicas.lease),
            seconds,
            clock,
            projects=host.configured,
            start=members.start,
            stop=members.stop,
        )
        try:
            await keeper.round()
            if alone and (missing := set(host.configured()) - set(keeper.held)):
                _refuse_held(dict.fromkeys(missing, "which was faster"), missing)
            members.told(None)
            turning = asyncio.create_task(keeper.run(members.told), name="keep-leases")
            try:
                yield
            finally:
                turning.cancel()
                with suppress(asyncio.CancelledError):
                    await turning
        finally:
            await keeper.close()


class Members:
    """The projects that this replica runs, as the keeper starts and stops them."""

    def __init__(self, shared: Shared, host: Host) -> None:
        self._shared = shared
        self._host = host
        self._failing = False

    async def start(self, lease: ProjectLease) -> None:
        """Begin with a project of which nothing runs here any more, so that the round is not held up."""
        log.info("project taken", project=lease.project, token=lease.grant.token)
        self._shared.take(lease)
        try:
            await self._host.settle(lease.project)
        except BaseException:
            self._shared.drop(lease.project)
            raise

    async def stop(self, project: str, lost: bool) -> None:
        """End with a project; returns when its tick has ended."""
        if lost:
            log.warning("lease lost: the project is stopped", project=project)
        self._shared.drop(project)
        await self._host.settle(project)
        if not lost:
            log.info("project given back", project=project)

    def told(self, error: Exception | None) -> None:
        """How a round ended; the first of several failures in a row is logged, and their end."""
        self._host.turned(standby=error is None)
        if error is not None and not isinstance(error, StoreError):
            log.error("a round of leases failed unexpectedly", exc_info=error)
        elif error is not None and not self._failing:
            log.warning("leases not renewed", error=str(error))
        elif error is None and self._failing:
            log.info("leases renewed again")
        self._failing = error is not None


def _refuse_held(holders: dict[str, str], wanted: Collection[str]) -> None:
    for project in wanted:
        if project in holders:
            raise DatabaseInUseError(
                f"project {project} is watched by another replica, {holders[project]};"
                " stop it or leave it to that one"
            )


def _this_process() -> Replica:
    name = f"{socket.gethostname()}:{os.getpid()}"
    return Replica(f"{name}:{uuid.uuid4().hex[:12]}", name)
