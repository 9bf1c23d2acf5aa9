"""The statements of the episode store, built once; each runs on SQLite and on Postgres."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from watchdog.store.tables import (
    audit,
    avoided,
    closed_spend,
    corrections,
    daily_avoided,
    daily_counts,
    daily_spend,
    episode_agents,
    episodes,
    ledger,
    pauses,
    requests,
    room_lists,
    tick_journal,
    webhook_ids,
)

TAKE_TURNS = sa.select(sa.func.pg_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))
"""Postgres only: wait until no other transaction has this key, and have it until this one ends."""
TRY_TURN = sa.select(sa.func.pg_try_advisory_xact_lock(sa.bindparam("key", type_=sa.BigInteger)))
"""The same without waiting: whether this transaction has it."""
AUDIT_TURN = 0x77617463_00000001
"""The keys of this application begin with the letters `watc`."""
MIGRATION_TURN = 0x77617463_00000002
LEASE_TURN = 0x77617463_00000003

_KEY = "key_"
"""Prefix of the parameters that find a row: SQLAlchemy wants names other than the columns' own."""

AGENT_KEYS = ("episode_id", "participant_sid")
AVOIDED_KEYS = ("episode_id", "agent_name")
CORRECTION_KEYS = ("project", "number", "episode_id", "agent_name")


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


def _number_of(statement: sa.Select[Any]) -> sa.ScalarSelect[int]:
    return (
        sa.select(sa.func.count())
        .select_from(statement.order_by(None).subquery())
        .scalar_subquery()
    )


INSERT_EPISODE = sa.insert(episodes)
UPDATE_EPISODE = _update(episodes, ("id",))
INSERT_AGENT = sa.insert(episode_agents)
UPDATE_AGENT = _update(episode_agents, AGENT_KEYS)
DELETE_AGENT = sa.delete(episode_agents).where(_found_by(episode_agents, AGENT_KEYS))
INSERT_RECORD = sa.insert(tick_journal)
UPDATE_RECORD = _update(tick_journal, ("project", "slot"))
INSERT_SPEND = sa.insert(closed_spend)
UPDATE_SPEND = _update(closed_spend, ("project", "agent_name"))
INSERT_WEBHOOKS = sa.insert(webhook_ids)
FORGET_WEBHOOKS = sa.delete(webhook_ids).where(
    webhook_ids.c.project == sa.bindparam("project"),
    webhook_ids.c.at < sa.bindparam("before", type_=webhook_ids.c.at.type),
)
WEBHOOKS = sa.select(webhook_ids).where(webhook_ids.c.project == sa.bindparam("project"))
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

