"""What a daemon's memory need not hold, or be walked for, once what it knows of a project is there."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

MANY_ROOMS = 5000
"""From so many rooms on the garbage collector would hold everything up for too long."""
GROWN = 1.5
"""After so much growth there is again much that need not be walked."""


@dataclass(slots=True)
class Memory:
    """Follows how many rooms are known of each project."""

    _settled: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)
    _waiting: int = 0
    _left: bool = False
    """A project was given up, and the collector has not looked since for what is left of it."""

    @contextmanager
    def tick(self, project: str) -> Iterator[None]:
        """One tick of a project. The collector waits for the end of the first, whose objects nearly all stay.

        For that one alone: of ticks that hang, again and again, it would never get to collect anything.
        """
        if project in self._begun:
            yield
            return
        self._begun.add(project)
        self._waiting += 1
        gc.disable()
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                gc.enable()

    def follow(self, project: str, rooms: int) -> None:
        """After each good tick: settle at the first, and when many rooms have come since.

        Not each time: what is in a cycle then, and not walked any more, stays.
        """
        before = self._settled.get(project)
        if before is None or rooms >= max(MANY_ROOMS, GROWN * before):
            self._settled[project] = rooms
            if self._left:
                self._left = False
                gc.collect()
            _settle(rooms)

    def forget(self, project: str) -> None:
        """A project is given up: what is left of it is to be found, and then the others settle anew."""
        self._settled.pop(project, None)
        self._begun.discard(project)
        if gc.get_freeze_count():
            gc.unfreeze()
            self._settled.clear()
            self._left = True


def _settle(rooms: int) -> None:
    # glibc keeps what loading and a first list took and gave back; where there is no glibc, so it stays.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    if rooms >= MANY_ROOMS:
        # What is known of so many rooms holds no cycles, and need not be walked to find some.
        gc.freeze()
