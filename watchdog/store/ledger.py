"""The ledger in the database: lines by episode and meter, corrections, and what deletions avoid."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.ledger import Correction, LedgerLine, Postings
from watchdog.core.records import TickRecord
from watchdog.core.spend import Spend
from watchdog.store.tables import avoided, corrections, daily_avoided, ledger

ACCOUNTED_FOR = timedelta(days=1)
"""A deletion older than this is not told anew by the audit, and need not be known to be accounted for."""

_FORGET_LINES = sa.delete(ledger).where(
    ledger.c.episode_id.in_(sa.bindparam("ids", expanding=True))
)
_FORGET_AVOIDED = sa.delete(avoided).where(
    avoided.c.episode_id == sa.bindparam("key_episode"),
    avoided.c.agent_name == sa.bindparam("key_agent"),
)
_RUNNING = sa.select(avoided).where(
    avoided.c.project == sa.bindparam("project"), avoided.c.booked.is_(None)
)
_DONE = (
    sa.select(
        avoided.c.agent_name,
        avoided.c.basis,
        sa.func.sum(avoided.c.booked, type_=avoided.c.booked.type).label("booked"),
    )
    .where(avoided.c.project == sa.bindparam("project"), avoided.c.booked.is_not(None))
    .group_by(avoided.c.agent_name, avoided.c.basis)
)
_DONE_BEFORE = (
    sa.select(
        daily_avoided.c.agent_name,
        daily_avoided.c.basis,
        sa.func.sum(daily_avoided.c.booked, type_=daily_avoided.c.booked.type).label("booked"),
    )
    .where(daily_avoided.c.project == sa.bindparam("project"))
    .group_by(daily_avoided.c.agent_name, daily_avoided.c.basis)
)
_ACCOUNTED = sa.select(avoided.c.episode_id).where(
    avoided.c.project == sa.bindparam("project"),
    avoided.c.began >= sa.bindparam("since", type_=avoided.c.began.type),
)
_CHUNK = 500

_CORRECTION_KEYS = ("project", "number", "episode_id", "agent_name")
_ADD_CORRECTION = (
    sa.update(corrections)
    .where(
        *(
            corrections.c[name] == sa.bindparam(f"key_{name}", type_=corrections.c[name].type)
            for name in _CORRECTION_KEYS
        )
    )
    .values(
        at=sa.bindparam("at", type_=corrections.c.at.type),
        **{
            name: corrections.c[name] + sa.bindparam(name, type_=corrections.c[name].type)
            for name in ("low", "high", "unverified")
        },
    )
)


async def write_postings(
    connection: AsyncConnection, record: TickRecord, postings: Postings
) -> int:
    """Write what the ledger says anew; returns the rows written, deleted ones included."""
    rows = 0
    ids = list(postings.lines)
    for start in range(0, len(ids), _CHUNK):
        done = await connection.execute(_FORGET_LINES, {"ids": ids[start : start + _CHUNK]})
        rows += done.rowcount
    lines = [line_row(key, line) for key, found in postings.lines.items() for line in found]
    rows += await _insert(connection, sa.insert(ledger), lines)
    for one in postings.avoided:
        gone = {"key_episode": one.episode, "key_agent": one.agent_name}
        rows += (await connection.execute(_FORGET_AVOIDED, gone)).rowcount
    rows += await _insert(
        connection, sa.insert(avoided), [_avoided_row(record, one) for one in postings.avoided]
    )
    for row in _correction_rows(record, postings.corrections):
        # A tick can commit twice: what fell again is added.
        again = {f"key_{name}" if name in _CORRECTION_KEYS else name: row[name] for name in row}
        added = (await connection.execute(_ADD_CORRECTION, again)).rowcount
        rows += added or await _insert(connection, sa.insert(corrections), [row])
    return rows


async def read_avoided(
    connection: AsyncConnection, record: TickRecord | None, project: str
) -> tuple[tuple[Avoidance, ...], dict[tuple[str, str], Decimal], frozenset[str]]:
    """What deletions avoid and is not all booked, what the others avoided, and which are accounted for."""
    if record is None:
        return (), {}, frozenset()
    running = (await connection.execute(_RUNNING, {"project": project})).mappings().all()
    done: dict[tuple[str, str], Decimal] = {}
    for statement in (_DONE, _DONE_BEFORE):  # booked lately, and rolled up
        for row in (await connection.execute(statement, {"project": project})).all():
            key = (row.agent_name, row.basis)
            done[key] = done.get(key, Decimal(0)) + row.booked
    since = {"project": project, "since": record.at - ACCOUNTED_FOR}
    known = (await connection.execute(_ACCOUNTED, since)).scalars().all()
    return (
        tuple(map(avoidance_of, running)),
        done,
        frozenset(known),
    )


async def _insert(
    connection: AsyncConnection, insert: sa.Insert, rows: Sequence[Mapping[str, Any]]
) -> int:
    if rows:
        await connection.execute(insert, rows)
    return len(rows)


def line_row(episode: str, line: LedgerLine) -> dict[str, Any]:
    """A line as a row."""
    return {
        "episode_id": episode,
        "agent_name": line.agent_name,
        "meter": line.meter,
        "profile": line.profile,
        "plan": line.plan,
        "unit": line.unit,
        "price": line.price,
        "seconds": float(line.seconds),
        "low": line.spend.low,
        "high": line.spend.high,
        "unverified": line.spend.unverified,
        "book_version": line.book_version,
        "book_hash": line.book_hash,
    }


def line_of(row: RowMapping) -> LedgerLine:
    """The line a row describes."""
    return LedgerLine(
        agent_name=row["agent_name"],
        meter=row["meter"],
        profile=row["profile"],
        plan=row["plan"],
        unit=row["unit"],
        price=row["price"],
        seconds=Decimal(str(row["seconds"])),
        spend=Spend(row["low"], row["high"], row["unverified"]),
        book_version=row["book_version"],
        book_hash=row["book_hash"],
    )


def _avoided_row(record: TickRecord, one: Avoidance) -> dict[str, Any]:
    return {
        "episode_id": one.episode,
        "agent_name": one.agent_name,
        "project": record.project,
        "room_name": one.room_name,
        "basis": one.basis,
        "began": one.began,
        "until": one.until,
        "rate": one.rate,
        "provider_from": one.provider_from,
        "provider_until": one.provider_until,
        "provider_rate": one.provider_rate,
        "stopped_at": one.stopped_at,
        "booked": one.booked(record.at) if one.is_over(record.at) else None,
    }


def avoidance_of(row: RowMapping) -> Avoidance:
    """What a deletion avoids, as a row describes it."""
    return Avoidance(
        episode=row["episode_id"],
        room_name=row["room_name"],
        agent_name=row["agent_name"],
        basis=Basis(row["basis"]),
        began=row["began"],
        until=row["until"],
        rate=row["rate"],
        provider_from=row["provider_from"],
        provider_until=row["provider_until"],
        provider_rate=row["provider_rate"],
        stopped_at=row["stopped_at"],
    )


def _correction_rows(record: TickRecord, found: Iterable[Correction]) -> list[dict[str, Any]]:
    """One row for each episode and agent: within a tick the same fall can be seen more than once."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in found:
        row = rows.setdefault(
            (one.episode, one.agent_name),
            {
                "project": record.project,
                "number": record.number,
                "episode_id": one.episode,
                "agent_name": one.agent_name,
                "at": one.at,
                "low": Decimal(0),
                "high": Decimal(0),
                "unverified": Decimal(0),
            },
        )
        row["low"] += one.less.low
        row["high"] += one.less.high
        row["unverified"] += one.less.unverified
    return list(rows.values())
