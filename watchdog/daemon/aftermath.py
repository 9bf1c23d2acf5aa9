"""Who comes to a room that was just deleted: the race that no look can close, counted (T22)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchdog.core.classify import DetectionRules, assess
from watchdog.core.hooks import EventKind, RoomEvent
from watchdog.core.model import Look, Role

COUNTED_FOR = timedelta(seconds=60)
REMEMBERED = timedelta(seconds=600)
"""A look can come so long after the join that it shows."""


@dataclass(slots=True)
class Aftermath:
    """The names that were deleted lately, and the persons who joined them within a minute, each once.

    Without webhooks this is a lower bound: who comes and goes between two looks is not seen.
    """

    rules: DetectionRules
    _deleted: dict[str, datetime] = field(default_factory=dict)
    _counted: set[str] = field(default_factory=set)
    _joined: int = 0

    def deleted(self, name: str, at: datetime) -> None:
        """A room of this name was deleted at that moment, by our clock."""
        for old in [n for n, then in self._deleted.items() if at - then > REMEMBERED]:
            del self._deleted[old]
        if not self._deleted:
            self._counted.clear()
        self._deleted[name] = at

    def note_event(self, event: RoomEvent) -> None:
        """A webhook that a person joined."""
        who = event.participant
        if event.kind is not EventKind.JOINED or who is None:
            return
        if assess(who, self.rules).role is Role.PERSON:
            self._note(event.room_name, who.sid, event.arrived_at)

    def note_look(self, name: str, look: Look, skew: float) -> None:
        """A look; `skew` is the server's clock less ours, in seconds."""
        if name not in self._deleted:
            return
        for participant in look.participants:
            person = assess(participant, self.rules).role is Role.PERSON
            if person and participant.joined_at is not None:
                joined = participant.joined_at - timedelta(seconds=skew)
                self._note(name, participant.sid, joined)

    def take(self) -> int:
        """How many joined since this was last asked."""
        joined, self._joined = self._joined, 0
        return joined

    def _note(self, name: str, sid: str, at: datetime) -> None:
        deleted = self._deleted.get(name)
        if deleted is None or sid in self._counted:
            return
        if timedelta() <= at - deleted <= COUNTED_FOR:
            self._counted.add(sid)
            self._joined += 1
