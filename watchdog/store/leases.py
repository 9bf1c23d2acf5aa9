"""Leases in the database: of several replicas on one Postgres, which one acts on a project.

Every time here is the database server's; a replica's own clock decides nothing but when it gives up. The
statements are for Postgres alone: a SQLite file belongs to the one process that has its lock.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.errors import StoreError
from watchdog.core.shares import Division, divide
from watchdog.store import statements as sql
from watchdog.store.database import Database, uninterrupted
from watchdog.store.tables import leases, replicas

_GONE = timedelta(days=1)
"""A replica that fell silent this long ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One taking of a project. `token` is higher than that of every taking before."""

    project: str
    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to: the grants that were renewed, those that are new, and what is to be let go."""

    renewed: frozenset[Grant]
    taken: frozenset[Grant] = frozenset()
    surplus: tuple[str, ...] = ()
    trouble: Exception | None = None
    """Why nothing could be taken, where what was renewed is renewed all the same."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One of the processes that share the projects. `name` is for people."""

    holder: str
    name: str


class LeaseStore:
    """Takes, renews and gives back. Every method raises only StoreError."""

    def __init__(self, database: Database, me: Replica, lease: timedelta) -> None:
        """On an open database that nothing else waits for, which the caller closes."""
        self._database = database
        self.me = me
        self._lease = lease

    @uninterrupted
    async def round(
        self, projects: Collection[str], *, going: Collection[str] = (), busy: Collection[str] = ()
    ) -> Round:
        """Say that this replica lives, renew what it has, and take what is free up to its share.

        Those `going` are renewed and will be given back; those `busy` are not to be taken now.
        """
        async with self._database.writing() as connection:
            renewed = await _granted(connection, _renew(self.me, self._lease))
            await self._say_alive(connection, projects)
        # What was renewed is on disk, whatever is in the way of what follows: it must be known here.
        try:
            return await self._taking(renewed, going, busy)
        except (StoreError, ValueError) as error:
            return Round(renewed, trouble=error)

    async def _taking(
        self, renewed: frozenset[Grant], going: Collection[str], busy: Collection[str]
    ) -> Round:
        async with self._database.writing() as connection:
            wanted = await self._division(connection, going)
            if not set(wanted.take) - set(busy):
                return Round(renewed, surplus=wanted.let_go)
            # Two who take at once would both take their fill: who finds another at it leaves it for now.
            if not (await connection.execute(sql.TRY_TURN, {"key": sql.LEASE_TURN})).scalar_one():
                return Round(renewed, surplus=wanted.let_go)
            wanted = await self._division(connection, going)
            names = sorted(set(wanted.take) - set(busy))
            return Round(renewed, await self._take(connection, names), wanted.let_go)

    @uninterrupted
    async def let_go(self, grant: Grant) -> None:
        """Give one back, so that another can take it at once; nothing happens where it was lost."""
        async with self._database.writing() as connection:
            await connection.execute(_END.where(_is(grant)))

    @uninterrupted
    async def leave(self) -> None:
        """Give everything back: this replica ends."""
        async with self._database.writing() as connection:
            await connection.execute(_END.where(leases.c.holder == self.me.holder))
            await connection.execute(sa.delete(replicas).where(replicas.c.holder == self.me.holder))

    async def still(self, grant: Grant, *, least: timedelta) -> str:
        """Why a grant does not hold for at least so much longer, or nothing."""
        async with self._database.reading() as connection:
            until = _now() + sa.literal(least, sa.Interval)
            found = await connection.execute(_held(grant, until))
            return "" if found.first() is not None else await _why(connection, grant)

    async def _division(self, connection: AsyncConnection, going: Collection[str]) -> Division:
        watchers, holders = await _census(connection)
        if self.me.holder not in watchers:  # this round itself took longer than a lease
            return Division()
        return divide(watchers, holders, self.me.holder, going=frozenset(going))

    async def _say_alive(self, connection: AsyncConnection, projects: Collection[str]) -> None:
        row = {
            "holder": self.me.holder,
            "name": self.me.name,
            "projects": json.dumps(sorted(projects)),
            "seen_at": _now(),
            "expires_at": _now() + sa.literal(self._lease, sa.Interval),
        }
        said = {name: value for name, value in row.items() if name != "holder"}
        statement = insert(replicas).values(row)
        await connection.execute(
            statement.on_conflict_do_update(index_elements=[replicas.c.holder], set_=said)
        )
        old = replicas.c.expires_at < _now() - sa.literal(_GONE, sa.Interval)
        await connection.execute(sa.delete(replicas).where(old))

    async def _take(self, connection: AsyncConnection, names: Collection[str]) -> frozenset[Grant]:
        if not names:
            return frozenset()
        never = [
            {"project": name, "holder": "", "token": 0, "taken_at": _now(), "expires_at": _now()}
            for name in names
        ]
        await connection.execute(insert(leases).values(never).on_conflict_do_nothing())
        # A transaction that was begun under the old grant locks the row: it is left for the next round.
        found = await connection.execute(
            sa.select(leases.c.project)
            .where(leases.c.project.in_(names), leases.c.expires_at <= _now())
            .with_for_update(skip_locked=True)
        )
        free = list(found.scalars())
        return await _granted(connection, _take_over(self.me, self._lease, free))


