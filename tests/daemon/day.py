"""A day of churn under a watchdog, and every episode of it held against the world's exact ledger."""

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from livekit.protocol.webhook import WebhookEvent

from tests.daemon import bills
from tests.daemon.bills import ATOM, BILLS, FOREVER, Bill, Truth, agents_of, true_cost
from tests.daemon.churn import HURT, MUTE, Churn
from tests.daemon.harness import KEY, POLL, SECRET, Lab, lab
from watchdog.core.hooks import RoomEvent, Taken
from watchdog.core.model import Episode, Role
from watchdog.core.pricing import episode_spend
from watchdog.core.profiles import Tariffs
from watchdog.core.records import Spend
from watchdog.core.report import TickReport
from watchdog.simulator.faults import Fault, FaultKind
from watchdog.simulator.ledger import Ledger, Span, Stay
from watchdog.simulator.webhooks import Delivery, signed
from watchdog.store.episodes import EpisodeStore

SWEEP, AGAIN = 150.0, 60.0
"""Seconds after which any room, and a known orphan, is looked at again without a reason."""
AFTERMATH = timedelta(minutes=5)
"""So long after the answers of the whole project were spoilt, what is known can still be wide."""
PROMPT = timedelta(seconds=1.5)
SKEW = timedelta(seconds=2.4)
DELIVERY = Delivery(lost=0.05, twice=0.05, late=0.1)


@dataclass(frozen=True, slots=True)
class OfHurtRooms(Fault):
    """A fault that only requests about rooms of a hurt name meet."""

    def matches(self, method: str, rooms: tuple[str, ...], now: datetime) -> bool:
        met = Fault.matches(self, method, rooms, now)
        return met and any(HURT in room for room in rooms)


@dataclass(frozen=True, slots=True)
class LostBodies(OfHurtRooms):
    """Bodies lost now and then, never two in a row of one room: what two looks agree on is so, by A1."""

    chance: random.Random = field(default_factory=lambda: random.Random(11), compare=False)
    spared: Counter[str] = field(default_factory=Counter, compare=False)
    """For so many requests more a room is spared: others of its answers are spoilt, too."""

    def matches(self, method: str, rooms: tuple[str, ...], now: datetime) -> bool:
        if not OfHurtRooms.matches(self, method, rooms, now):
            return False
        (room,) = rooms
        if self.spared[room] > 0:
            self.spared[room] -= 1
            return False
        if self.chance.random() >= 0.12:
            return False
        self.spared[room] = 5
        return True


