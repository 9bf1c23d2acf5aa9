"""History: what is older than the retention, as sums by day; the rows it came from are deleted.

Sums and deletions are one transaction: a kill loses nothing and counts nothing twice.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.days import DayCount, DayKey, DayLine, day_counts, day_lines
from watchdog.core.errors import StoreError
from watchdog.core.ledger import LedgerLine
from watchdog.core.model import Episode
from watchdog.store import statements as sql
from watchdog.store.byday import AT_ONCE, Daily, closed_by_day, end_of, lines_by_episode
from watchdog.store.database import Database, uninterrupted
from watchdog.store.episodes import read_episodes
from watchdog.store.fence import UNFENCED, Fence
from watchdog.store.ledger import line_of
from watchdog.store.tables import daily_avoided, daily_counts, daily_spend

_NO_PROJECTS: Mapping[str, datetime | None] = MappingProxyType({})

Row = dict[str, Any]
Sums = dict[tuple[Any, ...], Row]
"""Rows by the values of their primary key."""
Reckon = Callable[[Episode], Sequence[LedgerLine]]
"""The lines of an episode that was over before there was a ledger; the store knows no prices."""


def _no_lines(_: Episode) -> Sequence[LedgerLine]:
    return ()


class HistoryStore:
    """Rolls up closed episodes, and reads what they came to. Every method raises only StoreError."""

    def __init__(
        self, database: Database, fence_of: Callable[[str], Fence | None] = lambda _: UNFENCED
    ) -> None:
        """On an open database, which the caller closes.

        `fence_of` guards what is changed of a project; None: it is another replica's to roll up.
        """
        self._database = database
        self._fence_of = fence_of

    @uninterrupted
    async def roll_up(
        self,
        before: datetime,
        limit: int,
        *,
        but: Mapping[str, datetime | None] = _NO_PROJECTS,
        reckon: Reckon = _no_lines,
    ) -> int:
        """Roll up at most `limit` episodes, and as many done avoidances, of one project; how many were.

        Only what was over `before`, the oldest first; of a project in `but` what was over before that time,
        or nothing where it is None. What is older than the ledger counts as `reckon` says. 0 means that
        nothing is left to roll up.
        """
        async with self._database.writing() as connection:
            for project in await _projects(connection):
                cutoff, fence = but.get(project, before), self._fence_of(project)
                if cutoff is None or fence is None:
                    continue
                await fence.check(connection, project)
                done = await _roll_up_episodes(connection, project, cutoff, limit, reckon)
                done += await _roll_up_avoided(connection, project, cutoff, limit)
                if done:
                    return done
        return 0

    @uninterrupted
    async def daily(
        self, project: str | None = None, since: date | None = None, until: date | None = None
    ) -> Daily:
        """What was rolled up of one project, or of all, on the UTC days from `since` to before `until`."""
        async with self._database.reading() as connection:
            return await _rolled_up(connection, project, since, until)

    @uninterrupted
    async def closed(
        self, project: str | None = None, since: date | None = None, until: date | None = None
    ) -> Daily:
        """All closed episodes by day, rolled up or not.

        Read in one transaction: what is rolled up meanwhile is neither missed nor counted twice.
        """
        async with self._database.reading() as connection:
            kept = await closed_by_day(connection, project, since, until)
            return await _rolled_up(connection, project, since, until) + kept

    @uninterrupted
    async def daily_avoided(
        self, project: str | None = None, since: date | None = None, until: date | None = None
    ) -> dict[tuple[str, date, str, str], Decimal]:
        """What rolled-up deletions avoided, in USD by project, day, agent name and basis."""
        statement = sql.of_days(daily_avoided, project, since, until)
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {
            (row.project, date.fromisoformat(row.day), row.agent_name, row.basis): row.booked
            for row in rows
        }


async def _rolled_up(
    connection: AsyncConnection, project: str | None, since: date | None, until: date | None
) -> Daily:
    spend = sql.of_days(daily_spend, project, since, until)
    counts = sql.of_days(daily_counts, project, since, until)
    lines = (await connection.execute(spend)).mappings().all()
    counted = (await connection.execute(counts)).mappings().all()
    return Daily(tuple(map(_day_line_of, lines)), tuple(map(_day_count_of, counted)))


async def _projects(connection: AsyncConnection) -> list[str]:
    """Every project that has episodes or avoided spend, one look into an index for each."""
    found: set[str] = set()
    for statement in (sql.NEXT_PROJECT, sql.NEXT_AVOIDING_PROJECT):
        after: str | None = ""
        while after is not None:
            after = (await connection.execute(statement, {"after": after})).scalar_one()
            if after is not None:
                found.add(after)
    return sorted(found)


async def _roll_up_episodes(
    connection: AsyncConnection, project: str, before: datetime, limit: int, reckon: Reckon
) -> int:
    oldest = sql.oldest_closed(project, before, limit)
    episodes = await read_episodes(connection, oldest)
    spend: Sums = {}
    counts: Sums = {}
    for start in range(0, len(episodes), AT_ONCE):
        chunk = episodes[start : start + AT_ONCE]
        ids = [episode.id for episode in chunk]
        lines = await lines_by_episode(connection, ids)
        for episode in chunk:
            own: Sequence[LedgerLine] = lines.get(episode.id, [])
            if not own and not episode.policy:  # which has one since there is a ledger
                own = reckon(episode)
            _add(spend, sql.SPEND_SUMS.keys, _spend_rows(episode, own))
            _add(counts, sql.COUNT_SUMS.keys, _count_rows(episode))
        # Agents and ledger lines go with their episodes.
        gone = await connection.execute(sql.DELETE_CLOSED, {"ids": ids})
        _must_be(gone.rowcount, len(ids), "episodes")
    await _add_up(connection, sql.SPEND_SUMS, spend)
    await _add_up(connection, sql.COUNT_SUMS, counts)
    return len(episodes)


async def _roll_up_avoided(
    connection: AsyncConnection, project: str, before: datetime, limit: int
) -> int:
    rows = (await connection.execute(sql.oldest_avoided(project, before, limit))).mappings().all()
    sums: Sums = {}
    _add(sums, sql.AVOIDED_SUMS.keys, map(_avoided_row, rows))
    if rows:
        gone = await connection.execute(
            sql.DELETE_AVOIDED,
            [sql.keyed(row, sql.AVOIDED_KEYS) for row in rows],
            execution_options={"preserve_rowcount": True},
        )
        _must_be(gone.rowcount, len(rows), "avoided spend")
    await _add_up(connection, sql.AVOIDED_SUMS, sums)
    return len(rows)


def _must_be(deleted: int, expected: int, what: str) -> None:
    if deleted not in (expected, -1):  # -1: a driver that does not count
        raise StoreError(
            f"{expected - deleted} rows of {what} changed while they were rolled up: nothing but"
            " livekit-watchdog may write to the database; nothing was rolled up"
        )


def _add(sums: Sums, keys: Sequence[str], rows: Iterable[Row]) -> None:
    """Add rows up by their keys."""
    for row in rows:
        key = tuple(row[name] for name in keys)
        known = sums.setdefault(key, row)
        if known is not row:
            for name in known.keys() & sql.SUMMED:
                known[name] += row[name]


async def _add_up(connection: AsyncConnection, statements: sql.SumStatements, sums: Sums) -> None:
    """Add to the sums that there are, and begin the others. All are of one project."""
    if not sums:
        return
    project = next(iter(sums))[0]
    days = sorted({key[1] for key in sums})
    known: set[tuple[Any, ...]] = set()
    for start in range(0, len(days), AT_ONCE):
        named = {"project": project, "days": days[start : start + AT_ONCE]}
        known |= {tuple(row) for row in (await connection.execute(statements.known, named)).all()}
    there = [sql.keyed(row, statements.keys) for key, row in sums.items() if key in known]
    new = [row for key, row in sums.items() if key not in known]
    if there:
        await connection.execute(statements.add, there)
    if new:
        await connection.execute(statements.insert, new)


# ---- rows -----------------------------------------------------------------------------------------


def _spend_rows(episode: Episode, lines: Sequence[LedgerLine]) -> Iterable[Row]:
    for one in day_lines(episode, lines, end_of(episode)):
        line = one.line
        said = {
            **_key_row(one.key),
            "profile": line.profile,
            "meter": line.meter,
            "plan": line.plan,
            "unit": line.unit,
            "price": line.price,
            "book_version": line.book_version,
            "book_hash": line.book_hash,
        }
        yield {
            **said,
            "key": _digest(said),
            "seconds": float(line.seconds),
            "low": line.spend.low,
            "high": line.spend.high,
            "unverified": line.spend.unverified,
        }


def _count_rows(episode: Episode) -> Iterable[Row]:
    for one in day_counts(episode, end_of(episode)):
        yield {
            **_key_row(one.key),
            "episodes": one.episodes,
            "never_attended": one.never_attended,
            "orphaned_seconds": one.orphaned_seconds,
        }


def _avoided_row(row: RowMapping) -> Row:
    return {
        "project": row["project"],
        "day": row["began"].astimezone(UTC).date().isoformat(),
        "agent_name": row["agent_name"],
        "basis": row["basis"],
        "booked": row["booked"],
    }


def _digest(said: Mapping[str, Any]) -> str:
    """The same for the same values, whatever characters are in them."""
    price = said["price"]
    values = {**said, "price": None if price is None else f"{price:.9f}"}
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _key_row(key: DayKey) -> Row:
    return {
        "project": key.project,
        "day": key.day.isoformat(),
        "agent_name": key.agent_name,
        "policy": key.policy,
        "close_reason": key.close_reason,
    }


def _key_of(row: RowMapping) -> DayKey:
    day = date.fromisoformat(row["day"])
    return DayKey(row["project"], day, row["agent_name"], row["policy"], row["close_reason"])


def _day_line_of(row: RowMapping) -> DayLine:
    return DayLine(_key_of(row), line_of(row))


def _day_count_of(row: RowMapping) -> DayCount:
    return DayCount(_key_of(row), row["episodes"], row["never_attended"], row["orphaned_seconds"])
