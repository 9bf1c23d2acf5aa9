"""Brings a database's schema to the one this version works with.

Alembic is imported only where something has to be migrated: a running daemon does not keep it in
memory.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from watchdog.core.errors import ConfigurationError, StoreError
from watchdog.store.engine import WRITES, Place
from watchdog.store.failures import explained
from watchdog.store.statements import MIGRATION_TURN, TAKE_TURNS

HEAD = "0005"
"""The revision this version works with: the newest in `migrations/`."""

_VERSION_TABLE = "alembic_version"


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """What a migration did. `from_revision` is None where the database was new.

    `backup` is the copy of the file as it was before, None where there was nothing to lose.
    """

    from_revision: str | None
    to_revision: str
    backup: Path | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was done at all."""
        return self.from_revision != self.to_revision


def scripts_directory() -> Path:
    """The migrations: beside the package in a checkout, inside it once installed."""
    package = Path(__file__).parents[1]
    for directory in (package / "_migrations", package.parent / "migrations"):
        if (directory / "env.py").is_file():
            return directory
    raise StoreError(
        "the migrations are missing from this installation: install livekit-watchdog anew"
    )


async def read_revision(connection: AsyncConnection) -> str | None:
    """The schema's revision, None for a database without one."""

    def read(sync: sa.Connection) -> str | None:
        if not sa.inspect(sync).has_table(_VERSION_TABLE):
            return None
        found = sync.execute(sa.text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()  # noqa: S608
        return None if found is None else str(found)

    return await connection.run_sync(read)


async def migrate(
    engine: AsyncEngine, place: Place, *, scripts: Path | None = None, head: str = HEAD
) -> MigrationResult:
    """Upgrade to `head` where the schema is older, in one transaction, after copying a SQLite file.

    Raises StoreError where the schema is newer than this version or the migration failed, and
    ConfigurationError where the file belongs to another application; neither changes anything.
    """
    with explained(place.name, opening=True):
        async with engine.connect() as connection:
            found = await read_revision(connection)
        if found == head:
            return MigrationResult(found, head)
        async with _exclusively(engine, place) as connection:
            found = await read_revision(connection)  # another process may have been faster
            if found == head:
                return MigrationResult(found, head)
            scripts = scripts or scripts_directory()
            backup = None
            if found is None:
                await _refuse_foreign(connection, place)
            else:
                refuse_newer(found, place, scripts, head)
                if place.path is not None:
                    backup = await asyncio.to_thread(_copy, place.path, found)
            await connection.run_sync(_upgrade, scripts, head)
        return MigrationResult(found, head, backup)


def refuse_newer(found: str, place: Place, scripts: Path | None = None, head: str = HEAD) -> None:
    """Raise StoreError where this version's migrations do not know the revision `found`."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see the module's docstring

    known = {
        s.revision for s in ScriptDirectory(str(scripts or scripts_directory())).walk_revisions()
    }
    if found not in known:
        raise StoreError(
            f"the database {place.name} has schema {found}, made by a newer livekit-watchdog than this"
            f" one, which knows up to {head}: install the newer version again or restore the .bak copy"
        )


def _upgrade(connection: sa.Connection, scripts: Path, head: str) -> None:
    from alembic import command  # noqa: PLC0415 - see the module's docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, head)


async def _refuse_foreign(connection: AsyncConnection, place: Place) -> None:
    """A SQLite file is ours alone: one with tables and no revision is another application's."""
    if not place.is_sqlite:
        return
    tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    others = sorted(set(tables) - {_VERSION_TABLE})
    if others:
        raise ConfigurationError(
            f"the database {place.name} holds another application's tables ({', '.join(others[:3])}):"
            " name a file of its own in `database`"
        )


@asynccontextmanager
async def _exclusively(engine: AsyncEngine, place: Place) -> AsyncIterator[AsyncConnection]:
    """One transaction that nobody else can write beside.

    SQLite alters a table by making it anew and dropping the old one; with foreign keys on, the drop
    would delete the rows that point to it. They are checked before the commit instead.
    """
    async with engine.execution_options(**{WRITES: True}).connect() as connection:
        if not place.is_sqlite:
            async with connection.begin():
                await connection.execute(TAKE_TURNS, {"key": MIGRATION_TURN})
                yield connection
            return
        raw = (await connection.get_raw_connection()).driver_connection
        if raw is None:
            raise StoreError(f"the database {place.name} lost its connection: try again")
        await raw.execute("PRAGMA foreign_keys=OFF")
        try:
            async with connection.begin():
                yield connection
                broken = (await connection.exec_driver_sql("PRAGMA foreign_key_check")).first()
                if broken is not None:
                    raise StoreError(
                        f"the database {place.name} could not be migrated: rows of {broken[0]} point"
                        " to rows that are gone; nothing was changed"
                    )
        finally:
            await raw.execute("PRAGMA foreign_keys=ON")


def _copy(path: Path, revision: str) -> Path:
    """A whole copy of the file beside it, under a name that was free, on disk when this returns."""
    copy = _free_name(path, revision)
    try:
        with (
            closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        for written in (copy, copy.parent):
            file = os.open(written, os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)
    except (OSError, sqlite3.Error) as error:
        copy.unlink(missing_ok=True)
        raise StoreError(
            f"the database {path} could not be copied to {copy} before its migration ({error});"
            " nothing was changed: free some space or make the directory writable"
        ) from error
    return copy


def _free_name(path: Path, revision: str) -> Path:
    number = 0
    while True:
        suffix = f".{revision}.bak" if number == 0 else f".{revision}.{number}.bak"
        copy = path.with_name(path.name + suffix)
        try:
            copy.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return copy
