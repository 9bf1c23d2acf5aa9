"""The ids of webhooks that were taken in, so that a repetition is known again after a restart."""

import json
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.records import TickRecord
from watchdog.store import statements as sql

KEPT = timedelta(minutes=20)
"""Longer than the replay window lets a repetition in."""
TIDIED_EVERY = 64
"""So many ticks lie between two removals of what is older."""


async def write_ids(connection: AsyncConnection, record: TickRecord) -> int:
    """Note the webhooks of one tick, in its transaction; returns the rows written."""
    if not record.webhooks:
        return 0
    row = {
        "project": record.project,
        "number": record.number,
        "at": record.at,
        "ids": json.dumps(list(record.webhooks)),
    }
    rows = (await connection.execute(sql.INSERT_WEBHOOKS, row)).rowcount
    if record.number % TIDIED_EVERY == 0:
        old = {"project": record.project, "before": record.at - KEPT}
        rows += (await connection.execute(sql.FORGET_WEBHOOKS, old)).rowcount
    return rows


async def read_ids(connection: AsyncConnection, project: str) -> tuple[str, ...]:
    """The ids of the last minutes that were watched."""
    found = (await connection.execute(sql.WEBHOOKS, {"project": project})).all()
    newest = max((row.at for row in found), default=None)
    if newest is None:
        return ()
    recent = [row for row in found if row.at >= newest - KEPT]
    return tuple(key for row in recent for key in json.loads(row.ids))
