"""What an observation may and may not do (T01 to T07, T31 to T40, T51; A1 to A5, A7, A9)."""

from datetime import timedelta
from decimal import Decimal

import pytest

from tests.daemon.harness import LONG, POLL, DetectionRules, FaultKind, lab, orphan
from watchdog.core.errors import CODES
from watchdog.core.model import CloseReason, CountMeaning, TickResult, VerdictState
from watchdog.simulator.faults import Fault


def snapshot(report):
    """What a report says of its episodes, for comparison."""
    return [v.episode for v in report.orphans]


@pytest.mark.trap("T01")
async def test_t01_a_server_that_never_answers_ends_the_tick_and_changes_nothing():
    async with lab() as w:
        w.strand("r")
        before = await w.until_orphaned("r")
        w.fault(FaultKind.HANG)
        started = w.clock.monotonic()
        report = await w.tick()
        assert report.result is TickResult.FAILED
        assert "no answer within 10 s" in report.error
        assert w.clock.monotonic() - started <= 10
        assert snapshot(report) == snapshot(before)


@pytest.mark.trap("T01")
async def test_t01_looks_that_hang_are_bounded_together():
    async with lab() as w:
        for i in range(30):
            w.call(f"r{i}")
        w.fault(FaultKind.HANG, "ListParticipants")
        started = w.clock.monotonic()
        report = await w.tick()
        assert report.result is TickResult.OK
        assert w.clock.monotonic() - started <= 15 + 5
        assert report.rooms[VerdictState.UNKNOWN] == 30


@pytest.mark.trap("T02")
@pytest.mark.rule("A1")
async def test_t02_a1_one_empty_list_ends_no_episode():
    async with lab() as w:
        w.strand("r")
        before = await w.until_orphaned("r")
        w.fault(FaultKind.EMPTY_BODY, "ListRooms", nth=1)
        w.clock.advance(w.poll)
        report = await w.tick()
        assert report.result is TickResult.SUSPICIOUS
        assert snapshot(report) == snapshot(before)
        report = await w.ticks(1)
        assert report.result is TickResult.OK
        assert orphan(report, "r").episode.id == before.orphans[0].episode.id
        assert orphan(report, "r").age == 2 * w.poll


@pytest.mark.trap("T02")
@pytest.mark.rule("A1")
async def test_t02_a1_after_a_restart_an_empty_list_is_suspicious_while_episodes_are_open():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.restart()
        w.fault(FaultKind.EMPTY_BODY, "ListRooms", nth=1)
        report = await w.ticks(1)
        assert report.result is TickResult.SUSPICIOUS
        report = await w.ticks(1)
        assert orphan(report, "r") is not None


@pytest.mark.trap("T02")
@pytest.mark.rule("A1")
async def test_t02_a1_one_empty_participant_list_stops_no_spend():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.fault(FaultKind.EMPTY_BODY, "ListParticipants", nth=1)
        report = await w.ticks(8)
        episode = orphan(report, "r").episode
        assert [a.bounds.first_gone_at for a in episode.agents] == [None]
        assert w.faults.injected[FaultKind.EMPTY_BODY] == 1


@pytest.mark.rule("A1")
async def test_a1_an_empty_project_ends_its_episodes_when_three_lists_agree():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.world.delete_room("r")
        results = []
        for _ in range(3):
            report = await w.ticks(1)
            results.append((report.result, len(report.orphans)))
        assert results == [
            (TickResult.SUSPICIOUS, 1),
            (TickResult.SUSPICIOUS, 1),
            (TickResult.OK, 0),
        ]
        closed = report.changes[-1].episode
        assert closed.close_reason is CloseReason.ROOM_GONE
        assert closed.bounds.first_gone_at == w.clock.now(), "the list that was sure of it"
        assert report.blind_seconds == 0


@pytest.mark.trap("T03")
@pytest.mark.parametrize("method", ["ListRooms", "ListParticipants"])
async def test_t03_garbage_with_200_is_a_failed_observation(method):
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.GARBAGE, method)
        report = await w.tick()
        assert (method, "malformed") in w.outcomes
        assert "not LiveKit's protocol" in report.error
        assert report.orphans == ()


