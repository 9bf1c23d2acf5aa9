"""What is known of every listed room between ticks (SAFETY A1 to A8).

One `RoomBook` per project: lists and looks go in, verdicts and reasons to look come out. It is changed
in place, for one reason: a project can hold 100,000 rooms of which almost none change.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchdog.core.arming import LEAST_CONFIRMATIONS, Arming
from watchdog.core.classify import NO_RULES, DetectionRules, classify
from watchdog.core.counts import STABLE_SECONDS, CountLearner
from watchdog.core.episodes import COUNT_LAG
from watchdog.core.hearsay import Departure, Hearsay
from watchdog.core.hooks import Moment
from watchdog.core.looks import LookQueue
from watchdog.core.model import (
    CountMeaning,
    Episode,
    Look,
    Role,
    RoomListing,
    RoomSnapshot,
    Verdict,
    VerdictState,
)
from watchdog.core.suspects import Suspects
from watchdog.core.watch import Trust, watched_gap

SELF_CLOSING_TIMEOUT = 60
"""Rooms with at most this departure timeout, in seconds, are first left to the server (SAFETY F)."""
SELF_CLOSING_MARGIN = 15
LISTS_TO_BELIEVE_GONE = 2
NOTHING: frozenset[str] = frozenset()
"""One for all rooms: Python makes a new empty set each time, and there are 100,000 rooms."""
_KINDS: dict[frozenset[str], frozenset[str]] = {}
"""The sets of kinds that rooms have had, each once, for the same reason."""
NOT_LOOKED_AT = "not looked at yet"
NEW_AT_ONCE = 2000
"""So many new rooms are taken in before anything else may have its turn."""


@dataclass(slots=True)
class RoomState:
    """One room. Times are ours, `*_mono` are monotonic seconds."""

    snapshot: RoomSnapshot
    state: VerdictState = VerdictState.UNKNOWN
    reason: str = NOT_LOOKED_AT
    listed: bool = True
    # The last good look: when, and who was there.
    looked_mono: float | None = None
    present: str = ""  # a line for each, see `_present`
    counted: int = 0
    counted_agents: int = 0
    uncounted_agents: int = 0
    persons: int = 0
    count_contradicted: bool = False
    stable_since: float | None = None
    empty_once: bool = False
    attended_on: bool = False  # a person was there at the last look that could tell
    # The history of this SID (A8).
    last_attended_at: datetime | None = None
    person_seen: bool = False
    person_kinds: frozenset[str] = NOTHING
    person_unlooked: bool = False
    continuous: bool = False
    hung_up: bool | None = None
    told: bool = False
    """Webhooks told of everybody since the room was made."""
    before: frozenset[str] = NOTHING
    """The persons known to have been there before the agents were alone, and the agents seen with them."""
    agents_before: frozenset[str] = NOTHING
    episode: Episode | None = None
    unreachable_since: datetime | None = None
    # What the gates ask (SAFETY D).
    arming: Arming | None = None
    armed_for: str = ""
    count_rose: bool = False
    recorder_there: bool = False
    simulated_seen: bool = False
    missing: int = 0
    """From so many lists in a row."""

    def add_kinds(self, kinds: AbstractSet[str]) -> None:
        """Persons of these kinds were there, too."""
        if not kinds <= self.person_kinds:
            together = self.person_kinds | kinds
            self.person_kinds = _KINDS.setdefault(together, together)

    def was_present(self, *roles: Role) -> frozenset[str]:
        """The SIDs of these roles at the last good look."""
        lines = (line.rpartition(" ") for line in self.present.split("\n"))
        return frozenset(sid for sid, _, role in lines if role in roles) or NOTHING

    @property
    def person_known(self) -> bool | None:
        """Whether a person was ever there: True, False (known never), or None (not known)."""
        return True if self.person_seen else (False if self.continuous or self.told else None)

    @property
    def kinds_known(self) -> frozenset[str] | None:
        """The kinds of every person there ever was, or None where one may have gone unseen."""
        watched = self.continuous and not self.person_unlooked
        return self.person_kinds if watched or self.told else None


@dataclass(slots=True)
class RoomBook:
    """All rooms of one project by SID. `poll` is the poll interval in seconds.

    `least_grace` is the age in seconds below which no policy acts; `confirmations` is how many looks arm a
    room. `skew` is the server's clock minus ours, in seconds. `verdicts` counts the listed rooms.
    """

    poll: float
    rules: DetectionRules = NO_RULES
    confirmations: int = LEAST_CONFIRMATIONS
    least_grace: float = 0.0
    hears_all: bool = True
    """False: webhooks may go to another replica, so that no room's were ever complete."""
    skew: float = 0.0
    skew_known: bool = False
    learner: CountLearner = field(default_factory=CountLearner)
    hearsay: Hearsay = field(default_factory=Hearsay)
    suspects: Suspects = field(default_factory=Suspects)
    looks: LookQueue = field(init=False)
    rooms: dict[str, RoomState] = field(default_factory=dict)
    snapshots: dict[str, RoomSnapshot] = field(default_factory=dict)
    verdicts: Counter[VerdictState] = field(default_factory=Counter)
    attended_before: dict[str, datetime] = field(default_factory=dict)
    """When a person was last there, of rooms that an earlier run knew; used at their first list."""
    _listed_at: datetime | None = None
    _missing: dict[str, None] = field(default_factory=dict)
    _was_suspicious: bool = False

    def __post_init__(self) -> None:
        self.looks = LookQueue(self.poll)

    def resume(self, episode: Episode, mono: float) -> None:
        """Take up an episode of an earlier run: to be looked at before anything is said (A7).

        Whether its room still exists, the next lists tell.
        """
        room = RoomSnapshot(
            episode.room_sid,
            episode.room_name,
            episode.room_created_at,
            empty_timeout=episode.empty_timeout,
            departure_timeout=episode.departure_timeout,
        )
        state = self._add(room, mono)
        state.reason = "not looked at since the watchdog started"
        state.episode = episode
        self.note_resumed(episode, mono)

    def note_resumed(self, episode: Episode, mono: float) -> None:
        """Ask anew about a room whose episode goes on after a gap; its history is the episode's."""
        state = self.rooms[episode.room_sid]
        state.last_attended_at = episode.bounds.last_attended_at
        state.person_seen = bool(episode.person_seen)
        state.simulated_seen |= episode.simulated
        self.looks.ask(episode.room_sid, mono)
        self.looks.probe_at(episode.room_sid, mono)

    def note_list(self, listing: RoomListing, trust: Trust, mono: float) -> list[str]:
        """Take in a list; returns the SIDs of the rooms that are now certainly gone, still in `rooms`.

        A room is gone when two good lists in a row lack it. A suspicious list ends nothing, and counts
        once later ones agree with it (A1).
        """
        if self._was_suspicious and trust is Trust.GOOD:
            for sid in self._missing:
                self.rooms[sid].missing = 0
        self._was_suspicious = trust is Trust.SUSPICIOUS
        back = {sid for sid in self._missing if sid in listing.rooms}
        for sid in listing.changes(self.snapshots):
            room = listing.rooms[sid]
            state = self.rooms.get(sid)
            if state is None:
                self._note_new(room, listing.answered_at, mono)
            elif state.snapshot is not room:
                # A count proves something only of the list that it stood in.
                read_at = None if sid in back else self._listed_at
                self._note_changed(state, room, mono, read_at)
        for sid in back:
            self._note_back(sid)
        gone: list[str] = []
        if len(self.rooms) != len(listing.rooms):  # every listed room is known by now
            missing = self.rooms.keys() - listing.rooms.keys()
            gone = [sid for sid in missing if self._note_missing(sid, trust)]
        self.snapshots = listing.rooms
        self._listed_at = listing.asked_at
        return gone

    def note_look(self, look: Look, mono: float) -> Verdict | None:
        """Take in a good ListParticipants answer; returns the verdict, or None where it is withheld.

        One empty answer after people or agents were seen is withheld until the next agrees (A1, T02).
        """
        state = self.rooms.get(look.room_sid)
        if state is None:
            return None
        verdict = classify(look.participants, self.rules)
        if not look.participants:
            agents_known = state.episode is not None and state.episode.present_agents
            self.disarm(look.room_sid)
            if (state.present or agents_known) and not state.empty_once:
                state.empty_once = True
                self.looks.ask_again(look.room_sid, mono)
                return None
            if state.snapshot.num_participants > 0:
                reason = f"nobody is listed, but the count says {state.snapshot.num_participants}"
                verdict = Verdict(VerdictState.UNKNOWN, reason)
        state.empty_once = False
        self._note_told(state, look, verdict, mono)
        self._note_history(state, look, verdict, mono)
        self._note_present(state, verdict, mono)
        self.judge(state, verdict.state, verdict.reason, mono)
        state.attended_on = self.suspects.note_look(
            state.snapshot, look, verdict, mono, attended=state.attended_on, skew=self.skew
        )
        self._settle(state, verdict, mono)
        self._note_arming(state, look, verdict, mono)
        return verdict

    def note_failed_look(self, sid: str, reason: str, mono: float) -> None:
        """A look without an answer changes nothing but the reason of a room not yet known (A1)."""
        state = self.rooms.get(sid)
        if state is None:
            return
        if state.looked_mono is None:
            state.reason = f"{NOT_LOOKED_AT}: {reason}"
        self.looks.ask_again(sid, mono)

    def note_episode(self, sid: str, episode: Episode | None, mono: float) -> None:
        """Keep the room's episode; a new one is to be probed at once (A10)."""
        state = self.rooms[sid]
        if episode is None:
            self.disarm(sid)
            self.looks.no_probe(sid)
            state.unreachable_since = None
        elif state.episode is None:
            self.looks.probe_at(sid, mono)
        state.episode = episode

    # ---- arming ---------------------------------------------------------------------------------

    def arm(self, sid: str, mono: float, for_whom: str) -> None:
        """From now on looks at this room confirm that it may be deleted; it must be due (SAFETY D).

        Looks that confirmed it for somebody else, before it was due for this one, do not count.
        """
        state = self.rooms[sid]
        if state.arming is None or state.armed_for != for_whom:
            state.arming, state.armed_for = Arming(mono), for_whom
            state.count_rose = False
            self.looks.arm_at(sid, mono)

    def disarm(self, sid: str) -> None:
        """What was confirmed counts no more."""
        if state := self.rooms.get(sid):
            state.arming = None
            self.looks.no_arming(sid)

    def armed_by(self, mono: float) -> int:
        """How many rooms may be armed once the looks wanted at `mono` are through."""
        return sum(
            state.arming is not None and state.arming.confirmed(mono).is_armed(self.confirmations)
            for state in map(self.rooms.__getitem__, self.looks.being_armed)
        )

    def _note_arming(self, state: RoomState, look: Look, verdict: Verdict, mono: float) -> None:
        state.recorder_there = bool(verdict.of_role(Role.RECORDER))
        state.simulated_seen |= any(a.participant.simulated for a in verdict.assessments)
        rose, state.count_rose = state.count_rose, False
        if state.arming is None:
            return
        sid = state.snapshot.sid
        if verdict.state is not VerdictState.ORPHANED or (rose and state.count_contradicted):
            self.disarm(sid)
            return
        asked = mono - (look.answered_at - look.asked_at).total_seconds()
        state.arming = state.arming.confirmed(asked)
        self.looks.arm_at(sid, state.arming.next_look(self.confirmations))

    def ask_node(self, sid: str, at: datetime, mono: float) -> None:
        """The room's node did not answer a request: one more such answer, of a probe, strands it (A10)."""
        state = self.rooms.get(sid)
        if state is not None and state.episode is not None:
            state.unreachable_since = state.unreachable_since or at
            self.looks.probe_at(sid, mono)

    def last_departure(self, state: RoomState) -> Departure | None:
        """How the last person left before the agents were alone, where webhooks told of it."""
        heard = self.hearsay.rooms.get(state.snapshot.sid)
        return heard.last_departure(state.before) if heard else None

    def missed_webhooks(self) -> None:
        """Events were lost: of no room it can be said any more that all was heard."""
        self.hearsay.missed_some()
        for state in self.rooms.values():
            state.told = False

    def note_told(self, sid: str) -> None:
        """After an event: whether all was heard of this room so far."""
        if (state := self.rooms.get(sid)) and (heard := self.hearsay.rooms.get(sid)):
            state.told = heard.knows_all

    def departures(self, sid: str) -> Mapping[str, Moment]:
        """When participants of a room left, as webhooks told."""
        heard = self.hearsay.rooms.get(sid)
        left = heard.left.items() if heard else ()
        return {key: gone.moment for key, gone in left if gone.moment is not None}

    def finished_at(self, sid: str) -> datetime | None:
        """By when a room was at its end, as a webhook told."""
        heard = self.hearsay.rooms.get(sid)
        return heard.finished if heard else None

    def shift(self, by: timedelta) -> None:
        """Our wall clock was set `by`: what was noted before was that much later than thought."""
        for state in self.rooms.values():
            state.last_attended_at = _moved(state.last_attended_at, by)
            state.unreachable_since = _moved(state.unreachable_since, by)
        self._listed_at = _moved(self._listed_at, by)
        self.hearsay.shift(by)
        self.skew_known = False

    def forget(self, sid: str) -> None:
        """Drop a room that is gone."""
        state = self.rooms.pop(sid)
        self._unlist(state)
        self._missing.pop(sid, None)
        self.looks.forget(sid)
        self.hearsay.forget(sid)
        self.suspects.forget(sid)

    # ---- lists ----------------------------------------------------------------------------------

    def _add(self, room: RoomSnapshot, mono: float, young_until: float | None = None) -> RoomState:
        state = RoomState(room)
        self.rooms[room.sid] = state
        self.verdicts[state.state] += 1
        self.looks.listed(room.sid, mono, young_until=young_until)
        self.suspects.note_verdict(room.sid, state.state, mono)
        return state

    def note_new(self, listing: RoomListing, mono: float) -> Iterator[None]:
        """Take in the rooms of a list that were not there before; stops now and then, for its caller's sake.

        `note_list` does the same at once.
        """
        new = [sid for sid in listing.changes(self.snapshots) if sid not in self.rooms]
        for number, sid in enumerate(new, 1):
            self._note_new(listing.rooms[sid], listing.answered_at, mono)
            if number % NEW_AT_ONCE == 0:
                yield

    def _note_new(self, room: RoomSnapshot, now: datetime, mono: float) -> None:
        age = max(0.0, now.timestamp() + self.skew - room.created_at.timestamp())
        young = age < self.least_grace
        state = self._add(room, mono, mono + self.least_grace - age if young else None)
        if attended_at := self.attended_before.pop(room.sid, None):
            state.last_attended_at, state.person_seen = attended_at, True
        if heard := self.hearsay.rooms.get(room.sid):
            state.person_seen |= bool(heard.told)
            state.add_kinds(heard.kinds)
            state.told = heard.knows_all
        if room.num_participants == 0:
            self.looks.ask(room.sid, mono, after=left_to_server(room))

    def _note_changed(
        self, state: RoomState, room: RoomSnapshot, mono: float, read_at: datetime | None
    ) -> None:
        """Take in another snapshot. `read_at` is when the one before was read, if that is known."""
        before, state.snapshot = state.snapshot, room
        was, now = before.num_participants, room.num_participants
        if was == now:
            return
        state.stable_since = None
        state.count_rose |= now > was
        if was > self.explained(state) and not state.count_contradicted and read_at is not None:
            # The list before this one counted somebody whom no agent explains (A5, A8).
            proven = read_at - COUNT_LAG
            state.last_attended_at = max(state.last_attended_at or proven, proven)
            state.person_unlooked |= not state.persons
            state.person_seen = True
            heard = self.hearsay.rooms.get(room.sid)
            if heard is not None and not heard.told:
                heard.complete = state.told = False  # somebody was there of whom no webhook told
        was_orphaned = state.state is VerdictState.ORPHANED or state.episode is not None
        if now > was and was_orphaned and now > self.explained(state):
            # Somebody may have come: never left to the server, as a fall is.
            if state.state is not VerdictState.ATTENDED:
                why = f"the count rose to {now}; not looked at since"
                self.judge(state, VerdictState.UNKNOWN, why, mono)
            self.looks.ask(room.sid, mono)
        elif now <= self.explainable(state):
            if state.state is VerdictState.ATTENDED and now < was:
                why = f"the count fell to {now}; not looked at since"
                self.judge(state, VerdictState.UNKNOWN, why, mono)
            self.looks.ask(room.sid, mono, after=left_to_server(room) if now < was else 0.0)
        else:
            self.looks.settled(room.sid)

    def explained(self, state: RoomState) -> int:
        """The highest count that agents alone are known to explain; more means a person (A4)."""
        if self.learner.meaning is CountMeaning.INCLUDES_AGENTS:
            return state.counted_agents + state.uncounted_agents
        return state.counted_agents

    def explained_by(self, state: RoomState, verdict: Verdict | None) -> int:
        """The same, of the people that a look has just shown; None: of those of the last look."""
        if verdict is None:
            return self.explained(state)
        agents = [a for a in verdict.assessments if a.role is not Role.PERSON]
        if self.learner.meaning is CountMeaning.INCLUDES_AGENTS:
            return sum(a.counted or a.role in (Role.AGENT, Role.AVATAR) for a in agents)
        return sum(a.counted for a in agents)

    def explainable(self, state: RoomState) -> int:
        """The highest count that agents alone might explain: at most this is a reason to look."""
        if self.learner.meaning is CountMeaning.EXCLUDES_AGENTS:
            return state.counted_agents
        return state.counted_agents + state.uncounted_agents

    def _note_missing(self, sid: str, trust: Trust) -> bool:
        state = self.rooms[sid]
        self._missing[sid] = None
        state.missing += 1
        if trust is Trust.SUSPICIOUS:
            return False
        self._unlist(state)
        return state.missing >= LISTS_TO_BELIEVE_GONE

    def _note_back(self, sid: str) -> None:
        state = self.rooms[sid]
        del self._missing[sid]
        state.missing, state.stable_since = 0, None
        if not state.listed:
            state.listed = True
            self.verdicts[state.state] += 1

    def _unlist(self, state: RoomState) -> None:
        if state.listed:
            state.listed = False
            self.verdicts[state.state] -= 1

    def is_missing(self, sid: str) -> bool:
        """Whether the newest list lacked this room."""
        return sid in self._missing

    # ---- looks ----------------------------------------------------------------------------------

    def judge(self, state: RoomState, verdict: VerdictState, reason: str, mono: float) -> None:
        """From now on the room is this, for this reason."""
        if state.listed and state.state is not verdict:
            self.verdicts[state.state] -= 1
            self.verdicts[verdict] += 1
        # Many rooms are what they are for the same reason.
        state.state, state.reason = verdict, sys.intern(reason)
        self.suspects.note_verdict(state.snapshot.sid, verdict, mono)

    def _note_told(self, state: RoomState, look: Look, verdict: Verdict, mono: float) -> None:
        """Hold what webhooks told against what a look shows."""
        heard = self.hearsay.rooms.get(look.room_sid)
        persons = {a.participant.sid for a in verdict.of_role(Role.PERSON)}
        if persons:
            state.before = state.agents_before = NOTHING
            state.hung_up = None
        elif not state.before:
            state.before = state.was_present(Role.PERSON)
            state.agents_before = state.was_present(Role.AGENT, Role.AVATAR)
        if heard is None:
            return
        if not persons:
            state.before |= heard.told
            departure = heard.last_departure(state.before)
            state.hung_up = departure.hung_up if departure else None
        heard.note_look(persons, mono - (look.answered_at - look.asked_at).total_seconds())
        state.told = heard.knows_all

    def _note_history(self, state: RoomState, look: Look, verdict: Verdict, mono: float) -> None:
        if persons := verdict.of_role(Role.PERSON):
            state.last_attended_at = look.asked_at
            state.person_seen = True
            state.add_kinds({a.participant.kind for a in persons})
        gap_allowed = watched_gap(self.poll)
        if state.looked_mono is None:
            created = state.snapshot.created_at.timestamp() - self.skew
            # Negative: made after we looked, by clocks that differ within a second or two.
            state.continuous = (
                state.episode is None and look.asked_at.timestamp() - created <= gap_allowed
            )
        elif mono - state.looked_mono > gap_allowed:
            state.continuous = False

    def _note_present(self, state: RoomState, verdict: Verdict, mono: float) -> None:
        count = state.snapshot.num_participants
        present = _present(verdict)
        others = sum(a.counted for a in verdict.assessments)
        uncounted = sum(not a.counted for a in verdict.of_role(Role.AGENT, Role.AVATAR))
        if present != state.present or state.stable_since is None:
            state.stable_since = mono
        elif mono - state.stable_since >= STABLE_SECONDS and verdict.assessments:
            self.learner.sample(state.snapshot.sid, agents=uncounted, others=others, count=count)
        state.present = present
        state.looked_mono = mono
        state.uncounted_agents = uncounted
        state.persons = len(verdict.of_role(Role.PERSON))
        state.counted = others
        state.counted_agents = others - sum(a.counted for a in verdict.of_role(Role.PERSON))
        state.count_contradicted = not state.persons and count > self.explained(state)

    def _settle(self, state: RoomState, verdict: Verdict, mono: float) -> None:
        """Whether the look was enough, or the list still gives reason to ask."""
        sid = state.snapshot.sid
        orphaned = verdict.state is VerdictState.ORPHANED
        self.looks.looked(sid, mono, orphaned=orphaned)
        # A count below those whom every server counts is stale or wrong (T06), and its fall, when they
        # leave, will not be seen in the list.
        count = state.snapshot.num_participants
        too_low = count < state.counted
        too_high = orphaned and count > self.explainable(state)
        # No count tells of an agent that comes into an empty room.
        unsettled = verdict.state in (VerdictState.UNKNOWN, VerdictState.EMPTY)
        if too_low or too_high or unsettled:
            self.looks.ask_again(sid, mono)
        else:
            self.looks.settled(sid)


def left_to_server(room: RoomSnapshot) -> float:
    """Seconds to wait before asking: ordinary hang-ups are closed by the server itself (SAFETY F)."""
    if room.departure_timeout > SELF_CLOSING_TIMEOUT:
        return 0.0
    return float(room.departure_timeout + SELF_CLOSING_MARGIN)


def _present(verdict: Verdict) -> str:
    """Who is there, each once and in order; one string, for it is kept of 100,000 rooms."""
    return "\n".join(sorted({f"{a.participant.sid} {a.role}" for a in verdict.assessments}))


def _moved(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at + by
