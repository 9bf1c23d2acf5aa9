"""Too many at once: a hold, and the slow drain after it (SAFETY D, *limits*).

Times are monotonic seconds. Nothing is deleted while a hold is young; later one room a tick is, the oldest
first, each confirmed by looks taken since the hold opened.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from watchdog.core.arming import ARMING_SECONDS


@dataclass(frozen=True, slots=True)
class Queue:
    """The rooms that wait to be deleted, and what keeps them.

    `ids` are the waiting episodes, the oldest first. `opened` is when a hold opened; None: there is none.
    `released` are episodes an operator lets go in spite of it.
    """

    per_tick: int
    per_hour: int
    limit_hold: float
    poll: float
    ids: tuple[str, ...] = ()
    recent: int = 0
    opened: float | None = None
    released: frozenset[str] = field(default_factory=frozenset)

    def update(self, ids: Sequence[str], recent: int, at: float) -> "Queue":
        """The queue as of a good tick; `recent` counts the deletions of the last hour.

        A hold opens where the waiting rooms pass either limit, and ends where they fit both. Newcomers queue
        and do not open it anew.
        """
        released = self.released & frozenset(ids)
        counted = len(ids) - len(released)
        fits = counted <= self.per_tick and counted <= max(0, self.per_hour - recent)
        opened = None if fits else (at if self.opened is None else self.opened)
        return replace(self, ids=tuple(ids), recent=recent, opened=opened, released=released)

    def release(self) -> "Queue":
        """Let everything go that waits now."""
        return replace(self, opened=None, released=frozenset(self.ids))

    def held_for(self, at: float) -> float | None:
        """How many seconds ago too many waited for the first time; None: they do not."""
        return None if self.opened is None else at - self.opened

    def goes_uncounted(self, episode: str) -> bool:
        """Whether the deletion of this room counts toward no limit: it drains, or was let go."""
        return self.opened is not None or episode in self.released

    def drains(self, at: float) -> bool:
        """Whether the hold is old enough that one room a tick goes."""
        return self.opened is not None and at - self.opened >= self.limit_hold

    def most_now(self, at: float) -> int:
        """How many rooms may be deleted in this tick."""
        if self.opened is None:
            return self.per_tick
        return 1 if self.drains(at) else 0

    def go(self, confirmed: Sequence[str], at: float) -> frozenset[str]:
        """Which of these go in this tick: what was let go, and of the others as many as may."""
        free = [key for key in confirmed if key in self.released][: self.per_tick]
        held = [key for key in confirmed if key not in self.released][: self.most_now(at)]
        return frozenset([*free, *held][: self.per_tick])

    def turn(self, episode: str, at: float) -> bool:
        """Whether a room may be confirmed now: while it drains, those whose turn comes by then."""
        return self.turns(at)(episode)

    def turns(self, at: float) -> Callable[[str], bool]:
        """The same for many rooms at one moment."""
        if self.opened is None:
            return lambda _: True
        near = set(self.released)
        if self.drains(at):
            held = (key for key in self.ids if key not in self.released)
            near.update(islice(held, self.ahead))
        return near.__contains__

    @property
    def ahead(self) -> int:
        """So many rooms are being confirmed while it drains, so that one is ready each tick."""
        return math.ceil(ARMING_SECONDS / self.poll) + 2