_next_number = sa.select(sa.func.coalesce(sa.func.max(audit.c.number), 0) + 1).scalar_subquery()
INSERT_AUDIT = sa.insert(audit).values(
    {c.name: sa.bindparam(c.name, type_=c.type) for c in audit.c if c.name != "number"}
    | {"number": _next_number}
)
"""Numbered within the transaction: only one of them writes here at a time (`Database.auditing`)."""
_settled = (
    sa.select(audit.c.intent).where(
        audit.c.project == sa.bindparam("project"), audit.c.kind == "outcome"
    )
).scalar_subquery()
OPEN_INTENTS = (
    sa.select(audit)
    .where(
        audit.c.project == sa.bindparam("project"),
        audit.c.kind.in_(("intent", "answer")),
        audit.c.intent.not_in(_settled),
    )
    .order_by(audit.c.number)
)
"""The intents that nothing was said of yet, and the answers to them."""
SENT = (
    sa.select(audit)
    .where(
        audit.c.project == sa.bindparam("project"),
        audit.c.kind.in_(("answer", "outcome")),
        audit.c.at >= sa.bindparam("since", type_=audit.c.at.type),
        audit.c.intent != "",
    )
    .order_by(audit.c.number)
)
_open_episodes = sa.select(episodes.c.id).where(
    episodes.c.project == sa.bindparam("project"), episodes.c.close_reason.is_(None)
)
TOLD = sa.select(audit.c.episode, audit.c.outcome).where(  # an episode's id is of one project only
    audit.c.outcome.in_(("would_delete", "person_returned")),
    audit.c.episode.in_(_open_episodes),
)
KINDER_STEPS = (
    sa.select(audit.c.kind, audit.c.intent, audit.c.episode, audit.c.outcome, audit.c.at)
    .where(
        audit.c.project == sa.bindparam("project"),
        audit.c.kind.in_(("warned", "dispatch_ending", "dispatch_ended")),
        sa.or_(
            audit.c.at >= sa.bindparam("since", type_=audit.c.at.type),
            audit.c.episode.in_(_open_episodes),
        ),
    )
    .order_by(audit.c.number)
)
"""Who was warned, and whose dispatches were ended: once in an episode, which can go on after its end."""
RELEASED = sa.select(sa.func.max(audit.c.at, type_=audit.c.at.type)).where(
    audit.c.project == sa.bindparam("project"), audit.c.kind == "released"
)
"""When somebody last let go what was held: the audit itself is what tells the daemon."""
PAUSE = sa.select(pauses).where(pauses.c.project == sa.bindparam("project"))
INSERT_PAUSE = sa.insert(pauses)
DELETE_PAUSE = sa.delete(pauses).where(_found_by(pauses, ("project",)))
INSERT_REQUEST = sa.insert(requests)
OPEN_REQUESTS = (
    sa.select(requests)
    .where(requests.c.project == sa.bindparam("project"), requests.c.closed_at.is_(None))
    .order_by(requests.c.asked_at, requests.c.id)
)
CLOSE_REQUEST = (
    sa.update(requests)
    .where(
        requests.c.id == sa.bindparam(_KEY + "id", type_=requests.c.id.type),
        requests.c.closed_at.is_(None),
    )
    .values(closed_at=sa.bindparam("closed_at", type_=requests.c.closed_at.type))
)
_not_removed = room_lists.c.removed_at.is_(None)
_in_order = (room_lists.c.since, room_lists.c.id)
INSERT_LISTED = sa.insert(room_lists)
LISTED = sa.select(room_lists).where(room_lists.c.list == sa.bindparam("list")).order_by(*_in_order)
LISTED_NOW = sa.select(room_lists).where(_not_removed).order_by(*_in_order)
LISTED_FOR = LISTED_NOW.where(room_lists.c.project.in_(("", sa.bindparam("project"))))
"""What operators put on the lists for a project or for every one, and nobody removed."""
REMOVE_LISTED = (
    sa.update(room_lists)
    .where(_found_by(room_lists, ("id",)), _not_removed)
    .values(removed_at=sa.bindparam("removed_at", type_=room_lists.c.removed_at.type))
)
PUT_AWAY_LISTED = (
    sa.update(room_lists)
    .where(
        _not_removed, room_lists.c.until < sa.bindparam("key_until", type_=room_lists.c.until.type)
    )
    .values(removed_at=room_lists.c.until)
)
"""Entries that expired long ago; that they ended when they expired still tells them from removed ones."""

SAID = sa.select(
    RELEASED.scalar_subquery().label("released_at"),
    _number_of(PAUSE).label("paused"),
    _number_of(OPEN_REQUESTS).label("requests"),
    _number_of(LISTED_FOR).label("entries"),
)
"""How much operators have said to a project."""

_newest = (
    sa.select(tick_journal.c.project, sa.func.max(tick_journal.c.number).label("number"))
    .group_by(tick_journal.c.project)
    .subquery()
)
LAST_TICKS = sa.select(tick_journal).join(
    _newest,
    sa.and_(tick_journal.c.project == _newest.c.project, tick_journal.c.number == _newest.c.number),
)

INSERT_LINES = sa.insert(ledger)
FORGET_LINES = sa.delete(ledger).where(ledger.c.episode_id.in_(sa.bindparam("ids", expanding=True)))
INSERT_AVOIDED = sa.insert(avoided)
UPDATE_AVOIDED = _update(avoided, AVOIDED_KEYS)
INSERT_CORRECTION = sa.insert(corrections)
ADD_CORRECTION = (
    sa.update(corrections)
    .where(_found_by(corrections, CORRECTION_KEYS))
    .values(
        {
            "at": sa.bindparam("at", type_=corrections.c.at.type),
            **{
                name: corrections.c[name] + sa.bindparam(name, type_=corrections.c[name].type)
                for name in ("low", "high", "unverified")
            },
        }
    )
)
LINES = sa.select(ledger).where(ledger.c.episode_id.in_(sa.bindparam("ids", expanding=True)))
DELETE_CLOSED = sa.delete(episodes).where(
    episodes.c.id.in_(sa.bindparam("ids", expanding=True)), episodes.c.close_reason.is_not(None)
)
DELETE_AVOIDED = sa.delete(avoided).where(
    _found_by(avoided, AVOIDED_KEYS), avoided.c.booked.is_not(None)
)


def _next_project(table: sa.Table) -> sa.Select[Any]:
    """The project that comes after `after`: found in an index, however many rows there are."""
    return sa.select(sa.func.min(table.c.project)).where(table.c.project > sa.bindparam("after"))


NEXT_PROJECT = _next_project(episodes)
NEXT_AVOIDING_PROJECT = _next_project(avoided)

SUMMED = frozenset(
    {
        "seconds",
        "low",
        "high",
        "unverified",
        "episodes",
        "never_attended",
        "orphaned_seconds",
        "booked",
    }
)
"""The columns of the daily tables that add up."""


