"""Makes a database file that is not there yet in a process of its own.

A daemon that made its own would keep Alembic in memory, ten megabytes, for as long as it lives. Nothing
depends on that process: what it does not do, `open_database` does, or says why it cannot.
"""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

from watchdog.core.errors import WatchdogError
from watchdog.store.database import upgrade
from watchdog.store.engine import find

PATIENCE = 10
"""Seconds for what takes one."""


async def made_apart(url: str) -> None:
    """Have the database made, if it is a file that is not there. Raises nothing."""
    if not sys.executable or not _is_missing(url):
        return
    # Without the working directory on its path, where anybody's modules may lie.
    alone = "-I" if sys.flags.isolated else "-P"
    with suppress(OSError):  # there can be no other process
        maker = await asyncio.create_subprocess_exec(
            *(sys.executable, alone, "-m", __name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await maker.communicate(os.fsencode(url))
        finally:
            with suppress(ProcessLookupError):
                maker.kill()
            await maker.wait()


def _is_missing(url: str) -> bool:
    with suppress(WatchdogError, OSError):
        path = find(url).path
        return path is not None and not path.exists()
    return False


def main() -> None:
    """Make the database whose URL comes in; whoever asked for it may be gone by then."""
    signal.alarm(PATIENCE)
    with suppress(WatchdogError):
        asyncio.run(upgrade(os.fsdecode(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
