"""The daemon's tick against the simulator's world: in process, on a virtual clock, nothing replaced."""

import itertools
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from livekit.protocol.webhook import WebhookEvent

from watchdog.core.budget import TokenBucket
from watchdog.core.classify import NO_RULES, DetectionRules
from watchdog.core.deletion import Mode
from watchdog.core.gates import Safeguards
from watchdog.core.hooks import RoomEvent, Taken
from watchdog.core.model import Episode, VerdictState
from watchdog.core.policy import built_in_policies, ordered
from watchdog.core.profiles import Tariffs, profile_of, resolve_tariff
from watchdog.core.report import OrphanView, TickReport
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.prices.book import load_book
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.rooms.webhooks import WebhookReader
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.faults import Fault, FaultKind, FaultPlan
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.webhooks import Delivery, WebhookSender, signed
from watchdog.simulator.world import World
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.fence import UNFENCED
from watchdog.store.keeper import ProjectLease

POLL = 15.0
KEY, SECRET = "devkey", "a-secret-of-more-than-thirty-two-characters"
TARIFFS = Tariffs(
    resolve_tariff(load_book(), profile_of("self-hosted-on-cloud"), "ship", date(2026, 9, 1))
)
LONG = 86400


class HeldLease:
    """The lock on the database, which a test can take away."""

    def __init__(self):
        self.is_held = True
        self.denied = ""
        """Why the database says that it is not held."""

    async def confirmed(self) -> str:
        return self.denied

    def held(self) -> bool:
        return self.is_held


class TrueSkew:
    """Knows how far the server's clock is ahead of ours, as answers over HTTP tell it."""

    def __init__(self, world: World, clock: VirtualClock):
        self._world, self._clock = world, clock

    @property
    def skew(self) -> float:
        return (self._world.server_time() - self._clock.now()).total_seconds()


@dataclass
class Happening:
    """Something that happens in the world right before, or after, the server takes up a request."""

    phase: str
    method: str
    room: str
    what: Callable[[], None]


