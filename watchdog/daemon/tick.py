"""One pass over one project: observe, classify, track episodes, price, decide, report.

`Project.tick()` reads top to bottom as these stages; what it calls is pure or a Protocol of `ports.py`.
Enforcing will stand between deciding and reporting.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from watchdog.core.budget import Allotment, Purpose, TokenBucket
from watchdog.core.classify import NO_RULES, DetectionRules
from watchdog.core.errors import (
    CredentialsRejected,
    PermissionMissing,
    RateLimited,
    RoomServiceError,
    StoreError,
)
from watchdog.core.looks import Question
from watchdog.core.model import RoomListing, TickResult, VerdictState
from watchdog.core.policy import Action, Policy, Ruling, built_in_policies, ordered
from watchdog.core.pricing import Tariff
from watchdog.core.records import TickRecord
from watchdog.core.report import TickReport
from watchdog.core.rooms import RoomBook
from watchdog.core.steady import SteadyClock
from watchdog.core.watch import ListTrust, Trust, Watch, watched_gap
from watchdog.daemon.accounts import Accounts, Bill
from watchdog.daemon.decide import decide
from watchdog.daemon.ports import RoomService, Store
from watchdog.daemon.summary import orphan_views
from watchdog.daemon.tracker import EpisodeTracker, Unwritten

LOOKS_AT_ONCE = 10
LOOKING_SECONDS = 15.0
"""A tick begins no new look after this long; those under way have their own deadline."""
MAX_BACK_OFF = 300.0
REFUSALS = (CredentialsRejected, PermissionMissing, RateLimited)
"""What does not go away by asking again at once (T32)."""


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """What one tick needs to know of a project. `poll` is the poll interval in seconds."""

    name: str
    poll: float
    tariff: Tariff
    rules: DetectionRules = NO_RULES
    max_drop: float = 0.5
    policies: tuple[Policy, ...] = ()
    """In the order of the walk; the last one matches everything. Empty: the built-in ones."""


@dataclass(slots=True)
class _Pass:
    """What one pass has to tell besides the changes."""

    started: float
    requests: dict[str, int] = field(default_factory=dict)
    budget_delay: float = 0.0
    error: str = ""
    skew: float | None = None

    def count(self, purpose: Purpose) -> None:
        self.requests[purpose] = self.requests.get(purpose, 0) + 1


class Project:
    """Everything the watchdog holds of one project between ticks."""

    def __init__(
        self,
        config: ProjectConfig,
        *,
        rooms: RoomService,
        store: Store,
        clock: SteadyClock,
        bucket: TokenBucket,
        new_id: Callable[[], str],
    ) -> None:
        if not config.policies:
            before, after = built_in_policies(config.poll)
            config = replace(config, policies=ordered(before, (), after))
        self.config = config
        self._service = rooms
        self._store = store
        self._clock = clock
        self._bucket = bucket
        self._allotment = Allotment()
        self._book = RoomBook(config.poll, config.rules)
        self._tracker = EpisodeTracker(
            config.name,
            self._book,
            new_id=new_id,
            on_close=lambda e: self._accounts.close(e, config.tariff, self._book.skew),
            on_reopen=lambda e: self._accounts.reopen(e, config.tariff, self._book.skew),
        )
        self._trust = ListTrust(config.max_drop)
        self._watch = Watch()
        self._watch_mono = 0.0
        self._accounts = Accounts()
        self._number = 0
        self._refusals = 0
        self._refusal = ""
        self._quiet_until = float("-inf")
        self._last: TickReport | None = None
        self._loaded = False

    async def load(self) -> None:
        """Take up what an earlier run left; the first tick does it by itself. Raises StoreError."""
        memory = await self._store.load(self.config.name)
        self._tracker.resume(memory.episodes, memory.recent, self._clock.monotonic())
        # A first list without rooms is suspicious while episodes are open (T02).
        self._trust.believed = len(memory.episodes)
        last = memory.last
        self._accounts = Accounts.restored(memory.closed_spend, last.exported if last else {})
        if last is not None:
            self._number = last.number
            self._watch = Watch(last.watched_seconds, last.blind_seconds, memory.last_good_at)
        self._loaded = True

    async def tick(self) -> TickReport:
        """One pass. Never raises for what LiveKit or the database does: the report says it."""
        this = _Pass(self._clock.monotonic())
        try:
            if not self._loaded:
                await self.load()
            self._follow_clock()
            if this.started < self._quiet_until:
                this.error = self._refusal
                return await self._finish(this, TickResult.BACKING_OFF)
            listing = await self._observe(this)
        except (StoreError, RoomServiceError) as error:
            self._note_refusal(error)
            this.error = str(error)
            return await self._finish(this, TickResult.FAILED)
        trust = self._believe(listing, this)
        questions = self._choose(this)
        try:
            await self._look(questions, this)
            await self._probe(questions, this)
        except REFUSALS as error:
            self._note_refusal(error)
            this.error = str(error)
            return await self._finish(this, TickResult.FAILED)
        self._refusals = 0
        suspicious = trust is Trust.SUSPICIOUS
        return await self._finish(this, TickResult.SUSPICIOUS if suspicious else TickResult.OK)

    # ---- observe --------------------------------------------------------------------------------

    def _follow_clock(self) -> None:
        """Where the machine's clock was set, move with it everything that is measured on it (T36)."""
        if jump := self._clock.resync():
            self._watch = self._watch.shifted(jump)
            self._tracker.shift(jump, self._clock.monotonic())

    async def _observe(self, this: _Pass) -> RoomListing:
        this.count(Purpose.LIST)
        listing = await self._service.list_rooms(self._book.snapshots)
        if listing.clock_skew is not None:
            this.skew = self._book.skew = listing.clock_skew
        return listing

    def _note_refusal(self, error: Exception) -> None:
        """After 401, 403 and 429 nothing is asked for a while, which doubles to five minutes."""
        if isinstance(error, REFUSALS):
            self._refusals += 1
            self._refusal = f"{error}; not asked again for a while"
            pause = min(MAX_BACK_OFF, self.config.poll * 2.0 ** min(self._refusals, 10))
            self._quiet_until = self._clock.monotonic() + pause - self.config.poll / 2

    def _believe(self, listing: RoomListing, this: _Pass) -> Trust:
        """Judge the list, advance the watched clock, take in what the list says (A1, A9)."""
        mono = self._clock.monotonic()
        limit = watched_gap(self.config.poll)
        trust = self._trust.judge(len(listing.rooms))
        if trust is Trust.SUSPICIOUS:
            self._watch = self._watch.suspicious(mono, limit)
            this.error = (
                f"ListRooms named {len(listing.rooms)} rooms where {self._trust.believed} were "
                "known: not believed until two more lists agree"
            )
        else:
            agreed = trust is Trust.AGREED
            self._watch = self._watch.good(mono, listing.answered_at, limit, agreed=agreed)
        self._watch_mono = mono
        self._tracker.note_list(listing, trust, mono)
        return trust

    # ---- look -----------------------------------------------------------------------------------

    def _choose(self, this: _Pass) -> list[Question]:
        """Share what the budget allows now among the rooms that want a request (SAFETY F)."""
        mono = self._clock.monotonic()
        available = self._bucket.available(mono)
        most = max(0, int(available))
        wanted: dict[Purpose, list[Question]] = {}
        for purpose in (Purpose.FALLEN, Purpose.PROBE, Purpose.AGAIN, Purpose.SWEEP):
            here = (
                question
                for question in self._book.looks.questions(purpose, mono)
                if not self._book.is_missing(question.sid)
            )
            # One more than can be served shows that the budget delays somebody.
            wanted[purpose] = list(islice(here, most + 1))
        granted = self._allotment.split(available, {p: len(q) for p, q in wanted.items()})
        chosen: list[Question] = []
        for purpose, questions in wanted.items():
            served = granted.get(purpose, 0)
            chosen += questions[:served]
            if purpose is not Purpose.SWEEP:  # the sweep's pace has a metric of its own
                delays = [mono - q.since for q in questions[served:]]
                this.budget_delay = max([this.budget_delay, *delays])
        return chosen

    async def _look(self, questions: list[Question], this: _Pass) -> None:
        """Ask who is in the chosen rooms; a room without an answer stays as it was (A1).

        Raises the first of REFUSALS, once the looks under way have ended.
        """
        waiting = iter([q for q in questions if q.purpose is not Purpose.PROBE])
        until = self._clock.monotonic() + LOOKING_SECONDS
        refused: list[RoomServiceError] = []

        async def look_until_done() -> None:
            for question in waiting:
                if refused or self._clock.monotonic() > until:
                    return
                this.count(question.purpose)
                room = self._book.rooms[question.sid].snapshot
                try:
                    look = await self._service.look(room, question.purpose)
                except RoomServiceError as error:
                    self._book.note_failed_look(question.sid, str(error), self._clock.monotonic())
                    this.error = this.error or str(error)
                    if isinstance(error, REFUSALS):
                        refused.append(error)
                else:
                    mono = self._clock.monotonic()
                    self._tracker.note_look(look, mono, self._watched(mono))

        async with asyncio.TaskGroup() as group:
            for _ in range(LOOKS_AT_ONCE):
                group.create_task(look_until_done())
        if refused:
            raise refused[0]

    async def _probe(self, questions: list[Question], this: _Pass) -> None:
        """Ask the nodes of the chosen orphans whether they still answer (A10)."""

        async def probe(sid: str) -> None:
            this.count(Purpose.PROBE)
            asked_at = self._clock.now()
            failure: RoomServiceError | None = None
            try:
                await self._service.probe(self._book.rooms[sid].snapshot.name)
            except RoomServiceError as error:
                failure = error
            self._tracker.note_probe(sid, asked_at, failure, self._clock.monotonic())

        async with asyncio.TaskGroup() as group:
            for question in questions:
                if question.purpose is Purpose.PROBE:
                    group.create_task(probe(question.sid))

    # ---- price, commit, report ------------------------------------------------------------------

    def _watched(self, mono: float) -> float:
        """The watched clock at a moment of this tick."""
        return self._watch.provisional + max(0.0, mono - self._watch_mono)

    def _decide(self, bill: Bill, result: TickResult) -> dict[str, Ruling]:
        """What each orphan's policy says; told once when it becomes due, and nothing is done.

        Only a good tick makes a room due: time under suspicion may turn out not to be watched (A1).
        """
        watched = self._watched(self._watch_mono)
        rulings = decide(
            self._tracker.episodes,
            self._book,
            self.config.policies,
            tariff=self.config.tariff,
            spend=bill.episodes,
            watched=watched,
        )
        if result is TickResult.OK:
            self._tracker.note_due(rulings, watched, self._clock.monotonic())
        return rulings

    async def _finish(self, this: _Pass, result: TickResult) -> TickReport:
        """Price what is known, write it, and only then let it be seen."""
        now = self._clock.now()
        self._number += 1
        bill = self._accounts.bill(
            self._tracker.episodes,
            self.config.tariff,
            self._watch.good_wall or now,
            self._book.skew,
        )
        rulings = self._decide(bill, result)
        unwritten = self._tracker.unwritten
        record = TickRecord(
            project=self.config.name,
            number=self._number,
            at=now,
            result=result,
            watched_seconds=self._watch.watched,
            blind_seconds=self._watch.blind,
            message=this.error,
            seen=unwritten.seen,
            probed=unwritten.probed,
            verdicts={s.value: n for s, n in self._book.verdicts.items() if n},
            exported=bill.exported,
            clock_set=unwritten.clock_set,
        )
        rows = 0
        if self._loaded:
            try:
                rows = await self._store.commit(
                    record, tuple(unwritten.episodes.values()), self._accounts.uncommitted
                )
            except StoreError as error:
                result, this.error = TickResult.FAILED, str(error)
            else:
                self._tracker.unwritten = Unwritten()
                self._accounts.committed(bill)
        self._last = self._report(this, result, bill, rulings, now=now, rows=rows)
        return self._last

    def _report(
        self,
        this: _Pass,
        result: TickResult,
        bill: Bill,
        rulings: Mapping[str, Ruling],
        *,
        now: datetime,
        rows: int,
    ) -> TickReport:
        mono = self._clock.monotonic()
        report = replace(
            self._last or TickReport(self.config.name, 0, now, result, 0.0, 0.0, 0.0, None),
            number=self._number,
            at=now,
            result=result,
            duration=mono - this.started,
            error=this.error,
            changes=self._tracker.take_changes(),
            requests=dict(this.requests),
            rows_written=rows,
            budget_delay=this.budget_delay,
        )
        if result in (TickResult.FAILED, TickResult.BACKING_OFF):
            return report  # what was last known stays; last_success_at tells its age
        episodes, accounts, watched = self._tracker.episodes, self._accounts, self._watched(mono)
        views = orphan_views(
            episodes, self._book, accounts, bill, rulings, watched=watched, now=now
        )
        due = Counter(view.policy for view in views if view.due)
        return replace(
            report,
            watched_seconds=self._watch.watched,
            blind_seconds=self._watch.blind,
            last_success_at=now if result is TickResult.OK else report.last_success_at,
            rooms={state: self._book.verdicts[state] for state in VerdictState},
            orphans=views,
            due={p.name: due[p.name] for p in self.config.policies if p.action is not Action.KEEP},
            orphaned_agents=accounts.count_agents(episodes),
            stranded=sum(e.stranded_since is not None for e in episodes),
            spend=accounts.exported,
            burn=accounts.burn(episodes, self.config.tariff),
            sweep_age=self._book.looks.sweep_age(mono),
            count_meaning=self._book.learner.meaning,
            clock_skew=this.skew if this.skew is not None else report.clock_skew,
        )
