"""How long the watchdog has been watching without a break, before it trusts itself (SAFETY D)."""

from dataclasses import dataclass

WARM_TICKS = 3
WARM_SECONDS = 60.0


@dataclass(slots=True)
class WarmUp:
    """Good ticks and seconds since `begun`: the start, a clock that was set, or a gap without good ticks.

    Times are monotonic seconds.
    """

    begun: float
    ticks: int = 0
    _last: float | None = None

    def begin_anew(self, at: float) -> None:
        """Something happened after which nothing that was seen before counts."""
        self.begun, self.ticks, self._last = at, 0, None

    def good_tick(self, at: float, longest_gap: float) -> None:
        """A tick was good; `longest_gap` is how far it may be from the one before."""
        if self._last is not None and at - self._last > longest_gap:
            self.begin_anew(at)
        self.ticks += 1
        self._last = at

    def seconds(self, at: float) -> float:
        """How long this has been going on."""
        return max(0.0, at - self.begun)
