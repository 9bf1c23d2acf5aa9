"""The composition root: builds the parts, schedules the ticks, starts and stops everything."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from watchdog.clocks import SystemClock
from watchdog.configured import (
    budgets_of,
    gateway_of,
    policies_of,
    rules_of,
    safeguards_of,
    senders_of,
    suspect_rules_of,
    tariffs_for,
)
from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.clock import Clock
from watchdog.core.deletion import AuditEntry, AuditMemory, Control
from watchdog.core.hooks import RoomEvent, Taken
from watchdog.core.profiles import Tariffs
from watchdog.core.records import ProjectMemory
from watchdog.core.report import TickReport
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.ports import Audit, Controls, Lease, Store
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.expose.health import HealthState, ReportBoard
from watchdog.expose.http import build_app, serve
from watchdog.expose.labels import RoomNames
from watchdog.expose.logs import get_logger, log_report
from watchdog.expose.metrics import Metrics
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.rooms.webhooks import WebhookReader
from watchdog.schedule import scheduled
from watchdog.settings import ListenAddress, Settings
from watchdog.settings import Project as ProjectSettings
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import (
    Database,
    open_database,
    open_for_reading,
    run_lock,
    stop_file,
)
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore
from watchdog.store.lock import DatabaseInUseError
from watchdog.telling import notifying
from watchdog.tidying import HOURLY, Cadence, tidied

STOP_SECONDS = 6.0
"""How long running ticks may take to end once the daemon is told to stop."""

log = get_logger("watchdog.app")


def new_episode_id() -> str:
    """A short id that no other episode has."""
    return f"ep_{uuid.uuid4().hex[:16]}"


def new_intent_id() -> str:
    """A short id that no other attempt to delete has."""
    return f"in_{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class Stores:
    """What the daemon keeps in its database, and the lock that makes it the only one."""

    episodes: Store
    audit: Audit
    controls: Controls
    lease: Lease
    history: HistoryStore | None = None
    """None beside another run, which rolls up its history itself."""

    @classmethod
    def of(cls, database: Database, lease: Lease) -> "Stores":
        """The stores of one open database."""
        return cls(
            EpisodeStore(database),
            AuditStore(database),
            ControlStore(database),
            lease,
            HistoryStore(database),
        )


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
            yield Stores.of(database, lock)


@dataclass(slots=True)
class Watched:
    """One project as the daemon runs it."""

    project: Project
    gateway: LiveKitGateway
    tariffs: Tariffs
    webhooks: WebhookReader


def stop_file_says(path: Path | None) -> str:
    """Why nothing is deleted: the file is there, or it cannot be said that it is not."""
    if path is None:
        return ""
    try:
        path.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"whether there is a file {path} cannot be told: {error.strerror}"
    return f"the file {path} forbids it; remove it to allow deletions again"


class NothingStored:
    """Another run's database as one may use it beside that run: read, and never written.

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


