"""Before a deletion, where the policy asks for it: agents are warned, and their dispatches ended first."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.daemon.harness import LONG, Fault, FaultKind, Lab, lab, orphan
from tests.daemon.test_by_hand import ask
from tests.daemon.test_enforce import QUICK, about_to_delete, at_the_last_look, due, left_alone
from watchdog.core.deletion import Mode, Pause
from watchdog.core.model import VerdictState
from watchdog.core.report import ChangeKind
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore

WARNS = replace(QUICK, warn_before=60.0)
ENDS = replace(QUICK, delete_dispatch=True)
NOT_WARNED = [("intent", None), ("answer", "deleted")]


class KilledError(BaseException):
    """The watchdog's process ends here."""


def kill() -> None:
    raise KilledError


async def until_killed(w: Lab) -> None:
    with pytest.raises(KilledError):
        await w.ticks(40)


def messages(w: Lab, room: str = "r") -> list[dict]:
    """What the room's agents were told, in order."""
    return [json.loads(m.data) for m in w.simulator.messages if m.room == room]


async def until_warned(w: Lab, room: str = "r", most: int = 40):
    """Tick until the room's agents were told something more."""
    before = len(messages(w, room))
    for _ in range(most):
        report = await w.ticks(1)
        if len(messages(w, room)) > before:
            return report
    raise AssertionError(f"the agents of {room} were not warned in {most} ticks")


async def whys(w: Lab, kind: str) -> list[str]:
    entries = await AuditStore(w.database).entries(limit=1000)
    return [entry.why for entry in entries if entry.kind.value == kind]


# ---- the warning --------------------------------------------------------------------------------------


async def test_the_agents_are_told_once_so_long_before_and_then_the_room_is_deleted():
    async with left_alone(replace(WARNS, grace=150.0)) as w:
        report = await until_warned(w)
        assert orphan(report, "r").age == 90, "60 s before it is due"
        [message] = w.simulator.messages
        assert (message.identity, message.topic) == ("agent-r-0", "lk.watchdog")
        episode = orphan(report, "r").episode
        assert json.loads(message.data) == {
            "type": "room_will_be_deleted",
            "room": "r",
            "room_sid": episode.room_sid,
            "episode": episode.id,
            "policy": "quick",
            "in_seconds": 60.0,
            "at": (message.at + timedelta(seconds=60)).isoformat(timespec="seconds"),
            "why": "the policy's grace",
        }
        assert ChangeKind.WARNED in [c.kind for c in report.changes]
        await w.until_deleted("r")
        [deletion] = w.simulator.deletions
        assert (deletion.at - message.at).total_seconds() >= 60
        assert len(w.simulator.messages) == 1
        assert await w.audit() == [("warned", None), *NOT_WARNED]


async def test_a_restart_neither_warns_again_nor_forgets_that_it_did():
    async with left_alone(WARNS) as w:
        await until_warned(w)
        for _ in range(3):
            w.restart(after=20)
            await w.ticks(2)
        await w.until_deleted("r")
        assert len(messages(w)) == 1


async def test_a_kill_between_the_line_and_the_message_costs_the_message():
    async with left_alone(WARNS) as w:
        w.when("SendData", kill)
        await until_killed(w)
        assert await w.audit() == [("warned", None)]
        warned = w.clock.monotonic()
        w.restart(after=5)
        await w.until_deleted("r")
        assert messages(w) == []
        assert w.clock.monotonic() - warned >= 60


async def test_a_room_that_is_due_already_is_left_the_time_of_the_warning():
    async with left_alone(WARNS, mode=Mode.OBSERVE) as w:
        await due(w)
        await w.ticks(20)
        w.enforcing(WARNS)
        await until_warned(w)
        [message] = w.simulator.messages
        report = await w.ticks(3)
        assert [word.gate for word in orphan(report, "r").holding] == ["warned", "armed"]
        await w.until_deleted("r")
        assert (w.simulator.deletions[0].at - message.at).total_seconds() >= 60


async def test_in_observe_nobody_is_told_and_what_would_be_deleted_is_said_all_the_same():
    async with left_alone(WARNS, mode=Mode.OBSERVE) as w:
        await w.ticks(40)
        assert w.asked("SendData") == []
        assert messages(w) == []
        assert await w.audit() == [("outcome", "would_delete")]


