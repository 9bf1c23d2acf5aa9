"""What a webhook means for a room: it protects, sharpens, or says where to look (SAFETY A6 to A8)."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.core.classify import assess
from watchdog.core.hearsay import Departure, Heard
from watchdog.core.hooks import EventKind, Moment, RoomEvent, moment_of
from watchdog.core.model import Episode, ParticipantSnapshot, Role, VerdictState
from watchdog.core.rooms import NOTHING, RoomBook, RoomState, left_to_server


@dataclass(frozen=True, slots=True)
class Told:
    """What an event says of a listed room.

    `visited`: a person was there by then, which ends the room's episode, and came no sooner than `came`
    (None: not known). `departure`: how the last person left before the agents were alone, where that is
    known now.
    """

    state: RoomState
    visited: datetime | None = None
    came: datetime | None = None
    why: str = ""
    departure: Departure | None = None


def take_in(book: RoomBook, event: RoomEvent, mono: float) -> Told | None:
    """Take in one event; None where it says nothing of a listed room. `mono` is now, in monotonic seconds."""
    if event.dropped:
        book.missed_webhooks()
    if event.kind is EventKind.OTHER:
        return None
    told = _Telling(
        book,
        event,
        mono,
        heard=book.hearsay.of(event.room_sid),
        state=book.rooms.get(event.room_sid),
        moment=moment_of(event, book.skew if book.skew_known else None),
    ).take_in()
    book.note_told(event.room_sid)
    return told


@dataclass(frozen=True, slots=True)
class _Telling:
    """One event, and what was known before it."""

    book: RoomBook
    event: RoomEvent
    mono: float
    heard: Heard
    state: RoomState | None
    moment: Moment | None

    def take_in(self) -> Told | None:
        event, heard = self.event, self.heard
        if event.kind is EventKind.ROOM_STARTED:
            # Of a room that was looked at before this came, somebody may have left unheard.
            unseen = self.state is None or self.state.looked_mono is None
            heard.complete |= unseen and self.book.hears_all
        elif event.kind is EventKind.ROOM_FINISHED:
            heard.finished = self._by_then
        elif event.participant is not None:
            return self._participant(event.participant)
        return None

    @property
    def _by_then(self) -> datetime:
        """When it had certainly happened."""
        return self.moment.latest if self.moment else self.event.arrived_at

    def _participant(self, who: ParticipantSnapshot) -> Told | None:
        found = assess(who, self.book.rules)
        joined = self.event.kind is EventKind.JOINED
        if self.state is not None:
            self.state.simulated_seen |= who.simulated
        departure = Departure(self.moment, self.event.reason)
        if found.role is not Role.PERSON:
            if not joined:
                self.heard.departed(who.sid, departure)
                if self.state is not None and self.state.episode is not None:
                    self.book.looks.ask(self.event.room_sid, self.mono)
            return None
        if joined:
            self.heard.joined(who.sid, who.kind, self.mono)
        else:
            self.heard.note_told(who.sid, who.kind)
            self.heard.departed(who.sid, departure)
        if self.state is None:
            return None
        self._note_history(self.state, who, joined=joined)
        if joined:
            return self._came(self.state, who, f"a webhook says that {found.why} joined")
        return self._went(self.state, who, f"a webhook says that {found.why} was there")

    def _note_history(self, state: RoomState, who: ParticipantSnapshot, *, joined: bool) -> None:
        state.person_seen = True
        state.add_kinds({who.kind})
        if self.moment is not None and (joined or state.episode is None):
            earliest = self.moment.earliest
            state.last_attended_at = max(state.last_attended_at or earliest, earliest)

    def _came(self, state: RoomState, who: ParticipantSnapshot, why: str) -> Told | None:
        if who.sid in state.before:
            return None  # a look had shown this person already, and a later one that they are gone
        sid = self.event.room_sid
        self.book.disarm(sid)
        self.book.looks.hint(sid, self.mono)
        if who.sid not in self.heard.left:
            state.hung_up = None
            state.before = state.agents_before = NOTHING
            self.book.judge(state, VerdictState.ATTENDED, why, self.mono)
        came = self.moment.earliest if self.moment else None
        return Told(state, visited=self._by_then, came=came, why=why)

    def _went(self, state: RoomState, who: ParticipantSnapshot, why: str) -> Told | None:
        sid, episode = self.event.room_sid, state.episode
        if episode is None:
            here = state.was_present(Role.PERSON)
            if not (here | self.heard.persons.keys()) - self.heard.left.keys():
                self.book.looks.ask(sid, self.mono, after=left_to_server(state.snapshot))
            return None
        if not self._left_before(who.sid, state, episode):
            self.book.disarm(sid)
            self.book.looks.ask(sid, self.mono)
            return Told(state, visited=self._by_then, why=why)
        state.before |= {who.sid}
        departure = self.heard.last_departure(state.before)
        state.hung_up = departure.hung_up if departure else None
        return Told(state, departure=departure)

    def _left_before(self, sid: str, state: RoomState, episode: Episode) -> bool:
        """Whether they were gone by the first look that showed the agents alone; when in doubt, not."""
        if self.moment is None:
            return sid in state.before
        first = episode.bounds.first_orphaned_at
        # One whom a look had missed, as it can somebody who has just rejoined, leaves after it.
        return (self.moment.earliest if sid in state.before else self.moment.latest) <= first
