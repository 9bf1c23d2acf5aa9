"""What a report reads of the database beside the episodes themselves."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.avoided import Avoidance
from watchdog.core.ledger import LedgerLine
from watchdog.core.records import Milestones, TickRecord
from watchdog.core.spend import Spend
from watchdog.store.byday import AT_ONCE, lines_by_episode
from watchdog.store.database import Database, uninterrupted
from watchdog.store.ledger import avoidance_of
from watchdog.store.rows import record_of
from watchdog.store.tables import avoided, corrections, tick_journal

_AVOIDED_AT_ONCE = 2000

_RECORDS = sa.select(tick_journal).where(tick_journal.c.project == sa.bindparam("project")).limit(1)
_NEWEST = _RECORDS.order_by(tick_journal.c.number.desc())
_OLDEST = _RECORDS.order_by(tick_journal.c.number)


class ReportStore:
    """Reads beside a running daemon. Every method raises only StoreError."""

    def __init__(self, database: Database) -> None:
        """On an open database, which the caller closes."""
        self._database = database

    @uninterrupted
    async def lines(self, ids: Sequence[str]) -> dict[str, tuple[LedgerLine, ...]]:
        """What is written of the bills of these episodes; one without lines is not in it."""
        found: dict[str, list[LedgerLine]] = {}
        async with self._database.reading() as connection:
            for start in range(0, len(ids), AT_ONCE):
                found |= await lines_by_episode(connection, ids[start : start + AT_ONCE])
        return {key: tuple(lines) for key, lines in found.items()}

    async def avoided(
        self, project: str | None = None, until: datetime | None = None
    ) -> AsyncIterator[tuple[str, Avoidance, Decimal | None]]:
        """What deletions until then avoid: project, what and how, and the whole where all is booked."""
        after: tuple[datetime, str, str] | None = None
        while True:
            page = await self._avoided(project, until, after)
            for one in page:
                yield one
            if len(page) < _AVOIDED_AT_ONCE:
                return
            last = page[-1][1]
            after = last.began, last.episode, last.agent_name

    @uninterrupted
    async def _avoided(
        self, project: str | None, until: datetime | None, after: tuple[datetime, str, str] | None
    ) -> list[tuple[str, Avoidance, Decimal | None]]:
        began, episode, agent = avoided.c.began, avoided.c.episode_id, avoided.c.agent_name
        statement = sa.select(avoided).order_by(began, episode, agent).limit(_AVOIDED_AT_ONCE)
        if project is not None:
            statement = statement.where(avoided.c.project == project)
        if until is not None:
            statement = statement.where(began < until)
        if after is not None:
            at, key, name = after
            later = sa.or_(began > at, episode > key, sa.and_(episode == key, agent > name))
            statement = statement.where(began >= at, later)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [(row["project"], avoidance_of(row), row["booked"]) for row in rows]

    @uninterrupted
    async def corrected(
        self,
        project: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, tuple[int, Spend]]:
        """How often spend was corrected downwards in that time, and by how much, by project."""
        c = corrections.c
        amounts = [
            sa.func.sum(a, type_=a.type).label(a.name) for a in (c.low, c.high, c.unverified)
        ]
        statement = sa.select(c.project, sa.func.count().label("times"), *amounts).group_by(
            c.project
        )
        if project is not None:
            statement = statement.where(c.project == project)
        if since is not None:
            statement = statement.where(c.at >= since)
        if until is not None:
            statement = statement.where(c.at < until)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.project: (row.times, Spend(row.low, row.high, row.unverified)) for row in rows}

    @uninterrupted
    async def milestones(
        self, project: str, since: datetime | None, until: datetime | None
    ) -> Milestones | None:
        """The ticks that tell how well a project was watched in that time; None where it has had none."""
        async with self._database.reading() as connection:
            oldest = await _one(connection, _OLDEST, project)
            if oldest is None:
                return None
            before = last = None
            if since is not None:
                before = await _one(connection, _upto(since), project)
            last = await _one(connection, _NEWEST if until is None else _upto(until), project)
        return Milestones(
            before=None if before is None else before[0],
            oldest=oldest[0],
            last=None if last is None else last[0],
            last_good_at=None if last is None else last[1],
        )


def _upto(moment: datetime) -> sa.Select[tuple[object, ...]]:
    return _NEWEST.where(tick_journal.c.at <= moment)


async def _one(
    connection: AsyncConnection, statement: sa.Select[tuple[object, ...]], project: str
) -> tuple[TickRecord, datetime | None] | None:
    row = (await connection.execute(statement, {"project": project})).mappings().first()
    return None if row is None else (record_of(row), row["last_good_at"])
