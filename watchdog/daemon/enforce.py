"""Deleting: what was planned is written down, looked at once more, asked for, and verified.

Intent before the request, outcome after it, both on disk. Whatever goes wrong leaves the room alone; a
second try is a later tick, with every gate asked anew.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from watchdog.core.budget import TokenBucket
from watchdog.core.cooldown import SENT, TROUBLES, Cooldowns
from watchdog.core.deletion import (
    AuditEntry,
    AuditKind,
    Control,
    Mode,
    Outcome,
)
from watchdog.core.errors import RateLimited, RoomServiceError, RoomUnreachable, StoreError
from watchdog.core.gatenotes import GateNotes
from watchdog.core.gates import (
    ALWAYS,
    ASKED_AFRESH,
    PROTECTIONS,
    ProjectState,
    Safeguards,
    Word,
    words,
)
from watchdog.core.hooks import RoomEvent
from watchdog.core.limits import Queue
from watchdog.core.model import Episode, Look, RoomSnapshot, Verdict, VerdictState
from watchdog.core.policy import Ruling
from watchdog.core.records import TickRecord
from watchdog.core.report import Backlog, Change, ChangeKind, OrphanView
from watchdog.core.roomlists import ListEntry
from watchdog.core.rooms import RoomBook
from watchdog.core.steady import SteadyClock
from watchdog.core.sudden import SuddenChange
from watchdog.core.suspects import SuspectReason
from watchdog.core.warmup import WarmUp
from watchdog.daemon.aftermath import Aftermath
from watchdog.daemon.attempts import Attempt, Attempts, after
from watchdog.daemon.entries import entry_about
from watchdog.daemon.kinder import REQUESTS as WARNING_REQUESTS
from watchdog.daemon.kinder import Desk, Kinder
from watchdog.daemon.marks import Marks
from watchdog.daemon.plan import Cases, Plan, Planner, Target, seen
from watchdog.daemon.ports import Audit, Controls, Lease, RoomService
from watchdog.daemon.recheck import REQUESTS, Finding, Recheck, delete_if_still_alone
from watchdog.daemon.requests import Requests, answer_to

ENFORCING_SECONDS = 15.0
"""A tick begins no attempt after so long; one under way has the deadlines of its requests."""
PLAN_SECONDS = 45.0
"""So old what the gates said may be when a request is made: the attempts of a tick, and their deadlines."""
REFUSAL = 60.0
LONGEST_REFUSAL = 3600.0
"""Where the server refuses DeleteRoom itself, it is asked again after this, and less and less often (T32)."""
UNREACHABLE = 600.0


@dataclass(frozen=True, slots=True)
class Powers:
    """What a project needs to delete, besides what it needs to watch."""

    audit: Audit
    controls: Controls
    lease: Lease
    new_intent: Callable[[], str]
    stopped: Callable[[], str] = lambda: ""
    """Why nothing may be deleted at all, or nothing."""


class Enforcer:
    """Everything about deleting that one project keeps between ticks."""

    def __init__(
        self,
        project: str,
        safeguards: Safeguards,
        powers: Powers,
        *,
        book: RoomBook,
        service: RoomService,
        clock: SteadyClock,
        bucket: TokenBucket,
        note_look: Callable[[Look], None],
        joins: Callable[[str, str], str],
    ) -> None:
        self.safeguards = safeguards
        self._project = project
        self._powers = powers
        self._book = book
        self._service = service
        self._clock = clock
        self._bucket = bucket
        self._note_look = note_look
        self._joins = joins
        self._aftermath = Aftermath(book.rules)
        self._cooldowns = Cooldowns()
        self._attempts = Attempts(book, clock.now)
        self._marks = Marks()
        self._cases = Cases(book, self._attempts, self._cooldowns, self._marks)
        desk = Desk(self._entry, self._recheck, self._append, note_look, self._tell)
        self._kinder = Kinder(book, service, clock, bucket, self._marks, desk)
        queue = Queue(safeguards.per_tick, safeguards.per_hour, safeguards.limit_hold, book.poll)
        self._planner = Planner(self._cases, queue)
        self._sudden = SuddenChange(safeguards.max_drop, safeguards.min_population)
        self._released_at: datetime | None = None
        self._requests = Requests(book, clock)
        self._warm = WarmUp(clock.monotonic())
        self._jumped: float | None = None
        self._refusals = 0
        self._refused = (float("-inf"), "")
        self._control: Control | None = None
        self._unwritten: list[AuditEntry] = []
        self._outcomes: list[AuditEntry] = []
        self._verified: list[AuditEntry] = []
        self._changes: list[Change] = []
        self._mode_before: Mode | None = None
        self._backlog_told = False
        self.close_reason = self._attempts.close_reason
        self.plan = Plan(ProjectState(safeguards))

    # ---- what happens around it -------------------------------------------------------------------

    async def load(self, last: TickRecord | None) -> frozenset[str]:
        """Take up what an earlier run left: open intents are verified, never repeated. Raises StoreError.

        `last` is its last tick: a hold that was open then goes on. Returns the open episodes in which a last
        look had seen a person.
        """
        now, mono = self._clock.now(), self._clock.monotonic()
        self._mode_before = last.gates.known_mode if last is not None else None
        if last is not None and last.gates.held_for is not None:
            ago = last.gates.held_for + max(0.0, (now - last.at).total_seconds())
            self._planner.queue = replace(self._planner.queue, opened=mono - ago)
        self._released_at = now
        memory = await self._powers.audit.load(self._project, now)
        self._planner.told = set(memory.told)
        self._marks.load(memory, now, mono)
        self._cooldowns.remember(memory.deletions, now, mono)
        self._verified = [
            entry
            for entry in memory.deletions
            if entry.kind is AuditKind.OUTCOME and entry.outcome is Outcome.DELETED
        ]
        self._attempts.verified = {entry.room_sid for entry in self._verified}
        for intent, answer in memory.open_intents:
            self._attempts.begin(intent, answer, mono)
            self._requests.done(intent.intent)
        return memory.returned

    def clock_set(self, mono: float) -> None:
        """Our machine's clock was set: nothing that was seen before counts."""
        self._jumped = mono
        self._warm.begin_anew(mono)

    def good_tick(self, mono: float, longest_gap: float, opened: int) -> None:
        """A tick was good at `mono`; so many episodes were opened in it."""
        self._warm.good_tick(mono, longest_gap)
        attended = self._book.verdicts[VerdictState.ATTENDED]
        self._sudden.note(mono, attended=attended, orphaned=opened)

    def reserve(self, mono: float) -> int:
        """How many requests must be left for rooms that may be deleted in this tick (SAFETY F)."""
        unwarned = min(len(self._kinder.unwarned(self.plan.to_warn)), self.safeguards.per_tick)
        # Each also needs the look that confirms it: what is reserved must leave that many.
        served = int(self._bucket.available(mono) // (REQUESTS + 1))
        armed = min(self._book.armed_by(mono), self.safeguards.per_tick, max(1, served))
        return REQUESTS * armed + WARNING_REQUESTS * unwarned

    def take_changes(self) -> tuple[Change, ...]:
        """What happened since this was last asked."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def take_outcomes(self) -> tuple[AuditEntry, ...]:
        """The outcomes that were settled, and are on disk, since this was last asked."""
        outcomes, self._outcomes = tuple(self._outcomes), []
        return outcomes

    def take_verified(self) -> tuple[AuditEntry, ...]:
        """The deletions seen to have taken effect since this was last asked, or by an earlier run."""
        verified, self._verified = tuple(self._verified), []
        return verified

    def note_event(self, event: RoomEvent) -> None:
        """A webhook, which may say that somebody came to a room that was just deleted."""
        self._aftermath.note_event(event)

    def note_people(self, look: Look, skew: float) -> None:
        """A look, which may show the same."""
        room = self._book.rooms.get(look.room_sid)
        if room is not None:
            self._aftermath.note_look(room.snapshot.name, look, skew)

    def take_joined(self) -> int:
        """How many persons came to a name within a minute of its deletion, since this was last asked."""
        return self._aftermath.take()

    def troubled(self, episodes: Iterable[Episode]) -> dict[str, int]:
        """How many orphaned rooms cannot be deleted for good, by what is wrong with them."""
        mono = self._clock.monotonic()
        found: Counter[str] = Counter()
        for episode in episodes:
            trouble = self._cooldowns.trouble(episode.room_name, mono)
            if episode.stranded_since is not None:
                trouble = Outcome.STRANDED
            elif trouble is Outcome.RESURRECTED and episode.person_seen:
                continue  # another call under the name, left alone in its turn
            if trouble is not None:
                found[trouble] += 1
        return {trouble: found[trouble] for trouble in TROUBLES}

    def notes(self) -> GateNotes:
        """What only this process knows, for the commands beside it."""
        armed = {}
        for sid in self._book.looks.being_armed:
            room = self._book.rooms[sid]
            if room.arming is not None and room.episode is not None:
                armed[room.episode.id] = room.arming
        notes = GateNotes.of(self.plan.state, armed, self.plan.simulated)
        before = self._mode_before
        # Noted as changed only once the backlog is told and nothing is paused: whoever is killed before that,
        # or deletes by hand meanwhile, must not keep the next run from telling it.
        unsaid = not self._backlog_told or self.plan.state.paused != ""
        if before is not None and unsaid and before.patience > self.safeguards.mode.patience:
            return replace(notes, mode=before.value)
        return notes

    def take_backlog(self, orphans: Iterable[OrphanView]) -> Backlog | None:
        """What the mode makes deletable at once, where it changed: once, after a good tick."""
        if self._backlog_told:
            return None
        self._backlog_told = True
        return Backlog.after_change(self._mode_before, self.safeguards.mode, orphans)

    # ---- plan -------------------------------------------------------------------------------------

    async def prepare(
        self, episodes: Iterable[Episode], rulings: Mapping[str, Ruling], watched: float
    ) -> Plan:
        """After the looks of a good tick: settle what can be settled, and ask the gates."""
        now, mono = self._clock.now(), self._clock.monotonic()
        await self._read_control()
        for attempt, outcome in self._attempts.settle(mono):
            self._note_settled(attempt, outcome, mono)
        if self._control is not None:
            for request, became, why in self._requests.take(self._control.requests):
                self._unwritten.append(answer_to(request, became, why, now))
        with suppress(StoreError):  # the gate `durable` holds, and the tick's own commit says why
            await self._write_down()
        self.plan = await self._planner.plan(
            episodes,
            rulings,
            self._requests.by_sid,
            self._state(mono),
            watched=watched,
            now=now,
            mono=mono,
        )
        refused = self._requests.refused(self.plan.words, {e.id: e.room_sid for e in episodes})
        self._unwritten += [answer_to(r, Outcome.ABORTED, why, now) for r, why in refused]
        return self.plan

    async def _read_control(self) -> None:
        try:
            self._control = await self._powers.controls.read(self._project)
        except StoreError:
            self._control = None
            return
        released = self._control.released_at
        if released is not None and (self._released_at is None or released > self._released_at):
            self._released_at = released
            self._planner.queue = self._planner.queue.release()

    def _state(self, mono: float) -> ProjectState:
        if self._control is None:
            paused = "the database does not say whether it is paused"
        else:
            paused = self._control.pause.sentence if self._control.pause else ""
        return ProjectState(
            safeguards=self.safeguards,
            entries=self._entries(),
            paused=paused,
            refused=self._refused[1] if mono < self._refused[0] else "",
            stopped=self._powers.stopped(),
            sudden=self._sudden.says(),
            good_ticks=self._warm.ticks,
            warm_seconds=self._warm.seconds(mono),
            since_jump=ALWAYS if self._jumped is None else mono - self._jumped,
            locked=self._powers.lease.held(),
            unwritten="an outcome could not be written yet" if self._unwritten else "",
            recent=self._cooldowns.in_the_last_hour(mono)
            + self._marks.ended_in_the_last_hour(mono),
        )

    def _entries(self) -> tuple[ListEntry, ...] | None:
        return None if self._control is None else self._control.entries

    # ---- act --------------------------------------------------------------------------------------

    async def act(self) -> RoomServiceError | None:
        """Carry out the plan, the oldest rooms first; returns an error that the next ticks must heed.

        Raises StoreError where the database fails: then nothing more is done.
        """
        await self._write_down()
        await self._tell_would_be()
        until = self._clock.monotonic() + ENFORCING_SECONDS
        error = await self._delete(until)
        return error or await self._kinder.warn_all(self.plan.to_warn, until)

    async def _delete(self, until: float) -> RoomServiceError | None:
        for target in self.plan.ready:
            mono = self._clock.monotonic()
            if mono > until or self._bucket.available(mono) < REQUESTS:
                break
            await self._read_control()
            paused = self._control is None or self._control.pause is not None
            if (paused and target.request is None) or self._forbidden():
                break
            sid, name = target.episode.room_sid, target.episode.room_name
            if self._taken_back(target) or self._joins(sid, name):
                continue
            kinder = self._kinder.ends_first(target)
            finding = await (self._end_first(target) if kinder else self._attempt(target))
            if (error := finding.error) is not None:
                # Where DeleteRoom alone is refused, looking goes on; a gate holds the deletions.
                refused = finding.outcome is Outcome.FAILED and not isinstance(error, RateLimited)
                return None if refused else error
        return None

    async def _tell_would_be(self) -> None:
        entries = [
            self._entry(target, AuditKind.OUTCOME, intent="", outcome=Outcome.WOULD_DELETE)
            for target in self.plan.would_be
        ]
        await self._powers.audit.append(entries)
        for target, entry in zip(self.plan.would_be, entries, strict=True):
            self._planner.told.add(target.episode.id)
            self._outcomes.append(entry)
            self._book.disarm(target.episode.room_sid)
            why = f"all but mode observe allowed it, under policy {entry.policy}"
            self._tell(ChangeKind.WOULD_DELETE, target.episode, why)

    async def _attempt(self, target: Target) -> Finding:
        """One room: intent, last look, request, answer."""
        sid = target.episode.room_sid
        key = target.request.id if target.request else self._powers.new_intent()
        intent = self._entry(target, AuditKind.INTENT, intent=key, outcome=None)
        await self._powers.audit.append([intent])
        finding = await self._look_and_delete(target)
        mono = self._clock.monotonic()
        # Any second try needs looks of its own.
        self._book.disarm(sid)
        if finding.look is not None:
            self._note_look(finding.look)
        sent = finding.outcome in (Outcome.DELETED, Outcome.UNKNOWN)
        kind = AuditKind.ANSWER if finding.to_be_verified else AuditKind.OUTCOME
        if finding.to_be_verified:
            self._attempts.begin(intent, finding.outcome, mono)
        why = finding.why if sent else f"{finding.outcome}: {finding.why}"
        told = ChangeKind.DELETION_SENT if sent else ChangeKind.NOT_DELETED
        self._tell(told, target.episode, why)
        self._note_finding(intent, finding, mono)
        self._unwritten.append(after(intent, kind, finding.outcome, finding.why, self._clock.now()))
        if target.request:
            self._requests.done(target.request.id)
        await self._write_down()
        return finding

    async def _end_first(self, target: Target) -> Finding:
        """One room whose dispatches are ended before it is deleted: a line, last look, requests, a line."""
        entry = self._entry(target, AuditKind.ENDING, self._powers.new_intent())
        await self._append(entry)
        finding, line = await self._kinder.end(target, entry)
        self._note_finding(entry, finding, self._clock.monotonic())
        self._unwritten.append(line)
        await self._write_down()
        return finding

    async def _append(self, entry: AuditEntry) -> None:
        await self._powers.audit.append([entry])

    async def _look_and_delete(self, target: Target) -> Finding:
        recheck = self._recheck(target)
        return await delete_if_still_alone(self._service, self._clock, self._book.rules, recheck)

    def _recheck(self, target: Target) -> Recheck:
        room = self._book.rooms[target.episode.room_sid]
        case = self._cases.of(
            target.episode, target.ruling, target.age, self._clock.now(), self._clock.monotonic()
        )
        asked = ASKED_AFRESH if target.request is None else PROTECTIONS

        def protected(snapshot: RoomSnapshot, verdict: Verdict | None) -> Word | None:
            # The lists as they were last read, and as they are at this moment: entries expire.
            state = replace(self.plan.state, entries=self._entries())
            now = replace(case, now=self._clock.now())
            said = words(state, seen(now, room, snapshot, verdict))
            return next((w for w in said if w.gate in asked and not w.passes), None)

        async def still_wanted() -> str:
            await self._read_control()
            if self._control is None:
                return "the database does not say whether it is paused"
            if self._control.pause is not None and target.request is None:
                return self._control.pause.sentence
            if self._taken_back(target):
                return "it was taken back"
            try:
                return await self._powers.lease.confirmed()
            except StoreError as error:
                return f"whether the lease holds is not known: {error}"

        return Recheck(
            room.snapshot,
            explained=lambda verdict: self._book.explained_by(room, verdict),
            protected=protected,
            still_wanted=still_wanted,
            still_allowed=lambda: (
                self._forbidden() or self._joins(room.snapshot.sid, room.snapshot.name)
            ),
        )

    def _taken_back(self, target: Target) -> bool:
        request = target.request
        return request is not None and not self._requests.still_open(request, self._control)

    def _forbidden(self) -> str:
        """What forbids every deletion at this very moment, or nothing."""
        if self._clock.monotonic() - self.plan.made > PLAN_SECONDS:
            return "too much time has passed since the gates were asked"
        if not self._powers.lease.held():
            return "the database's lock, or the project's lease, is not held any more"
        return self._powers.stopped()

    # ---- afterwards -------------------------------------------------------------------------------

    def _note_finding(self, intent: AuditEntry, finding: Finding, mono: float) -> None:
        """What an attempt means for the next ones."""
        name, sid = intent.room_name, intent.room_sid
        if finding.outcome in SENT:
            self._cooldowns.sent(name, mono)
        if finding.outcome is Outcome.DELETED:
            self._cooldowns.note(intent, mono)
            self._aftermath.deleted(name, self._clock.now())
            self._marks.note_deleted(intent.episode)
            self._refusals = 0
        elif isinstance(finding.error, RoomUnreachable):
            # Deleting such a room can start it anew: it is probed at once, and left alone for long (T28).
            self._cooldowns.not_deleted(name, mono, "its node did not answer", least=UNREACHABLE)
            self._book.ask_node(sid, self._clock.now(), mono)
        elif finding.outcome is Outcome.UNKNOWN:
            self._cooldowns.not_deleted(name, mono, "the last request had no answer")
        elif finding.outcome is Outcome.FAILED:
            self._cooldowns.not_deleted(name, mono, "the server refused the last request")
            self._refusals += 1
            pause = min(LONGEST_REFUSAL, REFUSAL * 2.0 ** min(self._refusals - 1, 8))
            self._refused = (mono + pause, finding.why)
        if finding.counted:
            if self._book.suspects.note_disagreement(sid, mono):
                why = f"{SuspectReason.COUNT_DISAGREES}: {finding.why}"
                self._cooldowns.not_deleted(name, mono, why)
        elif finding.look is not None:
            self._book.suspects.note_agreement(sid)

    def _note_settled(self, attempt: Attempt, entry: AuditEntry, mono: float) -> None:
        self._unwritten.append(entry)
        if entry.outcome in TROUBLES:
            self._cooldowns.in_trouble(entry.room_name, mono, entry.outcome)
        if entry.outcome in (Outcome.DELETED, Outcome.RESURRECTED):
            if attempt.answer is not Outcome.DELETED:  # else it was noted when the server said yes
                self._cooldowns.note(entry, mono)
                self._aftermath.deleted(entry.room_name, attempt.intent.at)
            return
        if attempt.answer is not None:
            self._cooldowns.not_deleted(entry.room_name, mono, entry.why)
        room = self._book.rooms.get(entry.room_sid)
        if room is not None and room.episode is not None:
            self._tell(ChangeKind.NOT_DELETED, room.episode, f"{entry.outcome}: {entry.why}")

    async def _write_down(self) -> None:
        """Write what is not on disk yet; what cannot be written is kept, and nothing is begun meanwhile."""
        if not self._unwritten:
            return
        await self._powers.audit.append(self._unwritten)
        settled = [e for e in self._unwritten if e.kind is AuditKind.OUTCOME]
        self._outcomes += settled
        self._verified += [entry for entry in settled if entry.outcome is Outcome.DELETED]
        self._unwritten = []

    def _tell(self, kind: ChangeKind, episode: Episode, detail: str) -> None:
        self._changes.append(Change(kind, episode, detail))

    def _entry(
        self, target: Target, kind: AuditKind, intent: str = "", outcome: Outcome | None = None
    ) -> AuditEntry:
        return entry_about(
            self._project,
            target,
            kind,
            self._clock.now(),
            intent=intent,
            outcome=outcome,
            drained=self._planner.queue.goes_uncounted(target.episode.id),
        )
