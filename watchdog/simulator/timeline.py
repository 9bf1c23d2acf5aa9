"""The time of a simulated world, and what is planned to happen in it."""

import heapq
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from watchdog.core.clock import Clock


class Timeline:
    """Plays events in order, each at its exact time, whenever anything is asked.

    Its time is the clock's monotonic time counted from the moment it was made. `skew` is how far the
    server's own clock is off.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.skew = timedelta()
        self._start, self._mono = clock.now(), clock.monotonic()
        self._events: list[tuple[datetime, int, Callable[[], object]]] = []
        self._order = count()
        self._settled = self._start
        self._playing = False

    def now(self) -> datetime:
        """The world's time; while an event is played, exactly that event's time."""
        return self._settled if self._playing else self._elapsed()

    def server_time(self) -> datetime:
        """What the server's own clock shows."""
        return self.now() + self.skew

    def at(self, when: datetime, event: Callable[[], object]) -> None:
        """Play `event` at `when`; at once if that has passed, when the world is next asked."""
        heapq.heappush(self._events, (when, next(self._order), event))

    def after(self, seconds: float, event: Callable[[], object]) -> None:
        """Play `event` in `seconds` from now."""
        self.at(self.now() + timedelta(seconds=seconds), event)

    def settle(self) -> None:
        """Play everything that is due by now."""
        if self._playing:
            return
        now = self._elapsed()
        try:
            while self._events and self._events[0][0] <= now:
                when, _, event = heapq.heappop(self._events)
                self._settled = max(self._settled, when)
                self._playing = True
                event()
        finally:
            self._playing = False
        self._settled = max(self._settled, now)

    def _elapsed(self) -> datetime:
        return self._start + timedelta(seconds=self.clock.monotonic() - self._mono)
