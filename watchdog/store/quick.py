"""Closed episodes a day at a time, as a report counts them: nobody looks at each of a million.

What is quick are those that began and ended on one UTC day, and have a bill: theirs is what the ledger says.
The database adds up their lines and counts those that are alike; of each only a light row is read. Every
other episode is one of the rest, which a report takes one by one.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.alike import Alike, Circumstances, ClosedDay
from watchdog.core.days import DayCount
from watchdog.core.dearest import Dearest, Rank
from watchdog.core.model import CloseReason, Episode, Role
from watchdog.core.spend import Spend
from watchdog.store import statements as sql
from watchdog.store.byday import (
    AT_ONCE,
    BEGAN_THEN,
    CLOSED,
    COUNTED,
    LINES_OF_DAY,
    NO_TIME,
    SAME_DAY,
    WITH_FIRST_AGENT,
    counts_of,
    day_lines_of,
    day_of,
    lines_by_episode,
    midnight,
    of_project,
)
from watchdog.store.database import Database, uninterrupted
from watchdog.store.episodes import MOST_AT_ONCE, place_of, read_current, read_episodes
from watchdog.store.tables import episode_agents, episodes, ledger

_ROWS_AT_ONCE = 5000
_NANO = Decimal("1e-9")

_own = ledger.alias()
_has_lines = sa.exists().where(_own.c.episode_id == episodes.c.id).correlate(episodes)
# A policy is written at the end of an episode since there is a ledger; what has neither is older.
_no_policy = sa.func.coalesce(episodes.c.policy, "") == ""
_quick = (CLOSED, *BEGAN_THEN, SAME_DAY, sa.or_(sa.not_(_no_policy), _has_lines))
_rest = (
    *BEGAN_THEN,
    sa.or_(
        sa.not_(CLOSED),
        episodes.c.first_gone_at.is_(None),
        sa.not_(SAME_DAY),
        sa.and_(_no_policy, sa.not_(_has_lines)),
    ),
)
"""All that began on the day and is not quick."""


def _sum_of_it(column: sa.Column[Decimal]) -> sa.ColumnElement[int]:
    """Of an episode's lines, in whole nano-dollars; looked up for each episode, not joined and sorted."""
    of_it = sa.select(sa.func.sum(column)).where(_own.c.episode_id == episodes.c.id)
    lines = of_it.correlate(episodes).scalar_subquery()
    return sa.type_coerce(lines, sa.BigInteger).label(column.name)


_NEXT = sa.select(
    sa.func.min(episodes.c.first_orphaned_at, type_=episodes.c.first_orphaned_at.type)
).where(episodes.c.first_orphaned_at >= sa.bindparam("at", type_=episodes.c.first_orphaned_at.type))
_ROWS = (
    sa.select(*COUNTED, episodes.c.id, _sum_of_it(_own.c.low), _sum_of_it(_own.c.high))
    .select_from(WITH_FIRST_AGENT)
    .where(*_quick)
)
_known = (
    *(episodes.c.project, episode_agents.c.agent_name, episodes.c.close_reason),
    *(episodes.c.person_seen, episodes.c.hung_up),
    *(episodes.c.departure_timeout, episodes.c.empty_timeout),
    episodes.c.stranded_since.is_not(None).label("stranded"),
)


def _causes(project: str | None) -> sa.Select[Any]:
    """What is alike in all that causes depend on; a name with several connections in an episode by itself."""
    # With the bare id SQLite would read the whole table in its order, instead of the day.
    each = of_project(
        project,
        sa.select(
            *_known,
            episodes.c.id.concat("").label("key"),
            episode_agents.c.participant_sid,
            *(ledger.c.low, ledger.c.high, ledger.c.unverified),
        )
        .select_from(
            episodes.join(
                episode_agents,
                sa.and_(
                    episode_agents.c.episode_id == episodes.c.id,
                    episode_agents.c.role != Role.RECORDER.value,
                ),
            ).outerjoin(
                ledger,
                sa.and_(
                    ledger.c.episode_id == episode_agents.c.episode_id,
                    ledger.c.agent_name == episode_agents.c.agent_name,
                ),
            )
        )
        .where(*_quick),
    ).subquery()
    known = [each.c[column.name] for column in _known]
    sid = each.c.participant_sid
    by_name = (
        sa.select(
            *known,
            sa.case((sa.func.min(sid) == sa.func.max(sid), sa.null()), else_=each.c.key).label(
                "several"
            ),
            *_sums(each),
        )
        .group_by(each.c.key, *known)  # the key tells most apart: it is compared first
        .subquery()
    )
    found = [by_name.c[column.name] for column in _known]
    return sa.select(
        *found, by_name.c.several, sa.func.count().label("episodes"), *_sums(by_name)
    ).group_by(*found, by_name.c.several)


