"""What operators tell a running daemon through the database: a pause, a deletion by hand, both lists."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.deletion import AuditEntry, AuditKind, Control, DeletionRequest, Pause
from watchdog.store import statements as sql
from watchdog.store.audit import insert_entry
from watchdog.store.database import Database, uninterrupted
from watchdog.store.lists import entry_of


class ControlStore:
    """Says and reads what operators want. Every method raises only StoreError.

    Whatever changes something writes its line of the audit in the same transaction.
    """

    def __init__(self, database: Database) -> None:
        """On an open database, which the caller closes."""
        self._database = database

    @uninterrupted
    async def read(self, project: str) -> Control:
        """Whether it is paused, the open requests to it and its entries of both lists, oldest first."""
        async with self._database.reading() as connection:
            # Read before every attempt, and there is mostly nothing: one statement tells.
            told = (await connection.execute(sql.SAID, {"project": project})).one()
            paused = await _rows(connection, sql.PAUSE, project, told.paused)
            requests = await _rows(connection, sql.OPEN_REQUESTS, project, told.requests)
            entries = await _rows(connection, sql.LISTED_FOR, project, told.entries)
        return Control(
            _pause(paused[0]) if paused else None,
            told.released_at,
            tuple(map(_request, requests)),
            tuple(map(entry_of, entries)),
        )

    @uninterrupted
    async def pause(self, project: str, pause: Pause) -> bool:
        """Delete nothing in this project any more; False where it was paused already."""
        row = {"project": project, "since": pause.since, "actor": pause.actor}
        async with self._database.auditing() as connection:
            found = await connection.execute(sql.PAUSE, {"project": project})
            if found.first() is not None:
                return False
            await connection.execute(sql.INSERT_PAUSE, row | {"reason": pause.reason})
            await insert_entry(
                connection,
                AuditEntry(pause.since, project, AuditKind.PAUSED, pause.actor, why=pause.reason),
            )
        return True

    @uninterrupted
    async def resume(self, project: str, at: datetime, actor: str, reason: str = "") -> bool:
        """Take a pause back; False where there was none."""
        async with self._database.auditing() as connection:
            done = await connection.execute(sql.DELETE_PAUSE, {"key_project": project})
            if not done.rowcount:
                return False
            entry = AuditEntry(at, project, AuditKind.RESUMED, actor, why=reason)
            await insert_entry(connection, entry)
        return True

    @uninterrupted
    async def release(self, project: str, at: datetime, actor: str, reason: str = "") -> None:
        """Let everything go that waits because it is too much."""
        async with self._database.auditing() as connection:
            entry = AuditEntry(at, project, AuditKind.RELEASED, actor, why=reason)
            await insert_entry(connection, entry)

    @uninterrupted
    async def request(self, request: DeletionRequest) -> None:
        """Ask the running daemon for a deletion."""
        async with self._database.auditing() as connection:
            await connection.execute(
                sql.INSERT_REQUEST,
                {
                    "id": request.id,
                    "project": request.project,
                    "room_name": request.room_name,
                    "room_sid": request.room_sid,
                    "actor": request.actor,
                    "reason": request.reason,
                    "asked_at": request.asked_at,
                    "closed_at": None,
                },
            )
            entry = AuditEntry(
                at=request.asked_at,
                project=request.project,
                kind=AuditKind.REQUESTED,
                actor=request.actor,
                room_name=request.room_name,
                room_sid=request.room_sid,
                intent=request.id,
                why=request.reason,
            )
            await insert_entry(connection, entry)

    @uninterrupted
    async def withdraw(self, request_id: str, at: datetime) -> bool:
        """Take a request back; False where it was answered already."""
        async with self._database.writing() as connection:
            closed = {"key_id": request_id, "closed_at": at}
            return bool((await connection.execute(sql.CLOSE_REQUEST, closed)).rowcount)


async def _rows(
    connection: AsyncConnection, statement: sa.Select[Any], project: str, number: int
) -> Sequence[RowMapping]:
    if not number:
        return ()
    found = await connection.execute(statement, {"project": project})
    return list(found.mappings())


def _pause(row: RowMapping) -> Pause:
    return Pause(since=row["since"], actor=row["actor"], reason=row["reason"])


def _request(row: RowMapping) -> DeletionRequest:
    return DeletionRequest(
        id=row["id"],
        project=row["project"],
        room_name=row["room_name"],
        room_sid=row["room_sid"],
        actor=row["actor"],
        reason=row["reason"],
        asked_at=row["asked_at"],
    )
