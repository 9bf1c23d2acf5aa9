"""The proof of SAFETY G: the whole daemon, in process, against a world that misbehaves in every way.

One step is one tick. `python -m tests.proof.run --seed 1 --steps 100000` runs it on both cores and prints
what was injected and found; a violation names the seed that reproduces it.
"""

import argparse
import asyncio
import gc
import itertools
import multiprocessing
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from livekit.protocol.webhook import WebhookEvent

from tests.daemon.harness import KEY, POLL, SECRET, TARIFFS, HeldLease, TrueSkew
from tests.proof.chaos import Chaos
from tests.proof.tokens import check_once, sign_once
from tests.proof.witness import Witness, Witnessed, WitnessedAudit
from watchdog.core.budget import TokenBucket
from watchdog.core.classify import DetectionRules
from watchdog.core.cooldown import COOLDOWN, FORGOTTEN, HOUR, LONGEST_COOLDOWN, MOST_SENT
from watchdog.core.deletion import Mode
from watchdog.core.gates import Safeguards
from watchdog.core.hooks import RoomEvent
from watchdog.core.model import CloseReason, Role
from watchdog.core.policy import Action, Match, Policy, built_in_policies, ordered
from watchdog.core.report import ChangeKind, TickReport
from watchdog.core.spend import Spend
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.rooms.webhooks import WebhookReader
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.cloud import CloudFlavour
from watchdog.simulator.faults import ROW_KINDS, Fault, FaultKind, FaultPlan
from watchdog.simulator.ledger import AGENTS
from watchdog.simulator.webhooks import Delivery, WebhookSender
from watchdog.simulator.world import World
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore

LIVELY_TICKS = 360
TAIL_TICKS = 140
GRACE = 60.0
HOLD = 120.0
RULES = DetectionRules(("bot-*",))
METHODS = ("*", "ListRooms", "ListParticipants", "ListDispatch", "DeleteRoom")
POLICIES = (
    Policy("keep", Match(rooms=("k-*",)), action=Action.KEEP),
    Policy("quick", grace=GRACE, respect_room_timeouts=False),
)
TAIL_OF_A_ROOM = GRACE + 60 + HOLD + 10 * POLL + 600
"""Whatever was due that long before the end of a calm tail is gone by then; a crowd has a longer queue."""


LEAST_IN_TIME = 0.95
LOOKING = timedelta(seconds=20)
"""A look can have been true that long before the tick that took it in ended."""


class KilledError(BaseException):
    """The process ends here and now: nothing that catches Exception catches this."""


@dataclass(frozen=True)
class Crowd:
    """How much goes on: how many names there are, and how many events a tick, from and to."""

    names: int = 60
    least: int = 4
    most: int = 13
    bad_luck: tuple[tuple[FaultKind, str], ...] = ()
    """Faults that are frequent, beside those that are drawn."""


DENSE = Crowd(300, 40, 99)


@dataclass
class Tally:
    """What a run saw."""

    ticks: int = 0
    rooms: int = 0
    requests: int = 0
    deleted: int = 0
    kills: int = 0
    due: int = 0
    due_and_gone: int = 0
    overdue: int = 0
    """Rooms that were left alone for longer than `TAIL_OF_A_ROOM`, for no reason, over the whole run."""
    webhooks: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    _SUMS: ClassVar = (
        "ticks",
        "rooms",
        "requests",
        "deleted",
        "kills",
        "due",
        "due_and_gone",
        "overdue",
    )

    @property
    def in_time(self) -> float:
        """The share of those due for long that were gone in time, over the whole run (4)."""
        return self.deleted / max(1, self.deleted + self.overdue)

    def add(self, other: "Tally") -> None:
        for name in self._SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.webhooks += other.webhooks
        self.exceptions += other.exceptions
        self.violations += other.violations

    def lines(self) -> Iterator[str]:
        yield f"ticks       {self.ticks}"
        yield f"room-lives  {self.rooms}"
        yield f"kills       {self.kills}"
        faults = ", ".join(f"{kind} {n}" for kind, n in sorted(self.faults.items()))
        yield f"faults      {faults or 'none'}"
        events = ", ".join(f"{result} {n}" for result, n in sorted(self.webhooks.items()))
        yield f"webhooks    {events or 'none'}"
        yield f"deletions   {self.requests} requested, {self.deleted} took effect"
        share = self.due_and_gone / self.due if self.due else 1.0
        yield f"due         {self.due} in calm tails, {self.due_and_gone} of them gone ({share:.1%})"
        yield f"over all    {self.overdue} left for too long, {self.in_time:.1%} gone in time"
        for what, count in sorted(self.exceptions.items()):
            yield f"exception   {what}: {count}"
        for violation in self.violations[:20]:
            yield f"VIOLATION   {violation}"
        yield f"{len(self.violations)} violations"