def _sums(of: sa.Subquery) -> list[sa.ColumnElement[Decimal]]:
    return [
        sa.func.sum(of.c[name], type_=ledger.c[name].type).label(name)
        for name in ("low", "high", "unverified")
    ]


class QuickStore:
    """Reads beside a running daemon. Every method raises only StoreError."""

    def __init__(self, database: Database) -> None:
        """On an open database, which the caller closes."""
        self._database = database

    @uninterrupted
    async def next_day(self, since: date | None) -> date | None:
        """The first UTC day, from one on, on which any episode began; None where there is none."""
        at = midnight(since or date.min)
        async with self._database.reading() as connection:
            found = (await connection.execute(_NEXT, {"at": at})).scalar_one()
        return None if found is None else day_of(found)

    @uninterrupted
    async def closed(self, project: str | None, day: date, dearest: Dearest[str]) -> ClosedDay:
        """The quick ones of a day; the ids of the dearest go where those of other days are."""
        bounds = _bounds(day)
        async with self._database.reading() as connection:
            lines = await connection.execute(of_project(project, LINES_OF_DAY), bounds)
            summed = tuple(day_lines_of(lines.mappings(), day))
            lasted: list[float] = []
            counts: list[DayCount] = []
            rows = await connection.stream(
                of_project(project, _ROWS),
                bounds,
                execution_options={"yield_per": _ROWS_AT_ONCE},
            )
            async for part in rows.partitions():
                counts += counts_of(part, day)
                _note(part, lasted, dearest)
            causes = (await connection.execute(_causes(project), bounds)).mappings().all()
            alike = [_alike(row) for row in causes if row["several"] is None]
            several = [row for row in causes if row["several"] is not None]
            apart = await _apart(connection, several)
        return ClosedDay(summed, tuple(counts), lasted, alike, apart)

    @uninterrupted
    async def rest(
        self, project: str | None, day: date, after: Episode | None = None
    ) -> tuple[Episode, ...]:
        """Those that are not quick of the ones that began on a day, the oldest first; so many at once."""
        statement = of_project(project, sql.select_episodes(sa.and_(*_rest)))
        if after is not None:
            statement = statement.where(sql.comes_after(*place_of(after)))
        async with self._database.reading() as connection:
            return await read_current(connection, statement.limit(MOST_AT_ONCE), _bounds(day))


def _bounds(day: date) -> dict[str, datetime]:
    return {"start": midnight(day), "end": midnight(day + timedelta(days=1))}


def _note(rows: Sequence[Sequence[Any]], lasted: list[float], dearest: Dearest[str]) -> None:
    """How long each lasted, and whether it is one of the dearest."""
    floor = _nanos(dearest.floor)
    for _, _, _, _, began, gone, _, key, low, high in rows:
        age = max(NO_TIME, gone - began).total_seconds()
        lasted.append(age)
        if floor is None or (low or 0) >= floor:
            spent = ((low or 0) * _NANO, (high or 0) * _NANO)
            dearest.add(Rank(*spent, age, began, key), key)
            floor = _nanos(dearest.floor)


def _nanos(usd: Decimal | None) -> Decimal | None:
    return None if usd is None else usd / _NANO


def _alike(row: RowMapping) -> Alike:
    known = Circumstances(
        stranded=row["stranded"],
        close_reason=CloseReason(row["close_reason"]),
        person_seen=row["person_seen"],
        hung_up=row["hung_up"],
        departure_timeout=row["departure_timeout"],
        empty_timeout=row["empty_timeout"],
    )
    nothing = Decimal(0)
    spend = Spend(row["low"] or nothing, row["high"] or nothing, row["unverified"] or nothing)
    return Alike(row["project"], row["agent_name"], known, row["episodes"], spend)


async def _apart(
    connection: AsyncConnection, rows: Sequence[RowMapping]
) -> tuple[tuple[Episode, str, Spend], ...]:
    """Whole episodes, for what only their connections tell."""
    found: list[tuple[Episode, str, Spend]] = []
    for start in range(0, len(rows), AT_ONCE):
        chunk = rows[start : start + AT_ONCE]
        ids = sorted({row["several"] for row in chunk})
        whole = await read_episodes(connection, sql.select_episodes(sql.is_one_of(ids)))
        by_id = {episode.id: episode for episode in whole}
        lines = await lines_by_episode(connection, ids)
        for row in chunk:
            key, name = row["several"], row["agent_name"]
            own = (line.spend for line in lines.get(key, ()) if line.agent_name == name)
            found.append((by_id[key], name, sum(own, Spend())))
    return tuple(found)
