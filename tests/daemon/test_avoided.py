"""What deletions avoid, as the running daemon books and remembers it (T43)."""

from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from tests.daemon.harness import lab
from watchdog.core.avoided import Basis
from watchdog.core.classify import DetectionRules
from watchdog.core.deletion import AuditKind, Mode
from watchdog.core.policy import Policy
from watchdog.store.audit import AuditStore
from watchdog.store.episodes import EpisodeStore

QUICK = Policy("quick", grace=60.0, respect_room_timeouts=False)
HOURLY = Decimal("0.03")
KEY = ("support", Basis.ROOM_TIMEOUT)


@asynccontextmanager
async def just_deleted(**options):
    """A room of a day's timeout was deleted, and that was verified in the tick whose report is given."""
    async with lab(per_minute=2000, **options) as w:
        w.enforcing(QUICK)
        w.call("busy")
        w.strand("r")
        await w.until_deleted("r")
        for _ in range(4):
            report = await w.ticks(1)
            if report.outcomes:
                break
        assert [entry.outcome.value for entry in report.outcomes] == ["deleted"]
        yield w, report


async def test_it_grows_with_the_time_at_the_low_rate_and_no_faster():
    async with just_deleted() as (w, first):
        assert first.avoided.keys() == {KEY}
        start = first.avoided[KEY]
        assert start <= HOURLY * 60 / 3600
        report = await w.ticks(240)
        assert report.avoided[KEY] - start == HOURLY, "an hour later"


@pytest.mark.trap("T43")
async def test_t43_a_room_that_comes_back_ends_it_and_does_not_take_it_away():
    async with just_deleted() as (w, _):
        before = (await w.ticks(40)).avoided[KEY]
        w.call("r")
        report = await w.ticks(1)
        assert report.avoided[KEY] == before
        assert (await w.ticks(40)).avoided[KEY] == before


async def test_where_the_server_should_have_closed_it_long_ago_it_is_for_an_hour():
    async with lab(per_minute=2000, rules=DetectionRules(("bot-*",))) as w:
        w.enforcing(QUICK)
        w.call("busy")
        # A bot of kind STANDARD keeps the server from closing the room by itself.
        w.world.create_room("r", empty_timeout=20, departure_timeout=20)
        w.world.join("r", "alice")
        w.world.join("r", "bot-1")
        await w.ticks(2)
        w.world.leave("r", "alice")
        await w.until_deleted("r")
        report = await w.ticks(300)
        ((key, amount),) = report.avoided.items()
        assert key[1] == Basis.HORIZON
        assert amount == HOURLY
        assert (await w.ticks(10)).avoided[key] == HOURLY


async def test_in_mode_observe_it_is_nothing():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, mode=Mode.OBSERVE)
        w.strand("r")
        assert (await w.ticks(60)).avoided == {}


async def test_a_restart_goes_on_where_it_stopped():
    async with just_deleted() as (w, _):
        before = (await w.ticks(4)).avoided[KEY]
        w.restart(after=600)
        report = await w.ticks(2)
        assert report.avoided[KEY] - before == HOURLY * 630 / 3600
        w.call("r")
        report = await w.ticks(1)
        last = report.avoided[KEY]
        w.restart()
        assert (await w.ticks(4)).avoided[KEY] == last


class KilledError(Exception):
    """Nothing after this happens in this process."""


async def test_a_kill_between_the_outcome_and_the_ticks_commit_loses_and_doubles_nothing():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK)
        w.call("busy")
        w.strand("r")
        await w.until_deleted("r")
        audit, store = AuditStore(w.database), w.project._store
        real = store.commit

        async def commit(*what):
            if any(e.kind is AuditKind.OUTCOME for e in await audit.entries(limit=10)):
                raise KilledError
            return await real(*what)

        store.commit = commit
        with pytest.raises(KilledError):
            await w.ticks(10)
        w.restart()
        store = EpisodeStore(w.database)
        assert (await store.load("p")).avoiding == ()
        report = await w.ticks(6)
        (running,) = (await store.load("p")).avoiding
        assert report.avoided[KEY] == running.booked(report.at) > 0
        w.restart()
        await w.ticks(2)
        assert len((await store.load("p")).avoiding) == 1


async def test_our_clock_set_back_makes_it_neither_fall_nor_jump():
    async with just_deleted() as (w, _):
        before = (await w.ticks(4)).avoided[KEY]
        w.clock.jump_wall(-5 * 3600)
        report = await w.ticks(4)
        assert before < report.avoided[KEY] <= before + HOURLY * 75 / 3600