FAILURES = [
    FaultKind.HANG,
    FaultKind.ERROR_500,
    FaultKind.ERROR_503,
    FaultKind.LOST_ANSWER,
    FaultKind.TIMEOUT_408,
    FaultKind.RATE_LIMIT_429,
    FaultKind.UNAUTHORIZED_401,
    FaultKind.GARBAGE,
]


@pytest.mark.trap("T04")
@pytest.mark.rule("A1")
@pytest.mark.parametrize("kind", FAILURES)
async def test_t04_a1_a_failed_poll_opens_ends_and_advances_nothing(kind):
    async with lab() as w:
        w.call("other")
        w.strand("r")
        before = await w.until_orphaned("r")
        w.world.leave("other", "alice")  # would open
        w.world.delete_room("r")  # would end
        w.fault(kind)
        for _ in range(6):
            report = await w.ticks(1)
            assert report.result in (TickResult.FAILED, TickResult.BACKING_OFF)
            assert snapshot(report) == snapshot(before)
            assert report.spend == before.spend
            assert [v.age for v in report.orphans] == [v.age for v in before.orphans]
            assert report.error or report.result is TickResult.BACKING_OFF
        assert all(code in CODES for _, code in w.outcomes)


@pytest.mark.trap("T04")
@pytest.mark.rule("A1")
async def test_t04_a1_a_partial_list_ends_nothing_and_the_room_resumes_its_episode():
    async with lab() as w:
        for i in range(20):
            w.strand(f"r{i}")
        for _ in range(4):
            before = await w.ticks(1)
        assert len(before.orphans) == 20
        ids = {v.episode.id for v in before.orphans}
        w.fault(FaultKind.PARTIAL_LIST, "ListRooms", nth=1, amount=0.8)
        report = await w.ticks(1)
        assert report.result is TickResult.OK, "a fall of a fifth is no suspicion by itself"
        assert {v.episode.id for v in report.orphans} == ids
        assert sum(v.state is VerdictState.UNKNOWN for v in report.orphans) == 4, "those not listed"
        assert report.rooms[VerdictState.ORPHANED] == 16
        report = await w.ticks(1)
        assert {v.episode.id for v in report.orphans} == ids
        assert w.faults.injected[FaultKind.PARTIAL_LIST] == 1


@pytest.mark.rule("A1")
async def test_a1_a_sid_that_reappears_after_two_lists_without_it_resumes_its_episode():
    async with lab() as w:
        for i in range(12):
            w.call(f"neighbour-{i}")
        w.strand("r")
        before = orphan(await w.until_orphaned("r"), "r")
        await w.ticks(4)
        hidden = w.world._rooms.pop("r")
        frame = w.world.frames.pop("r")
        report = await w.ticks(2)
        assert orphan(report, "r") is None
        assert report.changes[-1].episode.close_reason is CloseReason.ROOM_GONE
        booked = report.spend["support"]
        w.world._rooms["r"], w.world.frames["r"] = hidden, frame
        report = await w.ticks(1)
        after = orphan(report, "r")
        assert after.episode.id == before.episode.id
        assert after.age == 7 * w.poll
        assert report.spend["support"].low >= booked.low
        report = await w.ticks(3)
        spent = orphan(report, "r").spend
        assert report.spend["support"] == spent, "billed once, not once more for its return"
        w.restart()
        report = await w.ticks(2)
        assert orphan(report, "r").episode.id == before.episode.id


@pytest.mark.trap("T05")
@pytest.mark.rule("A2")
async def test_t05_a2_a_room_without_participants_is_empty():
    async with lab() as w:
        w.world.create_room("waiting", empty_timeout=LONG, departure_timeout=LONG)
        report = await w.tick()
        assert report.rooms[VerdictState.EMPTY] == 1
        assert report.orphans == ()


@pytest.mark.trap("T05")
@pytest.mark.rule("A2")
async def test_t05_a2_an_empty_answer_against_the_count_is_unknown():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.EMPTY_BODY, "ListParticipants")
        report = await w.ticks(3)
        assert report.rooms[VerdictState.UNKNOWN] == 1
        assert report.orphans == ()


