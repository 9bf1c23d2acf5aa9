"""Keeps the leases of one replica: takes its share, renews what it has, and gives up in good order."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.clock import Clock
from watchdog.core.errors import StoreError
from watchdog.core.shares import ROUNDS
from watchdog.store.leases import Grant, LeaseStore, check_grant


def margin_of(lease: float) -> float:
    """For so many seconds before its end a lease counts as lost already.

    A deletion takes at most 1 s from the last question whether the lease holds until its request is sent.
    """
    return max(1.0, lease / 6)


class ProjectLease:
    """One taking of one project: what a tick asks before it acts, and the fence of what it writes.

    It holds by the replica's own clock, counted from before the last renewal was asked for: the database's
    clock began later, so it ends here first. A process that was stopped finds it lost when it goes on.
    """

    def __init__(
        self, grant: Grant, store: LeaseStore, lease: float, monotonic: Callable[[], float]
    ) -> None:
        """Not held before the first `renewed`. `lease` is in seconds."""
        self.grant = grant
        self._store = store
        self._lease = lease
        self._monotonic = monotonic
        self._asked = float("-inf")

    @property
    def project(self) -> str:
        """Whose it is."""
        return self.grant.project

    def held(self) -> bool:
        """Whether no other replica can have taken the project, nor can before what is begun now is sent."""
        return self._monotonic() - self._asked < self._lease - margin_of(self._lease)

    def over(self) -> bool:
        """Whether it has run out, so that no renewal can be under way any more."""
        return self._monotonic() - self._asked >= self._lease

    async def confirmed(self) -> str:
        """Why the database says that it does not hold, or nothing. Raises StoreError."""
        if not self.held():
            return f"the lease on project {self.project} has run out"
        return await self._store.still(self.grant, least=timedelta(seconds=margin_of(self._lease)))

    async def check(self, connection: AsyncConnection, project: str) -> None:
        """Raise StoreError unless it holds, in the transaction that is to write."""
        if project != self.project:
            raise StoreError(f"the lease on project {self.project} is none on project {project}")
        try:
            await check_grant(connection, self.grant)
        except StoreError:
            self.lose()
            raise

    def renewed(self, asked: float) -> None:
        """It was taken or renewed by a request that was sent at this monotonic second, or later."""
        self._asked = max(self._asked, asked)

    def lose(self) -> None:
        """It does not hold any more."""
        self._asked = float("-inf")


class LeaseKeeper:
    """Everything about leases that one replica keeps.

    `projects` says what it watches now. `start` is called with each new lease; `stop` with the project of one
    that is to be given back, or (True) was lost: it returns once nothing of the project runs any more.
    """

    def __init__(
        self,
        store: LeaseStore,
        lease: float,
        clock: Clock,
        *,
        projects: Callable[[], Collection[str]],
        start: Callable[[ProjectLease], Coroutine[Any, Any, None]],
        stop: Callable[[str, bool], Coroutine[Any, Any, None]],
    ) -> None:
        self.every = lease / ROUNDS
        self._store = store
        self._lease = lease
        self._clock = clock
        self._projects = projects
        self._start = start
        self._stop = stop
        self._held: dict[str, ProjectLease] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}

    @property
    def held(self) -> tuple[str, ...]:
        """The projects that this replica has."""
        return tuple(sorted(name for name, lease in self._held.items() if lease.held()))

    async def round(self) -> None:
        """Renew, take and let go, once. Raises StoreError; what then runs out by our clock is given up."""
        projects = set(self._projects())
        self._give_up(lease for lease in self._held.values() if lease.over())
        going = self._stopping.keys() & self._held.keys()
        asked = self._clock.monotonic()
        done = await self._store.round(
            projects, going=going, busy=self._stopping.keys() | self._held.keys()
        )
        for lease in list(self._held.values()):
            if lease.grant in done.renewed:
                lease.renewed(asked)
            else:
                self._give_up([lease])
        known = {lease.grant for lease in self._held.values()}
        for grant in sorted(done.renewed - known, key=lambda grant: grant.project):
            # Taken by a request whose answer was lost, or given up here: it begins anew with another token.
            await self._store.let_go(grant)
        troubles: list[Exception] = [] if done.trouble is None else [done.trouble]
        for grant in sorted(done.taken, key=lambda grant: grant.project):
            try:
                await self._take(grant, asked)
            except Exception as error:  # noqa: BLE001 - the others are to be started all the same
                troubles.append(error)
        for name in {*done.surplus, *(self._held.keys() - projects)}:
            if name in self._held and name not in self._stopping:
                self._let_go(self._held[name])
        if troubles:
            raise troubles[0]

    async def run(self, told: Callable[[Exception | None], None]) -> None:
        """Rounds until cancelled, sooner again after one that failed; `told` hears how each ended."""
        pause = self.every
        while True:
            await self._clock.sleep(pause)
            pause = self.every
            try:
                await self.round()
            except Exception as error:  # noqa: BLE001 - without rounds every lease is lost
                told(error)
                pause = self.every / 4
            else:
                told(None)

    async def close(self) -> None:
        """Stop every project, give every lease back, and say good-bye; even without the database."""
        for name, lease in list(self._held.items()):
            if name not in self._stopping:
                self._let_go(lease)
        while self._stopping:
            await asyncio.gather(*self._stopping.values(), return_exceptions=True)
        with suppress(StoreError):
            await self._store.leave()

    async def _take(self, grant: Grant, asked: float) -> None:
        lease = ProjectLease(grant, self._store, self._lease, self._clock.monotonic)
        lease.renewed(asked)
        self._held[grant.project] = lease
        try:
            await self._start(lease)
        except BaseException:
            lease.lose()
            del self._held[grant.project]
            await self._store.let_go(grant)
            raise

    def _give_up(self, leases: Iterable[ProjectLease]) -> None:
        for lease in list(leases):
            lease.lose()
            del self._held[lease.project]
            if lease.project not in self._stopping:
                self._begin(lease.project, self._stop(lease.project, True))

    def _let_go(self, lease: ProjectLease) -> None:
        self._begin(lease.project, self._stop_and_give_back(lease))

    async def _stop_and_give_back(self, lease: ProjectLease) -> None:
        # It is renewed meanwhile: the tick under way still writes.
        await self._stop(lease.project, False)
        lease.lose()
        if self._held.get(lease.project) is lease:
            del self._held[lease.project]
        with suppress(StoreError):  # then it runs out
            await self._store.let_go(lease.grant)

    def _begin(self, project: str, work: Coroutine[Any, Any, None]) -> None:
        async def done() -> None:
            try:
                await work
            finally:
                del self._stopping[project]

        self._stopping[project] = asyncio.create_task(done(), name=f"stop {project}")
