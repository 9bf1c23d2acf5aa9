"""Episodes and ticks in the database: what the daemon writes, and what commands read beside it.

A look that changed nothing is noted in the tick's record only, so that a tick in which nothing changed
writes exactly one row. What an episode was last seen at is therefore the later of its own row and the
records, and before a record is overwritten by the ring, what stands only there moves to the row.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.errors import StoreError
from watchdog.core.ledger import Postings
from watchdog.core.model import AgentSpan, Episode, TickResult
from watchdog.core.records import ProjectMemory, TickRecord
from watchdog.core.spend import Spend
from watchdog.store import statements as sql
from watchdog.store.database import Database, uninterrupted, update_or_insert
from watchdog.store.fence import UNFENCED, Fence
from watchdog.store.ledger import read_avoided, write_postings
from watchdog.store.rows import (
    advanced,
    agent_of,
    agent_rows,
    episode_of,
    episode_row,
    record_of,
    record_row,
    storable_names,
)
from watchdog.store.tables import RING
from watchdog.store.webhooks import read_ids, write_ids

_CHUNK = 500
"""How many ids one query names: both databases limit the parameters of a statement."""


RECENTLY_CLOSED = 1000
"""So many closed episodes are loaded, should their rooms go on."""
MOST_AT_ONCE = 2000
"""So many episodes of the history are read at once, unless more or fewer are asked for."""


@dataclass(frozen=True, slots=True)
class _Note:
    """A time that stands in the record of tick `number`."""

    number: int
    at: datetime


@dataclass(slots=True)
class _Stored:
    """An open episode as its rows say, and the records that say more."""

    episode: Episode
    seen: _Note | None = None
    probed: _Note | None = None

    def note(self, record: TickRecord) -> None:
        """Remember what a record says of this episode."""
        self.seen = _later(self.seen, record, record.seen.get(self.episode.id))
        self.probed = _later(self.probed, record, record.probed.get(self.episode.id))

    def current(self) -> Episode:
        """The episode as of the newest record."""
        return advanced(
            self.episode,
            self.seen.at if self.seen else None,
            self.probed.at if self.probed else None,
        )

    def would_lose(self, record: TickRecord) -> bool:
        """Whether the record takes the slot of the only one that says when this was seen."""
        return _overwritten(self.seen, record, record.seen.get(self.episode.id)) or _overwritten(
            self.probed, record, record.probed.get(self.episode.id)
        )


@dataclass(slots=True)
class _Project:
    """What is known of a project's rows, so that a steady tick asks the database nothing."""

    open: dict[str, _Stored] = field(default_factory=dict)
    last: TickRecord | None = None
    last_good_at: datetime | None = None


def _newest_by_room(newest_first: Iterable[Episode]) -> tuple[Episode, ...]:
    """The last closed episode of each room, by SID; the oldest first."""
    last: dict[str, Episode] = {}
    for episode in newest_first:
        last.setdefault(episode.room_sid, episode)
    return tuple(reversed(last.values()))


