"""A clock that costs no time: waiting moves it forward at once."""

import asyncio
import heapq
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

DEFAULT_START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
YIELDS = 3


@dataclass(slots=True, eq=False)
class _Scope:
    deadline: float
    owner: asyncio.Task[object]
    cancelling: int
    outer: "_Scope | None"
    closed: bool = False
    expired: bool = False


_innermost: ContextVar[_Scope | None] = ContextVar("innermost_virtual_timeout", default=None)


class VirtualClock:
    """Implements `watchdog.core.clock.Clock` without wall time; deterministic.

    `sleep` moves the clock forward instead of waiting. Tasks that sleep at the same time are woken
    in the order of their times. A `timeout` scope that ends before a sleep within it does, ends it
    there, and only moves the clock that far. The monotonic reading starts at 0.
    """

    def __init__(self, start: datetime = DEFAULT_START) -> None:
        self._start = start
        self._mono = 0.0
        self._wall_offset = 0.0
        self._sleepers: list[tuple[float, int]] = []
        self._order = count()

    def now(self) -> datetime:
        """The wall clock: the start, plus what has passed, plus every jump."""
        return self._start + timedelta(seconds=self._mono + self._wall_offset)

    def monotonic(self) -> float:
        """Seconds that have passed since the start."""
        return self._mono

    def advance(self, seconds: float) -> None:
        """Let time pass. Scopes of other tasks notice at their next sleep."""
        if seconds < 0:
            raise ValueError("time does not go back; jump_wall moves the wall clock alone")
        self._mono += seconds

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back, while the monotonic clock goes on as it was."""
        self._wall_offset += seconds

    async def sleep(self, seconds: float) -> None:
        """Move time forward by `seconds`, or to the end of the earliest enclosing timeout scope.

        RuntimeError for an endless sleep in no scope: a test that would never end.
        """
        if seconds == math.inf and _earliest_scope() is None:
            raise RuntimeError("an endless wait without a deadline")
        target = self._mono + max(0.0, seconds)
        entry = (target, next(self._order))
        heapq.heappush(self._sleepers, entry)
        try:
            # Whoever starts to sleep at this same moment must be in the heap before time moves.
            for _ in range(YIELDS):
                await asyncio.sleep(0)
            while (scope := _earliest_scope()) is not None or self._mono < target:
                if scope is not None and scope.deadline <= target:
                    await self._wait_or_expire(scope)
                elif self._mono < target:
                    await self._step(target)
                else:
                    return
        finally:
            self._sleepers.remove(entry)
            heapq.heapify(self._sleepers)

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[None]:
        """A scope that raises TimeoutError once the clock has moved `seconds` inside it.

        As with `asyncio.timeout`, what is inside sees a cancellation.
        """
        owner = asyncio.current_task()
        if owner is None:
            raise RuntimeError("a timeout needs a task to interrupt")
        deadline = self._mono + max(0.0, seconds)
        scope = _Scope(deadline, owner, owner.cancelling(), _innermost.get())
        token = _innermost.set(scope)
        try:
            yield
        except asyncio.CancelledError:
            if scope.expired and owner.uncancel() <= scope.cancelling:
                raise TimeoutError from None
            raise
        except BaseException:
            if scope.expired:
                owner.uncancel()
            raise
        finally:
            scope.closed = True
            _innermost.reset(token)

    async def _wait_or_expire(self, scope: _Scope) -> None:
        if self._mono < scope.deadline:
            await self._step(scope.deadline)
            return
        if not scope.expired:
            scope.expired = True
            scope.owner.cancel()
        await asyncio.sleep(0)

    async def _step(self, target: float) -> None:
        """Move to the earliest time anybody sleeps for, but not beyond `target`."""
        self._mono = max(self._mono, min(target, self._sleepers[0][0]))
        if self._mono < target:
            for _ in range(YIELDS):
                await asyncio.sleep(0)


def _earliest_scope() -> _Scope | None:
    scope, earliest = _innermost.get(), None
    while scope is not None:
        if not scope.closed and (earliest is None or scope.deadline < earliest.deadline):
            earliest = scope
        scope = scope.outer
    return earliest
