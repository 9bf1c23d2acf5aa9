"""A wall clock that does not jump between two readings (T36)."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta

from watchdog.core.clock import Clock

JUMP_SECONDS = 2.0
"""A wall clock that is this far from where it should be has been set; less is drift."""


class SteadyClock:
    """Reads the wall clock once a tick and counts on from there by the monotonic one.

    So no span of time that is measured with it is ever longer or shorter than it was, whatever is
    done to the machine's clock meanwhile; `resync` says by how much the clock was set.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall = clock.now()
        self._monotonic = clock.monotonic()

    def now(self) -> datetime:
        """The wall clock as of the last `resync`, and what has passed since."""
        return self._wall + timedelta(seconds=self._clock.monotonic() - self._monotonic)

    def monotonic(self) -> float:
        """The monotonic clock, in seconds."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._clock.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """A deadline."""
        return self._clock.timeout(seconds)

    def resync(self) -> timedelta:
        """Follow the wall clock again; returns by how much it was set, or zero for mere drift."""
        expected = self.now()
        self._wall, self._monotonic = self._clock.now(), self._clock.monotonic()
        jump = self._wall - expected
        return jump if abs(jump.total_seconds()) > JUMP_SECONDS else timedelta()
