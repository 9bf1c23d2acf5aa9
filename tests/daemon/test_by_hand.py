"""Deleting by hand, pausing, and what survives a restart (SAFETY D, *By hand*)."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.daemon.harness import FaultKind, orphan
from tests.daemon.test_enforce import QUICK, about_to_delete, left_alone, outcomes
from watchdog.core.deletion import BY_POLICY, AuditKind, DeletionRequest, Mode, Outcome, Pause
from watchdog.core.policy import Action, Match, Policy
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore

KEEP = Policy("keep", Match(), action=Action.KEEP)


async def ask(w, room: str = "r", key: str = "in_hand", **more) -> DeletionRequest:
    """An operator asks for it, now."""
    values = {"room_sid": w.world.room(room).sid, "asked_at": w.clock.now()} | more
    request = DeletionRequest(key, "p", room, actor="ana", reason="a wish", **values)
    await ControlStore(w.database).request(request)
    return request


async def test_by_hand_a_room_goes_without_a_mode_a_policy_or_a_threshold_but_not_without_looks():
    async with left_alone(KEEP, mode=Mode.OBSERVE) as w:
        await w.until_orphaned("r")
        await ControlStore(w.database).pause("p", Pause(w.clock.now(), "bo"))
        asked = w.clock.monotonic()
        await ask(w)
        await w.until_deleted("r")
        assert 30 <= w.clock.monotonic() - asked <= 75
        report = await w.ticks(2)
        assert outcomes(report) == [Outcome.DELETED]
        entries = await AuditStore(w.database).entries(intent="in_hand")
        assert [e.kind for e in entries] == [
            AuditKind.REQUESTED,
            AuditKind.INTENT,
            AuditKind.ANSWER,
            AuditKind.OUTCOME,
        ]
        assert {e.actor for e in entries} == {"ana"}
        waived = entries[1].details["waived"]
        assert set(waived) >= {"mode", "paused", "action"}
        assert (await ControlStore(w.database).read("p")).requests == ()


@pytest.mark.parametrize(
    ("what", "outcome", "why"),
    [
        (lambda w: w.world.join("r", "alice"), Outcome.PERSON_RETURNED, "a person is in it"),
        (lambda w: w.world.close_room("r"), Outcome.ALREADY_GONE, "not listed"),
        (
            lambda w: (w.world.close_room("r"), w.call("r")),
            Outcome.REPLACED,
            "belongs to another room",
        ),
        (
            lambda w: w.world.set_metadata("r", '{"watchdog.hold": true}'),
            Outcome.ABORTED,
            "hold: ",
        ),
        (lambda w: w.world.set_recording("r", True), Outcome.ABORTED, "recording: "),
    ],
)
async def test_by_hand_never_waives_a_person_a_protection_or_the_sid(what, outcome, why):
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w)
        what(w)
        said = [entry for _ in range(8) for entry in (await w.ticks(1)).outcomes]
        assert [entry.outcome for entry in said] == [outcome]
        assert why in said[0].why
        assert w.deleted() == []


async def test_by_hand_a_protected_room_is_refused():
    async with left_alone(KEEP, protected=("r",)) as w:
        await w.until_orphaned("r")
        await ask(w)
        said = [entry for _ in range(8) for entry in (await w.ticks(1)).outcomes]
        assert [e.why for e in said] == ["protected: 'r' is on the protect list (configured)"]
        assert w.deleted() == []


async def test_a_request_that_was_taken_back_is_not_carried_out():
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w)
        await w.ticks(3)
        w.when("ListRooms", lambda: None)
        await ControlStore(w.database).withdraw("in_hand", w.clock.now())
        await w.ticks(20)
        assert w.deleted() == []


async def test_a_request_is_not_answered_by_a_look_from_before_it():
    async with left_alone() as w:
        await w.until_orphaned("r")
        w.world.join("r", "alice")
        await w.ticks(1)
        w.world.leave("r", "alice")
        w.clock.advance(1)
        await ask(w)
        await w.until_deleted("r")


async def test_looks_that_confirm_a_wish_do_not_confirm_a_policy():
    async with left_alone(replace(QUICK, grace=180.0)) as w:
        report = await w.until_orphaned("r")
        while orphan(report, "r").age < 150:
            report = await w.ticks(1)
        await ask(w)
        while not orphan(report, "r").due:
            report = await w.ticks(1)
        due_at = w.clock.monotonic()
        await ControlStore(w.database).withdraw("in_hand", w.clock.now())
        await w.until_deleted("r")
        assert w.clock.monotonic() - due_at >= 30


async def test_an_old_request_is_answered_and_not_carried_out():
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w, asked_at=w.clock.now() - timedelta(minutes=6))
        said = [entry for _ in range(8) for entry in (await w.ticks(1)).outcomes]
        assert [e.outcome for e in said] == [Outcome.ABORTED]
        assert "in time" in said[0].why
        assert w.deleted() == []


async def test_a_request_that_an_earlier_run_began_is_settled_and_not_sent_again():
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w)
        w.fault(FaultKind.ERROR_503, "DeleteRoom", nth=1)
        await w.until_deleted("r")
        w.restart()
        said = [entry for _ in range(12) for entry in (await w.ticks(1)).outcomes]
        assert [e.outcome for e in said] == [Outcome.UNKNOWN]
        await w.ticks(20)
        assert w.deleted() == ["r"]


async def test_a_pause_stops_policies_at_once_and_over_restarts():
    async with about_to_delete() as w:
        await ControlStore(w.database).pause("p", Pause(w.clock.now(), "ana", "deploying"))
        report = await w.ticks(20)
        assert report.gates["paused"]
        assert any(word.why.startswith("paused by ana") for word in report.holds)
        w.restart()
        await w.ticks(20)
        assert w.deleted() == []
        await ControlStore(w.database).resume("p", w.clock.now(), "ana")
        await w.until_deleted("r")
        entries = await AuditStore(w.database).entries(room="r")
        assert {e.actor for e in entries} == {BY_POLICY}


async def test_a_pause_that_is_said_during_a_tick_stops_what_that_tick_would_have_done():
    async with about_to_delete() as w:
        # Between the plan, which read that nothing is paused, and the first attempt.
        powers = w.project._enforcer._powers
        reads = itertools.count()

        class Paused:
            async def read(self, project):
                if next(reads) == 1:
                    pause = Pause(w.clock.now(), "ana")
                    await ControlStore(w.database).pause("p", pause)
                return await powers.controls.read(project)

        w.project._enforcer._powers = replace(powers, controls=Paused())
        await w.ticks(10)
        assert w.deleted() == []
        assert [kind for kind, _ in await w.audit()] == ["paused"]
