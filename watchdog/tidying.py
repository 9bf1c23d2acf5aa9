"""Keeps the database small while the daemon runs: batch by batch, so that no tick has to wait for long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from watchdog.core.errors import StoreError
from watchdog.expose.logs import get_logger

log = get_logger("watchdog.tidying")

RollUp = Callable[[int], Awaitable[int]]
"""Rolls up at most so much history, and says how much it was; 0: there is none left."""
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Cadence:
    """When history is rolled up: seconds after the start, between two times, and between batches.

    A batch is one transaction of at most so many episodes, for which the tick's own has to wait.
    """

    first: float = 300.0
    every: float = 3600.0
    pause: float = 1.0
    batch: int = 200


HOURLY = Cadence()


@asynccontextmanager
async def tidied(
    roll_up: RollUp, cadence: Cadence = HOURLY, *, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[None]:
    """Roll up history while the scope lasts. At its end a batch that is under way is carried through."""
    task = asyncio.create_task(keep_tidy(roll_up, cadence, sleep), name="keep-tidy")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def keep_tidy(roll_up: RollUp, cadence: Cadence, sleep: Sleep) -> None:
    """Roll up what there is, again and again. What fails is logged, and tried again the next time."""
    await sleep(cadence.first)
    while True:
        try:
            await _all_batches(roll_up, cadence, sleep)
        except StoreError as error:
            log.warning("history not rolled up", error=str(error))
        except Exception:
            # A fault of ours: the daemon is there to watch, and goes on.
            log.exception("rolling up history failed unexpectedly")
        await sleep(cadence.every)


async def _all_batches(roll_up: RollUp, cadence: Cadence, sleep: Sleep) -> None:
    whole = 0
    try:
        while done := await roll_up(cadence.batch):
            whole += done
            await sleep(cadence.pause)
    finally:
        if whole:
            log.info("history rolled up", rows=whole)
