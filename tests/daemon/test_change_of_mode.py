"""What a change to a mode that deletes more will act on is told before it is acted on."""

import pytest

from tests.daemon.harness import FaultKind, lab, orphan
from watchdog.core.deletion import Mode, Pause
from watchdog.core.model import TickResult
from watchdog.core.policy import Match, Policy
from watchdog.store.controls import ControlStore
from watchdog.store.episodes import EpisodeStore

QUICK = Policy("quick", Match(rooms=("r*",)), grace=90.0, respect_room_timeouts=False)


async def watched_in(w, mode: Mode, **safeguards) -> None:
    """Watch the rooms `r` and `other`, of which only the first becomes due, in this mode."""
    w.enforcing(QUICK, mode=mode, **safeguards)
    w.call("busy")
    w.strand("r")
    w.strand("other")
    for _ in range(20):
        report = await w.ticks(1)
        if (found := orphan(report, "r")) and found.due:
            return
    raise AssertionError("r was never due")


async def noted_mode(w) -> str | None:
    return (await EpisodeStore(w.database).last_ticks())["p"].gates.mode


def told(report):
    """The modes and rooms of a report's backlog."""
    backlog = report.backlog
    if backlog is None:
        return None
    return backlog.before, backlog.now, [view.episode.room_name for view in backlog.rooms]


async def test_the_first_good_tick_in_a_mode_that_deletes_more_tells_what_waits():
    async with lab() as w:
        await watched_in(w, Mode.OBSERVE)
        assert await noted_mode(w) == "observe"
        w.enforcing(QUICK)
        report = await w.ticks(1)
        assert told(report) == ("observe", "enforce", ["r"])
        assert w.deleted() == []
        assert told(await w.ticks(1)) is None
        assert await noted_mode(w) == "enforce"
        w.restart()
        assert told(await w.ticks(1)) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Mode.OBSERVE, Mode.OBSERVE),
        (Mode.ALLOWLIST, Mode.OBSERVE),
        (Mode.ALLOWLIST, Mode.ALLOWLIST),
    ],
)
async def test_a_mode_that_deletes_no_more_has_nothing_to_tell(before, now):
    async with lab() as w:
        await watched_in(w, before)
        w.enforcing(QUICK, mode=now)
        assert told(await w.ticks(1)) is None
        await w.ticks(1)
        assert await noted_mode(w) == now


async def test_a_daemon_without_a_past_has_nothing_to_tell():
    async with lab() as w:
        w.enforcing(QUICK)
        w.strand("r")
        assert told(await w.ticks(1)) is None
        assert await noted_mode(w) == "enforce"


async def test_in_mode_allowlist_only_what_is_on_the_list_waits():
    async with lab() as w:
        await watched_in(w, Mode.OBSERVE)
        w.enforcing(QUICK, mode=Mode.ALLOWLIST, allowed=("s*",))
        assert told(await w.ticks(1)) == ("observe", "allowlist", [])
        w.enforcing(QUICK, mode=Mode.ALLOWLIST, allowed=("r*",))
        assert told(await w.ticks(1)) == ("observe", "allowlist", ["r"])
        await w.ticks(1)
        w.enforcing(QUICK, protected=("r",))
        assert told(await w.ticks(1)) == ("allowlist", "enforce", [])


async def test_a_tick_that_fails_tells_nothing_and_lets_the_next_one_tell_it_even_after_a_kill():
    async with lab() as w:
        await watched_in(w, Mode.OBSERVE)
        w.enforcing(QUICK)
        w.fault(FaultKind.GARBAGE, "ListRooms")
        report = await w.ticks(1)
        assert (report.result, told(report)) == (TickResult.FAILED, None)
        assert await noted_mode(w) == "observe"
        w.faults.clear()
        w.restart()
        assert told(await w.ticks(1)) == ("observe", "enforce", ["r"])


async def test_while_paused_it_is_told_and_told_again_by_the_next_run():
    async with lab() as w:
        await watched_in(w, Mode.OBSERVE)
        controls = ControlStore(w.database)
        await controls.pause("p", Pause(w.clock.now(), "ops", "not yet"))
        w.enforcing(QUICK)
        assert told(await w.ticks(1)) == ("observe", "enforce", ["r"])
        await w.ticks(3)
        w.restart()
        assert told(await w.ticks(1)) == ("observe", "enforce", ["r"])
        await controls.resume("p", w.clock.now(), "ops", "now")
        await w.ticks(1)
        assert await noted_mode(w) == "enforce"
