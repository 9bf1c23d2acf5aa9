"""What webhooks have told of each room: who came, who left when and how, and whether they told all.

Hearsay protects a room or says where to look; it is never a reason to delete one. It is bounded: rooms
that no list ever names are forgotten.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watchdog.core.hooks import HUNG_UP, Moment

MOST_ROOMS = 20_000
MOST_LEFT = 200
"""So many departures are remembered of one room."""


@dataclass(frozen=True, slots=True)
class Departure:
    """One participant that left. `moment` is None where only its arrival is known."""

    moment: Moment | None
    reason: str

    @property
    def hung_up(self) -> bool:
        """Whether the client itself asked for it."""
        return self.reason == HUNG_UP

    def shifted(self, by: timedelta) -> "Departure":
        """The same after our wall clock was set `by`."""
        return replace(self, moment=self.moment.shifted(by)) if self.moment else self


@dataclass(slots=True)
class Heard:
    """What webhooks told of one room. Participants are SIDs.

    `complete`: every event since the room was made has come, as far as can be known. `untold` are
    persons whom looks showed and no webhook told of yet.
    """

    complete: bool = False
    blurred: bool = False
    """More people came and went than are remembered: who left last is not known any more."""
    persons: dict[str, float] = field(default_factory=dict)
    """Those who came and have not left, and when that was heard, in monotonic seconds."""
    left: dict[str, Departure] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    """Of the persons told of."""
    finished: datetime | None = None
    """When, at the latest, the room was at its end."""

    @property
    def knows_all(self) -> bool:
        """Whether the webhooks of this room are complete since it was made (A8)."""
        return self.complete and not self.untold

    def joined(self, sid: str, kind: str, mono: float) -> None:
        """A person came; one who was heard to leave before is not here any more."""
        self.note_told(sid, kind)
        if sid not in self.left:
            self.persons[sid] = mono

    def departed(self, sid: str, departure: Departure) -> None:
        """Somebody left, an agent or a person."""
        self.persons.pop(sid, None)
        self.left[sid] = departure
        if len(self.left) > MOST_LEFT:
            del self.left[next(iter(self.left))]
            self._overflow()

    def note_told(self, sid: str, kind: str) -> None:
        """A webhook told of this person."""
        self.kinds.add(kind)
        self.untold.discard(sid)
        self.told.add(sid)
        if len(self.told) > MOST_LEFT:
            self.told.clear()
            self._overflow()

    def _overflow(self) -> None:
        self.complete, self.blurred = False, True

    def note_look(self, persons: Iterable[str], asked_mono: float) -> None:
        """A look showed these persons, and nobody else who was there when it was asked."""
        shown = set(persons)
        self.persons = {
            sid: at for sid, at in self.persons.items() if sid in shown or at >= asked_mono
        }
        if self.complete:
            self.untold = {sid for sid in shown | self.untold if sid not in self.told}

    def last_departure(self, persons: Iterable[str]) -> Departure | None:
        """How the last of these persons left; None unless it was heard of every one of them."""
        found = [] if self.blurred else [self.left.get(sid) for sid in persons]
        known = [d for d in found if d is not None]
        if not known or len(known) < len(found):
            return None
        timed = [d for d in known if d.moment is not None]
        if len(timed) < len(known):
            # Without times nobody knows who was the last, unless all left alike.
            same = {d.hung_up for d in known}
            return known[-1] if len(same) == 1 else None
        last = max(timed, key=_latest)
        earliest = last.moment.earliest if last.moment else None
        rivals = [d for d in timed if d.moment and earliest and d.moment.latest > earliest]
        if any(d.hung_up != last.hung_up for d in rivals):
            # Within the same second: the reason that tells less is the safe one.
            return Departure(last.moment, "")
        return last


@dataclass(slots=True)
class Hearsay:
    """What was heard of all rooms of one project, by SID."""

    rooms: dict[str, Heard] = field(default_factory=dict)

    def of(self, sid: str) -> Heard:
        """What was heard of a room, to be added to."""
        heard = self.rooms.get(sid)
        if heard is None:
            heard = self.rooms[sid] = Heard()
            if len(self.rooms) > MOST_ROOMS:
                del self.rooms[next(iter(self.rooms))]
        return heard

    def shift(self, by: timedelta) -> None:
        """Our wall clock was set `by`: what was heard before was that much later than thought."""
        for heard in self.rooms.values():
            heard.left = {sid: gone.shifted(by) for sid, gone in heard.left.items()}
            heard.finished = heard.finished + by if heard.finished else None

    def forget(self, sid: str) -> None:
        """The room is gone."""
        self.rooms.pop(sid, None)

    def missed_some(self) -> None:
        """Events were lost: of no room it can be said any more that all was heard."""
        for heard in self.rooms.values():
            heard.complete = False


def _latest(departure: Departure) -> float:
    return departure.moment.latest.timestamp() if departure.moment else 0.0
