"""Which rooms may be deleted now: every gate asked about every room that is due (SAFETY D).

Nothing is done here but to arm and disarm: looks confirm what is planned before it is carried out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchdog.core.cooldown import Cooldowns
from watchdog.core.deletion import BY_POLICY, DeletionRequest, Mode
from watchdog.core.gates import (
    ARMED,
    LIMITS,
    LIMITS_AT,
    MODE,
    NOT_ASKED_TO_WARN,
    WAITED_FOR,
    WAIVED_BY_HAND,
    WARNED,
    ProjectState,
    RoomCase,
    Word,
    holding,
    limits_word,
    project_words,
    words,
)
from watchdog.core.limits import Queue
from watchdog.core.model import Episode, Role, RoomSnapshot, Verdict, VerdictState
from watchdog.core.policy import Action, Ruling
from watchdog.core.rooms import RoomBook, RoomState
from watchdog.daemon.attempts import Attempts
from watchdog.daemon.marks import Marks
from watchdog.daemon.turns import in_turns

MISSING = "not in the newest list; others must agree before the episode ends"


@dataclass(frozen=True, slots=True)
class Target:
    """A room that every gate lets pass, and by whose will it goes: a policy's, or an operator's request."""

    episode: Episode
    ruling: Ruling | None
    age: float
    words: tuple[Word, ...]
    request: DeletionRequest | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the gates say in one tick.

    `words` are by episode, of the rooms that are due. `ready` are to be deleted now, `would_be` would
    be but for mode observe, of `to_warn` the agents are told; each the oldest first.
    """

    state: ProjectState
    words: Mapping[str, tuple[Word, ...]] = field(default_factory=dict)
    ready: tuple[Target, ...] = ()
    would_be: tuple[Target, ...] = ()
    to_warn: tuple[Target, ...] = ()
    made: float = float("-inf")
    """When the gates were asked, in monotonic seconds."""
    simulated: tuple[str, ...] = ()
    """The episodes of due rooms that a simulated participant is, or was, in."""

    def holds(self) -> dict[str, bool]:
        """By gate, whether it holds: one of the project's at all, one of a room's for a room that is due."""
        gates: dict[str, bool] = {}
        for said in (project_words(self.state), *self.words.values()):
            for word in said:
                gates[word.gate] = gates.get(word.gate, False) or word.passes is not True
        return gates


@dataclass(slots=True)
class Cases:
    """Puts together what the gates ask about a room, out of what the daemon knows."""

    book: RoomBook
    attempts: Attempts
    cooldowns: Cooldowns
    marks: Marks

    def of(
        self, episode: Episode, ruling: Ruling | None, age: float, now: datetime, mono: float
    ) -> RoomCase:
        """One room at this moment."""
        room = self.book.rooms[episode.room_sid]
        missing = self.book.is_missing(episode.room_sid)
        left, why = self.cooldowns.left(episode.room_name, mono)
        case = RoomCase(
            room_name=episode.room_name,
            project=episode.project,
            now=now,
            orphaned=room.state is VerdictState.ORPHANED and not missing,
            why_orphaned=MISSING if missing else room.reason,
            ruling=ruling,
            age=age,
            stranded=episode.stranded_since is not None,
            warned_known=True,
            warned_for=self.marks.warned_for(episode.id, mono),
            pending=self.attempts.waits_for(episode.room_sid),
            cooldown=left,
            why_cooldown=why,
            arming_known=True,
            # A count that rose, and that no look has explained yet, is no confirmation.
            arming=None if room.count_rose else room.arming,
        )
        return seen(case, room, room.snapshot)


def seen(
    case: RoomCase, room: RoomState, snapshot: RoomSnapshot, verdict: Verdict | None = None
) -> RoomCase:
    """The case with what a snapshot, and a look where there is one, say of the room's protection."""
    recorded, simulated = room.recorder_there, room.simulated_seen
    if verdict is not None:
        recorded = bool(verdict.of_role(Role.RECORDER))
        simulated |= any(a.participant.simulated for a in verdict.assessments)
    return replace(
        case,
        recording=snapshot.active_recording or recorded,
        simulated=simulated,
        hold_known=True,
        held_until=snapshot.held_until,
    )


