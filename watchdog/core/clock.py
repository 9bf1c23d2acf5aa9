"""The clock as everything here sees it: handed in from the outside, never read in the core."""

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Two readings of time and two ways to wait for it."""

    def now(self) -> datetime:
        """The wall clock, in UTC with a time zone. It can jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point. It never jumps and never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """A scope that raises TimeoutError once `seconds` of this clock have passed."""
        ...