class Day:
    """A lab in which a day of churn goes by, and what is needed to judge it afterwards."""

    def __init__(self, w: Lab, seed: int, rooms: int, hours: float) -> None:
        self.w = w
        self.hours = hours
        w.world.skew = SKEW
        self.began = w.clock.now()
        self.churn = Churn(w.world, seed, rooms, hours)
        self.looks: defaultdict[str, list[datetime]] = defaultdict(list)
        self.spoilt: list[Span] = []
        self.prompt: set[tuple[str, str]] = set()
        """Who came ("joined") or left, by SID, and was told of at once."""
        self.exported: dict[str, Spend] = {}
        self.counts: Counter[str] = Counter()
        self.untaken: list[RoomEvent] = []
        """The webhooks that came since the last tick: not on disk yet."""
        self._before: dict[str, tuple[datetime, Decimal]] = {}
        self._polls = self._after = 0
        assert w.sender is not None
        w.sender.deliver = self._deliver

    def _deliver(self, event: WebhookEvent) -> Taken | None:
        """Of some rooms no webhook ever comes."""
        if event.room.name.startswith(MUTE):
            return None
        age = self.w.world.server_time().timestamp() - event.created_at
        if event.participant.sid and age < 1 + PROMPT.total_seconds():
            self.prompt.add((event.event.removeprefix("participant_"), event.participant.sid))
        read = self.w.reader.read(*signed(event, KEY, SECRET))
        if not isinstance(read, RoomEvent):
            return read
        self.untaken.append(read)
        return self.w.project.receive(read)

    def hurt(self) -> None:
        """Requests about some rooms go wrong all day, and all requests at some hours."""
        for kind, method, rate in (
            (FaultKind.ERROR_500, "ListParticipants", 0.1),
            (FaultKind.GARBAGE, "ListParticipants", 0.1),
            (FaultKind.TIMEOUT_408, "*", 0.1),
        ):
            self.w.faults.add(OfHurtRooms(kind, method, rate=rate))
        self.w.faults.add(LostBodies(FaultKind.EMPTY_BODY, "ListParticipants"))
        for part in (0.2, 0.5, 0.8):
            from_ = self.began + timedelta(hours=self.hours * part)
            until = from_ + timedelta(hours=self.hours / 48)
            self.spoilt.append(Span(from_, until))
            for kind, method, rate in (
                (FaultKind.ERROR_503, "*", 0.1),
                (FaultKind.DELAY, "*", 0.1),
                (FaultKind.LOST_ANSWER, "ListParticipants", 0.1),
                (FaultKind.HANG, "ListParticipants", 0.02),
                (FaultKind.EMPTY_BODY, "ListRooms", 0.1),
                (FaultKind.WRONG_COUNT, "ListRooms", 0.1),
                (FaultKind.LAGGING_COUNT, "ListRooms", 0.1),
            ):
                self.w.faults.add(Fault(kind, method, from_=from_, until=until, rate=rate))
            # Never two in a row: what two good lists lack is gone, by A1, and false lists look good.
            poll = timedelta(seconds=self.w.poll)
            while from_ < until:
                one = Fault(FaultKind.PARTIAL_LIST, "ListRooms", from_=from_, until=from_ + poll)
                self.w.faults.add(one)
                from_ += 6 * poll

    # ---- living through it -------------------------------------------------------------------------

    async def live(self) -> None:
        """The whole day, and until its last room has ended."""
        while self.goes_on():
            await self.poll()

    @property
    def number(self) -> int:
        """How many ticks have come due."""
        return self._polls

    def goes_on(self) -> bool:
        """Whether another tick is to come; once the day is over the rooms that are left end bit by bit."""
        if self._polls * self.w.poll < self.hours * 3600:
            return True
        if self.w.world.rooms:
            self.churn.close_some(0.1)
            return True
        self._after += 1  # until two lists have said so
        return self._after <= 5

    async def poll(self) -> TickReport:
        """One tick at its appointed time, however long the one before took."""
        self.pass_time()
        return await self.tick()

    def pass_time(self) -> None:
        """Until the next tick is due."""
        self._polls += 1
        due = self.began + timedelta(seconds=self._polls * self.w.poll)
        self.w.pass_time(max(0.0, (due - self.w.clock.now()).total_seconds()))

    async def tick(self) -> TickReport:
        """One tick now; nothing that it exports has fallen."""
        report = await self.w.tick()
        self.untaken.clear()
        for request in self.w.simulator.log:
            if request.method == "ListParticipants" and request.status == 200:
                self.looks[request.room].append(request.at)
        self._note_exported(report)
        for view in report.orphans:
            key, first = view.episode.id, view.episode.bounds.first_orphaned_at
            known, high = self._before.get(key, (first, view.spend.high))
            self.counts["moved back"] += first < known
            self.counts["fell"] += view.spend.high < high
            self._before[key] = (first, view.spend.high)
        return report

    def _note_exported(self, report: TickReport) -> None:
        for name, before in self.exported.items():
            after = report.spend[name]
            assert after.low >= before.low, name
            assert after.high >= before.high, name
            assert after.unverified >= before.unverified, name
        self.exported = dict(report.spend)

    # ---- judging it --------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        return self.w.world.ledger

    async def judged(self) -> "list[Judged]":
        """Every episode of the day, as it is stored, and what the ledger says of it."""
        store = EpisodeStore(self.w.database)
        found: list[Episode] = []
        while page := await store.episodes_since("p", after=found[-1] if found else None):
            found += page
        return [Judged(self, episode) for episode in found]

    def is_hurt(self, room_name: str, start: datetime, end: datetime | None) -> bool:
        """Whether an injected fault can have touched what was seen of a room in that time."""
        return HURT in room_name or any(
            start < (spoilt.end or FOREVER) + AFTERMATH and (end or FOREVER) > spoilt.start
            for spoilt in self.spoilt
        )

    def looked_at(self, room_name: str, span: Span | Stay) -> int:
        """How many good looks at the room fall within a span, or a stay."""
        start, end = (
            (span.start, span.end) if isinstance(span, Span) else (span.joined_at, span.left_at)
        )
        return sum(start <= at < (end or FOREVER) for at in self.looks[room_name])


