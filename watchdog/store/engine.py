"""The database the operator named: is it usable, and how its connections are set up."""

import os
import sqlite3
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SAWarning
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from watchdog.core.errors import ConfigurationError
from watchdog.store.failures import explained

SQLITE = "sqlite+aiosqlite"
POSTGRES = "postgresql+asyncpg"
FORMS = f"use {SQLITE}:///watchdog.db (a path; four slashes make it absolute) or {POSTGRES}://user@host/name"

WRITES = "watchdog_writes"
"""Execution option of the connections that write: they take SQLite's write lock when they begin."""

_BUSY_MS = 5000


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many seconds a Postgres server is waited for, and for how many it waits for us."""

    connect: float = 10.0
    answer: float = 120.0
    """Longer than any statement of ours takes: a server that fell silent must not keep a tick for ever."""
    idle: float = 10.0
    """A transaction that says nothing for so long is ended by the server.

    Its process is paused or cut off, and would keep what it has locked from everybody else.
    """


USUAL = Patience()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a database is. `name` is fit for messages: the path, or the URL without its password."""

    url: URL = field(repr=False)  # holds the password
    name: str
    path: Path | None
    """The file of a SQLite database; None in memory and on a server."""

    @property
    def is_sqlite(self) -> bool:
        """Whether SQLite keeps it."""
        return self.url.drivername == SQLITE

    @property
    def in_memory(self) -> bool:
        """Whether it ends with the process."""
        return self.is_sqlite and self.path is None


def find(url: str) -> Place:
    """What the URL names; raises ConfigurationError where it is none of the supported forms."""
    try:
        parsed = make_url(url)
        # Without the query, too: drivers take a password there as well.
        shown = parsed.set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # also for bytes that are no text in UTF-8
        # The text itself is not repeated: a password may stand anywhere in it.
        raise ConfigurationError(f"`database` is not a well-formed URL: {FORMS}") from None
    if parsed.drivername not in (SQLITE, POSTGRES):
        raise ConfigurationError(
            f"`database` {shown} asks for the unsupported driver {parsed.drivername!r}: {FORMS}"
        )
    if parsed.drivername == POSTGRES:
        if not parsed.database:
            raise ConfigurationError(f"`database` {shown} names no database: {FORMS}")
        return Place(parsed, shown, None)
    if parsed.host or parsed.username:
        raise ConfigurationError(f"`database` {shown} names a host, and SQLite has none: {FORMS}")
    path = _sqlite_path(parsed)
    return Place(parsed, "in memory" if path is None else str(path), path)


def _sqlite_path(url: URL) -> Path | None:
    name = url.database or ":memory:"
    if "\0" in name:
        raise ConfigurationError(f"`database` holds a NUL character: {FORMS}")
    if name.startswith("file:"):
        name = name.removeprefix("file:")
        if url.query.get("mode") == "memory":
            return None
    return None if name == ":memory:" else Path(name).absolute()


def check_place(place: Place, *, to_write: bool = True) -> None:
    """Say in the operator's words why a SQLite file could not be made, read or written here.

    Raises ConfigurationError. SQLite's own words would be "unable to open database file" for each.
    """
    path = place.path
    if path is None:
        return
    cure = "create it or change `database`"
    with explained(place.name, opening=True):
        if path.is_dir():
            raise ConfigurationError(
                f"the database {path} is a directory: name a file in it, such as {path / 'watchdog.db'}"
            )
        if path.exists() and not path.is_file():
            raise ConfigurationError(
                f"the database {path} is not a regular file: change `database`"
            )
        if not to_write:
            return
        if not path.parent.exists():
            raise ConfigurationError(
                f"the database's directory {path.parent} does not exist: {cure}"
            )
        if not path.parent.is_dir():
            raise ConfigurationError(f"the database's directory {path.parent} is a file: {cure}")
        if not _may(path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"the database's directory {path.parent} is not writable for this user"
                " (SQLite keeps a -wal file beside the database): make it so or change `database`"
            )
        if path.exists() and not _may(path, os.R_OK | os.W_OK):
            raise ConfigurationError(
                f"the database {path} is not readable and writable for this user:"
                " change its owner or mode, or change `database`"
            )


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def make_engine(
    place: Place, *, read_only: bool = False, patience: Patience = USUAL
) -> AsyncEngine:
    """An engine whose every connection is set up and checked. Raises ConfigurationError."""
    options: dict[str, Any] = {"hide_parameters": True}  # room names can hold phone numbers
    if place.in_memory:
        options["poolclass"] = StaticPool  # one connection, or each would see a database of its own
    elif not place.is_sqlite:
        options["pool_pre_ping"] = True
        options["execution_options"] = {"postgresql_readonly": read_only}
        options["connect_args"] = {
            "timeout": patience.connect,
            "command_timeout": patience.answer,
            "server_settings": {
                "application_name": "livekit-watchdog",
                "idle_in_transaction_session_timeout": f"{patience.idle * 1000:.0f}ms",
            },
        }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SAWarning)  # how an unknown option is reported
            engine = create_async_engine(place.url, **options)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`database` {place.name} needs the Python package {error.name}, which is not installed:"
            f" pip install 'livekit-agent-watchdog[postgres]', or use {SQLITE}:///watchdog.db"
        ) from error
    except (ArgumentError, SAWarning, TypeError, ValueError):
        raise ConfigurationError(
            f"`database` {place.name} has options that are not understood: {FORMS}"
        ) from None
    if place.is_sqlite:
        _try_to_open(place, read_only=read_only)
        _set_up_sqlite(engine, place, read_only=read_only)
    return engine


def _try_to_open(place: Place, *, read_only: bool) -> None:
    """Fail here and now where the file cannot be opened: the driver would leave a thread behind."""
    if place.path is None:
        return
    mode = place.url.query.get("mode", "ro" if read_only else "rwc")
    with explained(place.name, opening=True):
        sqlite3.connect(f"{place.path.as_uri()}?mode={mode}", uri=True).close()


def _set_up_sqlite(engine: AsyncEngine, place: Place, *, read_only: bool) -> None:
    # FULL, not NORMAL: in WAL mode NORMAL keeps a database whole through a power cut but may lose the
    # last commits, and a deletion's intent has to be on disk before the deletion is asked for. The
    # price is one fsync per commit, and there is one commit per tick.
    wanted: dict[str, str | int] = {
        "busy_timeout": _BUSY_MS,
        "foreign_keys": 1,
        "synchronous": 2,
    }
    if read_only:
        wanted["query_only"] = 1
    else:
        wanted["journal_mode"] = "memory" if place.in_memory else "wal"

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # Transactions begin where `begun` below says, DDL included, never where the driver would.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma, setting in wanted.items():
            cursor.execute(f"PRAGMA {pragma}={setting}")
            cursor.execute(f"PRAGMA {pragma}")
            (value,) = cursor.fetchone()
            if value != setting:
                raise ConfigurationError(
                    f"the database {place.name} does not take {pragma}={setting} (it says {value}):"
                    " put it on a local disk, not on a network share, or change `database`"
                )
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that first reads and then writes cannot wait for the lock in between.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