@dataclass(frozen=True, slots=True)
class SumStatements:
    """How amounts are added to a table of sums by day, of which `keys` find a row.

    `known` gives the keys of the rows that a project has on some days. Both databases have an upsert of
    their own, but not the same one.
    """

    keys: tuple[str, ...]
    known: sa.Select[Any]
    add: sa.Update
    insert: sa.Insert


def _sums(table: sa.Table) -> SumStatements:
    keys = tuple(column.name for column in table.primary_key)
    amounts = {c.name: c + sa.bindparam(c.name, type_=c.type) for c in table.c if c.name in SUMMED}
    return SumStatements(
        keys,
        sa.select(*(table.c[key] for key in keys)).where(
            table.c.project == sa.bindparam("project"),
            table.c.day.in_(sa.bindparam("days", expanding=True)),
        ),
        sa.update(table).where(_found_by(table, keys)).values(amounts),
        sa.insert(table),
    )


SPEND_SUMS = _sums(daily_spend)
COUNT_SUMS = _sums(daily_counts)
AVOIDED_SUMS = _sums(daily_avoided)


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


def oldest_closed(project: str, before: datetime, limit: int) -> sa.Select[Any]:
    """The closed episodes of a project that ended first, of those that had ended before a time."""
    return (
        sa.select(episodes)
        .where(
            episodes.c.project == project,
            episodes.c.first_gone_at < before,
            episodes.c.close_reason.is_not(None),
        )
        .order_by(episodes.c.first_gone_at, episodes.c.id)
        .limit(limit)
    )


def oldest_avoided(project: str, before: datetime, limit: int) -> sa.Select[Any]:
    """The avoidances that are all booked and began before a time, oldest first."""
    return (
        sa.select(avoided)
        .where(
            avoided.c.project == project, avoided.c.began < before, avoided.c.booked.is_not(None)
        )
        .order_by(avoided.c.began, avoided.c.episode_id, avoided.c.agent_name)
        .limit(limit)
    )


def of_days(
    table: sa.Table, project: str | None, since: date | None, until: date | None
) -> sa.Select[Any]:
    """The rows of a table of sums by day, from one day to before another; the oldest first."""
    statement = sa.select(table).order_by(table.c.day, *table.primary_key)
    if project is not None:
        statement = statement.where(table.c.project == project)
    if since is not None:
        statement = statement.where(table.c.day >= since.isoformat())
    if until is not None:
        statement = statement.where(table.c.day < until.isoformat())
    return statement


def is_one_of(ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """The episodes of these ids."""
    return episodes.c.id.in_(ids)


def episodes_of_room(project: str, name_or_sid: str, limit: int) -> sa.Select[Any]:
    """The newest episodes of a room, newest first."""
    return (
        sa.select(episodes)
        .where(
            # With the project said outside of it SQLite would read all episodes of the project.
            sa.or_(
                sa.and_(episodes.c.project == project, episodes.c.room_name == name_or_sid),
                sa.and_(episodes.c.project == project, episodes.c.room_sid == name_or_sid),
            )
        )
        .order_by(episodes.c.first_orphaned_at.desc(), episodes.c.id)
        .limit(limit)
    )


def episodes_since(
    project: str | None, since: datetime | None, began: datetime | None, limit: int
) -> sa.Select[Any]:
    """The oldest episodes that were not over at `since`, and did not begin before `began`."""
    gone = episodes.c.first_gone_at
    statement = select_episodes(sa.true()).limit(limit)
    if project is not None:
        statement = statement.where(episodes.c.project == project)
    if since is not None:
        statement = statement.where(sa.or_(gone.is_(None), gone >= since))
    if began is not None:
        statement = statement.where(episodes.c.first_orphaned_at >= began)
    return statement


def comes_after(at: datetime, last: str) -> sa.ColumnElement[bool]:
    """The episodes that come after the one that began then, in the order of `select_episodes`."""
    began, key = episodes.c.first_orphaned_at, episodes.c.id
    # The first is said apart: by it the index is used.
    return sa.and_(began >= at, sa.or_(began > at, key > last))


def audit_entries(
    *, project: str | None = None, room: str | None = None, intent: str | None = None, limit: int
) -> sa.Select[Any]:
    """The newest entries of the audit, newest first; of one project, room (name or SID) or attempt.

    What concerns every project concerns each of them.
    """
    statement = sa.select(audit).order_by(audit.c.number.desc()).limit(limit)
    if project is not None:
        statement = statement.where(audit.c.project.in_((project, "")))
    if room is not None:
        statement = statement.where(sa.or_(audit.c.room_name == room, audit.c.room_sid == room))
    if intent is not None:
        statement = statement.where(audit.c.intent == intent)
    return statement