class EpisodeStore:
    """Fulfils the tick's Protocol `Store`, and answers the reading commands.

    `load` and `commit` are for the one process that runs the project; the others may be called beside
    it from another. Every method raises only StoreError.
    """

    def __init__(self, database: Database, fence: Fence = UNFENCED) -> None:
        """On an open database, which the caller closes. `fence` guards what is written."""
        self._database = database
        self._fence = fence
        self._projects: dict[str, _Project] = {}
        self._commits = asyncio.Lock()

    @uninterrupted
    async def load(self, project: str) -> ProjectMemory:
        """What an earlier run left: open episodes with their newest bounds, the last tick, spend."""
        async with self._commits:
            self._projects.pop(project, None)
            async with self._database.reading() as connection:
                known = await _read_project(connection, project)
                spent = await connection.execute(sql.CLOSED_SPEND, {"project": project})
                newest = sql.newest_closed(project, RECENTLY_CLOSED)
                recent = await read_episodes(connection, newest)
                closed = {
                    row.agent_name: Spend(row.low, row.high, row.unverified) for row in spent.all()
                }
                webhooks = await read_ids(connection, project)
                avoiding, avoided, accounted = await read_avoided(connection, known.last, project)
            self._projects[project] = known
        return ProjectMemory(
            episodes=tuple(stored.current() for stored in known.open.values()),
            last=known.last,
            last_good_at=known.last_good_at,
            recent=_newest_by_room(recent),
            closed_spend=closed,
            webhooks=webhooks,
            avoiding=avoiding,
            avoided=avoided,
            accounted=accounted,
        )

    @uninterrupted
    async def commit(
        self,
        record: TickRecord,
        changed: Sequence[Episode],
        closed_spend: Mapping[str, Spend],
        postings: Postings | None = None,
    ) -> int:
        """One tick in one transaction; returns the number of rows written, deleted ones included."""
        async with self._commits:
            # Taken out until the commit is through: after a failure the rows are read anew.
            known = self._projects.pop(record.project, None)
            async with self._database.writing() as connection:
                await self._fence.check(connection, record.project)
                if known is None:
                    known = await _read_project(connection, record.project)
                episodes = {episode.id: episode for episode in changed}
                for key, stored in known.open.items():
                    if key not in episodes and stored.would_lose(record):
                        episodes[key] = stored.current()
                rows = await _write_episodes(connection, known, list(episodes.values()))
                if record.clock_set:
                    rows += await _forget_sightings(connection, known, record.project)
                rows += await _set_spend(connection, record.project, storable_names(closed_spend))
                if record.result is TickResult.OK:
                    known.last_good_at = record.at
                rows += await _write_record(connection, record, known.last_good_at)
                rows += await write_ids(connection, record)
                if postings is not None:
                    rows += await write_postings(connection, record, postings)
            _remember(known, record, episodes.values())
            self._projects[record.project] = known
        return rows

    @uninterrupted
    async def open_episodes(self, project: str | None = None) -> tuple[Episode, ...]:
        """The open episodes of one project, or of all, with their newest bounds; oldest first."""
        where = sql.is_open(project)
        async with self._database.reading() as connection:
            return await read_current(connection, sql.select_episodes(where))

    @uninterrupted
    async def episodes_of_room(
        self, project: str, room_name_or_sid: str, limit: int = 20
    ) -> tuple[Episode, ...]:
        """The newest `limit` episodes of a room, by its name or SID; newest first."""
        statement = sql.episodes_of_room(project, room_name_or_sid, limit)
        async with self._database.reading() as connection:
            return await read_current(connection, statement)

    @uninterrupted
    async def episodes_since(
        self,
        project: str | None = None,
        since: datetime | None = None,
        *,
        began: datetime | None = None,
        after: Episode | None = None,
        limit: int = MOST_AT_ONCE,
    ) -> tuple[Episode, ...]:
        """Episodes, open and closed, of one project or of all, that were not over at `since`; oldest first.

        Where `began` is given none that began before it. At most `limit`: the next ones are those `after` the
        last of them.
        """
        statement = sql.episodes_since(project, since, began, limit)
        if after is not None:
            statement = statement.where(sql.comes_after(*place_of(after)))
        async with self._database.reading() as connection:
            return await read_current(connection, statement)

    @uninterrupted
    async def episodes_by_id(self, ids: Sequence[str]) -> dict[str, Episode]:
        """Closed episodes by their ids; one that is not there is not in it."""
        async with self._database.reading() as connection:
            return await _read_by_id(connection, ids)

    @uninterrupted
    async def last_ticks(self) -> dict[str, TickRecord]:
        """The newest tick of every project that has had one."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(sql.LAST_TICKS)).mappings().all()
            return {row["project"]: record_of(row) for row in rows}


def _later(note: _Note | None, record: TickRecord, at: datetime | None) -> _Note | None:
    if at is None or (note is not None and at < note.at):
        return note
    return _Note(record.number, at)


def _overwritten(note: _Note | None, record: TickRecord, again: datetime | None) -> bool:
    if note is None or note.number % RING != record.number % RING:
        return False
    return again is None or again < note.at


def _remember(known: _Project, record: TickRecord, written: Iterable[Episode]) -> None:
    """Bring what is known of the rows up to a commit that went through."""
    for episode in written:
        if not episode.is_open:
            known.open.pop(episode.id, None)
            continue
        known.open.setdefault(episode.id, _Stored(episode)).episode = episode
    for key in record.seen.keys() | record.probed.keys():
        if key in known.open:
            known.open[key].note(record)
    known.last = record


async def _read_project(connection: AsyncConnection, project: str) -> _Project:
    found = await read_episodes(connection, sql.select_episodes(sql.is_open(project)))
    known = _Project(open={episode.id: _Stored(episode) for episode in found})
    rows = (await connection.execute(sql.JOURNAL, {"project": project})).mappings().all()
    for row in rows:  # oldest first
        known.last = record_of(row)
        known.last_good_at = row["last_good_at"]
        for key in known.last.seen.keys() | known.last.probed.keys():
            if key in known.open:
                known.open[key].note(known.last)
    return known


async def read_current(
    connection: AsyncConnection, statement: sa.Select[Any], values: Mapping[str, Any] | None = None
) -> tuple[Episode, ...]:
    """`read_episodes`, with the newest bounds of those that are open."""
    return await _bring_up(connection, await read_episodes(connection, statement, values))


def place_of(episode: Episode) -> tuple[datetime, str]:
    """Where it stands in the order in which episodes began."""
    return episode.bounds.first_orphaned_at, episode.id


async def _bring_up(
    connection: AsyncConnection, episodes: Sequence[Episode]
) -> tuple[Episode, ...]:
    """The episodes with what the records say of those that are open."""
    stored = {episode.id: _Stored(episode) for episode in episodes}
    for project in sorted({episode.project for episode in episodes if episode.is_open}):
        rows = (await connection.execute(sql.JOURNAL, {"project": project})).mappings().all()
        for record in map(record_of, rows):
            for key in record.seen.keys() | record.probed.keys():
                if key in stored and stored[key].episode.is_open:
                    stored[key].note(record)
    return tuple(one.current() for one in stored.values())


async def read_episodes(
    connection: AsyncConnection, statement: sa.Select[Any], values: Mapping[str, Any] | None = None
) -> tuple[Episode, ...]:
    """The episodes that a statement selects, as their rows say, in its order."""
    rows = (await connection.execute(statement, values)).mappings().all()
    agents: dict[str, list[AgentSpan]] = {row["id"]: [] for row in rows}
    ids = list(agents)
    for start in range(0, len(ids), _CHUNK):
        found = await connection.execute(sql.AGENTS, {"ids": ids[start : start + _CHUNK]})
        for row in found.mappings().all():
            agents[row["episode_id"]].append(agent_of(row))
    return tuple(episode_of(row, tuple(agents[row["id"]])) for row in rows)


async def _read_by_id(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, Episode]:
    found: dict[str, Episode] = {}
    for start in range(0, len(ids), _CHUNK):
        statement = sql.select_episodes(sql.is_one_of(ids[start : start + _CHUNK]))
        found |= {e.id: e for e in await read_episodes(connection, statement)}
    return found


async def _write_episodes(
    connection: AsyncConnection, known: _Project, episodes: Sequence[Episode]
) -> int:
    """Write what differs from the rows, each kind of change in one go; returns the rows written."""
    if not episodes:
        return 0
    # One that is not open may be new, or one that ended and is taken up again (A1).
    unknown = [episode.id for episode in episodes if episode.id not in known.open]
    before = await _read_by_id(connection, unknown)
    before |= {key: stored.episode for key, stored in known.open.items()}

    new: list[dict[str, Any]] = []
    moved: list[dict[str, Any]] = []
    new_agents: list[dict[str, Any]] = []
    moved_agents: list[dict[str, Any]] = []
    lost_agents: list[dict[str, Any]] = []
    for episode in episodes:
        old = before.get(episode.id)
        row, agents = episode_row(episode), agent_rows(episode)
        old_agents = {} if old is None else agent_rows(old)
        if old is None:
            new.append(row)
        elif row != episode_row(old):
            moved.append(row)
        lost_agents += [old_agents[sid] for sid in old_agents.keys() - agents.keys()]
        new_agents += [agent for sid, agent in agents.items() if sid not in old_agents]
        moved_agents += [
            agent for sid, agent in agents.items() if sid in old_agents and agent != old_agents[sid]
        ]
    return (
        await _each(connection, sql.INSERT_EPISODE, new)
        + await _each(connection, sql.UPDATE_EPISODE, moved, keys=("id",))
        + await _each(connection, sql.DELETE_AGENT, lost_agents, keys=sql.AGENT_KEYS)
        + await _each(connection, sql.UPDATE_AGENT, moved_agents, keys=sql.AGENT_KEYS)
        + await _each(connection, sql.INSERT_AGENT, new_agents)
    )


async def _forget_sightings(connection: AsyncConnection, known: _Project, project: str) -> int:
    """Drop what records on another clock say; the open episodes have just been written whole."""
    for stored in known.open.values():
        stored.seen = stored.probed = None
    done = await connection.execute(
        sql.FORGET_SIGHTINGS, sql.keyed({"project": project}, ("project",))
    )
    return done.rowcount


async def _set_spend(connection: AsyncConnection, project: str, spend: Mapping[str, Spend]) -> int:
    rows = 0
    for name, amount in spend.items():
        row = {
            "project": project,
            "agent_name": name,
            "low": amount.low,
            "high": amount.high,
            "unverified": amount.unverified,
        }
        rows += await update_or_insert(
            connection, sql.UPDATE_SPEND, sql.INSERT_SPEND, row, keys=("project", "agent_name")
        )
    return rows


async def _write_record(
    connection: AsyncConnection, record: TickRecord, last_good_at: datetime | None
) -> int:
    row = record_row(record, last_good_at)
    return await update_or_insert(
        connection, sql.UPDATE_RECORD, sql.INSERT_RECORD, row, keys=("project", "slot")
    )


async def _each(
    connection: AsyncConnection,
    statement: sa.Executable,
    rows: Sequence[dict[str, Any]],
    keys: tuple[str, ...] = (),
) -> int:
    """Run the statement for every row at once; returns how many rows it wrote, which must be all."""
    if not rows:
        return 0
    parameters = [sql.keyed(row, keys) for row in rows]
    result = await connection.execute(
        statement, parameters, execution_options={"preserve_rowcount": True}
    )
    if result.rowcount < 0:  # a driver that does not count: every row was written or it had raised
        return len(rows)
    if result.rowcount != len(rows):
        raise StoreError(
            f"rows of {len(rows) - result.rowcount} episodes or agents vanished from the database:"
            " nothing but livekit-watchdog may write there; they are read anew at the next tick"
        )
    return result.rowcount
