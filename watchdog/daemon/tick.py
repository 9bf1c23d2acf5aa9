"""One pass over one project: observe, classify, track episodes, price, decide, enforce, report.

`Project.tick()` reads top to bottom as these stages; what it calls is pure or a Protocol of `ports.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.classify import NO_RULES, DetectionRules
from watchdog.core.errors import RoomServiceError, StoreError
from watchdog.core.gates import Safeguards, holding, project_words
from watchdog.core.hooks import RoomEvent, Taken
from watchdog.core.model import Look, RoomListing, TickResult, VerdictState
from watchdog.core.periods import Period
from watchdog.core.policy import Action, Policy, Ruling, built_in_policies, ordered
from watchdog.core.profiles import Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.report import TickReport
from watchdog.core.rooms import RoomBook
from watchdog.core.spend import Spend
from watchdog.core.steady import SteadyClock
from watchdog.core.suspects import SuspectList, SuspectRules, Suspects
from watchdog.core.watch import ListTrust, Trust, Watch, watched_gap
from watchdog.daemon.accounts import Bill
from watchdog.daemon.asking import REFUSALS, Asker, Pass
from watchdog.daemon.books import Books, Statement
from watchdog.daemon.decide import Judge
from watchdog.daemon.enforce import Enforcer, Powers
from watchdog.daemon.inbox import Inbox
from watchdog.daemon.ports import RoomService, Store
from watchdog.daemon.summary import orphan_views
from watchdog.daemon.tracker import EpisodeTracker, Unwritten
from watchdog.daemon.turns import AT_ONCE

MAX_BACK_OFF = 300.0
LARGEST_SKEW = 86400.0
"""A server whose clock is further off than this has told no time at all."""


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    """What one tick needs to know of a project. `poll` is the poll interval in seconds."""

    name: str
    poll: float
    tariffs: Tariffs
    rules: DetectionRules = NO_RULES
    max_drop: float = 0.5
    policies: tuple[Policy, ...] = ()
    """In the order of the walk; the last one matches everything. Empty: the built-in ones."""
    safeguards: Safeguards = field(default_factory=Safeguards)
    suspects: SuspectRules = field(default_factory=SuspectRules)
    budgets: Mapping[Period, Decimal] = field(default_factory=dict)
    """USD by what they are for."""
    hears_all: bool = True
    """Whether every webhook of the project comes to this process."""


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
        powers: Powers,
        new_id: Callable[[], str],
    ) -> None:
        if not config.policies:
            before, after = built_in_policies(config.poll)
            config = replace(config, policies=ordered(before, (), after))
        self.config = config
        self._service = rooms
        self._store = store
        self._clock = clock
        self._inbox = Inbox(config.rules)
        self._books = Books(
            config.tariffs,
            config.budgets,
            ended=lambda sid: self._tracker.gone(sid),  # noqa: PLW0108 - made after these
        )
        self._book = RoomBook(
            config.poll,
            config.rules,
            config.safeguards.confirmations,
            least_grace=min(p.grace for p in config.policies if p.action is not Action.KEEP),
            hears_all=config.hears_all,
            suspects=Suspects(config.suspects),
        )
        self._enforcer = Enforcer(
            config.name,
            config.safeguards,
            powers,
            book=self._book,
            service=rooms,
            clock=clock,
            bucket=bucket,
            note_look=self._note_look,
            joins=self._inbox.somebody_joins,
        )
        self._tracker = EpisodeTracker(
            config.name,
            self._book,
            new_id=new_id,
            on_close=self._books.accounts.close,
            on_reopen=self._books.accounts.reopen,
            why_gone=self._enforcer.close_reason,
            watched=lambda: self._watched(self._clock.monotonic()),
        )
        self._asker = Asker(self._book, self._tracker, rooms, clock, bucket, self._note_look)
        self._judge = Judge(config.policies, self._books.accounts.burn_of)
        self._ticking = False
        self._trust = ListTrust(config.max_drop)
        self._watch = Watch()
        self._watch_mono = 0.0
        self._number = 0
        self._refusals = 0
        self._refusal = ""
        self._quiet_until = float("-inf")
        self._last: TickReport | None = None
        self._loaded = False

    async def load(self) -> None:
        """Take up what an earlier run left; the first tick does it by itself. Raises StoreError."""
        memory = await self._store.load(self.config.name)
        returned = await self._enforcer.load(memory.last)
        mono = self._clock.monotonic()
        self._inbox.remember(memory.webhooks, mono)
        self._tracker.resume(memory.episodes, memory.recent, mono)
        # A first list without rooms is suspicious while episodes are open (T02).
        self._trust.believed = len(memory.episodes)
        last = memory.last
        self._books.restore(memory)
        self._tracker.close_returned(returned, self._clock.now(), mono)
        if last is not None:
            self._number = last.number
            self._watch = Watch(last.watched_seconds, last.blind_seconds, memory.last_good_at)
        self._loaded = True

    def receive(self, event: RoomEvent) -> Taken:
        """Take in a webhook: at once, or, where a tick is under way, at its end and before every deletion."""
        taken = self._inbox.offer(event)
        if self._loaded and not self._ticking:
            self._hear()
        return taken

    def _hear(self) -> None:
        if self._inbox.lost:
            self._inbox.lost = False
            self._book.missed_webhooks()
        mono = self._clock.monotonic()
        for event in self._inbox.take(mono):
            self._tracker.note_event(event, mono)
            self._enforcer.note_event(event)

    async def store_told(self) -> None:
        """Store what webhooks told since the last tick; for the end, when no tick follows. Never raises.

        It is an observation of theirs and not of ours: the time of the last tick stays.
        """
        if not self._loaded or self._ticking or self._last is None:
            return
        self._hear()
        if not (self._tracker.unwritten.episodes or self._inbox.uncommitted):
            return
        this, now = Pass(self._clock.monotonic()), self._clock.now()
        self._number += 1
        stated = self._books.statement(self._bill(now), now)
        record = self._record(this, self._last.result, stated, self._suspects(now), now)
        await self._commit(this, self._last.result, replace(record, at=self._last.at), stated)

    async def tick(self) -> TickReport:
        """One pass. Never raises for what LiveKit or the database does: the report says it."""
        self._ticking = True
        try:
            return await self._tick()
        finally:
            self._ticking = False
            if self._loaded:
                self._hear()

    async def _tick(self) -> TickReport:
        this = Pass(self._clock.monotonic())
        try:
            if not self._loaded:
                await self.load()
            self._follow_clock()
            # What was told waits for the first list: only that says how far the server's clock is off.
            waits = not self._book.skew_known
            if not waits:
                self._hear()
            if this.started < self._quiet_until:
                this.error = self._refusal
                return await self._finish(this, TickResult.BACKING_OFF)
            listing = await self._observe(this)
            if waits:
                self._hear()
        except (StoreError, RoomServiceError) as error:
            self._note_refusal(error)
            this.error = str(error)
            return await self._finish(this, TickResult.FAILED)
        trust = await self._believe(listing, this)
        reserved = self._enforcer.reserve(self._clock.monotonic())
        questions = self._asker.choose(this, reserved)
        try:
            await self._asker.look(questions, this)
            await self._asker.probe(questions, this)
            self._hear()
        except REFUSALS as error:
            self._note_refusal(error)
            this.error = str(error)
            return await self._finish(this, TickResult.FAILED)
        if trust is Trust.SUSPICIOUS:
            self._refusals = 0
            return await self._finish(this, TickResult.SUSPICIOUS)
        return await self._finish(this, TickResult.OK)

    # ---- observe --------------------------------------------------------------------------------

    def _follow_clock(self) -> None:
        """Where the machine's clock was set, move with it everything that is measured on it (T36)."""
        if jump := self._clock.resync():
            self._watch = self._watch.shifted(jump)
            self._tracker.shift(jump, self._clock.monotonic())
            self._books.shift(jump)
            self._enforcer.clock_set(self._clock.monotonic())

    async def _observe(self, this: Pass) -> RoomListing:
        this.count(Purpose.LIST)
        listing = await self._service.list_rooms(self._book.snapshots)
        if listing.clock_skew is not None and abs(listing.clock_skew) <= LARGEST_SKEW:
            this.skew = self._book.skew = listing.clock_skew
            self._book.skew_known = True
        return listing

    def _note_refusal(self, error: Exception) -> None:
        """After 401, 403 and 429 nothing is asked for a while, which doubles to five minutes."""
        if isinstance(error, REFUSALS):
            self._refusals += 1
            self._refusal = f"{error}; not asked again for a while"
            pause = min(MAX_BACK_OFF, self.config.poll * 2.0 ** min(self._refusals, 10))
            self._quiet_until = self._clock.monotonic() + pause - self.config.poll / 2

    async def _believe(self, listing: RoomListing, this: Pass) -> Trust:
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
        for _ in self._book.note_new(listing, mono):
            await asyncio.sleep(0)
        self._tracker.note_list(listing, trust, mono)
        await self._let_others()
        return trust

    def _note_look(self, look: Look) -> None:
        mono = self._clock.monotonic()
        self._tracker.note_look(look, mono, self._watched(mono))
        self._enforcer.note_people(look, self._book.skew)

    # ---- price, commit, report ------------------------------------------------------------------

    def _watched(self, mono: float) -> float:
        """The watched clock at a moment of this tick."""
        return self._watch.provisional + max(0.0, mono - self._watch_mono)

    def _decide(self, spend: Mapping[str, Spend], result: TickResult) -> dict[str, Ruling]:
        """What each orphan's policy says; told once when it becomes due, and nothing is done.

        Only a good tick makes a room due: time under suspicion may turn out not to be watched (A1).
        """
        watched = self._watched(self._watch_mono)
        rulings = self._judge.decide(
            self._tracker.episodes, self._book, spend=spend, watched=watched
        )
        if result is TickResult.OK:
            self._tracker.note_due(rulings, watched, self._clock.monotonic())
        return rulings

    async def _finish(self, this: Pass, result: TickResult) -> TickReport:
        """Price what is known, write it, and only then act on it and let it be seen."""
        now = self._clock.now()
        self._number += 1
        upto = self._watch.good_wall or now
        await self._books.accounts.reckon(self._tracker.episodes, upto)
        bill = self._bill(now)
        await self._let_others()
        rulings = self._decide(bill.episodes, result)
        await self._let_others()
        if result is TickResult.OK:
            await self._plan(rulings)
        stated = self._books.statement(bill, now)
        suspects = self._suspects(now)
        record = self._record(this, result, stated, suspects, now)
        result, rows = await self._commit(this, result, record, stated)
        if result is TickResult.OK:
            result = await self._enforce(this)
            if self._tracker.unwritten.episodes:
                # A last look saw a person: that must be known to whoever starts after us (A7).
                stated = self._books.statement(self._bill(now), now)
                again = self._record(this, result, stated, suspects, now)
                again = replace(again, seen={**record.seen, **again.seen}, probed=record.probed)
                result, more = await self._commit(this, result, again, stated)
                rows += more
        self._last = await self._report(
            this, result, stated.bill, rulings, suspects, now=now, rows=rows
        )
        return self._last

    async def _let_others(self) -> None:
        """Let others have their turn, where there are so many rooms that a step over them takes long."""
        if len(self._book.rooms) >= AT_ONCE:
            await asyncio.sleep(0)

    def _bill(self, now: datetime) -> Bill:
        """Everything until the last moment that was really observed."""
        upto = self._watch.good_wall or now
        return self._books.accounts.bill(self._tracker.episodes, upto)

    def _suspects(self, now: datetime) -> SuspectList:
        rooms = self._book.rooms
        mono = self._clock.monotonic()
        return self._book.suspects.take(now, mono, lambda sid: rooms[sid].snapshot.name)

    def _record(
        self,
        this: Pass,
        result: TickResult,
        stated: Statement,
        suspects: SuspectList,
        now: datetime,
    ) -> TickRecord:
        unwritten = self._tracker.unwritten
        return TickRecord(
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
            exported=stated.bill.exported,
            avoided=stated.avoided,
            tally=stated.tally,
            gates=self._enforcer.notes(),
            webhooks=tuple(self._inbox.uncommitted),
            suspects=suspects.oldest,
            clock_set=unwritten.clock_set,
        )

    async def _commit(
        self, this: Pass, result: TickResult, record: TickRecord, stated: Statement
    ) -> tuple[TickResult, int]:
        """Write one record and what changed; what cannot be written stays for the next commit."""
        if not self._loaded:
            return result, 0
        changed = tuple(self._tracker.unwritten.episodes.values())
        try:
            rows = await self._store.commit(
                record,
                changed,
                self._books.accounts.uncommitted,
                self._books.postings(changed, stated),
            )
        except StoreError as error:
            this.error = str(error)
            return TickResult.FAILED, 0
        self._tracker.unwritten = Unwritten()
        self._inbox.committed(record.webhooks)
        self._books.committed(stated)
        return result, rows

    # ---- enforce --------------------------------------------------------------------------------

    async def _plan(self, rulings: Mapping[str, Ruling]) -> None:
        """Ask the gates about what is due. Only a good tick gets here (T04)."""
        opened = self._tracker.take_opened()
        self._enforcer.good_tick(self._watch_mono, watched_gap(self.config.poll), opened)
        watched = self._watched(self._watch_mono)
        await self._enforcer.prepare(tuple(self._tracker.episodes), rulings, watched)
        listed = (room.name for room in self._book.snapshots.values())
        self._books.note_deletions(self._enforcer.take_verified(), listed, self._clock.now())

    async def _enforce(self, this: Pass) -> TickResult:
        """Carry the plan out, now that what led to it is on disk."""
        try:
            error = await self._enforcer.act()
        except StoreError as failure:
            this.error = str(failure)
            return TickResult.FAILED
        if error is None:
            self._refusals = 0
        else:
            self._note_refusal(error)
            this.error = this.error or str(error)
        return TickResult.OK

    async def _report(
        self,
        this: Pass,
        result: TickResult,
        bill: Bill,
        rulings: Mapping[str, Ruling],
        suspects: SuspectList,
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
            changes=self._tracker.take_changes() + self._enforcer.take_changes(),
            outcomes=self._enforcer.take_outcomes(),
            new_suspects=suspects.new,
            requests=dict(this.requests),
            rows_written=rows,
            money_fault=self._books.take_fault(),
            budget_delay=this.budget_delay,
            joined_after_deletion=0,
            backlog=None,
        )
        if result in (TickResult.FAILED, TickResult.BACKING_OFF):
            return report  # what was last known stays; last_success_at tells its age
        episodes, watched = tuple(self._tracker.episodes), self._watched(mono)
        accounts = self._books.accounts
        plan = self._enforcer.plan
        views = await orphan_views(
            episodes,
            self._book,
            accounts,
            bill,
            rulings=rulings,
            words=plan.words,
            watched=watched,
            now=now,
        )
        await self._let_others()
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
            duplicate_agents=accounts.count_duplicates(episodes),
            gates=plan.holds(),
            holds=holding(project_words(plan.state)),
            suspects=suspects.oldest,
            suspect_counts=suspects.counts,
            troubled=self._enforcer.troubled(episodes),
            joined_after_deletion=self._enforcer.take_joined(),
            backlog=self._enforcer.take_backlog(views) if result is TickResult.OK else None,
            stranded=sum(e.stranded_since is not None for e in episodes),
            spend=accounts.exported,
            burn=accounts.burn(episodes),
            avoided=self._books.avoided,
            budgets=self._books.budgets,
            sweep_age=self._book.looks.sweep_age(mono),
            count_meaning=self._book.learner.meaning,
            clock_skew=this.skew if this.skew is not None else report.clock_skew,
        )
