"""Names that were deleted and may not be deleted again at once; and how many were in the last hour.

Times are monotonic seconds.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.deletion import BY_POLICY, AuditEntry, AuditKind, Outcome

COOLDOWN = 600.0
LONGEST_COOLDOWN = 7200.0
RETRY = 60.0
LONGEST_RETRY = 600.0
HOUR = 3600.0
MOST_SENT = 3
"""So many requests a name gets in an hour, whatever becomes of them (T29)."""
SENT = (Outcome.DELETED, Outcome.UNKNOWN)
"""What an answer says of a request that went out."""
TROUBLES = (Outcome.INEFFECTIVE, Outcome.UNKNOWN, Outcome.STRANDED, Outcome.RESURRECTED)
FORGOTTEN = 2 * LONGEST_COOLDOWN
"""So long after its last deletion a name is as good as new."""


@dataclass(slots=True)
class _Name:
    at: float
    times: int = 0
    tries: int = 0
    until: float = 0.0
    why: str = ""
    trouble: Outcome | None = None
    sent: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_SENT))


@dataclass(slots=True)
class Cooldowns:
    """What was deleted when, by room name: a name is reused, and its rooms come back under it."""

    _names: dict[str, _Name] = field(default_factory=dict)
    _hour: deque[float] = field(default_factory=deque)

    def remember(self, entries: Iterable[AuditEntry], now: datetime, at: float) -> None:
        """Take up what the audit says was deleted, each room once; `at` is `now` in monotonic seconds."""
        known: set[str] = set()
        asked: set[str] = set()
        for entry in entries:
            then = at - max(0.0, (now - entry.at).total_seconds())
            if entry.outcome in (*SENT, *TROUBLES) and entry.intent not in asked:
                asked.add(entry.intent)
                self.sent(entry.room_name, then)
            if entry.outcome in TROUBLES and entry.kind is AuditKind.OUTCOME:
                self.in_trouble(entry.room_name, then, entry.outcome)
            if entry.outcome is not Outcome.DELETED or entry.intent in known:
                continue
            known.add(entry.intent)
            self.note(entry, then)

    def note(self, entry: AuditEntry, at: float) -> None:
        """A room was deleted, as an entry of the audit has it."""
        attended = entry.details.get("person_seen") is True
        counts = entry.actor == BY_POLICY and not entry.details.get("drained")
        self.deleted(entry.room_name, at, attended=attended, counts=counts)

    def deleted(self, name: str, at: float, *, attended: bool, counts: bool) -> None:
        """A room of that name was deleted.

        `attended`: a person had been in it, so that this is no name that keeps coming back agent-only.
        `counts`: whether it counts toward the hourly limit.
        """
        known = self._known(name, at)
        known.times = 1 if attended else known.times + 1
        known.tries, known.trouble = 0, None
        self._hold(known, at, min(LONGEST_COOLDOWN, COOLDOWN * 2.0 ** min(known.times - 1, 8)))
        known.why = "a room of this name was deleted" + (
            f" {known.times} times in a row" if known.times > 1 else ""
        )
        if counts:
            self._hour.append(at)

    def not_deleted(self, name: str, at: float, why: str, *, least: float = RETRY) -> None:
        """An attempt came to nothing: it is tried again later, and less and less often."""
        known = self._known(name, at)
        known.tries += 1
        pause = min(LONGEST_RETRY, RETRY * 2.0 ** min(known.tries - 1, 8))
        self._hold(known, at, max(least, pause))
        known.why = why

    def left(self, name: str, at: float) -> tuple[float, str]:
        """How many seconds the name must still be left alone, and why; 0: it need not."""
        known = self._names.get(name)
        if known is None:
            return 0.0, ""
        capped = known.sent[0] + HOUR if len(known.sent) == MOST_SENT else at
        if capped > max(at, known.until):
            return capped - at, f"{MOST_SENT} requests for this name in an hour are enough"
        return max(0.0, known.until - at), known.why if known.until > at else ""

    def sent(self, name: str, at: float) -> None:
        """A request to delete a room of this name was sent, whatever becomes of it."""
        self._known(name, at).sent.append(at)

    def in_trouble(self, name: str, at: float, outcome: Outcome) -> None:
        """What was asked for did not come to what it should have."""
        self._known(name, at).trouble = outcome

    def trouble(self, name: str, at: float) -> Outcome | None:
        """What is wrong with deleting rooms of this name: one whose agents come back, say."""
        known = self._names.get(name)
        if known is None or known.at <= at - FORGOTTEN:
            return None
        return known.trouble or (Outcome.RESURRECTED if known.times else None)

    def in_the_last_hour(self, at: float) -> int:
        """Deletions of the last 60 minutes that count toward the hourly limit."""
        while self._hour and self._hour[0] <= at - HOUR:
            self._hour.popleft()
        return len(self._hour)

    def _known(self, name: str, at: float) -> _Name:
        for old in [n for n, known in self._names.items() if known.at <= at - FORGOTTEN]:
            del self._names[old]
        return self._names.setdefault(name, _Name(at))

    def _hold(self, known: _Name, at: float, seconds: float) -> None:
        known.at = max(known.at, at)
        known.until = max(known.until, at + seconds)