class Judged:
    """One episode that is over, and what the ledger says of it."""

    def __init__(self, day: Day, episode: Episode) -> None:
        self.day, self.episode = day, episode
        bounds, ledger = episode.bounds, day.ledger
        # What one look shows was so at some moment between its question (the last seen, if there was no
        # other) and its answer (the first): after a slow answer the first is the later of the two.
        moments = (bounds.first_orphaned_at, bounds.last_seen_orphaned_at)
        self.spans = [
            span
            for span in ledger.orphaned_spans(episode.room_sid)
            if span.start <= max(moments) and (span.end or FOREVER) > min(moments)
        ]
        there = agents_of(ledger, episode.room_sid, self.spans)
        seen = {span.participant_sid for span in episode.agents}
        self.stays = [s for s in there if s.participant_sid in seen]
        self.unseen = [s for s in there if s.participant_sid not in seen]
        """Agents that came and went between two looks: nobody who looks can know of them."""

    @property
    def is_hurt(self) -> bool:
        """Whether an injected fault can have touched it."""
        bounds = self.episode.bounds
        begin = bounds.last_attended_at or self.episode.room_created_at
        return self.day.is_hurt(self.episode.room_name, begin, bounds.first_gone_at)

    @property
    def was_visited(self) -> bool:
        """Whether a person came and went in it, between two looks, and no webhook told."""
        bounds = self.episode.bounds
        return any(
            stay.role is Role.PERSON
            and stay.joined_at < bounds.last_seen_orphaned_at
            and (stay.left_at or FOREVER) > bounds.first_orphaned_at
            for stay in self.day.ledger.stays_of(self.episode.room_sid)
        )

    @property
    def truth(self) -> Truth:
        """What the agents that were seen cost while they were alone."""
        return sum((self._cost(stay, self.spans) for stay in self.stays), Truth())

    @property
    def truth_with_visits(self) -> Truth:
        """The same as if nobody had been there from the first of its spans to the last."""
        whole = [Span(self.spans[0].start, self.spans[-1].end)]
        return sum((self._cost(stay, whole) for stay in self.stays), Truth())

    def _cost(self, stay: Stay, spans: list[Span]) -> Truth:
        return true_cost(stay, self._bills(stay), spans)

    def _bills(self, stay: Stay) -> tuple[Bill, ...]:
        return BILLS[self.day.churn.names[stay.participant_sid], stay.role]

    def spend(self, tariffs: Tariffs) -> Spend:
        """What the product makes of it."""
        return sum(self.spend_by_name(tariffs).values(), Spend())

    def spend_by_name(self, tariffs: Tariffs) -> dict[str, Spend]:
        """The same by agent name."""
        end = self.episode.bounds.first_gone_at
        assert end is not None, "the day is over"
        return episode_spend(self.episode, tariffs, upto=end)

    # ---- how wide it may be ------------------------------------------------------------------------

    def begin_was_told(self, stay: Stay) -> bool:
        """Whether webhooks told at once when the last person left whom a look had shown with this agent."""
        start = self.spans[0].start
        last = [
            person
            for person in self.day.ledger.stays_of(stay.room_sid)
            if person.role is Role.PERSON and person.left_at == start
        ]
        return any(
            ("left", person.participant_sid) in self.day.prompt
            and any(
                max(stay.joined_at, person.joined_at) <= at < start
                for at in self.day.looks[stay.room_name]
            )
            for person in last
        )

    def end_was_told(self, stay: Stay) -> bool:
        """Whether a webhook told at once that it left, while no person was there."""
        alone = any(s.start < (stay.left_at or FOREVER) <= (s.end or FOREVER) for s in self.spans)
        return alone and ("left", stay.participant_sid) in self.day.prompt

    def widest(self) -> Decimal:
        """The most USD that may lie between low and high of the meters that certainly bill while idle.

        Two polls and ten seconds for each connection; the pause between looks more for each end that only
        looks had found: a sweep's at the beginning, an orphan's at the end. A bill counts whole steps, at
        either end of both estimates, and a connection that began in the episode owes its minimum at once.
        """
        most = Decimal(0)
        for stay in self.stays:
            unsure = 2 * POLL + 10
            unsure += 0.0 if self.begin_was_told(stay) else SWEEP
            unsure += 0.0 if self.end_was_told(stay) else AGAIN
            for bill in self._bills(stay):
                least = bill.least if stay.joined_at >= self.spans[0].start else 0
                if bill.idle:
                    most += (Decimal(unsure) + 2 * bill.step + least) * bill.rate
        return most + ATOM

    @property
    def was_told(self) -> bool:
        """Whether webhooks told of both ends of all its connections."""
        return all(self.begin_was_told(s) and self.end_was_told(s) for s in self.stays)

    def outlasts_a_meter(self) -> bool:
        """Whether a socket was to be closed in it that may have been opened again: low ends there."""
        return any(
            bill.idle
            and bill.most is not None
            and not bill.final
            and (stay.left_at or FOREVER) - stay.joined_at > timedelta(seconds=bill.most)
            for stay in self.stays
            for bill in self._bills(stay)
        )


@asynccontextmanager
async def day(seed: int, rooms: int, hours: float) -> AsyncIterator[Day]:
    """So many rooms live within so many hours, watched with webhooks for about half of them."""
    async with lab(webhooks=replace(DELIVERY), count_lag=6.0) as w:
        w.tariffs = bills.tariffs()
        w.restart()
        yield Day(w, seed, rooms, hours)
