"""Replicas in this process, on one Postgres, with a clock that the test moves.

Time passes in the database by moving what is in it back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

from tests.postgres import PostgresServer
from watchdog.simulator.clock import VirtualClock
from watchdog.store.database import Database, open_database
from watchdog.store.keeper import LeaseKeeper, ProjectLease
from watchdog.store.leases import LeaseStore, Replica

LEASE = 30.0
PROJECTS = tuple(f"p{n:02}" for n in range(8))


class Member:
    """A replica that runs nothing: it notes what it was given and what it was told to stop."""

    def __init__(
        self, name: str, database: Database, clock: VirtualClock, projects: tuple[str, ...]
    ) -> None:
        self.projects = projects
        self.running: dict[str, ProjectLease] = {}
        self.lost: list[str] = []
        self.at_stop: Callable[[str], Awaitable[None]] = self._at_once
        self.database = database
        self.leases = LeaseStore(database, Replica(f"id-{name}", name), timedelta(seconds=LEASE))
        self.keeper = LeaseKeeper(
            self.leases,
            LEASE,
            clock,
            projects=lambda: self.projects,
            start=self._start,
            stop=self._stop,
        )

    async def _start(self, lease: ProjectLease) -> None:
        assert lease.project not in self.running, "one runs already"
        self.running[lease.project] = lease

    async def _stop(self, project: str, lost: bool) -> None:
        await self.at_stop(project)
        del self.running[project]
        if lost:
            self.lost.append(project)

    async def _at_once(self, project: str) -> None:
        pass

    @property
    def held(self) -> tuple[str, ...]:
        return self.keeper.held

    async def round(self) -> None:
        """A round, and what it has begun carried through."""
        await self.keeper.round()
        while stopping := list(self.keeper._stopping.values()):
            await asyncio.wait(stopping)


class Group:
    """Replicas on one database, and the time that passes for all of them."""

    def __init__(self, server: PostgresServer, url: str, stack: AsyncExitStack) -> None:
        self.clock = VirtualClock()
        self._server, self._url, self._stack = server, url, stack

    async def joins(self, name: str, projects: tuple[str, ...] = PROJECTS) -> Member:
        """One more replica, which has taken nothing yet."""
        database = await self._stack.enter_async_context(await open_database(self._url))
        return Member(name, database, self.clock, projects)

    def sql(self, *statements: str) -> list[tuple[str, ...]]:
        return self._server.sql(*statements, database=self._url.rpartition("/")[2])

    def passes(self, seconds: float, *, here: bool = True) -> None:
        """Time in the database and, unless not `here`, on the replicas' clock."""
        back = f"interval '{seconds} s'"
        self.sql(
            f"UPDATE leases SET expires_at = expires_at - {back}",
            f"UPDATE replicas SET expires_at = expires_at - {back}",
        )
        if here:
            self.clock.advance(seconds)

    async def rounds(self, *members: Member, count: int = 4) -> None:
        for _ in range(count):
            self.passes(LEASE / 3)
            for member in members:
                await member.round()
