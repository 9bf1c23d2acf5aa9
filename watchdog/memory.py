"""What a daemon's memory need not hold, or be walked for, once what it knows of a project is there."""

import ctypes
import gc
from contextlib import suppress
from dataclasses import dataclass, field

MANY_ROOMS = 5000
"""From so many rooms on the garbage collector would hold everything up for too long."""


@dataclass(slots=True)
class Memory:
    """Follows how many rooms are known of each project."""

    _settled: dict[str, int] = field(default_factory=dict)

    def follow(self, project: str, rooms: int) -> None:
        """After each good tick: settle at the first, and when many rooms have become twice as many.

        Not each time: what is in a cycle then, and not walked any more, stays.
        """
        before = self._settled.get(project)
        if before is None or rooms >= max(MANY_ROOMS, 2 * before):
            self._settled[project] = rooms
            _settle(rooms)

    def forget(self, project: str) -> None:
        """A project is given up: the collector is to find what is left of it."""
        self._settled.pop(project, None)
        if gc.get_freeze_count():
            gc.unfreeze()


def _settle(rooms: int) -> None:
    # glibc keeps what loading and a first list took and gave back; where there is no glibc, so it stays.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    if rooms >= MANY_ROOMS:
        # What is known of so many rooms holds no cycles, and need not be walked to find some.
        gc.freeze()
