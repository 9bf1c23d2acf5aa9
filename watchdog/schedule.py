"""When the ticks run: APScheduler, kept on time when the machine's clock is set."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from watchdog.core.clock import Clock
from watchdog.core.steady import SteadyClock

LOOK_AT_CLOCK_SECONDS = 5.0


class Schedule:
    """Turns that come again and again, each under its name."""

    def __init__(self, scheduler: AsyncIOScheduler) -> None:
        """Made by `scheduled`."""
        self._scheduler = scheduler

    def add(self, name: str, turn: Callable[[], Awaitable[None]], every: float) -> None:
        """Run `turn` every so many seconds, the first time at once.

        It is a coroutine function, or a partial of one: the scheduler runs others in threads. A turn that
        takes longer leaves out the next ones.
        """
        self._scheduler.add_job(
            turn,
            "interval",
            id=name,
            seconds=every,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )

    def remove(self, name: str) -> None:
        """No new turn of this name begins; one that is under way goes on."""
        self._scheduler.remove_job(name)


@asynccontextmanager
async def scheduled(
    clock: Clock, *, settle: Callable[[], Awaitable[None]]
) -> AsyncIterator[Schedule]:
    """A schedule that is kept while the scope lasts.

    At the end no new turn begins, `settle` waits for those under way, and what then still runs is
    cancelled.
    """
    # It warns of each turn that a long tick leaves out; health and metrics tell that better.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.start()
    watch = asyncio.create_task(keep_on_time(scheduler, clock), name="keep-on-time")
    try:
        yield Schedule(scheduler)
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        scheduler.remove_all_jobs()
        scheduler.pause()
        await settle()
        scheduler.shutdown(wait=False)


async def keep_on_time(
    scheduler: AsyncIOScheduler, clock: Clock, every: float = LOOK_AT_CLOCK_SECONDS
) -> None:
    """Make all appointments anew once the wall clock is found to have been set (T36).

    The scheduler keeps them by the wall clock: set back by an hour, it would let an hour pass.
    """
    steady = SteadyClock(clock)
    while True:
        await asyncio.sleep(every)
        if steady.resync():
            for job in scheduler.get_jobs():
                job.modify(next_run_time=datetime.now(UTC))
