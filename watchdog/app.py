"""The composition root: builds the parts, schedules the ticks, starts and stops everything."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry

from watchdog.clocks import SystemClock
from watchdog.configured import senders_of
from watchdog.core.clock import Clock
from watchdog.core.hooks import RoomEvent, Taken
from watchdog.core.ledger import LedgerLine, reckoned_lines
from watchdog.core.model import Episode, TickResult
from watchdog.core.profiles import Tariffs
from watchdog.core.report import TickReport
from watchdog.core.shares import ROUNDS
from watchdog.expose.health import HealthState, ReportBoard
from watchdog.expose.http import Receiver, build_app, serve
from watchdog.expose.labels import RoomNames
from watchdog.expose.logs import get_logger, log_report
from watchdog.expose.metrics import Metrics
from watchdog.memory import Memory
from watchdog.reloading import Changes, reloaded, with_what_can_change
from watchdog.schedule import Schedule, scheduled
from watchdog.settings import ListenAddress, Settings
from watchdog.store.database import open_for_reading
from watchdog.store.lock import DatabaseInUseError
from watchdog.store.making import made_apart
from watchdog.stores import Alone, Change, Keeping, Shared, Stores, opened_alone, unchanged
from watchdog.telling import notifying
from watchdog.tidying import HOURLY, Cadence, tidied
from watchdog.watched import Recipe, Watched, watch

STOP_SECONDS = 6.0
"""How long running ticks may take to end once the daemon is told to stop."""
LET_END_SECONDS = 60.0
"""How long the tick of a project that is changed or removed may take to end: ticks end by themselves."""

log = get_logger("watchdog.app")


class Daemon:
    """Everything one `run`, `once` or `demo` holds, between `open` and the end of its scope."""

    def __init__(self, settings: Settings, clock: Clock, keeping: Keeping) -> None:
        """Watches nothing yet: `apply` has it begin with the projects that `keeping` has stores of."""
        self.settings = settings
        self.recipes: dict[str, Recipe] = {}
        self.clock = clock
        self.board = ReportBoard()
        self.room_names = RoomNames(settings.privacy.room_names)
        self.watched: dict[str, Watched] = {}
        self._leaving: set[Watched] = set()
        self._memory = Memory()
        self._tariffs: dict[str, Tariffs] = {}
        self.metrics = Metrics(CollectorRegistry(), self.room_names, unpriced=self.unpriced)
        self.on_report: Callable[[TickReport], None] = lambda _: None
        self._keeping = keeping
        self._settling: dict[str, asyncio.Lock] = {}
        self._schedule: Schedule | None = None
        self._speed = 1.0
        self._last_turn = clock.monotonic()
        self._standby = False

    def unpriced(self, project: str, agent_name: str) -> bool:
        """Whether what agents of this name cost may lack a price."""
        tariffs = self._tariffs.get(project)
        return tariffs is not None and tariffs.lacks_price(agent_name)

    # ---- which projects ---------------------------------------------------------------------------

    async def apply(self, settings: Settings) -> Changes:
        """Watch what the settings say: projects that stay as they are go on undisturbed.

        One that changed begins anew from the database, once its tick has ended. Raises
        ConfigurationError, and then nothing has changed.
        """
        recipes = {p.name: Recipe.of(settings, p) for p in settings.require_projects()}
        changes = Changes.between(self.recipes, recipes)
        self.settings = settings
        self.recipes = recipes
        # All of them: one that could not be started before is tried again.
        await asyncio.gather(*(self.settle(name) for name in (*changes.removed, *recipes)))
        self.watched = {name: self.watched[name] for name in recipes if name in self.watched}
        return changes

    def configured(self) -> tuple[str, ...]:
        """The projects that are to be watched, here or by another replica."""
        return tuple(self.recipes)

    async def settle(self, name: str) -> None:
        """Have a project run as it is configured, if at all, on the stores that there are of it.

        One that is to end, or to begin anew from the database, first ends its tick.
        """
        async with self._settling.setdefault(name, asyncio.Lock()):
            while True:
                wanted = (self.recipes.get(name), self._keeping.of(name))
                watched = self.watched.get(name)
                if watched is not None and (watched.recipe, watched.stores) == wanted:
                    return
                if watched is not None:
                    await self.stop(name)
                    continue
                recipe, stores = wanted
                if recipe is not None and stores is not None:
                    self.start(recipe, stores)
                else:
                    self.forget(name)
                return

    def start(self, recipe: Recipe, stores: Stores) -> None:
        """Watch one more project, from now on."""
        watched = watch(recipe, self.settings, self.clock, stores, self.metrics)
        self.watched[watched.name] = watched
        self._tariffs[watched.name] = recipe.config.tariffs
        self._say_prices()
        self.metrics.set_mode(watched.name, recipe.config.safeguards.mode)
        if self._schedule is not None:
            self._add_turn(self._schedule, watched)

    async def stop(self, name: str) -> None:
        """Watch a project no longer; returns when its tick has ended and its connections are closed."""
        watched = self.watched.pop(name)
        watched.leaving.set()
        self._leaving.add(watched)
        if self._schedule is not None:
            self._schedule.remove(name)
        await watched.settle(LET_END_SECONDS)
        await watched.aclose()
        self._leaving.discard(watched)
        self._memory.forget(name)

    def forget(self, name: str) -> None:
        """Show no more of a project that is not watched any longer."""
        if self._tariffs.pop(name, None) is None:
            return
        self._say_prices()
        self.board.remove(name)
        self.metrics.project_removed(name)

    def _say_prices(self) -> None:
        tariffs = self._tariffs.values()
        verified = min((t.last_verified for t in tariffs if t.last_verified), default=None)
        stale = min((t.stale_on for t in tariffs if t.stale_on), default=None)
        self.metrics.set_prices(_midnight(verified), _midnight(stale))

    async def aclose(self) -> None:
        """Close the connections to the servers."""
        for watched in self._all():
            await watched.aclose()

    # ---- what comes in, and what is seen ------------------------------------------------------------

    def receiver(self, project: str) -> Receiver | None:
        """What takes the webhooks of a project; None for one that is not configured."""
        if (watched := self.watched.get(project)) is not None:
            return partial(self.receive, watched)
        return partial(self._refer, project) if project in self.recipes else None

    def _refer(self, project: str, body: bytes, authorization: str) -> Taken:  # noqa: ARG002
        """A webhook for a project that another replica has: it is to be sent again, and may get there."""
        self.metrics.on_webhook(project, Taken.ELSEWHERE)
        return Taken.ELSEWHERE

    def receive(self, watched: Watched, body: bytes, authorization: str) -> Taken:
        """A webhook for one project, as it came in."""
        read = watched.webhooks.read(body, authorization)
        taken = watched.project.receive(read) if isinstance(read, RoomEvent) else read
        self.metrics.on_webhook(watched.name, taken)
        return taken

    def health(self) -> HealthState:
        """What HTTP may know, as of now."""
        # A replica that has no project turns with its leases alone.
        shared = self.settings.shares_projects
        rounds = self.settings.replicas.lease / ROUNDS if shared else timedelta(0)
        return HealthState(
            projects={watched.name: watched.poll for watched in self.watched.values()},
            reports=self.board.latest,
            good=self.board.good,
            last_turn=self._last_turn,
            monotonic=self.clock.monotonic(),
            now=self.clock.now(),
            poll_interval=max(self.settings.poll_interval, rounds).total_seconds(),
            standby=self._standby,
        )

    # ---- turning ------------------------------------------------------------------------------------

    async def tick(self, watched: Watched) -> TickReport:
        """One pass over one project, told to the board, the metrics and the log."""
        with self._memory.tick(watched.name):
            report = await watched.project.tick()
            if report.result is TickResult.OK:
                self._memory.follow(watched.name, sum(report.rooms.values()))
        self.turned()
        previous = self.board.take(report)
        self.metrics.on_report(report)
        log_report(log, report, previous, self.room_names)
        self.on_report(report)
        return report

    def turned(self, *, standby: bool | None = None) -> None:
        """Say that the loop turns: a tick ended, or a round of leases, well (`standby`) or not."""
        self._last_turn = self.clock.monotonic()
        if standby is not None:
            self._standby = standby

    async def roll_up(self, limit: int) -> int:
        """Roll up at most `limit` episodes that ended longer ago than is kept. Raises StoreError.

        A project is as old as its last good tick: a room that it took for gone before can still be
        listed again after it was blind, and its episode then goes on.
        """
        kept = self.settings.retention
        history = self._keeping.history
        if history is None or isinstance(kept, str):
            return 0
        seen: dict[str, datetime | None] = {}
        for name in self.watched:
            good = self.board.good.get(name)
            at = good.last_success_at if good else None
            seen[name] = None if at is None else at - kept
        return await history.roll_up(self.clock.now() - kept, limit, but=seen, reckon=self._reckon)

    def _reckon(self, episode: Episode) -> Sequence[LedgerLine]:
        """As a report does, with the prices of today; nothing where its project is not configured."""
        tariffs = self._tariffs.get(episode.project)
        if tariffs is None:
            return ()
        return reckoned_lines(episode, tariffs, upto=episode.bounds.last_seen_orphaned_at)

    async def run(self, stop: asyncio.Event, *, speed: float = 1.0) -> None:
        """Tick every project on its interval, the first time at once, until `stop` is set.

        `speed` is how fast the daemon's clock runs against the machine's.
        """
        self._speed = speed
        async with scheduled(SystemClock(), settle=self._settle) as schedule:
            self._schedule = schedule
            try:
                for watched in self.watched.values():
                    self._add_turn(schedule, watched)
                await stop.wait()
            finally:
                self._schedule = None

    def _add_turn(self, schedule: Schedule, watched: Watched) -> None:
        schedule.add(watched.name, partial(self._turn, watched), watched.poll / self._speed)

    async def _turn(self, watched: Watched) -> None:
        if self.watched.get(watched.name) is not watched:
            return  # it was stopped between its appointment and now
        watched.ticking = asyncio.current_task()
        try:
            await self.tick(watched)
        except asyncio.CancelledError:
            # Only `settle` cancels; handed on, the scheduler would log it as a fault.
            log.info("tick cut off by the stop", project=watched.name)
        except Exception:
            # A fault of ours: said with its traceback, and the next tick tries again. Liveness ends
            # when no tick comes through any more.
            log.exception("tick failed unexpectedly", project=watched.name)
        finally:
            watched.ticking = None

    async def _settle(self) -> None:
        """Let running ticks end by themselves, within bounds."""
        await asyncio.gather(*(watched.settle(STOP_SECONDS) for watched in self._all()))

    def _all(self) -> list[Watched]:
        """Those that are watched, and those whose end a stop of the daemon overtook."""
        return [*self.watched.values(), *self._leaving]


@asynccontextmanager
async def opened_daemon(
    settings: Settings,
    clock: Clock,
    *,
    replica: bool = False,
    beside_a_run: bool = False,
    change: Change = unchanged,
) -> AsyncIterator[Daemon]:
    """A daemon on its database, ready to tick. Raises ConfigurationError or StoreError.

    `replica`: on Postgres share the projects with others that run, else raise DatabaseInUseError where one
    has any of them. `beside_a_run`: instead of that, know what it knows, and store nothing.
    `change` may put something of its own between the daemon and its stores.
    """
    settings.require_projects()
    async with AsyncExitStack() as stack:
        try:
            daemon = await stack.enter_async_context(
                _acting(settings, clock, change, alone=not replica)
            )
        except DatabaseInUseError:
            if not beside_a_run:
                raise
            database = await stack.enter_async_context(await open_for_reading(settings.database))
            daemon = Daemon(settings, clock, Alone.beside(database, change))
            stack.push_async_callback(daemon.aclose)
            await daemon.apply(settings)
        yield daemon


@asynccontextmanager
async def _acting(
    settings: Settings, clock: Clock, change: Change, *, alone: bool
) -> AsyncIterator[Daemon]:
    """A daemon that may act. Raises as `opened_daemon` does."""
    async with AsyncExitStack() as stack:
        keeping: Alone | Shared
        if settings.shares_projects:
            from watchdog.sharing import leased, opened_shared  # noqa: PLC0415 - SQLite needs neither

            keeping = await stack.enter_async_context(opened_shared(settings, change))
        else:
            keeping = await stack.enter_async_context(opened_alone(settings, change))
        daemon = Daemon(settings, clock, keeping)
        stack.push_async_callback(daemon.aclose)
        await daemon.apply(settings)
        if isinstance(keeping, Shared):
            await stack.enter_async_context(leased(settings, clock, keeping, daemon, alone=alone))
        yield daemon


@asynccontextmanager
async def served(daemon: Daemon, listen: ListenAddress | None) -> AsyncIterator[str]:
    """Health and metrics of a daemon over HTTP while the scope lasts; yields the base URL, or ""."""
    if listen is None:
        yield ""
        return
    app = build_app(
        daemon.health, daemon.metrics, daemon.room_names, daemon.unpriced, receiver=daemon.receiver
    )
    async with serve(app, listen.host, listen.port) as port:
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        yield f"http://{host}:{port}"


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def run(
    settings: Settings, clock: Clock, reread: Callable[[], Settings], tidying: Cadence = HOURLY
) -> None:
    """The daemon, until a signal ends it. `reread` gives the configuration as it now is, on a reload."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    senders = senders_of(settings)
    settings.require_projects()  # else nothing is to be made
    await made_apart(settings.database)
    async with opened_daemon(settings, clock, replica=True) as daemon:

        async def reload() -> Changes:
            kept, waiting = with_what_can_change(daemon.settings, reread())
            return replace(await daemon.apply(kept), waiting=waiting)

        def files() -> tuple[Path, ...]:
            return daemon.settings.files()

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
                projects=list(daemon.recipes),
                modes={
                    name: recipe.config.safeguards.mode.value
                    for name, recipe in daemon.recipes.items()
                },
                every_seconds=settings.poll_interval.total_seconds(),
                http=url or "off",
                **({"notify": [service for service, _ in senders]} if senders else {}),
            )
            async with (
                tidied(daemon.roll_up, tidying),
                reloaded(reload, files, daemon.metrics.on_reload),
            ):
                await daemon.run(stop)
        log.info("stopped")