@pytest.mark.parametrize(
    "safeguards",
    [{"protected": ("r*",)}, {"mode": Mode.ALLOWLIST, "allowed": ("other-*",)}],
    ids=["protected", "not listed"],
)
async def test_a_room_that_is_not_to_be_deleted_is_not_warned(safeguards):
    async with left_alone(WARNS, **safeguards) as w:
        await w.ticks(40)
        assert messages(w) == []
        assert await w.audit() == []


async def test_in_a_room_that_its_metadata_holds_nobody_is_told():
    async with left_alone(WARNS) as w:
        w.world.set_metadata("r", '{"watchdog.hold": true}')
        await w.ticks(40)
        assert messages(w) == []
        w.world.set_metadata("r", "{}")
        await until_warned(w)


async def test_while_it_is_paused_nobody_is_told():
    async with left_alone(WARNS) as w:
        controls = ControlStore(w.database)
        await controls.pause("p", Pause(w.clock.now(), "ana"))
        await w.ticks(20)
        assert messages(w) == []
        await controls.resume("p", w.clock.now(), "ana")
        await until_warned(w)
        assert w.deleted() == []


async def test_without_the_lock_nobody_is_told():
    async with left_alone(WARNS) as w:
        w.lease.is_held = False
        await w.ticks(20)
        assert messages(w) == []


async def test_after_the_clock_was_set_nobody_is_told_for_a_while():
    async with left_alone(WARNS) as w:
        await w.until_orphaned("r")
        w.clock.jump_wall(3600)
        start = w.clock.monotonic()
        await until_warned(w)
        assert w.clock.monotonic() - start >= 60


async def test_a_person_who_comes_back_after_the_warning_is_safe_and_a_new_episode_warns_anew():
    async with left_alone(WARNS) as w:
        await until_warned(w)
        w.world.join("r", "alice")
        await w.ticks(30)
        assert w.deleted() == []
        assert len(messages(w)) == 1
        w.world.leave("r", "alice")
        await until_warned(w)
        first, second = messages(w)
        assert first["episode"] != second["episode"]
        await w.until_deleted("r")
        assert len(messages(w)) == 2


async def test_a_person_whom_only_the_look_before_the_warning_sees_is_not_heard_goodbye_to():
    async with left_alone(replace(WARNS, grace=600.0)) as w:
        for _ in range(60):  # a look for each tick at most: the second of one is the warning's own
            w.happenings.clear()
            at_the_last_look(w, lambda: w.world.join("r", "alice"))
            report = await w.ticks(1)
            if "alice" in w.world.room("r").participants:
                break
        assert ChangeKind.CLOSED in [c.kind for c in report.changes]
        assert messages(w) == []
        assert await w.audit() == []


@pytest.mark.parametrize("kind", [FaultKind.ERROR_503, FaultKind.HANG, FaultKind.ERROR_500])
async def test_agents_that_cannot_be_told_do_not_keep_their_room_for_ever(kind):
    async with left_alone(WARNS) as w:
        w.fault(kind, "SendData")
        await w.until_deleted("r")
        assert messages(w) == []
        assert (await w.audit())[:2] == [("warned", None), ("warning_failed", None)]
        [why] = await whys(w, "warning_failed")
        assert why.startswith("its agents could not be told, which keeps nobody from deleting it")
        assert [o for o in w.simulator.log if o.method == "SendData"] == [], "in an earlier tick"


async def test_many_rooms_are_all_warned_and_deleted_within_the_budget():
    async with lab() as w:
        w.enforcing(WARNS, per_tick=20)
        for i in range(20):
            w.strand(f"r{i}")
        for i in range(20):
            if not messages(w, f"r{i}"):
                await until_warned(w, f"r{i}")
        assert len(w.simulator.messages) == 20
        while len(w.deleted()) < 20:
            await w.until_deleted(max(set(w.world.rooms) - set(w.deleted())))
        assert len(w.simulator.messages) == 20


async def test_a_deletion_by_hand_warns_nobody():
    async with left_alone(replace(WARNS, grace=3600.0)) as w:
        await w.until_orphaned("r")
        await ask(w)
        await w.until_deleted("r")
        assert messages(w) == []