class Daemon:
    """Everything one `run`, `once` or `demo` holds, between `open` and the end of its scope."""

    def __init__(self, settings: Settings, clock: Clock, stores: Stores) -> None:
        self.settings = settings
        self.clock = clock
        self.board = ReportBoard()
        self.room_names = RoomNames(settings.privacy.room_names)
        self.poll = settings.poll_interval.total_seconds()
        self.watched = [self._watch(p, stores) for p in settings.require_projects()]
        tariffs = {w.project.config.name: w.tariffs for w in self.watched}
        self.unpriced: Callable[[str, str], bool] = lambda project, agent: tariffs[
            project
        ].lacks_price(agent)
        self.metrics = Metrics(CollectorRegistry(), self.room_names, unpriced=self.unpriced)
        for w in self.watched:
            config = w.project.config
            self.metrics.set_mode(config.name, config.safeguards.mode)
        verified = [t.last_verified for t in tariffs.values() if t.last_verified]
        if verified:
            stale = [t.stale_on for t in tariffs.values() if t.stale_on]
            self.metrics.set_prices(_midnight(min(verified)), _midnight(min(stale)))
        self.on_report: Callable[[TickReport], None] = lambda _: None
        self._history = stores.history
        self._last_turn = clock.monotonic()
        self._running: set[asyncio.Task[None]] = set()

    def _watch(self, settings: ProjectSettings, stores: Stores) -> Watched:
        name = settings.name
        bucket = TokenBucket.for_polls(self.settings.detection.requests_per_minute, self.poll)

        def observe(method: str, code: str, _: Purpose, seconds: float) -> None:
            self.metrics.on_request(name, method, code, seconds)

        clock = SteadyClock(self.clock)
        gateway = gateway_of(self.settings, settings, clock, observe, bucket)
        tariffs = tariffs_for(self.settings, settings)
        config = ProjectConfig(
            name,
            self.poll,
            tariffs,
            rules_of(self.settings),
            self.settings.limits.max_drop,
            policies_of(self.settings),
            safeguards_of(self.settings, settings),
            suspect_rules_of(self.settings),
            budgets_of(self.settings, settings),
        )
        project = Project(
            config,
            rooms=gateway,
            store=stores.episodes,
            clock=clock,
            bucket=bucket,
            powers=Powers(
                stores.audit,
                stores.controls,
                stores.lease,
                new_intent_id,
                partial(stop_file_says, stop_file(self.settings.database)),
            ),
            new_id=new_episode_id,
        )
        webhooks = WebhookReader(
            settings.api_key.get_secret_value(), settings.api_secret.get_secret_value(), clock
        )
        return Watched(project, gateway, tariffs, webhooks)

    async def aclose(self) -> None:
        """Close the connections to the servers."""
        for watched in self.watched:
            await watched.gateway.aclose()

    def receive(self, watched: Watched, body: bytes, authorization: str) -> Taken:
        """A webhook for one project, as it came in."""
        read = watched.webhooks.read(body, authorization)
        taken = watched.project.receive(read) if isinstance(read, RoomEvent) else read
        self.metrics.on_webhook(watched.project.config.name, taken)
        return taken

    def health(self) -> HealthState:
        """What HTTP may know, as of now."""
        return HealthState(
            projects=tuple(w.project.config.name for w in self.watched),
            reports=self.board.latest,
            good=self.board.good,
            last_turn=self._last_turn,
            monotonic=self.clock.monotonic(),
            now=self.clock.now(),
            poll_interval=self.poll,
        )

    async def tick(self, project: Project) -> TickReport:
        """One pass over one project, told to the board, the metrics and the log."""
        report = await project.tick()
        self._last_turn = self.clock.monotonic()
        previous = self.board.take(report)
        self.metrics.on_report(report)
        log_report(log, report, previous, self.room_names)
        self.on_report(report)
        return report

    async def roll_up(self, limit: int) -> int:
        """Roll up at most `limit` episodes that ended longer ago than is kept. Raises StoreError.

        A project is as old as its last good tick: a room that it took for gone before can still be
        listed again after it was blind, and its episode then goes on.
        """
        kept = self.settings.retention
        if self._history is None or isinstance(kept, str):
            return 0
        seen: dict[str, datetime | None] = {}
        for watched in self.watched:
            name = watched.project.config.name
            good = self.board.good.get(name)
            at = good.last_success_at if good else None
            seen[name] = None if at is None else at - kept
        return await self._history.roll_up(self.clock.now() - kept, limit, but=seen)

    async def _scheduled(self, project: Project) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self.tick(project)
        except asyncio.CancelledError:
            # Only `_settle` cancels; handed on, the scheduler would log it as a fault.
            log.info("tick cut off by the stop", project=project.config.name)
        except Exception:
            # A fault of ours: said with its traceback, and the next tick tries again. Liveness ends
            # when no tick comes through any more.
            log.exception("tick failed unexpectedly", project=project.config.name)
        finally:
            self._running.discard(task)

    async def run(self, stop: asyncio.Event, *, speed: float = 1.0) -> None:
        """Tick every project on its interval, the first time at once, until `stop` is set.

        `speed` is how fast the daemon's clock runs against the machine's.
        """
        turns = [partial(self._scheduled, watched.project) for watched in self.watched]
        async with scheduled(turns, self.poll / speed, SystemClock(), settle=self._settle):
            await stop.wait()

    async def _settle(self) -> None:
        """Let running ticks end by themselves, within bounds."""
        running = set(self._running)
        if not running:
            return
        _, late = await asyncio.wait(running, timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


@asynccontextmanager
async def opened_daemon(
    settings: Settings,
    clock: Clock,
    *,
    beside_a_run: bool = False,
    change: Callable[[Stores], Stores] = lambda stores: stores,
) -> AsyncIterator[Daemon]:
    """A daemon on its database, ready to tick. Raises ConfigurationError or StoreError.

    `beside_a_run`: where another process has the database, know what it knows, and store nothing.
    `change` may put something of its own between the daemon and its stores.
    """
    settings.require_projects()
    async with AsyncExitStack() as stack:
        try:
            stores = await stack.enter_async_context(opened_stores(settings))
        except DatabaseInUseError:
            if not beside_a_run:
                raise
            database = await stack.enter_async_context(await open_for_reading(settings.database))
            nothing = NothingStored(database)
            stores = Stores(nothing, NoAudit(), nothing, nothing)
        daemon = Daemon(settings, clock, change(stores))
        try:
            yield daemon
        finally:
            await daemon.aclose()


@asynccontextmanager
async def served(daemon: Daemon, listen: ListenAddress | None) -> AsyncIterator[str]:
    """Health and metrics of a daemon over HTTP while the scope lasts; yields the base URL, or ""."""
    if listen is None:
        yield ""
        return
    webhooks = {w.project.config.name: partial(daemon.receive, w) for w in daemon.watched}
    app = build_app(
        daemon.health, daemon.metrics, daemon.room_names, daemon.unpriced, webhooks=webhooks
    )
    async with serve(app, listen.host, listen.port) as port:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        yield f"http://{host}:{port}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def run(settings: Settings, clock: Clock, tidying: Cadence = HOURLY) -> None:
    """The daemon, until a signal ends it."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    senders = senders_of(settings)
    async with opened_daemon(settings, clock) as daemon:
        told = notifying(
            settings,
            senders,
            clock=clock,
            room_names=daemon.room_names,
            unpriced=daemon.unpriced,
            metrics=daemon.metrics,
        )
        async with told as daemon.on_report, served(daemon, settings.http.listen) as url:
            log.info(
                "watching",
                projects=[w.project.config.name for w in daemon.watched],
                modes={
                    w.project.config.name: w.project.config.safeguards.mode.value
                    for w in daemon.watched
                },
                every_seconds=daemon.poll,
                http=url or "off",
                **({"notify": [service for service, _ in senders]} if senders else {}),
            )
            async with tidied(daemon.roll_up, tidying):
                await daemon.run(stop)
        log.info("stopped")