class Killing:
    """Passes calls on, and kills the process right before or right after one of them now and then."""

    def __init__(self, inner: object, killer: Callable[[], None]) -> None:
        self._inner, self._killer = inner, killer

    def __getattr__(self, name: str):
        given = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(given):
            return given

        async def called(*arguments, **named):
            self._killer()
            result = await given(*arguments, **named)
            self._killer()
            return result

        return called


class Proof:
    """One world with one watchdog on it, from a seed."""

    def __init__(
        self,
        seed: int,
        database: Database,
        *,
        faults: tuple[Fault, ...] | None = None,
        crowd: Crowd = Crowd(),
    ) -> None:
        self.crowd = crowd
        self.seed = seed
        self.rng = random.Random(seed)
        self.attended = faults is not None
        self.clock = VirtualClock(datetime(2026, 3, 1, 9, 0, tzinfo=UTC))
        flavour = self.rng.random()
        self.world = World(
            self.clock,
            seed=seed,
            count_lag=self.rng.choice((0.0, 0.0, 6.0)),
            counts_include_agents=flavour < 0.1,
            cloud=CloudFlavour(agents_return=5.0) if 0.1 <= flavour < 0.3 else None,
        )
        self.faults = FaultPlan(faults or (), seed=seed)
        self.witness = Witness(wall=self.clock.now)
        self.server = Witnessed(self.world, {KEY: SECRET}, self.faults, watch=self._watch)
        self.server.witness = self.witness
        check_once(self.server)
        self.chaos = Chaos(self.world, self.rng, crowd.names, always_attended=self.attended)
        self.database = database
        self.tally = Tally()
        self._ids = itertools.count(1)
        self._calm = True
        self._kill_in = -1
        self.spent: dict[str, Spend] = {}
        always = timedelta(days=365 if faults else 0)
        self._falsified_until = self.world.now() + always
        self._calm_since = self.world.now()
        self.reader = WebhookReader(KEY, SECRET, self.clock)
        self.sender = self._webhooks()
        self.project = self.start()

    def _webhooks(self) -> WebhookSender | None:
        """In most worlds webhooks come: lost, late, unordered and twice, more or less."""
        if self.seed % 3 == 0:
            return None
        delivery = Delivery(
            lost=self.rng.choice((0.0, 0.1, 0.5)),
            twice=self.rng.choice((0.0, 0.2)),
            late=self.rng.choice((0.0, 0.2, 0.8)),
        )
        return WebhookSender(self.world, self._deliver, delivery, self.seed)

    def _deliver(self, told: WebhookEvent) -> None:
        read = self.reader.event_of(told)
        taken = self.project.receive(read) if isinstance(read, RoomEvent) else read
        self.tally.webhooks[taken.value] += 1

    def start(self) -> Project:
        """A watchdog that knows what the database does."""
        clock, bucket = SteadyClock(self.clock), TokenBucket(2000.0, 400.0)
        gateway = LiveKitGateway(
            sign_once(SimulatorApi(self.server, KEY, SECRET)),
            clock=clock,
            bucket=bucket,
            skew_meter=TrueSkew(self.world, self.clock) if self.sender else None,
        )
        before, after = built_in_policies(POLL)
        audit = WitnessedAudit(self.database)
        audit.witness = self.witness
        return Project(
            ProjectConfig(
                "p",
                POLL,
                TARIFFS,
                RULES,
                policies=ordered(before, POLICIES, after),
                safeguards=Safeguards(
                    mode=Mode.ENFORCE,
                    protected=("p-*",),
                    per_tick=3,
                    per_hour=1000,
                    limit_hold=HOLD,
                    recordings=300.0,
                ),
            ),
            rooms=Killing(gateway, self._maybe_kill),
            store=Killing(EpisodeStore(self.database), self._maybe_kill),
            clock=clock,
            bucket=bucket,
            powers=Powers(
                Killing(audit, self._maybe_kill),
                ControlStore(self.database),
                HeldLease(),
                lambda: f"in_{next(self._ids)}",
            ),
            new_id=lambda: f"ep_{next(self._ids)}",
        )

    # ---- what happens ---------------------------------------------------------------------------

    def _maybe_kill(self) -> None:
        if self._kill_in > 0:
            self._kill_in -= 1
        elif self._kill_in == 0:
            self._kill_in = -1
            raise KilledError

    def _watch(self, phase: str, method: str, room: str) -> None:
        if (phase, method) == ("received", "DeleteRoom"):
            self.witness.note_deletion(self.server, self.server._deletions.entries[-1])
        if self._calm:
            return
        if method == "ListRooms" and room and self.rng.random() < 0.3:
            self.chaos.at_the_last_moment(room)
        elif self.rng.random() < 0.03:
            self.chaos.event()

    async def lively(self, ticks: int) -> None:
        """Ticks among events, faults, kills and clocks that are set."""
        self._calm = False
        for _ in range(ticks):
            for _ in range(self.rng.randint(self.crowd.least, self.crowd.most)):
                self.world.after(self.rng.uniform(0, POLL), self.chaos.event)
            if not self.attended:
                self._misfortune()
            await self.tick()
        self._calm = True
        self.faults.clear()

    def _misfortune(self) -> None:
        chance = self.rng.random()
        if chance < (0.3 if self.crowd.bad_luck else 0.04):
            until = self.world.now() + timedelta(seconds=self.rng.uniform(1, 20 * POLL))
            kind, method = self.rng.choice(list(FaultKind)), self.rng.choice(METHODS)
            if self.crowd.bad_luck:
                kind, method = self.rng.choice(self.crowd.bad_luck)
            self.faults.add(
                Fault(
                    kind,
                    method,
                    until=until,
                    rate=self.rng.choice((0.1, 0.5, 1.0)),
                    after=self.rng.random(),
                )
            )
            if kind in ROW_KINDS or kind in (FaultKind.EMPTY_BODY, FaultKind.DELAY):
                self._falsified_until = max(self._falsified_until, until + timedelta(seconds=120))
        elif chance > 0.992:
            self._kill_in = self.rng.randrange(30)
        elif chance > 0.988:
            self.clock.jump_wall(self.rng.choice((-3600.0, -30.0, 30.0, 3600.0)))

    async def tick(self) -> TickReport | None:
        """One step; None where the watchdog was killed in it."""
        self.clock.advance(POLL * self.rng.uniform(0.95, 1.05))
        since = self.world.now()
        self.tally.ticks += 1
        try:
            report = await self.project.tick()
        except BaseException as error:
            if not _is_kill(error):
                raise
            self.tally.kills += 1
            self.witness.lost(since)
            self.clock.advance(self.rng.choice((1.0, 20.0, 600.0)))
            self.project = self.start()
            return None
        self._judge_spend(report)
        self._judge_episodes(report)
        return report

    def _judge_episodes(self, report: TickReport) -> None:
        """(5) An episode opens where an agent is and no person, and ends as gone where the room has ended."""
        falsified = self.world.now() < self._falsified_until
        for change in report.changes:
            sid, name = change.episode.room_sid, change.episode.room_name
            stranded = sid in self.chaos.stranded
            if change.kind is ChangeKind.OPENED and not falsified and not stranded:
                drift = self.clock.now() - self.world.now()
                # Webhooks may have moved the first bound to before the look that opened it.
                at = change.episode.bounds.last_seen_orphaned_at - drift
                self._judge_opening(sid, name, at)
            gone = change.episode.close_reason in (CloseReason.ROOM_GONE, CloseReason.DELETED)
            if change.kind is ChangeKind.CLOSED and gone and not falsified:
                life = self.world.ledger.rooms[sid]
                if life.ended_at is None and not life.gaps:
                    self.witness.violations.append(f"(5) {name} was called gone and had not ended")

    def _judge_opening(self, sid: str, name: str, at: datetime) -> None:
        """Somebody was there all the while the look was asked and answered, or no agent ever was."""
        look = self.witness.look_asked(name, at)
        if look is None:
            self.witness.violations.append(f"(5) an episode of {name} opened without a look")
            return
        stays = self.world.ledger.stays_of(sid)
        attended = any(
            stay.role is Role.PERSON
            and stay.joined_at < look.received
            and (stay.left_at is None or stay.left_at > look.answered)
            for stay in stays
        )
        agents = any(
            stay.role in AGENTS
            and stay.joined_at <= look.answered
            and (stay.left_at is None or stay.left_at >= look.received)
            for stay in stays
        )
        # By name, a look at a room that has just taken this one's place tells of that one.
        replaced = any(
            life.name == name and life.sid != sid and life.created_at > at - LOOKING
            for life in self.world.ledger.rooms.values()
        )
        if (attended or not agents) and not replaced:
            self.witness.violations.append(
                f"(5) an episode of {name} opened with no agent alone in it"
            )

    def _judge_spend(self, report: TickReport) -> None:
        """(5) What was exported never falls."""
        for name, spend in report.spend.items():
            known = self.spent.get(name)
            if known is not None and (spend.low < known.low or spend.high < known.high):
                self.witness.violations.append(f"(5) spend of {name} fell from {known} to {spend}")
            self.spent[name] = spend

    async def calm(self, ticks: int) -> None:
        """A tail without events or faults; then whatever was due for long must be gone (4)."""
        for _ in range(ticks):
            await self.tick()
        end = self.world.now()
        mono = self.clock.monotonic()
        for room in self.world.rooms.values():
            spans = self.world.ledger.orphaned_spans(room.sid)
            if not spans or spans[-1].end is not None or room.ghost is not None:
                continue
            if room.name in ("p-protected", "k-kept") or room.info.metadata:
                continue
            since = max(spans[-1].start, self._calm_since)
            if (end - since).total_seconds() < TAIL_OF_A_ROOM:
                continue
            self.tally.due += 1
            left, _ = self.project._enforcer._cooldowns.left(room.name, mono)
            if left > 0 or self._explained_by_counts(room):
                self.tally.exceptions["left alone for a reason at the end"] += 1
            else:
                self.witness.violations.append(
                    f"(4) {room.name} was due for long and is still there: "
                    f"{(end - since).total_seconds():.0f} s"
                )
        gone = [d for d in self.server.deletions if d.effect and d.at >= self._calm_since]
        self.tally.due += len(gone)
        self.tally.due_and_gone += len(gone)

    def _explained_by_counts(self, room) -> bool:
        """A server that counts agents, of which that is not learned: nothing can be deleted there."""
        return self.world.counts_include_agents

    async def whole(self) -> Tally:
        """A whole run."""
        await self.lively(LIVELY_TICKS)
        self._calm_since = self.world.now()
        await self.calm(TAIL_TICKS)
        return self.finish()

    def _overdue(self) -> int:
        """How many rooms an agent was alone in for longer than it should have been, without a reason."""
        if self.attended or self.world.counts_include_agents:
            return 0
        excused = self.chaos.stranded | self.chaos.protected
        asked: dict[str, list[datetime]] = defaultdict(list)
        for deletion in self.server.deletions:
            asked[deletion.room].append(deletion.at)
        # As many may wait as there are names, and one a tick goes where too many do.
        longest = timedelta(seconds=TAIL_OF_A_ROOM + self.crowd.names / 6 * POLL)
        return sum(
            (end := span.end or self.world.now())
            - self._free_from(span.start, end, asked[life.name])
            > longest
            for life in self.world.ledger.rooms.values()
            if life.sid not in excused and life.name not in ("p-protected", "k-kept")
            for span in self.world.ledger.orphaned_spans(life.sid)
        )

    @staticmethod
    def _free_from(start: datetime, end: datetime, asked: list[datetime]) -> datetime:
        """From when on a name that was deleted before does not cool down any more, nor is capped."""
        times = [at for at in asked if at < end]
        for number, at in enumerate(times):
            recent = [t for t in times[: number + 1] if (at - t).total_seconds() < FORGOTTEN]
            pause = min(LONGEST_COOLDOWN, COOLDOWN * 2.0 ** (len(recent) - 1))
            start = max(start, at + timedelta(seconds=pause))
            if number + 1 >= MOST_SENT:
                start = max(start, times[number + 1 - MOST_SENT] + timedelta(seconds=HOUR))
        return start

    def finish(self) -> Tally:
        """What was seen."""
        self.tally.rooms = len(self.world.ledger.rooms)
        self.tally.requests = self.witness.requests
        self.tally.deleted = sum(d.effect for d in self.server.deletions)
        self.tally.overdue = self._overdue()
        self.tally.faults = Counter({k.value: n for k, n in self.faults.injected.items()})
        self.tally.exceptions += self.witness.exceptions
        self.tally.violations = [f"seed {self.seed}: {v}" for v in self.witness.violations]
        return self.tally


