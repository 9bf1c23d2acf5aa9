"""Ticks keep coming when the machine's clock is set (T36)."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from watchdog.clocks import SystemClock
from watchdog.schedule import keep_on_time, scheduled
from watchdog.simulator.clock import VirtualClock


@pytest.mark.trap("T36")
async def test_t36_a_clock_that_is_set_back_stops_no_tick():
    clock = VirtualClock()
    ran = asyncio.Event()
    scheduler = AsyncIOScheduler(timezone=UTC)
    # What a clock set back by an hour makes of the next appointment.
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    scheduler.add_job(ran.set, "interval", seconds=15, next_run_time=in_an_hour)
    scheduler.start()
    watch = asyncio.create_task(keep_on_time(scheduler, clock, every=0.01))
    try:
        await asyncio.sleep(0.05)
        assert not ran.is_set(), "while the clock is right, the appointment stands"
        clock.jump_wall(-3600)
        await asyncio.wait_for(ran.wait(), timeout=30)
    finally:
        watch.cancel()
        scheduler.shutdown(wait=False)


async def test_every_turn_runs_at_once_and_then_on_its_interval():
    counts = [0, 0]
    enough = asyncio.Event()

    async def turn(number: int) -> None:
        counts[number] += 1
        if min(counts) >= 3:
            enough.set()

    async def settle() -> None:
        await asyncio.sleep(0)

    async with scheduled(SystemClock(), settle=settle) as schedule:
        schedule.add("one", partial(turn, 0), 0.05)
        schedule.add("other", partial(turn, 1), 0.05)
        await asyncio.wait_for(enough.wait(), timeout=30)
    seen = list(counts)
    await asyncio.sleep(0.2)
    assert counts == seen, "the end of the scope is the end of the turns"
