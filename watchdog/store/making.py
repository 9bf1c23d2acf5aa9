"""Makes a database file that is not there yet in a process of its own.

A daemon that made its own would keep Alembic in memory, ten megabytes, for as long as it lives. Nothing
depends on that process: what it does not do, `open_database` does, or says why it cannot.
"""

import asyncio
import subprocess
import sys
from contextlib import suppress

from watchdog.core.errors import WatchdogError
from watchdog.store.database import upgrade
from watchdog.store.engine import find

PATIENCE = 30.0
"""Seconds for what takes one."""


async def made_apart(url: str) -> None:
    """Have the database made, if it is a file that is not there. Raises nothing."""
    if not _is_missing(url):
        return
    with suppress(OSError):  # there can be no other process
        maker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await maker.communicate(url.encode())
        finally:
            with suppress(ProcessLookupError):
                maker.kill()
            await maker.wait()


def _is_missing(url: str) -> bool:
    with suppress(WatchdogError):
        path = find(url).path
        return path is not None and not path.exists()
    return False


def main() -> None:
    """Make the database whose URL comes in."""
    with suppress(WatchdogError):
        asyncio.run(upgrade(sys.stdin.read()))


if __name__ == "__main__":
    main()
