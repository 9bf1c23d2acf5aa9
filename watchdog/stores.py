"""What the daemon keeps in its database, as it is opened for a run or beside one."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from watchdog.core.deletion import AuditEntry, AuditMemory, Control
from watchdog.core.records import ProjectMemory
from watchdog.daemon.ports import Audit, Controls, Lease, Store
from watchdog.expose.logs import get_logger
from watchdog.settings import Settings
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_database, run_lock
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore

log = get_logger("watchdog.stores")


@dataclass(frozen=True, slots=True)
class Stores:
    """What the daemon keeps in its database, and what makes it the only one that acts on a project."""

    episodes: Store
    audit: Audit
    controls: Controls
    lease_of: Callable[[str], Lease]
    history: HistoryStore | None = None
    """None beside another run, which rolls up its history itself."""

    @classmethod
    def of(cls, database: Database, lease_of: Callable[[str], Lease]) -> "Stores":
        """The stores of one open database."""
        return cls(
            EpisodeStore(database),
            AuditStore(database),
            ControlStore(database),
            lease_of,
            HistoryStore(database),
        )

    @classmethod
    def beside(cls, database: Database) -> "Stores":
        """Another run's database as one may use it beside that run: read, and never written."""
        nothing = NothingStored(database)
        return cls(nothing, NoAudit(), nothing, lambda _: nothing)


@asynccontextmanager
async def opened_stores(settings: Settings) -> AsyncIterator[Stores]:
    """The database at its newest schema, held by this process alone.

    Raises ConfigurationError or StoreError.
    """
    with run_lock(settings.database) as lock:
        async with await open_database(settings.database) as database:
            done = database.migration
            if done.from_revision not in (None, done.to_revision):
                log.info(
                    "database migrated",
                    database=database.name,
                    from_revision=done.from_revision,
                    to_revision=done.to_revision,
                    backup=str(done.backup),
                )
            yield Stores.of(database, lambda _: lock)


class NothingStored:
    """Reads what another run has stored, and stores nothing.

    It is no lease either: whoever holds this deletes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._store = EpisodeStore(database)
        self._controls = ControlStore(database)

    async def load(self, project: str) -> ProjectMemory:
        """What the run has stored so far."""
        return await self._store.load(project)

    async def read(self, project: str) -> Control:
        """What operators have said to the run."""
        return await self._controls.read(project)

    def held(self) -> bool:
        """The run holds it."""
        return False

    async def commit(self, *_: object) -> int:
        """Nothing is written: the run itself does that."""
        return 0


class NoAudit:
    """The audit beside another run: that one writes it."""

    async def load(self, project: str, now: datetime) -> AuditMemory:  # noqa: ARG002
        """The run itself remembers."""
        return AuditMemory()

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Nothing is done here that would have to be written."""
