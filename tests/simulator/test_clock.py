"""The virtual clock: waiting costs no time, and deadlines hold."""

import asyncio
import math
from datetime import timedelta

import pytest

from watchdog.simulator.clock import VirtualClock


async def test_sleeping_moves_both_readings_by_exactly_that_much(clock: VirtualClock):
    wall = clock.now()

    await clock.sleep(90.5)

    assert clock.monotonic() == 90.5
    assert clock.now() - wall == timedelta(seconds=90.5)


async def test_a_jump_moves_the_wall_clock_alone(clock: VirtualClock):
    wall = clock.now()

    clock.jump_wall(-3600)
    clock.advance(10)

    assert clock.now() - wall == timedelta(seconds=10 - 3600)
    assert clock.monotonic() == 10


def test_time_does_not_go_back(clock: VirtualClock):
    with pytest.raises(ValueError, match="jump_wall"):
        clock.advance(-1)


async def test_a_sleep_longer_than_its_deadline_ends_at_the_deadline(clock: VirtualClock):
    with pytest.raises(TimeoutError):
        async with clock.timeout(5):
            await clock.sleep(100)

    assert clock.monotonic() == 5


async def test_a_shorter_sleep_ends_in_peace_and_the_deadline_is_over_with_its_scope(
    clock: VirtualClock,
):
    async with clock.timeout(5):
        await clock.sleep(4)
    await clock.sleep(100)

    assert clock.monotonic() == 104


async def test_sleeps_add_up_to_a_deadline(clock: VirtualClock):
    async def keep_sleeping() -> None:
        async with clock.timeout(5):
            for _ in range(10):
                await clock.sleep(2)

    with pytest.raises(TimeoutError):
        await keep_sleeping()
    assert clock.monotonic() == 5


@pytest.mark.parametrize(("outer", "inner"), [(2, 5), (5, 2), (3, 3)])
async def test_the_earlier_of_nested_deadlines_wins_and_belongs_to_its_own_scope(
    clock: VirtualClock, outer: float, inner: float
):
    ended = []
    try:
        async with clock.timeout(outer):
            try:
                async with clock.timeout(inner):
                    await clock.sleep(100)
            except TimeoutError:
                ended.append("inner")
    except TimeoutError:
        ended.append("outer")

    assert clock.monotonic() == min(outer, inner)
    assert ended == (["outer"] if outer < inner else ["inner"])


async def test_after_an_inner_deadline_the_outer_one_still_holds(clock: VirtualClock):
    async def sleep_on() -> None:
        async with clock.timeout(5):
            with pytest.raises(TimeoutError):
                async with clock.timeout(2):
                    await clock.sleep(100)
            await clock.sleep(100)

    with pytest.raises(TimeoutError):
        await sleep_on()
    assert clock.monotonic() == 5


async def test_code_inside_sees_a_cancellation_as_with_asyncio(clock: VirtualClock):
    seen = []

    async def watch_itself() -> None:
        async with clock.timeout(5):
            try:
                await clock.sleep(100)
            except BaseException as error:
                seen.append(type(error))
                raise

    with pytest.raises(TimeoutError):
        await watch_itself()
    assert seen == [asyncio.CancelledError]


async def test_an_endless_wait_ends_at_the_deadline_and_is_refused_without_one(
    clock: VirtualClock,
):
    with pytest.raises(TimeoutError):
        async with clock.timeout(10):
            await clock.sleep(math.inf)
    assert clock.monotonic() == 10

    with pytest.raises(RuntimeError, match="without a deadline"):
        await clock.sleep(math.inf)


async def test_tasks_that_sleep_at_the_same_time_wake_in_the_order_of_their_times(
    clock: VirtualClock,
):
    woken = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    await asyncio.gather(sleeper("slow", 10), sleeper("quick", 3), sleeper("middle", 4))

    assert woken == [("quick", 3), ("middle", 4), ("slow", 10)]


async def test_two_hanging_tasks_end_at_the_same_deadline_not_one_after_the_other(
    clock: VirtualClock,
):
    async def hang() -> float:
        try:
            async with clock.timeout(10):
                await clock.sleep(math.inf)
        except TimeoutError:
            return clock.monotonic()

    assert await asyncio.gather(hang(), hang()) == [10, 10]


@pytest.mark.parametrize("group", ["gather", "task group"])
async def test_a_deadline_reaches_the_tasks_started_inside_it(clock: VirtualClock, group: str):
    done = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        done.append(seconds)

    async def sleep_together() -> None:
        async with clock.timeout(4):
            if group == "gather":
                await asyncio.gather(sleeper(3), sleeper(100))
            else:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(sleeper(3))
                    tasks.create_task(sleeper(100))

    with pytest.raises(TimeoutError):
        await sleep_together()
    assert done == [3]
    assert clock.monotonic() == 4


async def test_a_task_cancelled_from_outside_is_not_taken_for_timed_out(clock: VirtualClock):
    started = asyncio.Event()

    async def work() -> None:
        async with clock.timeout(5):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
