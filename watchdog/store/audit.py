"""The audit in the database: what was decided and done, and what an earlier run left open."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.cooldown import FORGOTTEN
from watchdog.core.deletion import AuditEntry, AuditKind, AuditMemory, Outcome
from watchdog.store import statements as sql
from watchdog.store.database import Database, uninterrupted
from watchdog.store.fence import UNFENCED, Fence
from watchdog.store.tables import storable


class AuditStore:
    """Adds lines to the audit and reads them. Every method raises only StoreError.

    `append` is on disk when it returns: an intent that is not does not let its deletion happen (T49).
    """

    def __init__(self, database: Database, fence: Fence = UNFENCED) -> None:
        """On an open database, which the caller closes. `fence` guards what is added."""
        self._database = database
        self._fence = fence

    @uninterrupted
    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines, all or none; an outcome also closes the request by hand whose id its intent bears."""
        if not entries:
            return
        async with self._database.auditing() as connection:
            for project in sorted({entry.project for entry in entries}):
                await self._fence.check(connection, project)
            for entry in entries:
                await insert_entry(connection, entry)
                if entry.kind is AuditKind.OUTCOME and entry.intent:
                    closed = {"key_id": entry.intent, "closed_at": entry.at}
                    await connection.execute(sql.CLOSE_REQUEST, closed)

    @uninterrupted
    async def load(self, project: str, now: datetime) -> AuditMemory:
        """What an earlier run left open or must be remembered of it."""
        since = now - timedelta(seconds=FORGOTTEN)
        async with self._database.reading() as connection:
            found = await connection.execute(sql.OPEN_INTENTS, {"project": project})
            unsettled = [entry_of(row) for row in found.mappings()]
            found = await connection.execute(sql.SENT, {"project": project, "since": since})
            sent = tuple(entry_of(row) for row in found.mappings())
            told = await connection.execute(sql.TOLD, {"project": project})
            said = [(row.episode, Outcome(row.outcome)) for row in told.all()]
            found = await connection.execute(sql.KINDER_STEPS, {"project": project, "since": since})
            steps = found.mappings().all()
        answers = {e.intent: e.outcome for e in unsettled if e.kind is AuditKind.ANSWER}
        intents = tuple((e, answers.get(e.intent)) for e in unsettled if e.kind is AuditKind.INTENT)
        return AuditMemory(
            intents,
            sent,
            told=frozenset(key for key, outcome in said if outcome is Outcome.WOULD_DELETE),
            returned=frozenset(key for key, outcome in said if outcome is Outcome.PERSON_RETURNED),
            warned=_first_times(steps, AuditKind.WARNED),
            ended=_first_times(steps, AuditKind.ENDING),
        )

    @uninterrupted
    async def entries(
        self,
        *,
        project: str | None = None,
        room: str | None = None,
        intent: str | None = None,
        limit: int = 50,
    ) -> tuple[AuditEntry, ...]:
        """The newest `limit` lines, oldest first; of one project, room (its name or SID) or attempt."""
        statement = sql.audit_entries(project=project, room=room, intent=intent, limit=limit)
        return await self._read(statement)

    async def _read(self, statement: sa.Select[Any]) -> tuple[AuditEntry, ...]:
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return tuple(entry_of(row) for row in reversed(rows))


def _first_times(rows: Sequence[RowMapping], kind: AuditKind) -> dict[str, datetime]:
    """By episode, when such a line was first written of which no outcome says that nothing was sent."""
    not_sent = {row["intent"] for row in rows if row["outcome"] is not None}
    times: dict[str, datetime] = {}
    for row in rows:
        if row["kind"] == kind.value and not (row["intent"] and row["intent"] in not_sent):
            times.setdefault(row["episode"], row["at"])
    return times


async def insert_entry(connection: AsyncConnection, entry: AuditEntry) -> None:
    """Add one line in a transaction that does more."""
    await connection.execute(sql.INSERT_AUDIT, _row(entry))


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "project": entry.project,
        "kind": entry.kind.value,
        "actor": entry.actor,
        "room_name": entry.room_name,
        "room_sid": entry.room_sid,
        "episode": entry.episode,
        "policy": entry.policy,
        "intent": entry.intent,
        "outcome": entry.outcome.value if entry.outcome else None,
        "why": entry.why,
        "details": storable(json.dumps(dict(entry.details), separators=(",", ":"))),
    }


def entry_of(row: RowMapping) -> AuditEntry:
    """The line that a row holds."""
    return AuditEntry(
        at=row["at"],
        project=row["project"],
        kind=AuditKind(row["kind"]),
        actor=row["actor"],
        room_name=row["room_name"],
        room_sid=row["room_sid"],
        episode=row["episode"],
        policy=row["policy"],
        intent=row["intent"],
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        why=row["why"],
        details=json.loads(row["details"]),
        number=row["number"],
    )
