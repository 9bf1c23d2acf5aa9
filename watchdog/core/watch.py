"""Time that was really watched (A9), and lists that can be believed (A1)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum


@dataclass(frozen=True, slots=True)
class Watch:
    """A clock that runs only while good ticks follow each other closely.

    `watched` and `blind` are seconds; readings of `monotonic` are this process's, `wall` bridges a
    restart. Ages of episodes are differences of `watched`: neither a jump of the wall clock nor the
    watchdog's own downtime makes an episode older (T36, T37).
    """

    watched: float = 0.0
    blind: float = 0.0
    good_wall: datetime | None = None
    _good_monotonic: float | None = None
    _pending: float = 0.0
    _answered_monotonic: float | None = None

    @property
    def provisional(self) -> float:
        """Watched seconds if the suspicious lists since the last good tick turn out to be right."""
        return self.watched + self._pending

    def good(
        self, monotonic: float, wall: datetime, limit: float, *, agreed: bool = False
    ) -> "Watch":
        """After a good tick. `limit` is the longest stretch, in seconds, that counts as watched.

        `agreed`: this list confirmed the suspicious ones before it, which therefore count as good.
        """
        if self.good_wall is None:
            return replace(self, good_wall=wall, _good_monotonic=monotonic, _pending=0.0)
        if self._good_monotonic is None:  # the first good tick after a restart
            stretch = max(0.0, (wall - self.good_wall).total_seconds())
            watched = stretch if stretch <= limit else 0.0
        elif agreed and self._answered_monotonic is not None:
            stretch = monotonic - self._good_monotonic
            last = monotonic - self._answered_monotonic
            watched = self._pending + (last if last <= limit else 0.0)
        else:
            stretch = monotonic - self._good_monotonic
            watched = stretch if stretch <= limit else 0.0
        return Watch(
            watched=self.watched + watched,
            blind=self.blind + max(0.0, stretch - watched),
            good_wall=wall,
            _good_monotonic=monotonic,
        )

    def shifted(self, by: timedelta) -> "Watch":
        """The same after our wall clock was set `by`."""
        return replace(self, good_wall=self.good_wall + by) if self.good_wall else self

    def suspicious(self, monotonic: float, limit: float) -> "Watch":
        """After a list that must first be agreed with: counted only if it is."""
        since = self._answered_monotonic or self._good_monotonic
        gap = limit + 1 if since is None else monotonic - since
        pending = self._pending + (gap if gap <= limit else 0.0)
        return replace(self, _pending=pending, _answered_monotonic=monotonic)


def watched_gap(poll: float) -> float:
    """The longest gap in seconds between good ticks that counts as watched: two polls (A9).

    Half a poll more, since an answer takes its time: one tick may fail, two may not.
    """
    return 2.5 * poll


class Trust(Enum):
    """What to make of a list."""

    GOOD = "good"
    AGREED = "agreed"  # the third low list in a row: the two before it were right
    SUSPICIOUS = "suspicious"


AGREEING_LISTS = 2
"""How many later polls must agree with a list that fell (A1)."""


@dataclass(slots=True)
class ListTrust:
    """Judges lists by their length: empty, or fallen by more than `max_drop`, is suspicious (A1)."""

    max_drop: float = 0.5
    believed: int = 0
    _low: int = 0
    _agreeing: int = 0

    def judge(self, length: int) -> Trust:
        """What to make of a list of `length` rooms; call once per successful ListRooms."""
        if not self._fell(self.believed, length):
            self.believed, self._agreeing = length, 0
            return Trust.GOOD
        if self._agreeing == 0 or self._fell(self._low, length):
            self._low, self._agreeing = length, 1
            return Trust.SUSPICIOUS
        self._agreeing += 1
        if self._agreeing <= AGREEING_LISTS:
            return Trust.SUSPICIOUS
        self.believed, self._agreeing = length, 0
        return Trust.AGREED

    def _fell(self, before: int, now: int) -> bool:
        return now < before and (now == 0 or now < before * (1 - self.max_drop))
