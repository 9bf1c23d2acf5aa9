"""A change that is too sudden to be believed: most calls over at once, or orphaned at once (SAFETY D).

Times are monotonic seconds.
"""

from collections import deque
from dataclasses import dataclass, field

WINDOW = 300.0


@dataclass(slots=True)
class SuddenChange:
    """Watches the attended rooms, and those that turned orphaned, over the last five minutes.

    `max_drop` is the share that may go at once; below `min_population` attended rooms nothing is sudden.
    """

    max_drop: float
    min_population: int
    _attended: deque[tuple[float, int]] = field(default_factory=deque)
    _orphaned: deque[tuple[float, int]] = field(default_factory=deque)

    def note(self, at: float, *, attended: int, orphaned: int) -> None:
        """After a good tick: how many rooms are attended, and how many turned orphaned in it."""
        self._attended.append((at, attended))
        if orphaned:
            self._orphaned.append((at, orphaned))
        for seen in (self._attended, self._orphaned):
            while seen and seen[0][0] < at - WINDOW:
                seen.popleft()

    def says(self) -> str:
        """What is too sudden, or nothing."""
        if not self._attended:
            return ""
        peak, now = max(n for _, n in self._attended), self._attended[-1][1]
        if peak < self.min_population:
            return ""
        if now < (1 - self.max_drop) * peak:
            return f"{now} rooms are attended where {peak} were in the last 5 minutes"
        turned = sum(n for _, n in self._orphaned)
        if turned > self.max_drop * peak:
            return f"{turned} rooms turned orphaned in the last 5 minutes, of {peak} attended ones"
        return ""