class Lab:
    """A world, a server in front of it, and a watchdog on both."""

    def __init__(
        self,
        database: Database,
        *,
        poll=POLL,
        rules=NO_RULES,
        per_minute=100.0,
        webhooks: Delivery | None = None,
        tariffs: Tariffs = TARIFFS,
        **world,
    ):
        self.clock = VirtualClock(datetime(2026, 3, 1, 9, 0, tzinfo=UTC))
        self.world = World(self.clock, **world)
        self.faults = FaultPlan(seed=1)
        self.requests: list[tuple[str, str]] = []
        self.outcomes: list[tuple[str, str]] = []
        self.happenings: list[Happening] = []
        self.simulator = RoomServiceSimulator(
            self.world, {KEY: SECRET}, self.faults, watch=self._watch
        )
        self.database = database
        self.poll = poll
        self.rules = rules
        self.per_minute = per_minute
        self.tariffs = tariffs
        self.policies = ()
        self.safeguards = Safeguards()
        self.lease = HeldLease()
        self.stop = ""
        self._ids = itertools.count(1)
        self.reader = WebhookReader(KEY, SECRET, self.clock)
        self.taken: list[Taken] = []
        self.sender = None
        if webhooks is not None:
            self.sender = WebhookSender(self.world, self.deliver, webhooks)
        self.project = self.start()

    def deliver(self, event: WebhookEvent) -> Taken:
        """A webhook comes in, signed."""
        read = self.reader.read(*signed(event, KEY, SECRET))
        taken = self.project.receive(read) if isinstance(read, RoomEvent) else read
        self.taken.append(taken)
        return taken

    def pass_time(self, seconds: float) -> None:
        """Let the world go on; with webhooks each of its seconds is lived through."""
        if self.sender is None:
            self.clock.advance(seconds)
            return
        whole, rest = divmod(seconds, 1.0)
        for step in [1.0] * int(whole) + [rest]:
            self.clock.advance(step)
            self.world.settle()

    def start(self, taken: ProjectLease | None = None) -> Project:
        """A watchdog that remembers only what the database does; on a shared one by a lease it has taken."""
        fence = UNFENCED if taken is None else taken
        bucket = TokenBucket.for_polls(self.per_minute, self.poll)
        clock = SteadyClock(self.clock)
        gateway = LiveKitGateway(
            SimulatorApi(self.simulator, KEY, SECRET),
            clock=clock,
            bucket=bucket,
            observe=lambda method, code, *_: self.outcomes.append((method, code)),
            skew_meter=None if self.sender is None else TrueSkew(self.world, self.clock),
        )
        return Project(
            ProjectConfig(
                "p",
                self.poll,
                self.tariffs,
                self.rules,
                policies=self.policies,
                safeguards=self.safeguards,
            ),
            rooms=gateway,
            store=EpisodeStore(self.database, fence),
            clock=clock,
            bucket=bucket,
            powers=Powers(
                AuditStore(self.database, fence),
                ControlStore(self.database),
                taken or self.lease,
                lambda: f"in_{next(self._ids)}",
                lambda: self.stop,
            ),
            new_id=lambda: f"ep_{next(self._ids)}",
        )

    def restart(self, after: float = 0.0) -> None:
        """Kill the watchdog, and start it again `after` seconds later."""
        self.clock.advance(after)
        self.project = self.start()

    async def tick(self) -> TickReport:
        """One tick, now."""
        self.simulator.log.clear()
        self.outcomes.clear()
        return await self.project.tick()

    async def ticks(self, count: int) -> TickReport:
        """So many ticks, one poll interval apart; the last one is now."""
        for _ in range(count):
            self.pass_time(self.poll)
            report = await self.tick()
        return report

    async def until_orphaned(self, room: str, most: int = 12) -> TickReport:
        """Tick until the room is orphaned."""
        for _ in range(most):
            report = await self.ticks(1)
            if any(v.episode.room_name == room for v in report.orphans):
                return report
        raise AssertionError(f"{room} was not found orphaned in {most} ticks")

    def asked(self, method: str) -> list[str]:
        """The rooms (or "") that requests of this method were about, in the last tick."""
        return [r.room for r in self.simulator.log if r.method == method]

    def fault(self, kind: FaultKind, method: str = "*", **more) -> None:
        """From now on, this goes wrong."""
        self.faults.add(Fault(kind, method, **more))

    # ---- deleting -----------------------------------------------------------------------------

    def enforcing(self, *policies, **safeguards) -> None:
        """Start anew in mode enforce (or as given), with these policies between the built-in ones."""
        before, after = built_in_policies(self.poll)
        self.policies = ordered(before, policies, after)
        self.safeguards = Safeguards(**({"mode": Mode.ENFORCE} | safeguards))
        self.restart()

    def when(self, method: str, what, *, room: str = "", phase: str = "received") -> None:
        """Have `what` happen once, when the server next receives, or has answered, such a request."""
        self.happenings.append(Happening(phase, method, room, what))

    def _watch(self, phase: str, method: str, room: str) -> None:
        for happening in list(self.happenings):
            if (happening.phase, happening.method) != (phase, method):
                continue
            if happening.room in ("", room):
                self.happenings.remove(happening)
                happening.what()
                return  # the next one waits for the next request

    async def until_deleted(self, room: str, most: int = 40) -> TickReport:
        """Tick until a DeleteRoom for the room was received."""
        for _ in range(most):
            report = await self.ticks(1)
            if any(d.room == room for d in self.simulator.deletions):
                return report
        raise AssertionError(f"{room} was not deleted in {most} ticks")

    def deleted(self) -> list[str]:
        """The rooms for which a DeleteRoom was received, in order."""
        return [d.room for d in self.simulator.deletions]

    async def audit(self, room: str | None = None) -> list[tuple[str, str | None]]:
        """The kinds and outcomes of the audit's lines, oldest first."""
        entries = await AuditStore(self.database).entries(room=room, limit=1000)
        return [(e.kind.value, e.outcome.value if e.outcome else None) for e in entries]

    # ---- people -------------------------------------------------------------------------------

    def call(
        self,
        room: str,
        agents: int = 1,
        *,
        person: str = "alice",
        timeout: int = LONG,
        name: str = "support",
    ) -> None:
        """A room with a person and agents, whose server would leave the agents alone for long."""
        self.world.create_room(room, empty_timeout=timeout, departure_timeout=timeout)
        self.world.join(room, person)
        for i in range(agents):
            self.world.join_agent(room, name, identity=f"agent-{room}-{i}")

    def strand(self, room: str, agents: int = 1, *, name: str = "support") -> None:
        """A call whose person has just left."""
        self.call(room, agents, name=name)
        self.world.leave(room, "alice")


@asynccontextmanager
async def lab(**options):
    async with await open_database("sqlite+aiosqlite://") as database:
        yield Lab(database, **options)


def orphan(report: TickReport, room: str) -> OrphanView | None:
    """The orphaned room of that name, if it is one."""
    return next((v for v in report.orphans if v.episode.room_name == room), None)


def without_ids(episode: Episode) -> Episode:
    return replace(episode, id="")


__all__ = ["LONG", "POLL", "DetectionRules", "FaultKind", "Lab", "VerdictState", "lab", "orphan"]
