"""Doubts that last, worlds that flap, clocks and answers that come at the worst moment."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.daemon.harness import LONG, DetectionRules, FaultKind, lab, orphan
from watchdog.core.errors import StoreError
from watchdog.core.model import TickResult
from watchdog.simulator.faults import Fault

YEARS = 10**8


async def hide(w, room: str, ticks: int):
    """A list lacks the room for so many ticks, while the room itself lives on."""
    hidden, frame = w.world._rooms.pop(room), w.world.frames.pop(room)
    report = await w.ticks(ticks)
    w.world._rooms[room], w.world.frames[room] = hidden, frame
    return report


@pytest.mark.rule("A3")
async def test_a3_a_count_that_is_wrong_for_days_stops_no_tick():
    async with lab() as w:
        w.call("r", timeout=YEARS)
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", amount=3)
        await w.tick()
        w.world.leave("r", "alice")
        for _ in range(1100):
            w.clock.advance(300)
            report = await w.tick()
            assert report.result is TickResult.OK


@pytest.mark.trap("T32")
async def test_t32_a_key_that_is_refused_for_days_stops_no_tick():
    async with lab() as w:
        w.fault(FaultKind.UNAUTHORIZED_401)
        for _ in range(1100):
            w.clock.advance(300)
            report = await w.tick()
            assert report.result in (TickResult.FAILED, TickResult.BACKING_OFF)


@pytest.mark.trap("T32")
async def test_t32_a_key_that_may_list_and_not_look_is_not_ready():
    async with lab() as w:
        for i in range(5):
            w.call(f"r{i}")
        w.fault(FaultKind.UNAUTHORIZED_401, "ListParticipants")
        asked = 0
        results = []
        for _ in range(80):
            results.append((await w.ticks(1)).result)
            asked += len(w.asked("ListParticipants"))
        assert TickResult.OK not in results
        assert asked <= 5 * 10, "one round of looks, then pauses that grow"


@pytest.mark.rule("F")
async def test_f_a_bot_that_flaps_does_not_put_its_look_off_for_ever():
    async with lab(rules=DetectionRules(agent_identities=("bot-*",))) as w:
        w.call("other")
        w.world.create_room("r", empty_timeout=20, departure_timeout=20)
        w.world.join("r", "bot-1")
        w.world.join("r", "alice")
        await w.ticks(2)
        w.world.leave("r", "alice")
        found_after = None
        for i in range(40):
            (w.world.join if i % 2 else w.world.leave)("r", "bot-1")
            report = await w.ticks(1)
            if orphan(report, "r"):
                found_after = i
                break
        assert found_after is not None
        assert found_after <= 6, "seen, and the server's 20 + 15 s later"


@pytest.mark.rule("F")
@pytest.mark.trap("T07")
async def test_t07_f_new_rooms_without_end_do_not_starve_the_sweep_of_the_others():
    async with lab(per_minute=24.0) as w:
        w.call("r")
        w.faults.add(Fault(FaultKind.WRONG_COUNT, "ListRooms", room="r", amount=3))
        await w.ticks(2)
        w.world.leave("r", "alice")
        live: list[str] = []
        for i in range(300):
            for j in range(7):
                w.call(f"c{i}-{j}")
                live.append(f"c{i}-{j}")
            while len(live) > 100:
                w.world.delete_room(live.pop(0))
            report = await w.ticks(1)
            if orphan(report, "r"):
                return
        pytest.fail(f"not found; the sweep is {report.sweep_age} s behind")


@pytest.mark.rule("A3")
async def test_a3_a_doubtful_orphan_is_looked_at_as_often_as_any_other():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", amount=3)
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        await w.ticks(60)
        asked = 0
        for _ in range(80):
            await w.ticks(1)
            asked += len(w.asked("ListParticipants"))
        assert asked == 20, "once a minute"


@pytest.mark.rule("A3")
async def test_a3_an_agent_that_comes_into_an_empty_room_is_found_within_the_sweeps_pause():
    async with lab() as w:
        for i in range(400):
            w.call(f"other-{i}")
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        await w.ticks(4)
        w.world.join_agent("r", "support")
        report = await w.ticks(11)
        assert orphan(report, "r") is not None, "no count told of it"


@pytest.mark.trap("T36")
@pytest.mark.trap("T37")
@pytest.mark.parametrize("jump", [-86_400, 86_400])
async def test_t36_t37_a_clock_that_was_set_and_then_a_restart_leave_no_time_in_the_future(jump):
    async with lab() as w:
        w.call("n1")
        w.call("n2")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(8)
        w.clock.jump_wall(jump)
        await w.ticks(8)
        last_seen = orphan(await w.ticks(1), "r").episode.bounds.last_seen_orphaned_at
        w.restart()
        report = await w.ticks(1)
        bounds = orphan(report, "r").episode.bounds
        assert last_seen <= bounds.last_seen_orphaned_at <= w.clock.now()
        assert bounds.first_orphaned_at >= w.clock.now() - timedelta(minutes=5)


@pytest.mark.trap("T36")
async def test_t36_a_room_taken_for_gone_before_the_clock_was_set_resumes_on_the_new_clock():
    async with lab() as w:
        for i in range(8):
            w.call(f"n{i}")
        w.strand("r")
        await w.until_orphaned("r")
        await hide(w, "r", 3)
        w.clock.jump_wall(-86_400)
        report = await w.ticks(2)
        bounds = orphan(report, "r").episode.bounds
        assert bounds.last_seen_orphaned_at <= w.clock.now()


async def test_a_commit_whose_answer_was_lost_counts_once():
    async with lab() as w:
        for i in range(3):
            w.call(f"n{i}")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(40)
        w.world.join("r", "alice")
        commit = w.project._store.commit

        async def lost(*written):
            await commit(*written)
            raise StoreError("lost after COMMIT")

        w.project._store.commit = lost
        report = await w.ticks(1)
        assert report.result is TickResult.FAILED
        w.project._store.commit = commit
        spent = (await w.ticks(1)).spend["support"]
        w.restart()
        assert (await w.ticks(1)).spend["support"] == spent


async def test_a_store_that_fails_loses_nothing_and_shows_nothing_that_is_not_stored():
    async with lab() as w:
        w.call("r")
        await w.tick()
        before = await w.ticks(1)
        commit = w.project._store.commit

        async def full(*_):
            raise StoreError("database or disk is full")

        w.project._store.commit = full
        w.world.leave("r", "alice")
        report = await w.ticks(3)
        assert report.result is TickResult.FAILED
        assert "full" in report.error
        assert report.orphans == ()
        assert report.last_success_at == before.last_success_at
        w.project._store.commit = commit
        report = await w.ticks(1)
        assert report.result is TickResult.OK
        first = orphan(report, "r").episode.bounds.first_orphaned_at
        assert first == w.clock.now() - timedelta(seconds=3 * w.poll), "seen then, stored now"
        w.restart()
        report = await w.ticks(1)
        assert orphan(report, "r").episode.bounds.first_orphaned_at == first


@pytest.mark.trap("T02")
@pytest.mark.rule("A5")
async def test_t02_a5_after_a_restart_too_one_lost_body_ends_no_agent():
    async with lab() as w:
        w.call("n")
        w.strand("r")
        await w.until_orphaned("r")
        w.restart(after=15)
        w.fault(FaultKind.EMPTY_BODY, "ListParticipants", room="r", nth=1)
        await w.tick()
        await w.ticks(4)
        w.world.join("r", "alice")
        report = await w.ticks(1)
        closed = next(c.episode for c in report.changes if c.episode.close_reason)
        assert closed.agents[0].bounds.first_gone_at == w.clock.now()


@pytest.mark.trap("T37")
async def test_t37_after_a_restart_no_second_is_billed_twice():
    async with lab() as w:
        w.call("n")
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        await w.ticks(240)
        w.world.join("r", "alice")
        before = (await w.ticks(2)).spend["support"]
        w.world.leave("r", "alice")
        w.restart(after=5)
        report = await w.until_orphaned("r")
        after = report.spend["support"]
        assert float(after.high - before.high) < 0.0005, (
            "a minute at the most, and not the hour again"
        )
        assert orphan(report, "r").episode.person_seen is True


@pytest.mark.rule("A1")
@pytest.mark.trap("T37")
async def test_t37_a1_a_room_taken_for_gone_resumes_its_episode_over_a_restart_as_well():
    async with lab() as w:
        for i in range(8):
            w.call(f"n{i}")
        w.strand("r")
        before = orphan(await w.until_orphaned("r"), "r").episode
        await hide(w, "r", 3)
        w.restart()
        report = await w.ticks(2)
        assert orphan(report, "r").episode.id == before.id


@pytest.mark.rule("A10")
async def test_a10_what_one_episode_could_not_reach_is_not_held_against_the_next():
    async with lab() as w:
        w.call("n")
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        w.fault(FaultKind.ERROR_503, "ListDispatch", nth=1)
        while ("ListDispatch", "unavailable") not in w.outcomes:
            await w.ticks(1)
        w.world.join("r", "alice")
        await w.ticks(241)
        w.world.leave("r", "alice")
        w.faults.clear()
        w.fault(FaultKind.ERROR_503, "ListDispatch", nth=1)
        await w.until_orphaned("r")
        assert orphan(await w.ticks(1), "r").episode.stranded_since is None


@pytest.mark.rule("A8")
async def test_a8_a_count_that_nobody_explains_ends_never_attended():
    async with lab() as w:
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        await w.ticks(1)
        w.world.join("r", "alice")
        w.fault(FaultKind.ERROR_500, "ListParticipants")
        await w.ticks(1)
        w.faults.clear()
        w.world.leave("r", "alice")
        assert orphan(await w.ticks(1), "r").episode.person_seen is True


@pytest.mark.rule("A5")
async def test_a5_a_room_that_was_missing_before_it_ended_did_not_end_then():
    async with lab() as w:
        for i in range(10):
            w.call(f"n{i}")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(2)
        await hide(w, "r", 1)
        w.clock.advance(14)
        w.world.delete_room("r")
        end = w.clock.now()
        w.clock.advance(1)
        report = await w.tick()
        closed = next(c.episode for c in report.changes if c.episode.close_reason)
        assert closed.bounds.first_gone_at >= end


async def test_with_a_short_interval_too_a_steady_tick_writes_one_row():
    async with lab(poll=10.0) as w:
        for i in range(5):
            w.strand(f"r{i}")
        await w.ticks(30)
        assert max([(await w.ticks(1)).rows_written for _ in range(800)]) == 1


async def test_a_joining_time_no_calendar_holds_stops_no_tick():
    async with lab() as w:
        w.strand("r")
        agent = w.world.rooms["r"].participants["agent-r-0"]
        agent.joined_at = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
        w.project._book.skew = -5.0
        report = await w.ticks(3)
        assert orphan(report, "r") is not None


@pytest.mark.rule("A9")
async def test_a9_one_failed_poll_is_watched_and_two_are_not():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        for failures, aged in ((1, 30), (2, 0)):
            before = orphan(await w.ticks(1), "r").age
            w.fault(FaultKind.ERROR_500, "ListRooms")
            await w.ticks(failures)
            w.faults.clear()
            w.clock.advance(0.4)  # an answer takes its time
            after = orphan(await w.ticks(1), "r").age
            assert after - before == pytest.approx(aged + 0.4 * bool(aged))
