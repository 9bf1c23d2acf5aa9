"""The database as the rest of the store uses it: opened, migrated, and read or written in transactions."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from watchdog.core.errors import StoreError
from watchdog.store.engine import USUAL, WRITES, Patience, Place, check_place, find, make_engine
from watchdog.store.failures import explained
from watchdog.store.lock import NoLock, RunLock
from watchdog.store.migrate import HEAD, MigrationResult, migrate, read_revision, refuse_newer
from watchdog.store.statements import AUDIT_TURN, TAKE_TURNS, keyed

_NEVER_IDLE = sa.text("SET LOCAL idle_in_transaction_session_timeout = 0")

P = ParamSpec("P")
T = TypeVar("T")


def uninterrupted(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Coroutine[Any, Any, T]]:
    """Carry a transaction through where its caller is cancelled, and only then let the caller go.

    A connection that is cut off in a statement is closed, but Python keeps the statement, and with it
    SQLite's write lock, until the garbage collector comes by: nobody else could write until then.
    """

    @wraps(method)
    async def carried_through(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.create_task(method(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue  # told twice; the first time is passed on below
            if not task.cancelled():
                task.exception()  # the caller has gone: nobody is left to hear of it
            raise

    return carried_through


class Database:
    """An open database. Use `reading` and `writing`; `close` it at the end (or `async with`)."""

    def __init__(self, engine: AsyncEngine, place: Place, migration: MigrationResult) -> None:
        """Made by `open_database` and `open_for_reading`."""
        self.place = place
        self.migration = migration
        """What opening it did to its schema."""
        self._engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        self._reader = engine
        if not place.is_sqlite:  # there each statement of a transaction sees a state of its own
            self._reader = engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        # Of one process only one transaction writes at a time, so that projects do not wait for each
        # other inside SQLite. In memory there is a single connection, which readers share.
        self._one_writer = asyncio.Lock() if place.is_sqlite else None
        self._one_reader = self._one_writer if place.in_memory else None

    @property
    def name(self) -> str:
        """The path, or the URL without its password."""
        return self.place.name

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads, and sees one consistent state. Raises only StoreError."""
        async with self._one_reader or nullcontext():
            with explained(self.name):
                async with self._reader.connect() as connection, connection.begin():
                    yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Database"]:
        """The database as it stands at one moment: whatever reads it within the scope sees that.

        For what takes several readings to add up, while somebody moves rows from one table to another.
        """
        async with self._one_reader or nullcontext():
            with explained(self.name):
                async with self._reader.connect() as connection, connection.begin():
                    if not self.place.is_sqlite:  # what is read can take long to add up
                        await connection.execute(_NEVER_IDLE)
                    yield _Snapshot(self._engine, self.place, self.migration, connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, on disk when the block is left, undone where it raises.

        Raises only StoreError. A power cut loses nothing that was committed.
        """
        async with self._one_writer or nullcontext():
            with explained(self.name):
                async with self._writer.connect() as connection, connection.begin():
                    yield connection

    @asynccontextmanager
    async def auditing(self) -> AsyncIterator[AsyncConnection]:
        """`writing` for what adds lines to the audit: of all processes one at a time, as it numbers them."""
        async with self.writing() as connection:
            if not self.place.is_sqlite:  # there whoever writes is alone
                await connection.execute(TAKE_TURNS, {"key": AUDIT_TURN})
            yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Snapshot(Database):
    """A database within one transaction that only reads. One reading at a time."""

    def __init__(
        self,
        engine: AsyncEngine,
        place: Place,
        migration: MigrationResult,
        connection: AsyncConnection,
    ) -> None:
        super().__init__(engine, place, migration)
        self._connection = connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        with explained(self.name):
            yield self._connection


async def open_database(url: str, patience: Patience = USUAL) -> Database:
    """Open, create or migrate the database of a run, which holds its `run_lock` meanwhile.

    Raises ConfigurationError for a place or URL that cannot be used, StoreError for a database that
    is damaged, newer than this version, locked or full.
    """
    place = find(url)
    check_place(place)
    engine = make_engine(place, patience=patience)
    try:
        return Database(engine, place, await uninterrupted(migrate)(engine, place))
    except BaseException:
        await engine.dispose()
        raise


async def open_beside(url: str, *, to_write: bool = False) -> Database:
    """Open an existing database beside a running daemon; without `to_write` nothing in it can be changed.

    Raises as `open_database` does, and StoreError where there is none yet, or of another schema.
    """
    place = find(url)
    found = await _peek(place)
    if found is None:
        raise StoreError(
            f"there is no database of livekit-watchdog at {place.name} yet:"
            " start `livekit-watchdog run` first, or check `database`"
        )
    if found != HEAD:
        refuse_newer(found, place)
        raise StoreError(
            f"the database {place.name} has the older schema {found}, this version needs {HEAD}:"
            " run `livekit-watchdog db upgrade`"
        )
    check_place(place, to_write=to_write)
    engine = make_engine(place, read_only=not to_write)
    return Database(engine, place, MigrationResult(found, found))


async def open_for_reading(url: str) -> Database:
    """`open_beside`, for reading only."""
    return await open_beside(url)


async def upgrade(url: str) -> MigrationResult:
    """Create or migrate the database and close it again; refused while a run uses it."""
    with run_lock(url):
        database = await open_database(url)
        await database.close()
        return database.migration


async def current(url: str) -> tuple[str | None, str]:
    """The schema's revision (None: no database yet) and the one this version works with.

    Creates and changes nothing.
    """
    return await _peek(find(url)), HEAD


async def check(url: str) -> None:
    """Say what would keep a run from using this database; creates and changes nothing.

    Raises ConfigurationError or StoreError. An older schema is no fault: a run migrates it.
    """
    place = find(url)
    check_place(place)
    found = await _peek(place)
    if found not in (None, HEAD):
        refuse_newer(found, place)


def run_lock(url: str) -> RunLock | NoLock:
    """What a `run` holds for as long as it uses the database: raises DatabaseInUseError on entry.

    Only a file has one: a database in memory is nobody else's.
    """
    place = find(url)
    check_place(place)
    return NoLock(held=place.in_memory) if place.path is None else RunLock(place.path)


def stop_file(url: str) -> Path | None:
    """The file beside a SQLite database that forbids every deletion while it is there."""
    path = find(url).path
    return None if path is None else path.with_name("STOP")


async def _peek(place: Place) -> str | None:
    """The revision of a database that is left as it is."""
    check_place(place, to_write=False)
    with explained(place.name, opening=True):
        if place.path is not None and not place.path.exists():
            return None
        engine = make_engine(place, read_only=True)
        try:
            async with engine.connect() as connection:
                return await read_revision(connection)
        finally:
            await engine.dispose()


async def update_or_insert(
    connection: AsyncConnection,
    update: sa.Update,
    insert: sa.Insert,
    row: Mapping[str, Any],
    *,
    keys: tuple[str, ...],
) -> int:
    """Write one row that `keys` find, whether it is there or not; returns the rows written.

    Both databases have an upsert of their own, but not the same one.
    """
    updated = (await connection.execute(update, keyed(row, keys))).rowcount
    return updated or (await connection.execute(insert, row)).rowcount
