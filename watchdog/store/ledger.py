"""The ledger in the database: lines by episode and meter, corrections, and what deletions avoid."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.ledger import Correction, LedgerLine, Postings
from watchdog.core.records import TickRecord
from watchdog.core.spend import Spend
from watchdog.store import statements as sql
from watchdog.store.database import update_or_insert
from watchdog.store.tables import avoided, daily_avoided

ACCOUNTED_FOR = timedelta(days=1)
"""A deletion older than this is not told anew by the audit, and need not be known to be accounted for."""

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


async def write_postings(
    connection: AsyncConnection, record: TickRecord, postings: Postings
) -> int:
    """Write what the ledger says anew; returns the rows written, deleted ones included."""
    rows = 0
    ids = list(postings.lines)
    for start in range(0, len(ids), _CHUNK):
        done = await connection.execute(sql.FORGET_LINES, {"ids": ids[start : start + _CHUNK]})
        rows += done.rowcount
    lines = [line_row(key, line) for key, found in postings.lines.items() for line in found]
    if lines:
        await connection.execute(sql.INSERT_LINES, lines)
    rows += len(lines)
    for one in postings.avoided:
        rows += await update_or_insert(
            connection,
            sql.UPDATE_AVOIDED,
            sql.INSERT_AVOIDED,
            _avoided_row(record.project, one, postings.upto),
            keys=sql.AVOIDED_KEYS,
        )
    for row in _correction_rows(record, postings.corrections):
        # A tick can commit twice: what fell again is added.
        rows += await update_or_insert(
            connection, sql.ADD_CORRECTION, sql.INSERT_CORRECTION, row, keys=sql.CORRECTION_KEYS
        )
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


def _avoided_row(project: str, one: Avoidance, upto: datetime) -> dict[str, Any]:
    return {
        "episode_id": one.episode,
        "agent_name": one.agent_name,
        "project": project,
        "room_name": one.room_name,
        "basis": one.basis,
        "began": one.began,
        "until": one.until,
        "rate": one.rate,
        "provider_from": one.provider_from,
        "provider_until": one.provider_until,
        "provider_rate": one.provider_rate,
        "stopped_at": one.stopped_at,
        "booked": one.booked(upto) if one.is_over(upto) else None,
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
