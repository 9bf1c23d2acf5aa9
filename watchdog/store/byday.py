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
from watchdog.store.tables import Usd, episode_agents, episodes, ledger

NO_TIME = timedelta(0)
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


CLOSED = episodes.c.close_reason.is_not(None)
BEGAN_THEN = (
    episodes.c.first_orphaned_at >= _at("start"),
    episodes.c.first_orphaned_at < _at("end"),
)
SAME_DAY = episodes.c.first_gone_at <= _at("end")
_said = (
    *(episodes.c.project, episodes.c.policy, episodes.c.close_reason),
    *(ledger.c.agent_name, ledger.c.profile, ledger.c.meter, ledger.c.plan, ledger.c.unit),
    *(ledger.c.price, ledger.c.book_version, ledger.c.book_hash),
)
# Whole nanoseconds, kept as money is: a sum of them does not depend on the order.
_nanoseconds = sa.cast(sa.func.round(ledger.c.seconds * 1e9), sa.BigInteger)
LINES_OF_DAY = (
    sa.select(
        *_said,
        sa.func.sum(_nanoseconds, type_=Usd()).label("seconds"),
        *(
            sa.func.sum(column, type_=column.type).label(column.name)
            for column in (ledger.c.low, ledger.c.high, ledger.c.unverified)
        ),
    )
    .select_from(episodes.join(ledger, ledger.c.episode_id == episodes.c.id))
    .where(CLOSED, *BEGAN_THEN, SAME_DAY)
    .group_by(*_said)
)
COUNTED = (
    *(episodes.c.project, episodes.c.policy, episodes.c.close_reason, episodes.c.person_seen),
    # As the driver has them: only their difference is asked for, a million times.
    *(
        sa.type_coerce(column, sa.DateTime(timezone=True)).label(column.name)
        for column in (episodes.c.first_orphaned_at, episodes.c.first_gone_at)
    ),
    episode_agents.c.agent_name,
)
WITH_FIRST_AGENT = episodes.outerjoin(
    episode_agents,
    sa.and_(
        episode_agents.c.episode_id == episodes.c.id,
        episode_agents.c.position == 0,  # agents stand before recordings
        episode_agents.c.role != Role.RECORDER.value,
    ),
)
COUNTED_OF_DAY = (
    sa.select(*COUNTED).select_from(WITH_FIRST_AGENT).where(CLOSED, *BEGAN_THEN, SAME_DAY)
)
"""Spans are no number that both databases could add up."""
OVER_MIDNIGHT = sql.select_episodes(
    sa.and_(CLOSED, *BEGAN_THEN, episodes.c.first_gone_at > _at("end"))
)
OVER_THE_FIRST = sql.select_episodes(
    sa.and_(
        CLOSED,
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
        bounds = {"start": midnight(since)}
        divided += await read_episodes(connection, of_project(project, OVER_THE_FIRST), bounds)
    day = max(day_of(first), since or day_of(first))
    end = day_of(last) + timedelta(days=1)
    while day < min(end, until or end):
        bounds = {"start": midnight(day), "end": midnight(day + timedelta(days=1))}
        found = await connection.execute(of_project(project, LINES_OF_DAY), bounds)
        lines += day_lines_of(found.mappings(), day)
        found = await connection.execute(of_project(project, COUNTED_OF_DAY), bounds)
        counts += counts_of(found.all(), day)
        divided += await read_episodes(connection, of_project(project, OVER_MIDNIGHT), bounds)
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


def day_lines_of(rows: Iterable[RowMapping], day: date) -> Iterator[DayLine]:
    """Lines of rows of `LINES_OF_DAY`."""
    return (DayLine(_key(row, day), line_of(row)) for row in rows)


def counts_of(rows: Iterable[Sequence[Any]], day: date) -> Iterator[DayCount]:
    """Counts of rows that begin as `COUNTED` says."""
    sums: dict[tuple[str, str, str, str], tuple[int, int, timedelta]] = {}
    for project, policy, reason, person_seen, began, gone, name, *_ in rows:
        key = (project, name or "", policy or "", reason)
        number, never, lasted = sums.get(key, (0, 0, NO_TIME))
        sums[key] = (
            number + 1,
            never + (person_seen is False),
            lasted + max(NO_TIME, gone - began),
        )
    return (
        DayCount(DayKey(project, day, name, policy, reason), number, never, lasted.total_seconds())
        for (project, name, policy, reason), (number, never, lasted) in sums.items()
    )


def _key(row: RowMapping, day: date) -> DayKey:
    policy = row["policy"] or ""
    return DayKey(row["project"], day, row["agent_name"], policy, row["close_reason"])


def of_project(project: str | None, statement: sa.Select[Any]) -> sa.Select[Any]:
    """The same for one project. The day is what is looked up: an index by project finds too much."""
    if project is None:
        return statement
    return statement.where(episodes.c.project.concat("") == project)


def _within(day: date, since: date | None, until: date | None) -> bool:
    return (since is None or day >= since) and (until is None or day < until)


def day_of(at: datetime) -> date:
    """The UTC day of a moment."""
    return at.astimezone(UTC).date()


def midnight(day: date) -> datetime:
    """When a UTC day begins."""
    return datetime.combine(day, time(), UTC)