@pytest.mark.rule("A2")
async def test_a2_a_room_not_looked_at_is_unknown():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.ERROR_500, "ListParticipants")
        report = await w.tick()
        assert report.rooms == {
            VerdictState.ATTENDED: 0,
            VerdictState.ORPHANED: 0,
            VerdictState.EMPTY: 0,
            VerdictState.UNKNOWN: 1,
        }


@pytest.mark.trap("T06")
@pytest.mark.rule("A3")
async def test_t06_a3_a_stale_count_of_0_with_a_person_there_is_not_orphaned():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", amount=0)
        for _ in range(20):
            report = await w.ticks(1)
            assert report.orphans == ()
            assert report.rooms[VerdictState.ATTENDED] == 1
        w.world.leave("r", "alice")
        report = await w.ticks(24)
        assert orphan(report, "r") is not None, "though the count never moved"


@pytest.mark.trap("T07")
@pytest.mark.rule("A3")
async def test_t07_a3_a_count_above_0_with_agents_only_is_found_by_the_sweep():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", amount=3)
        await w.tick()
        w.world.leave("r", "alice")
        report = await w.ticks(10)
        found = orphan(report, "r")
        assert found is not None
        assert found.num_participants == 3
        assert "sweep" in report.requests or found.age > 0


@pytest.mark.rule("A5")
async def test_a5_a_count_that_a_look_contradicts_proves_no_attendance():
    async with lab() as w:
        w.call("r")
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", amount=3)
        await w.tick()
        seen_with_person = w.clock.now()
        w.clock.advance(1)
        w.world.leave("r", "alice")
        report = await w.until_orphaned("r")
        assert orphan(report, "r").episode.bounds.last_attended_at == seen_with_person


@pytest.mark.trap("T38")
@pytest.mark.rule("A5")
async def test_t38_a5_a_departure_between_polls_keeps_both_bounds():
    async with lab() as w:
        w.call("r")
        await w.ticks(3)
        last_list = w.clock.now()
        w.clock.advance(5)
        left = w.clock.now()
        w.world.leave("r", "alice")
        w.clock.advance(10)
        report = await w.tick()
        bounds = orphan(report, "r").episode.bounds
        assert bounds.last_attended_at == last_list - timedelta(seconds=10)
        assert bounds.first_orphaned_at == w.clock.now()
        assert bounds.last_attended_at <= left <= bounds.first_orphaned_at
        last_seen = w.clock.now()
        w.call("other")
        w.call("another")
        w.clock.advance(5)
        w.world.delete_room("r")
        report = await w.ticks(2)
        closed = next(c.episode for c in report.changes if c.episode.close_reason)
        assert closed.bounds.last_seen_orphaned_at == last_seen
        assert closed.bounds.first_gone_at == last_seen + timedelta(seconds=35)


@pytest.mark.rule("A5")
async def test_a5_only_looks_move_last_seen_and_a_list_alone_does_not():
    async with lab() as w:
        w.strand("r")
        report = await w.until_orphaned("r")
        first = orphan(report, "r").episode.bounds.last_seen_orphaned_at
        report = await w.ticks(2)
        assert not w.asked("ListParticipants")
        assert orphan(report, "r").episode.bounds.last_seen_orphaned_at == first
        report = await w.ticks(2)
        assert w.asked("ListParticipants") == ["r"]
        assert orphan(report, "r").episode.bounds.last_seen_orphaned_at > first


@pytest.mark.rule("A7")
@pytest.mark.parametrize("how", [{}, {"hidden": True}, {"state": "JOINING"}, {"kind": "SIP"}])
async def test_a7_a_person_of_any_sort_closes_the_episode(how):
    async with lab() as w:
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        state = how.pop("state", None)
        w.world.join("r", "somebody", **how)
        if state:
            w.world.set_state("r", "somebody", state)
        report = await w.ticks(1)
        assert report.orphans == ()
        assert report.changes[-1].episode.close_reason is CloseReason.PERSON_RETURNED
        w.world.leave("r", "somebody")
        report = await w.until_orphaned("r")
        assert orphan(report, "r").age == 0, "a new episode begins at zero"


