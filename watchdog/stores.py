"""What the daemon keeps in its database, as it is opened for a run or beside one."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

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

if TYPE_CHECKING:  # SQLite does not need it, nor the dialect that it loads
    from watchdog.store.keeper import ProjectLease

log = get_logger("watchdog.stores")


@dataclass(frozen=True, slots=True)
class Stores:
    """What is kept of one project, and what makes this process the only one that acts on it."""

    episodes: Store
    audit: Audit
    controls: Controls
    lease: Lease


Change = Callable[[Stores], Stores]
"""Puts something of its own between the daemon and its stores."""


def unchanged(stores: Stores) -> Stores:
    """Puts nothing between."""
    return stores


class Keeping(Protocol):
    """The database as the daemon has it."""

    @property
    def history(self) -> HistoryStore | None:
        """None beside another run, which rolls up its history itself."""
        ...

    def of(self, project: str) -> Stores | None:
        """The stores of a project, the same each time; None while it is another replica's."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """The stores of the only process that acts on the database, or of one that does nothing beside it."""

    stores: Stores
    history: HistoryStore | None = None

    @classmethod
    def holding(cls, database: Database, lease: Lease, change: Change = unchanged) -> "Alone":
        """An open database that nobody else writes."""
        stores = Stores(EpisodeStore(database), AuditStore(database), ControlStore(database), lease)
        return cls(change(stores), HistoryStore(database))

    @classmethod
    def beside(cls, database: Database, change: Change = unchanged) -> "Alone":
        """Another run's database as one may use it beside that run: read, and never written."""
        nothing = NothingStored(database)
        return cls(change(Stores(nothing, NoAudit(), nothing, nothing)))

    def of(self, project: str) -> Stores:  # noqa: ARG002
        """Every project is this process's."""
        return self.stores


class Shared:
    """A database of several replicas: each has the stores of the projects whose leases it holds."""

    def __init__(self, database: Database, change: Change = unchanged) -> None:
        """On an open database, which the caller closes."""
        self._database = database
        self._change = change
        self._leases: dict[str, ProjectLease] = {}
        self._stores: dict[str, Stores] = {}
        self.history = HistoryStore(database, self._leases.get)

    def of(self, project: str) -> Stores | None:
        """Those of the present lease; what was begun under an older one goes on with its own."""
        return self._stores.get(project)

    def take(self, lease: "ProjectLease") -> None:
        """Have a project from now on. All that is stored of it is fenced by this one lease."""
        self._leases[lease.project] = lease
        self._stores[lease.project] = self._change(
            Stores(
                EpisodeStore(self._database, lease),
                AuditStore(self._database, lease),
                ControlStore(self._database),
                lease,
            )
        )

    def drop(self, project: str) -> None:
        """Begin nothing more of a project."""
        self._leases.pop(project, None)
        self._stores.pop(project, None)


@asynccontextmanager
async def opened_alone(settings: Settings, change: Change = unchanged) -> AsyncIterator[Alone]:
    """A database at its newest schema, held by this process alone.

    Raises ConfigurationError or StoreError.
    """
    with run_lock(settings.database) as lock:
        async with await open_database(settings.database) as database:
            tell_migration(database)
            yield Alone.holding(database, lock, change)


def tell_migration(database: Database) -> None:
    """Log that opening it changed its schema."""
    done = database.migration
    if done.from_revision not in (None, done.to_revision):
        log.info(
            "database migrated",
            database=database.name,
            from_revision=done.from_revision,
            to_revision=done.to_revision,
            backup=str(done.backup),
        )


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

    async def confirmed(self) -> str:
        """The run would be asked."""
        return "another run holds it"

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
