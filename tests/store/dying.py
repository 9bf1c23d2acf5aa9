"""Rolls up copies of a database in forks that kill themselves, each one suspension later than the one before.

Run as a program: the database, and where its copies go. Ends with the first that lives to the end, and
prints how many were killed.
"""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from tests.daemon.killable import Counted, Points
from tests.store.builders import at
from watchdog.store.database import open_database
from watchdog.store.history import HistoryStore

LATER = at(40 * 86400)
BATCH = 3


async def roll_up_all(path: Path, points: Points) -> None:
    """Batch by batch, as the daemon does."""
    asyncio.get_running_loop().set_task_factory(
        lambda loop, work, **more: asyncio.Task(Counted(work, points), loop=loop, **more)
    )
    async with await open_database(f"sqlite+aiosqlite:///{path}") as database:
        points.counting = True
        while await HistoryStore(database).roll_up(LATER, BATCH):
            pass
        points.counting = False


def survived(path: Path, kill_at: int) -> bool:
    """Whether a fork of this process lived to the end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(roll_up_all(path, Points(kill_at)))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise RuntimeError(f"it ended with {status}")
    return os.WIFEXITED(status)


def main(original: Path, copies: Path) -> None:
    """Kill one after the other."""
    number = 1
    while True:
        copy = copies / f"{number}.db"
        shutil.copy(original, copy)
        if survived(copy, number):
            break
        number += 1
    print(number - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