@pytest.mark.rule("A7")
async def test_a7_empty_in_between_stops_spend_and_never_age():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.world.leave("r", "agent-r-0")
        report = await w.ticks(16)
        found = orphan(report, "r")
        assert found.state is VerdictState.EMPTY
        assert report.orphaned_agents == {}
        spent = report.spend["support"]
        report = await w.ticks(20)
        assert report.spend["support"] == spent
        w.world.join_agent("r", "support", identity="agent-again")
        report = await w.ticks(14)
        found = orphan(report, "r")
        assert found.state is VerdictState.ORPHANED
        assert found.age == 50 * w.poll
        assert report.spend["support"].low > spent.low


@pytest.mark.rule("A7")
async def test_a7_the_same_name_with_a_new_sid_starts_at_zero():
    async with lab() as w:
        w.call("neighbour")
        w.strand("r")
        first = orphan(await w.until_orphaned("r"), "r").episode
        await w.ticks(20)
        w.world.delete_room("r")
        w.strand("r")
        report = await w.ticks(2)
        second = orphan(report, "r")
        assert second.episode.id != first.id
        assert second.episode.room_sid != first.room_sid
        assert second.age <= w.poll


@pytest.mark.rule("A8")
async def test_a8_never_attended_is_known_only_while_looks_leave_no_gap():
    async with lab() as w:
        await w.tick()
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        report = await w.ticks(1)
        assert orphan(report, "r").episode.person_seen is False
        report = await w.ticks(8)
        assert orphan(report, "r").episode.person_seen is None


@pytest.mark.rule("A8")
async def test_a8_a_room_that_is_older_than_our_first_look_has_an_unknown_history():
    async with lab() as w:
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("r", "support")
        w.clock.advance(3600)
        report = await w.tick()
        assert orphan(report, "r").episode.person_seen is None


@pytest.mark.rule("A8")
async def test_a8_an_unexplained_count_tells_that_a_person_was_there():
    async with lab() as w:
        w.clock.advance(3600)
        w.call("r")
        w.fault(FaultKind.ERROR_500, "ListParticipants", nth=1)
        await w.tick()
        w.world.leave("r", "alice")
        report = await w.until_orphaned("r")
        assert orphan(report, "r").episode.person_seen is True


@pytest.mark.rule("A9")
async def test_a9_blind_time_is_spend_but_not_age():
    async with lab() as w:
        w.strand("r")
        before = await w.until_orphaned("r")
        w.faults.add(
            Fault(
                FaultKind.ERROR_500,
                "ListRooms",
                from_=w.world.now(),
                until=w.world.now() + timedelta(minutes=30),
            )
        )
        await w.ticks(119)
        report = await w.ticks(2)
        assert report.result is TickResult.OK
        assert orphan(report, "r").age <= before.orphans[0].age + 2 * w.poll
        assert report.blind_seconds >= 1800
        assert report.spend["support"].high >= before.spend["support"].high
        assert float(report.spend["support"].high) == pytest.approx(0.0151, abs=0.0005)


@pytest.mark.trap("T32")
async def test_t32_any_401_stops_acting_and_makes_no_hot_loop():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.fault(FaultKind.UNAUTHORIZED_401)
        results = []
        asked = 0
        for _ in range(80):
            report = await w.ticks(1)
            asked += len(w.simulator.log)
            results.append(report.result)
            assert report.result is not TickResult.OK
        assert asked <= 12, "one question, then pauses that grow to five minutes"
        assert TickResult.BACKING_OFF in results
        assert "key or secret is not valid" in report.error


@pytest.mark.trap("T34")
async def test_t34_after_a_429_nothing_is_asked_for_a_while_and_it_goes_on_where_it_was():
    async with lab() as w:
        w.strand("r")
        before = await w.until_orphaned("r")
        (episode,) = (view.episode.id for view in before.orphans)
        w.fault(FaultKind.RATE_LIMIT_429)
        asked = 0
        for _ in range(80):
            report = await w.ticks(1)
            asked += len(w.simulator.log)
            assert report.result is not TickResult.OK
        assert asked <= 12, "one question, then pauses that grow to five minutes"
        assert "429" in report.error
        assert w.deleted() == []
        w.faults.clear()
        report = await w.ticks(25)
        assert report.result is TickResult.OK
        assert [view.episode.id for view in report.orphans] == [episode]
        assert report.blind_seconds >= 80 * POLL - 60, "what was not observed is no evidence"


