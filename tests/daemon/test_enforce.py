"""Deleting, from the decision to the verified outcome (SAFETY D)."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from tests.daemon.harness import LONG, Fault, FaultKind, lab, orphan
from watchdog.core.classify import DetectionRules
from watchdog.core.deletion import Mode, Outcome, Pause
from watchdog.core.model import CloseReason, TickResult
from watchdog.core.policy import Action, Match, Policy
from watchdog.core.report import ChangeKind
from watchdog.store.controls import ControlStore

QUICK = Policy("quick", Match(rooms=("r*",)), grace=90.0, respect_room_timeouts=False)


def outcomes(report) -> list[Outcome]:
    return [entry.outcome for entry in report.outcomes]


async def due(w, room: str = "r"):
    """Tick until the room is due, but not yet confirmed."""
    for _ in range(80):
        report = await w.ticks(1)
        if (found := orphan(report, room)) and found.due:
            return report
    raise AssertionError(f"{room} was never due")


@asynccontextmanager
async def left_alone(policy: Policy = QUICK, **safeguards):
    """A watchdog in mode enforce, a room with a person, and the room `r` whose person has just left."""
    async with lab() as w:
        w.enforcing(policy, **safeguards)
        w.call("busy")
        w.strand("r")
        yield w


@asynccontextmanager
async def about_to_delete(policy: Policy = QUICK, **safeguards):
    """The same, when the next tick will have looked often enough, and deletes."""
    async with left_alone(policy, **safeguards) as w:
        await due(w)
        await w.ticks(2)
        yield w


async def test_an_orphan_is_deleted_once_it_is_due_and_confirmed_and_its_end_is_verified():
    async with left_alone() as w:
        await due(w)
        became_due = w.clock.monotonic()
        assert w.deleted() == []
        report = await w.until_deleted("r")
        assert 30 <= w.clock.monotonic() - became_due <= 45
        [deletion] = w.simulator.deletions
        assert (deletion.room, deletion.persons, deletion.effect) == ("r", (), True)
        assert ChangeKind.DELETION_SENT in [c.kind for c in report.changes]
        assert outcomes(report) == [], "not before it is verified"
        report = await w.ticks(2)
        assert outcomes(report) == [Outcome.DELETED]
        [closed] = [c.episode for c in report.changes if c.kind is ChangeKind.CLOSED]
        assert closed.close_reason is CloseReason.DELETED
        assert await w.audit() == [("intent", None), ("answer", "deleted"), ("outcome", "deleted")]
        assert "busy" in w.world.rooms
        await w.ticks(60)
        assert w.deleted() == ["r"]


async def test_the_last_look_comes_in_three_requests_right_before():
    async with left_alone() as w:
        await w.until_deleted("r")
        last = [r.method for r in w.simulator.log][-3:]
        assert last == ["ListRooms", "ListParticipants", "DeleteRoom"]
        assert [r.room for r in w.simulator.log][-3:] == ["r", "r", "r"]


async def test_observe_says_once_what_it_would_delete_over_restarts_too():
    async with left_alone(QUICK, mode=Mode.OBSERVE) as w:
        await due(w)
        told = [(await w.ticks(1)) for _ in range(20)]
        assert [o for report in told for o in outcomes(report)] == [Outcome.WOULD_DELETE]
        before = len(await w.audit())
        assert w.asked("ListParticipants").count("r") <= 1, "and is not confirmed for ever"
        w.restart(after=10)
        await w.ticks(60)
        assert len(await w.audit()) == before
        assert w.deleted() == []
        assert "r" in w.world.rooms


@pytest.mark.trap("T16")
async def test_t16_a_person_gone_for_one_poll_and_back_with_a_new_sid_is_not_deleted():
    async with lab() as w:
        w.enforcing(replace(QUICK, grace=1.0))
        w.call("r")
        await w.ticks(6)
        for _ in range(8):
            w.world.leave("r", "alice")
            await w.ticks(1)
            w.world.join("r", "alice")
            report = await w.ticks(1)
            assert orphan(report, "r") is None, "the clock is at zero"
        assert w.deleted() == []


@pytest.mark.trap("T21")
async def test_t21_a_person_who_returns_between_the_decision_and_the_last_look_is_not_cut_off():
    async with about_to_delete() as w:
        # The list of the tick, and then the list of the last look.
        w.when("ListRooms", lambda: w.world.join("r", "alice"), room="r", phase="received")
        report = await w.ticks(1)
        assert outcomes(report) == [Outcome.PERSON_RETURNED]
        assert w.deleted() == []
        [closed] = [c.episode for c in report.changes if c.kind is ChangeKind.CLOSED]
        assert closed.close_reason is CloseReason.PERSON_JOINED, (
            "whether one was there is not known"
        )
        await w.ticks(40)
        assert w.deleted() == []


@pytest.mark.trap("T21")
async def test_t21_another_room_of_the_same_name_at_the_last_moment_is_not_deleted():
    async with about_to_delete() as w:

        def replaced():
            w.world.close_room("r")
            w.call("r")

        w.when("ListRooms", replaced, room="r")
        report = await w.ticks(1)
        assert outcomes(report) == [Outcome.REPLACED]
        await w.ticks(40)
        assert w.deleted() == []


@pytest.mark.trap("T21")
async def test_t21_a_room_that_is_gone_at_the_last_moment_is_already_gone():
    async with about_to_delete() as w:
        w.when("ListRooms", lambda: w.world.close_room("r"), room="r")
        report = await w.ticks(1)
        assert outcomes(report) == [], "one answer ends nothing"
        assert [o for _ in range(3) for o in outcomes(await w.ticks(1))] == [Outcome.ALREADY_GONE]
        assert w.deleted() == []


@pytest.mark.trap("T02")
async def test_t02_one_empty_answer_at_the_last_moment_is_no_end():
    async with about_to_delete() as w:
        w.faults.add(Fault(FaultKind.EMPTY_BODY, "ListRooms", room="r", nth=1))
        said = [o for _ in range(5) for o in outcomes(await w.ticks(1))]
        assert said == [Outcome.ABORTED]
        await w.until_deleted("r")


@pytest.mark.rule("A7")
async def test_a7_a_person_whom_only_the_last_look_saw_is_not_forgotten_by_a_restart():
    async with about_to_delete(replace(QUICK, grace=600.0)) as w:
        at_the_last_look(w, lambda: w.world.join("r", "alice"))
        report = await w.ticks(1)
        assert outcomes(report) == [Outcome.PERSON_RETURNED]
        w.clock.advance(5)
        w.world.leave("r", "alice")
        w.restart(after=5)
        report = await w.ticks(30)
        assert orphan(report, "r").age <= 450
        assert w.deleted() == []
        await w.until_deleted("r")


@pytest.mark.trap("T24")
async def test_t24_a_last_list_that_is_old_when_it_comes_is_not_acted_on():
    async with about_to_delete() as w:
        slow = Fault(FaultKind.DELAY, "ListRooms", room="r", nth=1, amount=9.0, after=1.0)
        w.faults.add(slow)

        def made_anew():
            w.world.close_room("r")
            w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
            w.world.join_agent("r", "support")

        w.when("ListRooms", lambda: w.world.after(2.0, made_anew), room="r")
        [aborted] = (await w.ticks(1)).outcomes
        assert "the last list took 9.0 s" in aborted.why
        assert w.deleted() == []


async def test_what_the_gates_said_is_not_acted_on_much_later():
    async with about_to_delete() as w:

        async def suspended():
            w.clock.advance(3000)

        WhenAsked(w, 2, suspended)
        await w.ticks(1)
        assert w.deleted() == []
        start = w.clock.monotonic()
        await w.until_deleted("r")
        assert w.clock.monotonic() - start >= 60


async def test_a_pause_during_the_last_look_stops_the_request():
    async with about_to_delete() as w:

        async def paused():
            await ControlStore(w.database).pause("p", Pause(w.clock.now(), "ana"))

        WhenAsked(w, 3, paused)
        [aborted] = (await w.ticks(1)).outcomes
        assert "paused by ana" in aborted.why
        assert w.deleted() == []


@pytest.mark.trap("T20")
async def test_t20_that_a_participant_was_simulated_is_known_after_a_restart():
    async with lab() as w:
        w.enforcing(QUICK)
        w.call("busy")
        w.call("r")
        w.world.join("r", "sim", attributes={"lk.simulator": "true"})
        await w.ticks(2)
        w.world.leave("r", "sim")
        w.world.leave("r", "alice")
        await w.ticks(5)
        w.restart()
        await w.ticks(40)
        assert w.deleted() == []


@pytest.mark.trap("T32")
async def test_t32_a_key_that_may_not_delete_holds_deletions_and_looking_goes_on():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK)
        w.call("busy")
        for n in range(8):
            w.strand(f"r{n}")
        w.fault(FaultKind.UNAUTHORIZED_401, "DeleteRoom")
        results = [(await w.ticks(1)) for _ in range(60)]
        assert {report.result for report in results} == {TickResult.OK}
        assert results[-1].gates["permitted"]
        assert len(w.deleted()) <= 5, "less and less often"
        w.faults.clear()
        await w.until_deleted("r7", most=300)


@pytest.mark.trap("T28")
async def test_t28_a_node_that_dies_before_the_request_strands_its_room_at_once():
    async with about_to_delete() as w:
        w.when("DeleteRoom", lambda: w.world.strand("r"))
        await w.ticks(1)
        report = await w.ticks(1)
        assert report.stranded == 1
        said = [o for _ in range(240) for o in outcomes(await w.ticks(1))]
        assert said == [Outcome.STRANDED]
        assert w.deleted() == ["r"], "an hour later, too"


@pytest.mark.parametrize("departure_timeout", [20, LONG])
async def test_a_person_whose_coming_raises_the_count_is_seen_on_the_next_poll(departure_timeout):
    async with lab() as w:
        w.call("busy")
        w.world.create_room("r", empty_timeout=LONG, departure_timeout=departure_timeout)
        w.world.join_agent("r", "support")
        w.world.join("r", "bot", agent=True)
        await w.ticks(2)
        w.world.join("r", "alice")
        report = await w.ticks(1)
        assert orphan(report, "r") is None


@pytest.mark.trap("T24")
async def test_t24_a_later_room_of_the_same_name_starts_at_zero():
    async with left_alone() as w:
        await w.until_deleted("r")
        w.strand("r")
        report = await w.ticks(4)
        found = orphan(report, "r")
        assert found.episode.room_sid == w.world.room("r").sid
        assert found.age <= 60
        assert not found.due


@pytest.mark.trap("T25")
async def test_t25_not_found_is_already_gone():
    async with about_to_delete() as w:
        w.when("DeleteRoom", lambda: w.world.close_room("r"), room="r")
        report = await w.ticks(1)
        assert outcomes(report) == [Outcome.ALREADY_GONE]
        assert w.deleted() == ["r"]
        assert await w.audit("r") == [("intent", None), ("outcome", "already_gone")]


@pytest.mark.trap("T27")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (FaultKind.ERROR_503, {}),
        (FaultKind.ERROR_500, {}),
        (FaultKind.TIMEOUT_408, {}),
        (FaultKind.HANG, {}),
        (FaultKind.GARBAGE, {}),
    ],
)
async def test_t27_without_an_answer_it_is_unknown_and_looked_at_before_it_is_tried_again(
    kind, more
):
    async with left_alone() as w:
        w.fault(kind, "DeleteRoom", nth=1, **more)
        report = await w.until_deleted("r")
        assert outcomes(report) == []
        assert await w.audit("r") == [("intent", None), ("answer", "unknown")]
        since = w.clock.monotonic()
        settled = []
        looked = False
        while len(w.deleted()) == 1:
            report = await w.ticks(1)
            settled += outcomes(report)
            looked |= "r" in w.asked("ListParticipants")
        assert settled == [Outcome.UNKNOWN]
        assert looked
        assert w.clock.monotonic() - since >= 60, "armed anew, after its time"
        report = await w.ticks(2)
        assert outcomes(report) == [Outcome.DELETED]


@pytest.mark.trap("T27")
@pytest.mark.parametrize("kind", [FaultKind.LOST_ANSWER, FaultKind.NEVER_ANSWERED])
async def test_t27_an_effect_without_an_answer_is_found_by_looking_and_not_repeated(kind):
    async with left_alone() as w:
        w.fault(kind, "DeleteRoom", nth=1)
        await w.until_deleted("r")
        report = await w.ticks(2)
        assert outcomes(report) == [Outcome.DELETED]
        await w.ticks(60)
        assert w.deleted() == ["r"]


@pytest.mark.trap("T46")
@pytest.mark.parametrize("effect", [True, False])
async def test_t46_a_503_while_a_person_joins_is_received_once(effect):
    async with left_alone() as w:
        w.fault(FaultKind.LOST_ANSWER if effect else FaultKind.ERROR_503, "DeleteRoom")
        w.when("DeleteRoom", lambda: w.world.join("r", "alice"), phase="answered")
        await w.until_deleted("r")
        await w.ticks(60)
        assert w.deleted() == ["r"]
        assert "alice" in w.world.room("r").participants


@pytest.mark.trap("T47")
async def test_t47_a_visit_between_two_polls_is_seen_by_an_arming_look_or_judged_by_its_clock():
    async with left_alone() as w:
        await due(w)
        await w.ticks(1)  # the first confirming look
        # A visit that no list and no look shows: shorter than the poll.
        w.clock.advance(2)
        w.world.join("r", "bob")
        w.clock.advance(5)
        w.world.leave("r", "bob")
        w.clock.advance(8)
        await w.tick()
        # One that a look does show disarms.
        w.clock.advance(14)
        w.world.join("r", "carol")
        w.clock.advance(1)
        report = await w.tick()
        assert orphan(report, "r") is None
        w.world.leave("r", "carol")
        await w.ticks(6)
        assert w.deleted() == []


@pytest.mark.trap("T26")
async def test_t26_a_404_of_another_code_ends_nothing():
    async with left_alone() as w:
        report = await w.until_orphaned("r")
        w.simulator._methods.pop("RoomService/DeleteRoom")
        for _ in range(20):
            report = await w.ticks(1)
            if outcomes(report):
                break
        assert outcomes(report) == [Outcome.FAILED]
        assert "serves no LiveKit Room Service" in report.outcomes[0].why
        assert orphan(report, "r") is not None
        assert "r" in w.world.rooms


async def test_a_request_that_says_yes_and_does_nothing_is_ineffective_and_not_repeated_at_once():
    async with left_alone() as w:
        w.fault(FaultKind.DELETE_NO_EFFECT, "DeleteRoom", nth=1)
        await w.until_deleted("r")
        seen = [o for _ in range(6) for o in outcomes(await w.ticks(1))]
        assert seen == [Outcome.INEFFECTIVE]
        since = w.clock.monotonic()
        while len(w.deleted()) == 1:
            await w.ticks(1)
        assert w.clock.monotonic() - since >= 500, "the name cools down for ten minutes"


async def test_a_name_cools_down_longer_each_time_it_comes_back_agent_only():
    async with lab() as w:
        w.enforcing(replace(QUICK, match=Match(rooms=("r",))))
        times = []
        for _ in range(4):
            await w.ticks(1)
            w.world.create_room("r", empty_timeout=LONG, departure_timeout=LONG)
            w.world.join_agent("r", "support")
            await w.until_deleted("r", most=600)
            times.append(w.clock.monotonic())
            w.simulator._deletions.entries.clear()
            await w.ticks(2)
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert [round(gap / 600) for gap in gaps] == [1, 2, 4]


async def test_an_unexplained_count_stops_it_and_after_three_times_makes_a_suspect():
    async with left_alone() as w:
        await w.until_orphaned("r")
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", room="r", amount=1)
        seen = [(await w.ticks(1)) for _ in range(60)]
        aborted = [entry for report in seen for entry in report.outcomes]
        assert {entry.outcome for entry in aborted} == {Outcome.ABORTED}
        assert all("agents explain 0" in entry.why for entry in aborted)
        assert seen[-1].suspect_counts["count_disagrees"] == 1
        assert [(s.room_name, s.reason) for s in seen[-1].suspects] == [("r", "count_disagrees")]
        assert w.deleted() == []
        w.faults.clear()
        await w.until_deleted("r", most=60)


async def test_a_count_that_a_configured_bot_explains_does_not_stop_it():
    async with lab(rules=DetectionRules(("bot-*",))) as w:
        w.enforcing(QUICK)
        w.call("r")
        w.world.join("r", "bot-7")
        w.world.leave("r", "alice")
        await w.until_deleted("r")


async def test_a_rise_of_the_count_that_the_next_look_does_not_explain_disarms():
    async with about_to_delete() as w:
        w.fault(FaultKind.WRONG_COUNT, "ListRooms", room="r", amount=1, nth=1)
        report = await w.ticks(1)
        armed = next(word for word in orphan(report, "r").words if word.gate == "armed")
        assert not armed.passes
        assert await w.audit() == []


def at_the_last_look(w, what, *, phase: str = "received") -> None:
    """Have it happen when the last look is asked for, or was answered: the second look of the tick."""
    w.when("ListParticipants", lambda: None, room="r", phase=phase)
    w.when("ListParticipants", what, room="r", phase=phase)


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ("hold", lambda w: w.world.set_metadata("r", '{"watchdog.hold": true}')),
        ("recording", lambda w: w.world.set_recording("r", True)),
    ],
)
async def test_what_protects_a_room_is_asked_afresh_by_the_last_list(gate, what):
    async with about_to_delete() as w:
        w.when("ListRooms", lambda: what(w), room="r")
        report = await w.ticks(1)
        [aborted] = report.outcomes
        assert aborted.outcome is Outcome.ABORTED
        assert aborted.why.startswith(f"{gate}: ")
        await w.ticks(20)
        assert w.deleted() == []


async def test_a_recording_that_only_the_last_look_shows_stops_it():
    async with about_to_delete() as w:
        at_the_last_look(w, lambda: w.world.join("r", "EG_1", kind="EGRESS", recorder=True))
        report = await w.ticks(1)
        assert [e.why for e in report.outcomes] == ["recording: a recording runs, for up to 3600 s"]
        assert w.deleted() == []


@pytest.mark.trap("T21")
@pytest.mark.parametrize("kind", ["STANDARD", "SIP", 9])
@pytest.mark.parametrize("more", [{}, {"hidden": True}, {"state": "JOINING"}])
async def test_t21_whoever_joins_between_the_last_list_and_the_last_look_is_not_cut_off(kind, more):
    async with about_to_delete() as w:
        at_the_last_look(w, lambda: w.world.join("r", "someone", kind=kind, **more))
        report = await w.ticks(1)
        assert outcomes(report) == [Outcome.PERSON_RETURNED]
        assert w.deleted() == []
        assert orphan(report, "r") is None


async def test_the_request_is_not_made_later_than_a_second_after_the_last_look():
    async with about_to_delete() as w:
        late = Fault(FaultKind.DELAY, "ListParticipants", room="r", nth=2, amount=3.5, after=1.0)
        w.faults.add(late)
        [aborted] = (await w.ticks(1)).outcomes
        assert "asked for 3.5 s ago" in aborted.why
        assert w.deleted() == []
    async with about_to_delete() as w:
        held = w.project._enforcer._powers.lease
        asked = iter(range(100))

        class Slow:
            """The process is held up between the last answer and the request."""

            def held(self):
                if w.asked("ListParticipants").count("r") == 2 and next(asked) == 0:
                    w.clock.advance(1.1)
                return held.held()

            async def confirmed(self):
                return ""

        w.project._enforcer._powers = replace(w.project._enforcer._powers, lease=Slow())
        [aborted] = (await w.ticks(1)).outcomes
        assert aborted.outcome is Outcome.ABORTED
        assert "answered 1.1 s ago" in aborted.why
        assert w.deleted() == []


@pytest.mark.trap("T17")
async def test_t17_the_server_is_waited_for_before_anything_is_deleted():
    async with lab() as w:
        w.enforcing(replace(QUICK, respect_room_timeouts=True))
        w.call("r", timeout=600)
        w.world.leave("r", "alice")
        await w.ticks(50)
        assert "r" not in w.world.rooms
        assert w.deleted() == [], "the server closed it by itself"


@pytest.mark.trap("T18")
async def test_t18_a_room_that_nobody_ever_joined_is_deleted_by_its_own_policy():
    async with lab() as w:
        w.enforcing(replace(QUICK, match=Match(person_seen=True)))
        w.call("busy")
        await w.tick()
        w.world.create_room("waiting", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("waiting", "support")
        start = w.clock.monotonic()
        await w.until_deleted("waiting", most=1000)
        assert 4 * 3600 <= w.clock.monotonic() - start <= 4 * 3600 + 120, "the hard limit"


async def test_more_rooms_than_the_limit_of_a_tick_wait_and_none_is_deleted():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=3)
        for i in range(4):
            w.strand(f"r{i}")
        await w.ticks(30)
        report = await w.ticks(1)
        assert w.deleted() == []
        assert report.gates["limits"]
        assert any("4 rooms wait" in word.why for word in report.holds)


async def test_as_many_rooms_as_the_limit_are_deleted_in_one_tick():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_tick=4)
        for i in range(4):
            w.strand(f"r{i}")
        await w.until_deleted("r0")
        assert sorted(w.deleted()) == ["r0", "r1", "r2", "r3"]


async def test_the_limit_of_an_hour_counts_what_was_deleted_in_it_over_restarts_too():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, per_hour=2)
        for i in range(2):
            w.strand(f"r{i}")
        await w.until_deleted("r1")
        w.restart()
        w.strand("r9")
        await w.ticks(40)
        assert sorted(w.deleted()) == ["r0", "r1"]
        await w.until_deleted("r9", most=300)


async def test_nothing_is_deleted_before_it_is_warmed_up_after_a_start_and_after_a_gap():
    async with left_alone(replace(QUICK, grace=1.0)) as w:
        start = w.clock.monotonic()
        await w.until_deleted("r")
        assert w.clock.monotonic() - start >= 60
    async with left_alone() as w:
        await due(w)
        await w.ticks(1)
        w.clock.advance(60)
        start = w.clock.monotonic()
        await w.tick()
        await w.until_deleted("r")
        assert w.clock.monotonic() - start >= 60


async def test_a_clock_that_was_set_holds_everything_for_a_while():
    async with about_to_delete() as w:
        w.clock.jump_wall(-3600)
        report = await w.ticks(1)
        assert report.gates["clock_jump"]
        assert report.gates["warmed_up"]
        start = w.clock.monotonic()
        await w.until_deleted("r")
        assert w.clock.monotonic() - start >= 45


async def test_a_lock_that_is_lost_stops_everything():
    async with about_to_delete() as w:
        w.when("ListParticipants", lambda: setattr(w.lease, "is_held", False), room="r")
        await w.ticks(30)
        assert w.deleted() == []
        report = await w.ticks(1)
        assert report.gates["lock"]


async def test_a_stranded_room_is_not_deleted_and_the_others_are():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK)
        w.strand("r-dead")
        w.strand("r-alive")
        await w.until_orphaned("r-dead")
        w.world.strand("r-dead")
        await w.until_deleted("r-alive")
        await w.ticks(100)
        assert w.deleted().count("r-dead") <= 1
        report = await w.ticks(1)
        assert report.stranded == 1


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.rule("D")
async def test_d_every_mode_list_and_action(mode):
    """Nothing unlisted in allowlist, nothing protected ever, nothing that a policy does not ask for."""
    policies = [
        Policy(action.value, Match(rooms=(f"*-{action}",)), 90.0, False, action=action)
        for action in Action
    ]
    async with lab(per_minute=5000) as w:
        w.enforcing(
            *policies, mode=mode, allowed=("a-*", "ap-*"), protected=("p-*", "ap-*"), per_tick=50
        )
        rooms = [f"{lists}-{action}" for lists in ("n", "a", "p", "ap") for action in Action]
        for room in rooms:
            w.strand(room)
        said = [entry for _ in range(30) for entry in (await w.ticks(1)).outcomes]
        expected = {
            Mode.OBSERVE: [],
            Mode.ALLOWLIST: ["a-delete"],
            Mode.ENFORCE: ["a-delete", "n-delete"],
        }
        assert sorted(w.deleted()) == expected[mode]
        would = sorted(e.room_name for e in said if e.outcome is Outcome.WOULD_DELETE)
        assert would == (["a-delete", "n-delete"] if mode is Mode.OBSERVE else [])


@pytest.mark.trap("T20")
async def test_t20_a_simulated_participant_protects_its_room_for_good():
    async with lab() as w:
        w.enforcing(QUICK)
        w.call("r")
        w.world.join("r", "sim", attributes={"lk.simulator": "true"})
        await w.ticks(2)
        w.world.leave("r", "sim")
        w.world.leave("r", "alice")
        await w.ticks(40)
        assert w.deleted() == []


async def test_a_recording_protects_for_its_time():
    async with left_alone(QUICK, recordings=600.0) as w:
        w.world.set_recording("r", True)
        start = w.clock.monotonic()
        await w.until_deleted("r", most=100)
        assert w.clock.monotonic() - start >= 600


async def writable(w, *, yes: bool) -> None:
    """From now on the database can be written to, or not: a disk that is full or read-only."""
    async with w.database.reading() as connection:
        await connection.exec_driver_sql(f"PRAGMA query_only={int(not yes)}")


class WhenAsked:
    """Controls that let something happen when they are read for the n-th time."""

    def __init__(self, w, nth: int, what) -> None:
        self._controls, self._reads = w.project._enforcer._powers.controls, itertools.count(1)
        self._nth, self._what = nth, what
        powers = w.project._enforcer._powers
        w.project._enforcer._powers = replace(powers, controls=self)

    async def read(self, project):
        if next(self._reads) == self._nth:
            await self._what()
        return await self._controls.read(project)


@pytest.mark.trap("T49")
@pytest.mark.parametrize("read", [1, 2])
async def test_t49_without_a_durable_intent_there_is_no_request(read):
    """Read 1 is before the tick's own commit, read 2 between that and the intent."""
    async with about_to_delete() as w:
        WhenAsked(w, read, lambda: writable(w, yes=False))
        report = await w.ticks(1)
        assert report.result is TickResult.FAILED
        assert "read-only" in report.error
        await w.ticks(20)
        assert w.deleted() == []
        await writable(w, yes=True)
        await w.until_deleted("r")
        await w.ticks(2)
        assert await w.audit("r") == [
            ("intent", None),
            ("answer", "deleted"),
            ("outcome", "deleted"),
        ]


@pytest.mark.trap("T49")
async def test_t49_an_answer_that_could_not_be_written_is_written_later_and_holds_all_else():
    async with left_alone() as w:
        w.strand("r2")
        await due(w)
        await w.ticks(2)
        full = asyncio.ensure_future
        w.when("DeleteRoom", lambda: w.later.append(full(writable(w, yes=False))))
        w.later = []
        report = await w.ticks(1)
        assert report.result is TickResult.FAILED
        assert len(w.deleted()) == 1
        await w.ticks(6)
        assert len(w.deleted()) == 1
        await writable(w, yes=True)
        for _ in range(12):
            await w.ticks(1)
        assert sorted(w.deleted()) == ["r", "r2"]
        for room in ("r", "r2"):
            assert await w.audit(room) == [
                ("intent", None),
                ("answer", "deleted"),
                ("outcome", "deleted"),
            ]


async def test_a_hold_with_an_end_protects_until_then():
    async with left_alone() as w:
        until = w.clock.now() + timedelta(minutes=20)
        w.world.set_metadata("r", f'{{"watchdog.hold": "{until.isoformat()}"}}')
        await w.until_deleted("r", most=200)
        assert w.clock.now() >= until