# ---- the dispatch first -------------------------------------------------------------------------------


async def until_ended(w: Lab, most: int = 40):
    """Tick until a DeleteDispatch was received."""
    for _ in range(most):
        report = await w.ticks(1)
        if w.asked("DeleteDispatch"):
            return report
    raise AssertionError(f"no dispatch was ended in {most} ticks")


async def test_where_ending_the_dispatch_leaves_nobody_the_room_is_not_deleted():
    async with left_alone(ENDS) as w:
        report = await until_ended(w)
        last = [(r.method, r.room) for r in w.simulator.log][-4:]
        asked = ("ListRooms", "ListParticipants", "ListDispatch", "DeleteDispatch")
        assert last == [(method, "r") for method in asked]
        assert ChangeKind.DISPATCH_ENDED in [c.kind for c in report.changes]
        report = await w.ticks(60)
        assert w.deleted() == []
        assert orphan(report, "r").state is VerdictState.EMPTY
        assert "r" in w.world.rooms, "the server closes it in its time"
        assert w.world.room("r").participants == {}
        assert await w.audit() == [("dispatch_ending", None), ("dispatch_ended", None)]
        assert await whys(w, "dispatch_ended") == ["1 of 1 dispatches ended"]
        assert "busy" in w.world.rooms


async def test_an_agent_that_joined_by_itself_is_left_and_its_room_deleted_after_new_looks():
    async with left_alone(ENDS) as w:
        w.world.join("r", "bot", kind="AGENT", agent=True)
        await until_ended(w)
        ended = w.clock.monotonic()
        report = await w.ticks(1)
        assert set(w.world.room("r").participants) == {"bot"}
        assert [word.gate for word in orphan(report, "r").holding] == ["armed"]
        await w.until_deleted("r")
        assert w.clock.monotonic() - ended >= 30
        kinds = [kind for kind, _ in await w.audit()]
        assert kinds == ["dispatch_ending", "dispatch_ended", "intent", "answer"]


async def test_every_dispatch_of_an_agent_that_is_there_is_ended_and_no_other():
    async with left_alone(ENDS) as w:
        w.world.join_agent("r", "second", identity="agent-2")
        w.world.join_agent("r", "gone", identity="agent-3")
        w.world.leave("r", "agent-3")
        await until_ended(w)
        left = w.world.dispatches(w.world.room("r")).values()
        assert [dispatch.agent_name for dispatch in left] == ["", "gone"]
        assert await whys(w, "dispatch_ended") == ["2 of 2 dispatches ended"]


async def test_a_person_who_joins_at_the_last_look_loses_neither_agent_nor_room():
    async with about_to_delete(ENDS) as w:
        at_the_last_look(w, lambda: w.world.join("r", "alice"))
        await w.ticks(1)
        assert await w.audit() == [("dispatch_ending", None), ("dispatch_ended", "person_returned")]
        await w.ticks(40)
        assert w.deleted() == []
        assert set(w.world.room("r").participants) == {"alice", "agent-r-0"}


async def test_a_person_who_joins_once_the_dispatch_was_ended_keeps_the_room():
    async with left_alone(ENDS) as w:
        w.world.join("r", "bot", kind="AGENT", agent=True)
        await until_ended(w)
        w.world.join("r", "alice")
        await w.ticks(40)
        assert w.deleted() == []
        assert set(w.world.room("r").participants) == {"alice", "bot"}


@pytest.mark.rule("A7")
async def test_a7_a_person_whom_only_the_look_before_the_ending_saw_is_known_after_a_restart():
    async with about_to_delete(replace(ENDS, grace=600.0)) as w:
        at_the_last_look(w, lambda: w.world.join("r", "alice"))
        await w.ticks(1)
        w.clock.advance(5)
        w.world.leave("r", "alice")
        w.restart(after=5)
        report = await w.ticks(30)
        assert orphan(report, "r").age <= 450


async def test_it_is_tried_once_over_restarts_too():
    async with left_alone(ENDS) as w:
        w.world.join("r", "bot", kind="AGENT", agent=True)
        await until_ended(w)
        w.world.join_agent("r", "another")
        w.restart(after=5)
        await w.until_deleted("r")
        assert [kind for kind, _ in await w.audit()].count("dispatch_ending") == 1