@pytest.mark.trap("T34")
async def test_t34_the_request_budget_holds_however_much_there_is_to_ask():
    async with lab(per_minute=100) as w:
        for number in range(300):
            w.strand(f"r{number}")
        most = 0
        for _ in range(40):
            await w.ticks(1)
            most += len(w.simulator.log)
        # A full bucket to begin with, and 100 a minute from then on.
        assert most <= 40 + 100 * 40 * POLL / 60
        assert most >= 0.9 * 100 * 40 * POLL / 60, "and what there is, is used"


@pytest.mark.trap("T35")
async def test_t35_cloud_fail_over_has_room_in_the_deadlines():
    from watchdog.rooms.gateway import LiveKitGateway, is_cloud

    assert is_cloud("wss://my-project.livekit.cloud")
    assert not is_cloud("wss://livekit.example.com")
    assert not is_cloud("wss://livekit.cloud.example.com")
    cloud = LiveKitGateway.__new__(LiveKitGateway)
    cloud._factor = 2.0
    # Three attempts, two pauses of 0.2 and 0.4 s, each region given a few seconds.
    assert cloud.list_deadline >= 3 * 6
    assert cloud.look_deadline >= 3 * 3


@pytest.mark.trap("T36")
@pytest.mark.parametrize("skew", [-7200, -30, 30, 7200])
async def test_t36_a_server_whose_clock_is_off_ages_nothing(skew):
    async with lab() as w:
        w.world.skew = timedelta(seconds=skew)
        w.strand("r")
        report = await w.until_orphaned("r")
        assert orphan(report, "r").age == 0
        report = await w.ticks(4)
        assert orphan(report, "r").age == 4 * w.poll


@pytest.mark.trap("T36")
@pytest.mark.parametrize("jump", [-86400, -45, 45, 86400])
async def test_t36_a_jump_of_our_own_clock_ages_nothing(jump):
    async with lab() as w:
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        await w.ticks(8)
        w.clock.jump_wall(jump)
        report = await w.ticks(8)
        found = orphan(report, "r")
        assert found.age == 16 * w.poll
        assert found.episode.bounds.first_orphaned_at == w.clock.now() - timedelta(seconds=240)
        # Two to four minutes of 0.0005 a minute, not a day of them.
        assert Decimal("0.001") < found.spend.low <= found.spend.high < Decimal("0.0023")
        w.restart()
        report = await w.ticks(2)
        assert orphan(report, "r").age == 18 * w.poll


@pytest.mark.trap("T37")
@pytest.mark.rule("A7")
async def test_t37_a7_a_restart_resumes_the_episode_and_is_no_evidence():
    async with lab() as w:
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        before = orphan(await w.ticks(8), "r")
        w.restart(after=3600)
        report = await w.tick()
        after = orphan(report, "r")
        assert after.episode.id == before.episode.id
        assert after.episode.bounds.first_orphaned_at == before.episode.bounds.first_orphaned_at
        assert after.episode.bounds.last_attended_at == before.episode.bounds.last_attended_at
        assert after.age == before.age, "downtime was not watched"
        assert report.blind_seconds == 3600
        assert float(report.spend["support"].high) == pytest.approx(0.0005 * 3735 / 60, abs=0.0002)


@pytest.mark.trap("T37")
async def test_t37_what_went_away_during_downtime_is_closed_with_honest_bounds():
    async with lab() as w:
        w.call("neighbour")
        w.strand("r")
        await w.until_orphaned("r")
        last_seen = w.clock.now()
        w.clock.advance(60)
        w.world.delete_room("r")
        w.restart(after=600)
        back = w.clock.now()
        report = await w.ticks(2)
        closed = next(c.episode for c in report.changes if c.episode.close_reason)
        assert closed.bounds.last_seen_orphaned_at == last_seen
        assert closed.bounds.first_gone_at == back + timedelta(seconds=2 * w.poll)


