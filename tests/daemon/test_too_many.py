"""A pile that falls due at once is held, told, and then drained; a sudden change holds all (SAFETY D)."""

from itertools import pairwise

import pytest

from tests.daemon.harness import POLL, lab
from tests.daemon.test_enforce import QUICK, about_to_delete, left_alone
from watchdog.core.deletion import AuditKind, Mode, Outcome
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore


async def pile(w, count: int, prefix: str = "r") -> list[str]:
    """So many rooms that are left alone at the same moment, while many others go on."""
    rooms = [f"{prefix}{n:03}" for n in range(count)]
    for room in rooms:
        w.strand(room)
    for n in range(count):  # or the list would fall too far when they go
        if f"busy-{n}" not in w.world.rooms:
            w.call(f"busy-{n}")
    return rooms


async def until_held(w) -> None:
    for _ in range(30):
        if (await w.ticks(1)).gates.get("limits"):
            return
    raise AssertionError("never held")


@pytest.mark.trap("T48")
async def test_more_deletions_a_tick_than_the_budget_serves_leave_it_the_looks_that_confirm_them():
    async with lab() as w:
        w.enforcing(QUICK, per_tick=25)
        for i in range(25):
            w.strand(f"r{i}")
        await w.ticks(40)
        assert sorted(w.deleted()) == sorted(f"r{i}" for i in range(25))


@pytest.mark.trap("T48")
async def test_t48_two_hundred_due_at_once_are_held_told_once_and_drained_one_a_tick():
    async with lab(per_minute=3000) as w:
        w.enforcing(QUICK)
        rooms = await pile(w, 200)
        await until_held(w)
        held = w.clock.monotonic()
        deleted_at = {}
        one_by_one = 0
        for _ in range(600):
            before = len(w.deleted())
            report = await w.ticks(1)
            now = w.deleted()
            for room in now[before:]:
                deleted_at[room] = w.clock.monotonic()
            if len(now) == len(rooms):
                break
            if report.gates["limits"]:
                assert len(now) - before <= 1, "one a tick while it drains"
                one_by_one += len(now) - before
        assert sorted(w.deleted()) == rooms
        assert min(deleted_at.values()) - held >= 1800
        assert one_by_one >= 189, "until the last ten fit one tick"
        times = sorted(deleted_at.values())[:180]
        assert max(later - earlier for earlier, later in pairwise(times)) <= POLL
        await w.ticks(3)
        entries = await AuditStore(w.database).entries(limit=1000)
        settled = [e.outcome for e in entries if e.kind is AuditKind.OUTCOME]
        assert settled == [Outcome.DELETED] * 200


@pytest.mark.rule("D")
async def test_d_one_more_than_the_limit_is_none_and_as_many_as_the_limit_are_all():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=3)
        await pile(w, 4)
        await w.ticks(60)
        assert w.deleted() == []
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=3)
        await pile(w, 3)
        await w.until_deleted("r000")
        assert len(w.deleted()) == 3


async def test_each_of_those_that_drain_is_confirmed_by_looks_since_the_hold_opened():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=2, limit_hold=300.0)
        await pile(w, 5)
        await until_held(w)
        held = w.clock.monotonic()
        looks: dict[str, list[float]] = {}
        for _ in range(60):
            await w.ticks(1)
            for room in w.asked("ListParticipants"):
                looks.setdefault(room, []).append(w.clock.monotonic() - held)
            for deletion in w.simulator.deletions:
                seen = [at for at in looks[deletion.room] if at >= 300]
                assert len(seen) >= 2
        assert len(w.deleted()) == 5


async def test_newcomers_queue_and_the_oldest_goes_first():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=2, limit_hold=300.0)
        await pile(w, 4, "r-old-")
        await until_held(w)
        held = w.clock.monotonic()
        await pile(w, 4, "r-new-")
        while not w.deleted():
            await w.ticks(1)
        assert w.clock.monotonic() - held <= 300 + 60, "the newcomers did not restart it"
        await w.ticks(20)
        assert [room[:5] for room in w.deleted()] == ["r-old"] * 4 + ["r-new"] * 4


async def test_what_drains_counts_toward_no_limit():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=2, per_hour=3, limit_hold=120.0)
        await pile(w, 6)
        await until_held(w)
        await w.ticks(30)
        assert len(w.deleted()) == 6
        w.strand("r-next")
        await w.until_deleted("r-next")


async def test_a_release_lets_go_what_waits_and_nothing_that_comes_later():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=2)
        await pile(w, 5)
        await until_held(w)
        await ControlStore(w.database).release("p", w.clock.now(), "ana", "we tested")
        await w.ticks(10)
        assert len(w.deleted()) == 5
        await pile(w, 5, "r-later-")
        await w.ticks(40)
        assert len(w.deleted()) == 5
        assert ("released", None) in await w.audit()


async def test_a_hold_goes_on_over_a_restart():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=2, limit_hold=600.0)
        await pile(w, 5)
        await until_held(w)
        held = w.clock.monotonic()
        await w.ticks(10)
        w.restart(after=30)
        while not w.deleted():
            await w.ticks(1)
            assert w.clock.monotonic() - held <= 800
        assert w.clock.monotonic() - held >= 600


async def test_in_observe_a_pile_is_held_and_told_one_by_one_too():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, mode=Mode.OBSERVE, per_tick=2, limit_hold=300.0)
        await pile(w, 5)
        await until_held(w)
        told = [len((await w.ticks(1)).outcomes) for _ in range(60)]
        assert sum(told) == 5
        assert told[:15] == [0] * 15
        assert w.deleted() == []


async def test_most_calls_over_at_once_hold_everything_for_a_while():
    async with lab(per_minute=5000) as w:
        w.enforcing(QUICK, per_tick=50, per_hour=500)
        for n in range(40):
            w.call(f"busy-{n}")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(4)
        for n in range(25):
            w.world.leave(f"busy-{n}", "alice")
        report = await w.ticks(3)
        assert report.gates["sudden_change"]
        start = w.clock.monotonic()
        await w.until_deleted("r")
        assert w.clock.monotonic() - start >= 240


async def test_a_stop_file_stops_even_what_was_about_to_go_and_deletion_by_hand():
    async with about_to_delete() as w:
        w.stop = "the file STOP forbids it"
        report = await w.ticks(20)
        assert report.gates["stop_file"]
        assert w.deleted() == []
        w.stop = ""
        await w.until_deleted("r")
    async with left_alone() as w:
        await w.until_orphaned("r")
        await w.ticks(8)
        # It appears between the last answer and the request.
        w.when("ListParticipants", lambda: None, room="r", phase="answered")
        w.when("ListParticipants", lambda: setattr(w, "stop", "stop"), room="r", phase="answered")
        await w.ticks(10)
        assert w.deleted() == []