async def test_a_kill_between_the_two_lines_counts_as_tried():
    async with left_alone(ENDS) as w:
        w.when("ListDispatch", lambda: None, room="r")  # the probe of when the episode opened
        w.when("DeleteDispatch", kill)
        with pytest.raises(BaseExceptionGroup):
            await w.ticks(40)
        assert await w.audit() == [("dispatch_ending", None)]
        w.restart(after=5)
        await w.until_deleted("r")
        assert [kind for kind, _ in await w.audit()].count("dispatch_ending") == 1


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("DeleteDispatch", FaultKind.ERROR_500),
        ("DeleteDispatch", FaultKind.HANG),
        ("DeleteDispatch", FaultKind.ERROR_503),
        ("ListDispatch", FaultKind.ERROR_500),
    ],
)
async def test_where_it_fails_the_room_is_deleted_later_the_ordinary_way(method, kind):
    async with about_to_delete(ENDS) as w:
        w.faults.add(Fault(kind, method, room="r", nth=1))
        await w.ticks(1)
        [why] = await whys(w, "dispatch_ended")
        assert method in why
        assert "r" in w.world.rooms
        await w.until_deleted("r", most=120)
        assert [kind for kind, _ in await w.audit()].count("dispatch_ending") == 1


async def test_agents_that_no_dispatch_called_are_deleted_with_their_room():
    async with lab() as w:
        w.enforcing(ENDS)
        w.call("r", agents=0)
        w.world.join("r", "bot", kind="AGENT", agent=True)
        w.world.leave("r", "alice")
        await w.until_deleted("r")
        assert await whys(w, "dispatch_ended") == ["no dispatch has called an agent that is there"]


async def test_a_list_of_dispatches_that_comes_late_ends_none_of_them():
    async with about_to_delete(ENDS) as w:
        w.faults.add(Fault(FaultKind.DELAY, "ListDispatch", room="r", nth=1, amount=1.5))
        await w.ticks(1)
        assert w.asked("DeleteDispatch") == []
        [why] = await whys(w, "dispatch_ended")
        assert why.startswith("no dispatch was ended: the last look was asked for 1.5 s ago")


async def test_a_last_look_that_fails_is_no_try():
    async with about_to_delete(ENDS) as w:
        w.faults.add(Fault(FaultKind.ERROR_500, "ListRooms", room="r", nth=1))
        await w.ticks(1)
        assert await w.audit() == [("dispatch_ending", None), ("dispatch_ended", "aborted")]
        w.restart(after=5)
        await until_ended(w)
        assert w.deleted() == []


async def test_rooms_that_lost_their_agents_this_way_count_toward_the_limit_of_an_hour():
    async with lab(per_minute=2000) as w:
        w.enforcing(ENDS, per_hour=1)
        w.strand("r")
        await until_ended(w)
        w.strand("r2")
        w.restart(after=5)
        await w.ticks(40)
        assert set(w.world.room("r2").participants) == {"agent-r2-0"}
        assert w.deleted() == []


async def test_in_observe_no_dispatch_is_ended():
    async with left_alone(ENDS, mode=Mode.OBSERVE) as w:
        await w.ticks(40)
        assert await w.audit() == [("outcome", "would_delete")]
        assert set(w.world.room("r").participants) == {"agent-r-0"}


async def test_a_deletion_by_hand_ends_no_dispatch_first():
    async with left_alone(replace(ENDS, grace=3600.0)) as w:
        await w.until_orphaned("r")
        await ask(w)
        await w.until_deleted("r")
        assert (await w.audit())[0] == ("requested", None)
        assert await whys(w, "dispatch_ending") == []


async def test_both_steps_come_one_after_the_other():
    async with left_alone(replace(WARNS, delete_dispatch=True)) as w:
        w.world.join("r", "bot", kind="AGENT", agent=True, empty_timeout=LONG)
        await w.until_deleted("r")
        kinds = [kind for kind, _ in await w.audit()]
        assert kinds == ["warned", "dispatch_ending", "dispatch_ended", "intent", "answer"]
        assert {m.identity for m in w.simulator.messages} == {"bot", "agent-r-0"}
