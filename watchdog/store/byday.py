"""Closed episodes by day, added up by the database: a report over a million of them takes seconds.

One that began and ended on the same UTC day is added to its group in SQL; one that lasted over a midnight
is divided by the core. Together they come to what `day_lines` and `day_counts` say of each.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.days import DayCount, DayKey, DayLine, day_counts, day_lines
from watchdog.core.ledger import LedgerLine
from watchdog.core.model import Episode, Role
from watchdog.store import statements as sql
from watchdog.store.episodes import read_episodes
from watchdog.store.ledger import line_of
from watchdog.store.tables import episode_agents, episodes, ledger

AT_ONCE = 500
"""So many episodes are read whole at once; both databases limit the parameters of a statement."""


@dataclass(frozen=True, slots=True)
class Daily:
    """What closed episodes came to, by day. More than one line or count may be of the same key."""

    lines: tuple[DayLine, ...] = ()
    counts: tuple[DayCount, ...] = ()

    def __add__(self, other: "Daily") -> "Daily":
        return Daily(self.lines + other.lines, self.counts + other.counts)


def _at(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=episodes.c.first_orphaned_at.type)


_closed = episodes.c.close_reason.is_not(None)
_began_then = (
    episodes.c.first_orphaned_at >= _at("start"),
    episodes.c.first_orphaned_at < _at("end"),
)
_same_day = episodes.c.first_gone_at <= _at("end")
_said = (
    *(episodes.c.project, episodes.c.policy, episodes.c.close_reason),
    *(ledger.c.agent_name, ledger.c.profile, ledger.c.meter, ledger.c.plan, ledger.c.unit),
    *(ledger.c.price, ledger.c.book_version, ledger.c.book_hash),
)
LINES_OF_DAY = (
    sa.select(
        *_said,
        *(
            sa.func.sum(column, type_=column.type).label(column.name)
            for column in (ledger.c.seconds, ledger.c.low, ledger.c.high, ledger.c.unverified)
        ),
    )
    .select_from(episodes.join(ledger, ledger.c.episode_id == episodes.c.id))
    .where(_closed, *_began_then, _same_day)
    .group_by(*_said)
)
COUNTED_OF_DAY = (
    sa.select(
        *(episodes.c.project, episodes.c.policy, episodes.c.close_reason, episodes.c.person_seen),
        # As the driver has them: only their difference is asked for, a million times.
        *(
            sa.type_coerce(column, sa.DateTime(timezone=True)).label(column.name)
            for column in (episodes.c.first_orphaned_at, episodes.c.first_gone_at)
        ),
        episode_agents.c.agent_name,
    )
    .select_from(
        episodes.outerjoin(
            episode_agents,
            sa.and_(
                episode_agents.c.episode_id == episodes.c.id,
                episode_agents.c.position == 0,  # agents stand before recordings
                episode_agents.c.role != Role.RECORDER.value,
            ),
        )
    )
    .where(_closed, *_began_then, _same_day)
)
"""Spans are no number that both databases could add up."""
OVER_MIDNIGHT = sql.select_episodes(
    sa.and_(_closed, *_began_then, episodes.c.first_gone_at > _at("end"))
)
OVER_THE_FIRST = sql.select_episodes(
    sa.and_(
        _closed,
        episodes.c.first_orphaned_at < _at("start"),
        episodes.c.first_gone_at > _at("start"),
    )
)
FIRST_AND_LAST = tuple(
    sa.select(function(episodes.c.first_orphaned_at, type_=episodes.c.first_orphaned_at.type))
    for function in (sa.func.min, sa.func.max)
)
"""When any episode began: one look into an index each."""


async def closed_by_day(
    connection: AsyncConnection, project: str | None, since: date | None, until: date | None
) -> Daily:
    """The closed episodes that are kept, on the UTC days from `since` to before `until`."""
    first, last = [(await connection.execute(one)).scalar_one() for one in FIRST_AND_LAST]
    if first is None or last is None:
        return Daily()
    lines: list[DayLine] = []
    counts: list[DayCount] = []
    divided: list[Episode] = []
    if since is not None:
        bounds = {"start": _midnight(since)}
        divided += await read_episodes(connection, _of(project, OVER_THE_FIRST), bounds)
    day = max(_day(first), since or _day(first))
    end = _day(last) + timedelta(days=1)
    while day < min(end, until or end):
        bounds = {"start": _midnight(day), "end": _midnight(day + timedelta(days=1))}
        found = await connection.execute(_of(project, LINES_OF_DAY), bounds)
        lines += [DayLine(_key(row, day), line_of(row)) for row in found.mappings()]
        found = await connection.execute(_of(project, COUNTED_OF_DAY), bounds)
        counts += _counted(found.all(), day)
        divided += await read_episodes(connection, _of(project, OVER_MIDNIGHT), bounds)
        day += timedelta(days=1)
    rest = await _divided(connection, divided)
    return Daily(tuple(lines), tuple(counts)) + Daily(
        tuple(one for one in rest.lines if _within(one.key.day, since, until)),
        tuple(one for one in rest.counts if _within(one.key.day, since, until)),
    )


async def lines_by_episode(
    connection: AsyncConnection, ids: Sequence[str]
) -> dict[str, list[LedgerLine]]:
    """The ledger's lines of at most `AT_ONCE` episodes."""
    found: dict[str, list[LedgerLine]] = {}
    for row in (await connection.execute(sql.LINES, {"ids": ids})).mappings():
        found.setdefault(row["episode_id"], []).append(line_of(row))
    return found


def end_of(episode: Episode) -> datetime:
    """When a closed episode ended."""
    return episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at


async def _divided(connection: AsyncConnection, found: Sequence[Episode]) -> Daily:
    lines: list[DayLine] = []
    counts: list[DayCount] = []
    for start in range(0, len(found), AT_ONCE):
        chunk = found[start : start + AT_ONCE]
        own = await lines_by_episode(connection, [episode.id for episode in chunk])
        for episode in chunk:
            lines += day_lines(episode, own.get(episode.id, []), end_of(episode))
            counts += day_counts(episode, end_of(episode))
    return Daily(tuple(lines), tuple(counts))


def _counted(rows: Iterable[Sequence[Any]], day: date) -> Iterator[DayCount]:
    """Counts of rows of `COUNTED_OF_DAY`."""
    sums: dict[tuple[str, str, str, str], tuple[int, int, float]] = {}
    for project, policy, reason, person_seen, began, gone, name in rows:
        key = (project, name or "", policy or "", reason)
        number, never, seconds = sums.get(key, (0, 0, 0.0))
        lasted = max(0.0, (gone - began).total_seconds())
        sums[key] = (number + 1, never + (person_seen is False), seconds + lasted)
    return (
        DayCount(DayKey(project, day, name, policy, reason), *values)
        for (project, name, policy, reason), values in sums.items()
    )


def _key(row: RowMapping, day: date) -> DayKey:
    policy = row["policy"] or ""
    return DayKey(row["project"], day, row["agent_name"], policy, row["close_reason"])


def _of(project: str | None, statement: sa.Select[Any]) -> sa.Select[Any]:
    """The same for one project. The day is what is looked up: an index by project finds too much."""
    if project is None:
        return statement
    return statement.where(episodes.c.project.concat("") == project)


def _within(day: date, since: date | None, until: date | None) -> bool:
    return (since is None or day >= since) and (until is None or day < until)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
