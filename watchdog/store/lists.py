"""The allow-list and the protect list in the database: what operators add while the daemon runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from watchdog.core.deletion import AuditEntry, AuditKind
from watchdog.core.roomlists import ListEntry, ListName, moment
from watchdog.store import statements as sql
from watchdog.store.audit import insert_entry
from watchdog.store.database import Database, uninterrupted

PUT_AWAY_AFTER = timedelta(days=1)
"""An entry that expired this long ago is no longer read by every tick. Not at once: clocks are set back."""


@dataclass(frozen=True, slots=True)
class Removal:
    """Which entries of a list to take off, by whom and why.

    `named` is a pattern or an entry's id; without `project` its entries of every project are meant.
    """

    list: ListName
    named: str
    at: datetime
    actor: str
    reason: str = ""
    project: str | None = None

    def means(self, entry: ListEntry) -> bool:
        """Whether this entry is to go."""
        if entry.list is not self.list or not entry.in_force(self.at):
            return False
        if self.project is not None and entry.project != self.project:
            return False
        return self.named in (entry.id, entry.pattern)


class ListStore:
    """Adds entries, removes and reads them. Every method raises only StoreError.

    Whatever changes something writes its line of the audit in the same transaction.
    """

    def __init__(self, database: Database) -> None:
        """On an open database, which the caller closes."""
        self._database = database

    @uninterrupted
    async def add(self, entry: ListEntry) -> tuple[ListEntry, ...]:
        """Add an entry in the place of one in force with its list, pattern and project; returns the old."""
        same = (entry.list, entry.pattern, entry.project)
        async with self._database.auditing() as connection:
            before = {"key_until": entry.since - PUT_AWAY_AFTER}
            await connection.execute(sql.PUT_AWAY_LISTED, before)
            old = tuple(
                e
                for e in await _not_removed(connection)
                if (e.list, e.pattern, e.project) == same and e.in_force(entry.since)
            )
            for replaced in old:
                await _remove(connection, replaced, entry.since)
            await connection.execute(sql.INSERT_LISTED, _row(entry))
            details = _details(entry) | {"replaces": [e.id for e in old]}
            why = _why(entry, entry.reason, entry.since)
            await insert_entry(
                connection,
                AuditEntry(
                    at=entry.since,
                    project=entry.project,
                    kind=AuditKind.LISTED,
                    actor=entry.actor,
                    why=why,
                    details=details,
                ),
            )
        return old

    @uninterrupted
    async def remove(self, removal: Removal) -> tuple[ListEntry, ...]:
        """Take entries off; returns them as they were, none where no such one was in force."""
        async with self._database.auditing() as connection:
            gone = tuple(e for e in await _not_removed(connection) if removal.means(e))
            for entry in gone:
                await _remove(connection, entry, removal.at)
                await insert_entry(
                    connection,
                    AuditEntry(
                        at=removal.at,
                        project=entry.project,
                        kind=AuditKind.UNLISTED,
                        actor=removal.actor,
                        why=_why(entry, removal.reason, removal.at),
                        details=_details(entry),
                    ),
                )
        return gone

    @uninterrupted
    async def entries(self, name: ListName) -> tuple[ListEntry, ...]:
        """Every entry that a list ever had, oldest first."""
        async with self._database.reading() as connection:
            found = await connection.execute(sql.LISTED, {"list": name.value})
            return tuple(entry_of(row) for row in found.mappings())


async def _not_removed(connection: AsyncConnection) -> tuple[ListEntry, ...]:
    found = await connection.execute(sql.LISTED_NOW)
    return tuple(entry_of(row) for row in found.mappings())


async def _remove(connection: AsyncConnection, entry: ListEntry, at: datetime) -> None:
    await connection.execute(sql.REMOVE_LISTED, {"key_id": entry.id, "removed_at": at})


def _why(entry: ListEntry, reason: str, now: datetime) -> str:
    """`protect list: 'call-*' until 14:00 UTC: load test`, for whoever reads the audit's lines."""
    until = f" until {moment(entry.until, now)}" if entry.until else ""
    because = f": {reason}" if reason else ""
    return f"{entry.list.label}: {entry.pattern!r}{until}{because}"


def _details(entry: ListEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "list": entry.list.value,
        "pattern": entry.pattern,
        "project": entry.project,
        "until": entry.until.isoformat() if entry.until else None,
    }


def _row(entry: ListEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "list": entry.list.value,
        "pattern": entry.pattern,
        "project": entry.project,
        "since": entry.since,
        "until": entry.until,
        "actor": entry.actor,
        "reason": entry.reason,
        "removed_at": entry.removed_at,
    }


def entry_of(row: RowMapping) -> ListEntry:
    """The entry that a row holds."""
    return ListEntry(
        id=row["id"],
        list=ListName(row["list"]),
        pattern=row["pattern"],
        project=row["project"],
        since=row["since"],
        until=row["until"],
        actor=row["actor"],
        reason=row["reason"],
        removed_at=row["removed_at"],
    )
