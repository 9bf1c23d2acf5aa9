"""The looks that must confirm an orphan, after it became due, before it may be deleted (SAFETY D)."""

from dataclasses import dataclass, replace

ARMING_SECONDS = 30.0
"""The first and the last of these looks are at least this far apart. Fixed."""
LEAST_CONFIRMATIONS = 2


@dataclass(frozen=True, slots=True)
class Arming:
    """The looks at one room since it became due at `since`. All times are monotonic seconds.

    Made anew whenever something disarms: a person, an empty room, a count that rose without a reason.
    """

    since: float
    looks: int = 0
    first: float | None = None
    last: float | None = None

    def confirmed(self, asked: float) -> "Arming":
        """After a look, asked at `asked`, that showed agents and no person."""
        if asked < self.since:
            return self
        first = asked if self.first is None else self.first
        return replace(self, looks=self.looks + 1, first=first, last=asked)

    @property
    def span(self) -> float:
        """Seconds between the first look and the last."""
        return 0.0 if self.first is None or self.last is None else self.last - self.first

    def is_armed(self, confirmations: int) -> bool:
        """Whether there were enough looks, far enough apart."""
        return self.looks >= confirmations and self.span >= ARMING_SECONDS

    def next_look(self, confirmations: int) -> float:
        """When the next look is wanted: they are spread over the time that must pass anyway."""
        if self.first is None or self.last is None:
            return self.since
        step = ARMING_SECONDS / max(1, confirmations - 1)
        missing = self.first + ARMING_SECONDS
        return min(missing, self.last + step) if self.looks < confirmations else missing
