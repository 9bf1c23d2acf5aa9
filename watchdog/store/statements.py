"""The statements of the episode store, built once; each runs on SQLite and on Postgres."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from watchdog.store.tables import closed_spend, episode_agents, episodes, tick_journal

_KEY = "key_"
"""Prefix of the parameters that find a row: SQLAlchemy wants names other than the columns' own."""

AGENT_KEYS = ("episode_id", "participant_sid")


def keyed(row: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """The row as parameters of an UPDATE or DELETE below that finds it by `keys`."""
    return {(_KEY + name if name in keys else name): value for name, value in row.items()}


def _found_by(table: sa.Table, keys: tuple[str, ...]) -> sa.ColumnElement[bool]:
    return sa.and_(
        *(table.c[key] == sa.bindparam(_KEY + key, type_=table.c[key].type) for key in keys)
    )


def _update(table: sa.Table, keys: tuple[str, ...]) -> sa.Update:
    values = {c.name: sa.bindparam(c.name, type_=c.type) for c in table.c if c.name not in keys}
    return sa.update(table).where(_found_by(table, keys)).values(values)


INSERT_EPISODE = sa.insert(episodes)
UPDATE_EPISODE = _update(episodes, ("id",))
INSERT_AGENT = sa.insert(episode_agents)
UPDATE_AGENT = _update(episode_agents, AGENT_KEYS)
DELETE_AGENT = sa.delete(episode_agents).where(_found_by(episode_agents, AGENT_KEYS))
INSERT_RECORD = sa.insert(tick_journal)
UPDATE_RECORD = _update(tick_journal, ("project", "slot"))
INSERT_SPEND = sa.insert(closed_spend)
UPDATE_SPEND = _update(closed_spend, ("project", "agent_name"))
FORGET_SIGHTINGS = (
    sa.update(tick_journal)
    .where(tick_journal.c.project == sa.bindparam(_KEY + "project"))
    .values(seen="{}", probed="{}")
)

AGENTS = (
    sa.select(episode_agents)
    .where(episode_agents.c.episode_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(episode_agents.c.episode_id, episode_agents.c.position)
)
JOURNAL = (
    sa.select(tick_journal)
    .where(tick_journal.c.project == sa.bindparam("project"))
    .order_by(tick_journal.c.number)
)
CLOSED_SPEND = sa.select(closed_spend).where(closed_spend.c.project == sa.bindparam("project"))

_newest = (
    sa.select(tick_journal.c.project, sa.func.max(tick_journal.c.number).label("number"))
    .group_by(tick_journal.c.project)
    .subquery()
)
LAST_TICKS = sa.select(tick_journal).join(
    _newest,
    sa.and_(tick_journal.c.project == _newest.c.project, tick_journal.c.number == _newest.c.number),
)


def select_episodes(where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Episodes without their agents, oldest first."""
    return sa.select(episodes).where(where).order_by(episodes.c.first_orphaned_at, episodes.c.id)


def is_open(project: str | None) -> sa.ColumnElement[bool]:
    """The open episodes of a project, or of all."""
    condition = episodes.c.close_reason.is_(None)
    return condition if project is None else sa.and_(episodes.c.project == project, condition)


def newest_closed(project: str, limit: int) -> sa.Select[Any]:
    """The closed episodes of a project that ended last."""
    return (
        sa.select(episodes)
        .where(episodes.c.project == project, episodes.c.close_reason.is_not(None))
        .order_by(episodes.c.first_gone_at.desc(), episodes.c.id)
        .limit(limit)
    )


def is_one_of(ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The episodes of these ids."""
    return episodes.c.id.in_(ids)


def episodes_of_room(project: str, name_or_sid: str, limit: int) -> sa.Select[Any]:
    """The newest episodes of a room, newest first."""
    return (
        sa.select(episodes)
        .where(
            episodes.c.project == project,
            sa.or_(episodes.c.room_name == name_or_sid, episodes.c.room_sid == name_or_sid),
        )
        .order_by(episodes.c.first_orphaned_at.desc(), episodes.c.id)
        .limit(limit)
    )