@dataclass(slots=True)
class Planner:
    """Asks the gates, and sees to it that what may be deleted is armed, and nothing else."""

    cases: Cases
    queue: Queue
    told: set[str] = field(default_factory=set)
    """The episodes of which it was said that they would have been deleted."""

    async def plan(
        self,
        episodes: Iterable[Episode],
        rulings: Mapping[str, Ruling],
        requests: Mapping[str, DeletionRequest],
        state: ProjectState,
        *,
        watched: float,
        now: datetime,
        mono: float,
    ) -> Plan:
        """Every due room and what the gates say. `requests` are by SID; `watched` is the watched clock.

        Others have their turn meanwhile; nothing that is asked here may change by it.
        """
        due: list[tuple[Target, RoomCase]] = []
        soon: list[Target] = []
        episodes = tuple(episodes)
        self.told &= {episode.id for episode in episodes}
        self.cases.marks.forget((episode.id for episode in episodes), mono)
        async for episode in in_turns(sorted(episodes, key=lambda e: e.watched_at_open)):
            ruling, age = rulings.get(episode.id), max(0.0, watched - episode.watched_at_open)
            request = requests.get(episode.room_sid)
            if request is not None or (ruling is not None and _is_due(ruling, age)):
                case = self.cases.of(episode, ruling, age, now, mono)
                due.append((Target(episode, ruling, age, (), request), case))
            if request is None and self._warns(ruling, episode, age):
                case = self.cases.of(episode, ruling, age, now, mono)
                soon.append(Target(episode, ruling, age, words(state, case)))
        first = await self._first_words(state, due)
        waiting = [
            t.episode.id
            async for (t, _), said in in_turns(zip(due, first, strict=True))
            if t.request is None and self._passes(state, t, said)
        ]
        if not holding(project_words(state), but=frozenset({MODE, LIMITS})):
            # Else nobody waits for the limits: a hold goes on over a restart, a pause, a clock that was set.
            self.queue = self.queue.update(waiting, state.recent or 0, mono)
        state = replace(state, waiting=len(waiting), held_for=self.queue.held_for(mono))
        told = await self._last_words(state, due, first, mono)
        chosen = [t async for t in in_turns(told) if self._may_be_armed(state, t)]
        self._arm(chosen, mono)
        armed = [t for t in chosen if not holding(t.words, but=self._not_asked(state, t))]
        observing = state.safeguards.mode is Mode.OBSERVE
        by_hand = tuple(t for t in armed if t.request is not None)
        go = self.queue.go([t.episode.id for t in armed if t.request is None], mono)
        by_policy = tuple(t for t in armed if t.request is None and t.episode.id in go)
        return Plan(
            state,
            {t.episode.id: t.words for t in told},
            (*by_hand, *(() if observing else by_policy)),
            by_policy if observing else (),
            tuple(t for t in soon if not holding(t.words, but=NOT_ASKED_TO_WARN)),
            made=mono,
            simulated=tuple(t.episode.id for t, case in due if case.simulated),
        )

    def _warns(self, ruling: Ruling | None, episode: Episode, age: float) -> bool:
        """Whether the agents are still to be told that a room is near its deletion."""
        told = episode.id in self.cases.marks.warned
        return ruling is not None and not told and ruling.is_to_be_warned(age)

    async def _first_words(
        self, state: ProjectState, due: Sequence[tuple[Target, RoomCase]]
    ) -> list[tuple[Word, ...]]:
        """What the gates say before it is known how many wait; those of the project are asked once."""
        of_project = {word.gate: word for word in project_words(state)}
        return [words(state, case, known=of_project) async for _, case in in_turns(due)]

    async def _last_words(
        self,
        state: ProjectState,
        due: Sequence[tuple[Target, RoomCase]],
        first: Sequence[tuple[Word, ...]],
        mono: float,
    ) -> list[Target]:
        """The same once it is known how many wait, and whose turn it is: only the limits ask for that."""
        turns = self.queue.turns(mono)
        limits = {turn: limits_word(state, turn=turn) for turn in (True, False)}
        told = []
        async for (target, case), said in in_turns(zip(due, first, strict=True)):
            turn = turns(target.episode.id)
            if waived := _waived(target):
                last = words(state, replace(case, turn=turn), waived=waived)
            else:
                last = (*said[:LIMITS_AT], limits[turn], *said[LIMITS_AT + 1 :])
            told.append(replace(target, words=last))
        return told

    def _passes(self, state: ProjectState, target: Target, said: tuple[Word, ...]) -> bool:
        """Whether every gate but the arming and the limits lets a room pass that a policy asks for."""
        if self._was_told(state, target):
            return False
        left_out = WAITED_FOR | self._not_asked(state, target)
        return not holding(said, but=left_out)

    def _may_be_armed(self, state: ProjectState, target: Target) -> bool:
        if target.request is None and self._was_told(state, target):
            return False
        return not holding(target.words, but=self._not_asked(state, target) | {ARMED})

    def _was_told(self, state: ProjectState, target: Target) -> bool:
        return state.safeguards.mode is Mode.OBSERVE and target.episode.id in self.told

    def _not_asked(self, state: ProjectState, target: Target) -> frozenset[str]:
        """In mode observe all else goes its way, as it would in another; but nobody is warned there."""
        observing = target.request is None and state.safeguards.mode is Mode.OBSERVE
        return frozenset({MODE, WARNED}) if observing else frozenset()

    def _arm(self, chosen: Iterable[Target], mono: float) -> None:
        book = self.cases.book
        wanted = {t.episode.room_sid: t.request.id if t.request else BY_POLICY for t in chosen}
        for sid in [sid for sid in book.looks.being_armed if sid not in wanted]:
            book.disarm(sid)
        for sid, for_whom in wanted.items():
            book.arm(sid, mono, for_whom)


def _is_due(ruling: Ruling, age: float) -> bool:
    return ruling.policy.action is not Action.KEEP and ruling.is_due(age)


def _waived(target: Target) -> frozenset[str]:
    return WAIVED_BY_HAND if target.request is not None else frozenset()