def _is_kill(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_kill(inner) for inner in error.exceptions)
    return isinstance(error, KilledError)


async def prove(seed: int, crowd: Crowd = Crowd()) -> Tally:
    """One whole run from this seed."""
    async with await open_database("sqlite+aiosqlite://") as database:
        return await Proof(seed, database, crowd=crowd).whole()


async def prove_attended(seed: int, fault: Fault, ticks: int = 40) -> Tally:
    """(3) A world whose every room holds a person throughout, and one kind of fault all the time."""
    async with await open_database("sqlite+aiosqlite://") as database:
        proof = Proof(seed, database, faults=(fault,))
        await proof.lively(ticks)
        tally = proof.finish()
        if tally.requests:
            tally.violations.append(
                f"seed {seed}: (3) {fault.kind} led to {tally.requests} DeleteRooms"
            )
        return tally


def _prove_many(arguments: tuple[int, int]) -> Tally:
    first, ticks = arguments

    # The collector would go through all that was imported again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)

    async def many() -> Tally:
        tally = Tally()
        for seed in itertools.count(first, 2):
            if tally.ticks >= ticks:
                return tally
            tally.add(await prove(seed))
        raise AssertionError("never ends")

    return asyncio.run(many())


def main() -> int:
    """Run at any size on both cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=100_000)
    given = parser.parse_args()
    started = time.monotonic()
    base = given.seed * 1_000_000
    tally = Tally()
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = [(base, given.steps // 2), (base + 1, given.steps // 2)]
        for part in pool.imap_unordered(_prove_many, jobs):
            tally.add(part)
    for kind in FaultKind:
        # What hides a person from every answer is no single answer's fault, and is counted apart.
        method = "ListParticipants" if kind is FaultKind.HIDDEN_PERSON else "*"
        tally.add(asyncio.run(prove_attended(base, Fault(kind, method, rate=0.5))))
    print(f"seconds     {time.monotonic() - started:.0f}")
    for line in tally.lines():
        print(line)
    return 1 if tally.violations or tally.in_time < LEAST_IN_TIME else 0


if __name__ == "__main__":
    sys.exit(main())
