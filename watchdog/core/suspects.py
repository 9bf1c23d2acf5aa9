"""Rooms that look as if only machines were in them, or of which nothing can be said: shown, never deleted.

`Suspects` follows them as looks and verdicts come in. Of an ordinary room it keeps nothing, and no tick
walks more rooms than are suspect: a project can hold 100,000. Times are monotonic seconds, so that a
clock that is set makes nothing older.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import islice

from watchdog.core.model import (
    Look,
    ParticipantSnapshot,
    Role,
    RoomSnapshot,
    Verdict,
    VerdictState,
)
from watchdog.core.records import Suspect

SUSPECT_AFTER = timedelta(hours=4)
UNKNOWN_SECONDS = 600.0
"""A room that has been UNKNOWN for longer is suspect."""
DISAGREEMENTS = 3
"""So many last looks with an unexplained count make a suspect of a room."""
MOST_LISTED = 100
"""So many suspects are named, the oldest first; all are counted."""
SUSPECT_IDENTITIES = ("bot-*", "*-bot", "*_bot", "agent-*", "recorder-*")


class SuspectReason(StrEnum):
    """Why a room is suspect."""

    BOT_LIKE = "bot_like"  # every person's identity reads like a machine's
    SILENT = "silent"  # no person there ever published a track
    UNKNOWN = "unknown"  # it could not be looked at for long
    COUNT_DISAGREES = "count_disagrees"  # the server counts somebody whom no look shows


@dataclass(frozen=True, slots=True)
class SuspectRules:
    """`after` so many seconds attended by what looks like machines a room is suspect.

    `identities` are globs of identities that read like a machine's, in capitals or not.
    """

    after: float = SUSPECT_AFTER.total_seconds()
    identities: tuple[str, ...] = SUSPECT_IDENTITIES

    def is_bot_like(self, identity: str) -> bool:
        """Whether a person's identity reads like a machine's."""
        lowered = identity.lower()
        return any(fnmatchcase(lowered, pattern.lower()) for pattern in self.identities)


@dataclass(frozen=True, slots=True)
class SuspectList:
    """The suspects of one tick.

    `oldest` names at most `MOST_LISTED` of them, `counts` counts all by reason. `new` are those of
    `oldest` that were not told of since they became suspect.
    """

    oldest: tuple[Suspect, ...]
    counts: Mapping[str, int]
    new: tuple[Suspect, ...]


@dataclass(slots=True)
class _Machines:
    """An attended room whose persons looked like machines at every look since `since`."""

    since: float
    silent: bool
    bot_like: bool

    @property
    def reason(self) -> SuspectReason:
        return SuspectReason.BOT_LIKE if self.bot_like else SuspectReason.SILENT


@dataclass(slots=True)
class _Disagreement:
    since: float
    times: int = 0


@dataclass(slots=True)
class Suspects:
    """The suspects of one project, by SID, and the rooms that may become some."""

    rules: SuspectRules = field(default_factory=SuspectRules)
    _machines: dict[str, _Machines] = field(default_factory=dict)
    _found: dict[str, None] = field(default_factory=dict)
    """Those of `_machines` that a look has shown past the limit."""
    # SID to since when, the oldest first.
    _unknown: dict[str, float] = field(default_factory=dict)
    _long_unknown: dict[str, float] = field(default_factory=dict)
    _disagreements: dict[str, _Disagreement] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    # ---- what is seen ---------------------------------------------------------------------------

    def note_verdict(self, sid: str, verdict: VerdictState, mono: float) -> None:
        """The room's verdict is this from now on."""
        if verdict is not VerdictState.UNKNOWN:
            self._unknown.pop(sid, None)
            self._long_unknown.pop(sid, None)
            if not self._unknown:
                self._unknown.clear()  # an empty dict keeps the memory of the most it ever held
        elif sid not in self._long_unknown:
            self._unknown.setdefault(sid, mono)

    def note_look(
        self,
        room: RoomSnapshot,
        look: Look,
        verdict: Verdict,
        mono: float,
        *,
        attended: bool,
        skew: float,
    ) -> bool:
        """Take in a good look; returns whether the room's attended stretch goes on.

        `attended` is what this returned at the look before. A look that could not tell changes nothing
        (A1). `skew` is the server's clock minus ours, in seconds.
        """
        if verdict.state is VerdictState.UNKNOWN:
            return attended
        persons = [a.participant for a in verdict.of_role(Role.PERSON)]
        known = self._machines.get(room.sid)
        # Without an entry a stretch that goes on had a person who had published.
        silent = (known.silent if known else not attended) and not any(p.tracks for p in persons)
        bot_like = all(self.rules.is_bot_like(p.identity) for p in persons)
        if not persons or not (silent or bot_like):
            self._ordinary(room.sid)
            return bool(persons)
        asked = mono - (look.answered_at - look.asked_at).total_seconds()
        if known is None:
            # Where somebody else was there until now, the bots have been alone only since then.
            before = 0.0 if attended else _attended_before(room, look, persons, skew)
            known = self._machines[room.sid] = _Machines(asked - before, silent, bot_like)
        known.silent, known.bot_like = silent, bot_like
        # Only a look makes a suspect: nobody knows who is there between two of them.
        if asked - known.since > self.rules.after:
            self._found[room.sid] = None
        return True

    def note_disagreement(self, sid: str, mono: float) -> bool:
        """A last look did not show whom the server counts; returns whether that was once too often."""
        found = self._disagreements.setdefault(sid, _Disagreement(mono))
        found.times += 1
        return found.times >= DISAGREEMENTS

    def note_agreement(self, sid: str) -> None:
        """A last look explained the count."""
        self._disagreements.pop(sid, None)

    def forget(self, sid: str) -> None:
        """The room is gone."""
        self._ordinary(sid)
        self._unknown.pop(sid, None)
        self._long_unknown.pop(sid, None)
        self._disagreements.pop(sid, None)

    def _ordinary(self, sid: str) -> None:
        self._machines.pop(sid, None)
        self._found.pop(sid, None)

    # ---- what is told ---------------------------------------------------------------------------

    def take(self, now: datetime, mono: float, name_of: Callable[[str], str]) -> SuspectList:
        """The suspects as of now; those that are told of here are not new any more."""
        self._age(mono)
        counts = dict.fromkeys(map(str, SuspectReason), 0)
        for _, _, reason in self._certain():
            counts[reason] += 1
        counts[SuspectReason.UNKNOWN] = len(self._long_unknown)
        longest = (
            (since, sid, SuspectReason.UNKNOWN)
            for sid, since in islice(self._long_unknown.items(), MOST_LISTED)
        )
        oldest = tuple(
            Suspect(name_of(sid), sid, reason.value, now - timedelta(seconds=mono - since))
            for since, sid, reason in heapq.nsmallest(MOST_LISTED, [*self._certain(), *longest])
        )
        new = tuple(suspect for suspect in oldest if suspect.room_sid not in self._told)
        self._told = {sid for sid in self._told if self._is_suspect(sid)}
        self._told.update(suspect.room_sid for suspect in new)
        return SuspectList(oldest, counts, new)

    def _age(self, mono: float) -> None:
        """Sort out those that have been UNKNOWN for too long: they stand first."""
        for sid, since in list(self._beyond(mono)):
            del self._unknown[sid]
            self._long_unknown[sid] = since

    def _beyond(self, mono: float) -> Iterator[tuple[str, float]]:
        for sid, since in self._unknown.items():
            if mono - since <= UNKNOWN_SECONDS:
                return
            yield sid, since

    def _certain(self) -> Iterator[tuple[float, str, SuspectReason]]:
        """The suspects for another reason than that nothing can be said of them; each once."""
        for sid in self._found:
            if sid not in self._long_unknown:
                yield self._machines[sid].since, sid, self._machines[sid].reason
        for sid, found in self._disagreements.items():
            if self._disagrees(sid) and sid not in self._long_unknown and sid not in self._found:
                yield found.since, sid, SuspectReason.COUNT_DISAGREES

    def _disagrees(self, sid: str) -> bool:
        found = self._disagreements.get(sid)
        return found is not None and found.times >= DISAGREEMENTS

    def _is_suspect(self, sid: str) -> bool:
        return sid in self._found or sid in self._long_unknown or self._disagrees(sid)


def _attended_before(
    room: RoomSnapshot, look: Look, persons: list[ParticipantSnapshot], skew: float
) -> float:
    """Seconds that somebody has been there before this look, by the server's clock; no room is older."""
    joined = [p.joined_at for p in persons if p.joined_at is not None]
    if not joined:
        return 0.0
    began = max(min(joined), room.created_at).timestamp() - skew
    return max(0.0, look.asked_at.timestamp() - began)