async def check_grant(connection: AsyncConnection, grant: Grant) -> None:
    """Raise StoreError unless the grant holds; nobody can take the project until the transaction ends.

    KEY SHARE is what a renewal, which changes no key, does not wait for, and a taking does.
    """
    found = await connection.execute(
        _held(grant, _now()).with_for_update(read=True, key_share=True)
    )
    if found.first() is None:
        raise StoreError(f"{await _why(connection, grant)}; nothing was written")


async def read_holders(connection: AsyncConnection) -> dict[str, str]:
    """By project, the name of the live replica that has it."""
    found = await connection.execute(
        sa.select(leases.c.project, replicas.c.name)
        .join_from(leases, replicas, leases.c.holder == replicas.c.holder, isouter=True)
        .where(leases.c.expires_at > _now())
    )
    return {row.project: row.name or "a replica that just left" for row in found}


def _now() -> sa.ColumnElement[Any]:
    # Not now(), which is when the transaction began: it may have waited for a lock since.
    return sa.func.clock_timestamp()


def _is(grant: Grant) -> sa.ColumnElement[bool]:
    return sa.and_(
        leases.c.project == grant.project,
        leases.c.holder == grant.holder,
        leases.c.token == grant.token,
    )


def _held(grant: Grant, until: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return sa.select(leases.c.token).where(_is(grant), leases.c.expires_at > until)


_END = sa.update(leases).values(expires_at=_now())


def _renew(me: Replica, lease: timedelta) -> sa.Update:
    return (
        sa.update(leases)
        .where(leases.c.holder == me.holder, leases.c.expires_at > _now())
        .values(expires_at=_now() + sa.literal(lease, sa.Interval))
    )


def _take_over(me: Replica, lease: timedelta, names: Collection[str]) -> sa.Update:
    return (
        sa.update(leases)
        .where(leases.c.project.in_(names))
        .values(
            holder=me.holder,
            token=leases.c.token + 1,
            taken_at=_now(),
            expires_at=_now() + sa.literal(lease, sa.Interval),
        )
    )


async def _granted(connection: AsyncConnection, statement: sa.Update) -> frozenset[Grant]:
    columns = (leases.c.project, leases.c.holder, leases.c.token)
    found = await connection.execute(statement.returning(*columns))
    return frozenset(Grant(*row) for row in found)


async def _census(
    connection: AsyncConnection,
) -> tuple[Mapping[str, frozenset[str]], Mapping[str, str]]:
    """Which projects each live replica watches, and who has which."""
    alive = await connection.execute(
        sa.select(replicas.c.holder, replicas.c.projects).where(replicas.c.expires_at > _now())
    )
    watchers = {row.holder: frozenset(json.loads(row.projects)) for row in alive}
    had = await connection.execute(
        sa.select(leases.c.project, leases.c.holder).where(leases.c.expires_at > _now())
    )
    return watchers, {row.project: row.holder for row in had}


async def _why(connection: AsyncConnection, grant: Grant) -> str:
    """Why a grant does not hold."""
    name = (await read_holders(connection)).get(grant.project)
    row = (await connection.execute(sa.select(leases).where(_is(grant)))).first()
    if row is not None or name is None:
        return f"the lease on project {grant.project} has run out"
    return f"the lease on project {grant.project} is held by another replica ({name})"
