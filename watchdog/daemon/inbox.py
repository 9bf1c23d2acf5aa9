"""Webhooks that wait to be taken in: a bounded queue, each event once, over restarts too."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from watchdog.core.classify import DetectionRules, assess
from watchdog.core.hooks import EventKind, RoomEvent, Taken
from watchdog.core.model import Role

MOST_WAITING = 5000
"""A tick of a minute, and eighty events a second."""
REMEMBERED_SECONDS = 1200.0
"""For so long an id is known again: longer than the replay window lets a repetition in."""


@dataclass(slots=True)
class Inbox:
    """The events of one project that came while it was not the time to take them in.

    `uncommitted` are the ids of those that were taken in and are not on disk yet. Times are monotonic
    seconds.
    """

    rules: DetectionRules
    lost: bool = False
    """Events were dropped here since this was last asked."""
    uncommitted: list[str] = field(default_factory=list)
    _waiting: deque[RoomEvent] = field(default_factory=deque)
    _queued: set[str] = field(default_factory=set)
    _seen: dict[str, float] = field(default_factory=dict)

    def remember(self, ids: Iterable[str], mono: float) -> None:
        """Take up what an earlier run had taken in."""
        for key in ids:
            self._seen[key] = mono

    def offer(self, event: RoomEvent) -> Taken:
        """Put an event into the queue."""
        if event.id in self._seen or event.id in self._queued:
            return Taken.DUPLICATE
        if len(self._waiting) >= MOST_WAITING:
            self.lost = True
            return Taken.DROPPED
        self._waiting.append(event)
        self._queued.add(event.id)
        return Taken.ACCEPTED

    def take(self, mono: float) -> list[RoomEvent]:
        """What waits, in the order in which it happened where that is known; each id once."""
        for key, at in list(self._seen.items()):
            if at > mono - REMEMBERED_SECONDS:
                break
            del self._seen[key]
        taken = []
        self._queued.clear()
        while self._waiting:
            event = self._waiting.popleft()
            if event.id in self._seen:
                continue
            self._seen[event.id] = mono
            self.uncommitted.append(event.id)
            taken.append(event)
        # The server's own time orders events, and nothing else (A6); the sort is stable.
        return sorted(taken, key=lambda e: e.created_at or e.arrived_at)

    def committed(self, ids: Iterable[str]) -> None:
        """These ids are on disk."""
        gone = set(ids)
        self.uncommitted = [key for key in self.uncommitted if key not in gone]

    def somebody_joins(self, room_sid: str, room_name: str) -> str:
        """Whether a waiting event says that a person joined this room; the sentence, or nothing."""
        for event in self._waiting:
            if event.kind is not EventKind.JOINED or event.participant is None:
                continue
            if event.room_sid != room_sid and event.room_name != room_name:
                continue
            person = assess(event.participant, self.rules)
            if person.role is Role.PERSON:
                return f"a webhook says that a person has just joined ({person.why})"
        return ""
