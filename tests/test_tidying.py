"""When history is rolled up: a while after the start, then hourly, in batches with pauses between them."""

import asyncio

import pytest

from watchdog.core.errors import StoreError
from watchdog.tidying import Cadence, keep_tidy, tidied

CADENCE = Cadence(first=300, every=3600, pause=1, batch=10)


class EndOfTest(Exception):  # noqa: N818 - nothing went wrong
    """Enough was seen."""


class Day:
    """Time that passes by being slept through, and a history of so many episodes at each moment."""

    def __init__(self, *history: int | Exception, until: float = 10_000):
        self.now, self.until = 0.0, until
        self.history = list(history)
        self.did: list[tuple[float, int]] = []

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.until:
            raise EndOfTest

    async def roll_up(self, limit: int) -> int:
        left = self.history[0] if self.history else 0
        if isinstance(left, Exception):
            self.history.pop(0)
            self.did.append((self.now, -1))
            raise left
        done = min(limit, left)
        self.did.append((self.now, done))
        if self.history:
            self.history[0] = left - done
            if not done:
                self.history.pop(0)
        return done


async def test_it_begins_after_a_while_and_then_comes_once_an_hour():
    day = Day(until=8000)
    with pytest.raises(EndOfTest):
        await keep_tidy(day.roll_up, CADENCE, day.sleep)
    assert day.did == [(300, 0), (3900, 0), (7500, 0)]


async def test_batch_by_batch_with_pauses_until_nothing_is_left():
    day = Day(25, 4, until=5000)
    with pytest.raises(EndOfTest):
        await keep_tidy(day.roll_up, CADENCE, day.sleep)
    assert day.did == [(300, 10), (301, 10), (302, 5), (303, 0), (3903, 4), (3904, 0)]


async def test_what_fails_is_tried_again_the_next_time(capsys: pytest.CaptureFixture[str]):
    day = Day(StoreError("the disk is full"), ValueError("a fault of ours"), 4, until=8000)
    with pytest.raises(EndOfTest):
        await keep_tidy(day.roll_up, CADENCE, day.sleep)
    assert day.did == [(300, -1), (3900, -1), (7500, 4), (7501, 0)]


async def test_the_end_of_the_scope_is_its_end():
    day = Day()
    asleep = asyncio.Event()

    async def for_ever(seconds: float) -> None:
        asleep.set()
        await asyncio.Event().wait()

    async with tidied(day.roll_up, CADENCE, sleep=for_ever):
        await asleep.wait()
    assert day.did == []
