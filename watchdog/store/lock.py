"""One `run` per database file."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from watchdog.core.errors import StoreError
from watchdog.store.failures import explained

LOST = "the database's lock is not held any more"


class DatabaseInUseError(StoreError):
    """Another process runs on this database."""


class NoLock:
    """Stands in for a lock where there is none to take.

    A database in memory is nobody else's and counts as held. One on a server is shared, and leases say
    who acts on which project (`keeper.py`): nothing may be deleted on the strength of this (T44).
    """

    def __init__(self, *, held: bool) -> None:
        self._held = held

    def held(self) -> bool:
        """Whether nobody else can use the database."""
        return self._held

    async def confirmed(self) -> str:
        """There is nobody to ask."""
        return "" if self._held else LOST

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class RunLock:
    """Holds `<database file>.lock` while a `run` uses the database; ends with the process.

    The lock is the kernel's (flock), so a killed process leaves none behind; the process id in the
    file only tells the operator whom to stop. The file itself stays: removing it would let two
    processes lock two files of one name. Use as a context manager.
    """

    def __init__(self, database: Path) -> None:
        """For the SQLite file `database`, whatever name or link it is reached by."""
        self.database = database
        self.path = Path(os.path.realpath(database) + ".lock")
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock at once; raises DatabaseInUseError where another process has it."""
        with explained(str(self.database), opening=True):
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
                os.close(file)
                raise DatabaseInUseError(
                    f"another livekit-watchdog run (pid {holder}) uses {self.database};"
                    " stop it or give this one its own database"
                ) from None
            except BaseException:
                os.close(file)
                raise
            self._file = file
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)

    def held(self) -> bool:
        """Whether the lock still keeps others out: a file that was removed or replaced does not."""
        if self._file is None:
            return False
        try:
            ours, there = os.fstat(self._file), self.path.stat()
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    async def confirmed(self) -> str:
        """The lock itself says it all."""
        return "" if self.held() else LOST

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
