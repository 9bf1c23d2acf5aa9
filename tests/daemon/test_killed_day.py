"""A day of churn, with kills between an observation and its commit: told again, it comes to the same."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from tests.daemon.day import Day, day
from tests.daemon.test_day_of_churn import check_range, check_sums
from watchdog.core.model import Episode
from watchdog.core.records import Spend
from watchdog.simulator.ledger import Stay
from watchdog.store.database import Database

MICRO = Decimal("1e-6")


class Killed(BaseException):
    """The process is gone: nobody catches this, and nobody cleans up."""


class MortalDatabase(Database):
    """A database whose process dies, where it is doomed, with everything written and nothing committed."""

    def __init__(self, inner: Database) -> None:
        vars(self).update(vars(inner))
        self.doomed = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[object]:
        async with super().writing() as connection:
            yield connection
            if self.doomed:
                raise Killed


async def killed(it: Day, rng: random.Random) -> None:
    """A tick that dies once it has observed something, at the latest when it would commit; then a new start.

    What webhooks told since the last commit was acknowledged and is not on disk: it is told again.
    """
    w, told = it.w, list(it.untaken)
    assert isinstance(w.database, MortalDatabase)
    looks = rng.choice((None, 0, 1, 3, 10))

    def strike() -> None:
        nonlocal looks
        if not looks:
            raise Killed
        looks -= 1
        w.when("ListParticipants", strike, phase="answered")

    if looks is not None:
        first = "ListRooms" if looks == 0 else "ListParticipants"
        w.when(first, strike, phase="answered")
    w.database.doomed = True
    with pytest.raises(BaseException) as death:
        await w.project.tick()
    assert all(isinstance(error, Killed) for error in leaves(death.value))
    w.database.doomed = False
    w.happenings.clear()
    w.restart()
    for event in told:
        w.project.receive(event)


def leaves(error: BaseException) -> Iterable[BaseException]:
    """The errors in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


@dataclass
class Lived:
    """What a day came to: exported and burned tick by tick, the episodes, and what really happened."""

    exported: list[Mapping[str, Spend]] = field(default_factory=list)
    burned: list[Mapping[str, Spend]] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    happened: list[Stay] = field(default_factory=list)
    ends: int = 0
    moved_back: int = 0


async def live(seed: int, rooms: int, hours: float, ends: int, *, kill: bool) -> Lived:
    """The day, in which the process ends so many times, killed within a tick or in good order before it.

    What a process knows of rooms that are not orphaned, and when it looks, is never on disk: to be told the
    same after a kill is to be told the same as one that was stopped and started.
    """
    rng, lived = random.Random(seed), Lived()
    async with day(seed, rooms, hours) as it:
        it.w.database = MortalDatabase(it.w.database)
        it.w.restart()
        fatal = set(rng.sample(range(10, int(hours * 3600 / it.w.poll)), ends))
        while it.goes_on():
            fatal_now = it.number + 1 in fatal
            if fatal_now and not kill:
                it.w.restart()
            it.pass_time()
            if fatal_now and kill:
                await killed(it, rng)
            lived.ends += fatal_now
            report = await it.tick()
            lived.exported.append(report.spend)
            lived.burned.append(report.burn)
        found = await it.judged()
        for one in found:
            check_range(one)
        check_sums(it, found)
        lived.episodes = [replace(one.episode, id="") for one in found]
        lived.happened = list(it.ledger.stays())
        lived.moved_back = it.counts["moved back"]
    return lived


def same(one: Sequence[Mapping[str, Spend]], other: Sequence[Mapping[str, Spend]]) -> bool:
    """Whether two runs say the same by agent name, tick by tick, to less than a micro-dollar."""
    return len(one) == len(other) and all(
        a.keys() == b.keys()
        and all(
            abs(a[name].low - b[name].low) < MICRO
            and abs(a[name].high - b[name].high) < MICRO
            and abs(a[name].unverified - b[name].unverified) < MICRO
            for name in a
        )
        for a, b in zip(one, other, strict=True)
    )


async def check_kills(record_property, seed: int, rooms: int, hours: float, ends: int) -> Lived:
    """The killed day comes to the same as the undisturbed one, and its ranges hold the truth as well."""
    undisturbed = await live(seed, rooms, hours, ends, kill=False)
    lived = await live(seed, rooms, hours, ends, kill=True)
    assert lived.ends == undisturbed.ends == ends
    assert lived.happened == undisturbed.happened, "the same day"
    assert same(lived.exported, undisturbed.exported)
    assert same(lived.burned, undisturbed.burned)
    assert lived.episodes == undisturbed.episodes
    for what, number in (
        ("kills between an observation and its commit", lived.ends),
        ("ticks whose totals are those of an undisturbed run", len(lived.exported)),
        ("episodes of killed days, against the exact ledger", len(lived.episodes)),
    ):
        record_property(f"exercised: {what}", number)
    return lived


@pytest.mark.trap("T37")
async def test_t37_ten_kills_in_two_hours_change_no_total(record_property):
    await check_kills(record_property, seed=3, rooms=60, hours=2.0, ends=10)


@pytest.mark.slow
@pytest.mark.trap("T37")
@pytest.mark.trap("T50")
@pytest.mark.timeout(900)
async def test_t37_t50_fifty_kills_in_a_day_change_no_total_and_no_counter_falls(record_property):
    lived = await check_kills(record_property, seed=8, rooms=1000, hours=24.0, ends=50)
    assert len(lived.episodes) >= 700
    assert lived.moved_back >= 5