@pytest.mark.trap("T39")
@pytest.mark.rule("A7")
async def test_t39_a7_agent_churn_is_one_episode_with_each_agents_own_span():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        for i in range(5):
            w.world.leave("r", f"agent-r-{i}")
            w.world.join_agent("r", "support", identity=f"agent-r-{i + 1}")
            report = await w.ticks(4)
        found = orphan(report, "r")
        assert found.age == 20 * w.poll
        assert len(found.episode.agents) == 6
        assert len(found.episode.present_agents) == 1


@pytest.mark.trap("T40")
@pytest.mark.rule("A2")
async def test_t40_a_dispatch_that_says_running_makes_no_orphan():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.world.leave("r", "agent-r-0")  # killed: its job stays RUNNING
        report = await w.ticks(16)
        assert orphan(report, "r").state is VerdictState.EMPTY
        assert orphan(report, "r").episode.present_agents == ()


@pytest.mark.trap("T41")
async def test_t41_the_attribute_names_an_agent_before_its_identity_does():
    async with lab() as w:
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        attributes = {"lk.agent_name": "from-server", "lk.agent.name": "from-sdk"}
        w.world.join("r", "agent-AJ_1", kind="AGENT", agent=True, attributes=attributes)
        w.world.join(
            "r", "agent-AJ_2", kind="AGENT", agent=True, attributes={"lk.agent.name": "from-sdk"}
        )
        w.world.join("r", "agent-AJ_3", kind="AGENT", agent=True)
        w.world.join("r", "custom", kind="AGENT", agent=True)
        report = await w.tick()
        assert report.orphaned_agents == {
            "from-server": 1,
            "from-sdk": 1,
            "agent": 1,
            "_unnamed": 1,
        }


@pytest.mark.trap("T45")
async def test_t45_rooms_and_identities_of_any_content_are_watched_like_others():
    nasty = ["'; DROP TABLE episodes; --", "<script>alert(1)</script>", "\x1b[2J\u202e", "é" * 256]
    async with lab() as w:
        for name in nasty:
            w.world.create_room(name, empty_timeout=LONG, departure_timeout=LONG)
            w.world.join_agent(name, name, identity=name)
        report = await w.ticks(2)
        assert {v.episode.room_name for v in report.orphans} == set(nasty)
        w.restart()
        report = await w.ticks(2)
        assert {v.episode.room_name for v in report.orphans} == set(nasty)


@pytest.mark.trap("T51")
@pytest.mark.rule("A4")
@pytest.mark.parametrize("including", [False, True])
async def test_t51_orphans_are_found_as_fast_whether_or_not_the_count_includes_agents(including):
    async with lab(counts_include_agents=including) as w:
        for i in range(30):
            w.call(f"r{i}", agents=1 + i % 2)
        await w.ticks(12)
        w.world.leave("r7", "alice")
        w.world.leave("r8", "alice")
        report = await w.ticks(1)
        assert {v.episode.room_name for v in report.orphans} == {"r7", "r8"}


@pytest.mark.trap("T51")
@pytest.mark.rule("A4")
@pytest.mark.parametrize(
    ("including", "meaning"),
    [(True, CountMeaning.INCLUDES_AGENTS), (False, CountMeaning.EXCLUDES_AGENTS)],
)
async def test_t51_a4_what_the_count_means_is_learned_from_stable_rooms(including, meaning):
    async with lab(counts_include_agents=including) as w:
        for i in range(30):
            w.call(f"r{i}", agents=1 + i % 2)
        report = await w.ticks(3)
        assert report.count_meaning is CountMeaning.UNLEARNED
        report = await w.ticks(24)
        assert report.count_meaning is meaning


async def test_a_kindless_bot_is_an_agent_by_rule_and_its_departure_of_persons_is_seen():
    async with lab(rules=DetectionRules(agent_identities=("bot-*",))) as w:
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join("r", "bot-1")
        w.world.join("r", "alice")
        report = await w.tick()
        assert report.rooms[VerdictState.ATTENDED] == 1
        w.world.leave("r", "alice")
        report = await w.ticks(1)
        assert orphan(report, "r") is not None
