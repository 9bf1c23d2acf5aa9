"""The exact truth of a simulated world: who was in which room, from when to when."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from watchdog.core.model import Role

AGENTS = frozenset({Role.AGENT, Role.AVATAR})


@dataclass(frozen=True, slots=True)
class Stay:
    """One participant in one room. `left_at` is None while it is there."""

    room_sid: str
    room_name: str
    participant_sid: str
    identity: str
    role: Role
    joined_at: datetime
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open: from `start` up to, not including, `end`. `end` is None while it lasts."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Lifetime:
    """One room from its creation to its end; `reason` says what ended it.

    `gaps`: when it was not there in between, deleted and not yet back under its SID.
    """

    sid: str
    name: str
    created_at: datetime
    ended_at: datetime | None = None
    reason: str = ""
    gaps: tuple[Span, ...] = ()


class Ledger:
    """Written by the world alone; read by whoever wants to know what really happened."""

    def __init__(self) -> None:
        self.rooms: dict[str, Lifetime] = {}
        self._stays: dict[str, Stay] = {}
        self._of_room: defaultdict[str, list[str]] = defaultdict(list)

    def opened(self, sid: str, name: str, at: datetime) -> None:
        """A room came into being."""
        self.rooms[sid] = Lifetime(sid, name, at)

    def closed(self, sid: str, at: datetime, reason: str) -> None:
        """A room ended."""
        self.rooms[sid] = replace(self.rooms[sid], ended_at=at, reason=reason)

    def reopened(self, sid: str, at: datetime) -> None:
        """A room that had ended is back under its SID."""
        life = self.rooms[sid]
        if life.ended_at is None:
            raise ValueError(f"{sid} has not ended")
        gaps = (*life.gaps, Span(life.ended_at, at))
        self.rooms[sid] = replace(life, ended_at=None, reason="", gaps=gaps)

    def joined(self, stay: Stay) -> None:
        """A participant came."""
        self._stays[stay.participant_sid] = stay
        self._of_room[stay.room_sid].append(stay.participant_sid)

    def left(self, participant_sid: str, at: datetime) -> None:
        """A participant went."""
        self._stays[participant_sid] = replace(self._stays[participant_sid], left_at=at)

    def stays(self) -> Iterable[Stay]:
        """Every stay there ever was, by the order of joining."""
        return self._stays.values()

    def stays_of(self, room_sid: str) -> list[Stay]:
        """The stays in one room, by the order of joining."""
        return [self._stays[sid] for sid in self._of_room.get(room_sid, ())]

    def present(self, room_sid: str, at: datetime) -> list[Stay]:
        """Who was in the room at that instant."""
        return [
            s
            for s in self.stays_of(room_sid)
            if s.joined_at <= at and (s.left_at is None or at < s.left_at)
        ]

    def persons(self, room_sid: str, at: datetime) -> list[Stay]:
        """The persons who were in the room at that instant."""
        return [s for s in self.present(room_sid, at) if s.role is Role.PERSON]

    def orphaned_spans(self, room_sid: str) -> list[Span]:
        """The exact spans in which at least one agent, and no person, was in the room."""
        stays = [s for s in self.stays_of(room_sid) if s.role in AGENTS | {Role.PERSON}]
        steps: defaultdict[datetime, list[int]] = defaultdict(lambda: [0, 0])
        for stay in stays:
            who = 0 if stay.role in AGENTS else 1
            steps[stay.joined_at][who] += 1
            if stay.left_at is not None:
                steps[stay.left_at][who] -= 1
        spans: list[Span] = []
        agents = persons = 0
        start: datetime | None = None
        for at in sorted(steps):
            agents += steps[at][0]
            persons += steps[at][1]
            orphaned = agents > 0 and persons == 0
            if orphaned and start is None:
                start = at
            elif not orphaned and start is not None:
                spans.append(Span(start, at))
                start = None
        if start is not None:
            spans.append(Span(start, None))
        return spans
