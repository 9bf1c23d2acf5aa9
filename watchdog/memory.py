"""What a daemon's memory need not hold, or be walked for, after the first tick of a project."""

import ctypes
import gc
from contextlib import suppress

MANY_ROOMS = 5000
"""From so many rooms on the garbage collector would hold everything up for too long."""


def settle(rooms: int) -> None:
    """After a project's first tick, with so many rooms: what stays is there, what it took is done with."""
    # glibc keeps what loading and a first list took and gave back; where there is no glibc, so it stays.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    if rooms >= MANY_ROOMS:
        # What is known of so many rooms holds no cycles, and need not be walked to find some.
        gc.freeze()


def unsettle() -> None:
    """After a project was given up: else the collector would never take what is left of it."""
    if gc.get_freeze_count():
        gc.unfreeze()
