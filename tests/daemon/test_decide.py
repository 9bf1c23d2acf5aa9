"""Decisions in observe: shown, told once, and nothing done (B, C)."""

from dataclasses import replace

import pytest

from tests.daemon.harness import LONG, FaultKind, lab, orphan
from watchdog.core.model import TickResult
from watchdog.core.policy import Action, Match, Policy, built_in_policies, ordered
from watchdog.core.report import ChangeKind


def with_policies(w, *users: Policy) -> None:
    """Have the daemon walk these between the built-in ones."""
    before, after = built_in_policies(w.poll)
    w.policies = ordered(before, users, after)
    w.restart()


QUICK = Policy("quick", Match(rooms=("r*",)), grace=90.0, respect_room_timeouts=False)


@pytest.mark.rule("C")
async def test_c_an_orphan_is_due_at_its_age_and_not_before():
    async with lab() as w:
        with_policies(w, QUICK)
        w.strand("r")
        report = await w.until_orphaned("r")
        for _ in range(5):
            assert not orphan(report, "r").due
            assert report.due["quick"] == 0
            report = await w.ticks(1)
        report = await w.ticks(1)
        assert orphan(report, "r").age == 90
        assert orphan(report, "r").due
        assert report.due["quick"] == 1


@pytest.mark.rule("C")
async def test_c_that_it_is_due_is_told_once_and_nothing_is_done():
    async with lab() as w:
        with_policies(w, QUICK)
        w.strand("r")
        await w.until_orphaned("r")
        kinds = []
        methods = set()
        for _ in range(40):
            report = await w.ticks(1)
            kinds += [c.kind for c in report.changes]
            methods |= {r.method for r in w.simulator.log}
        assert kinds == [ChangeKind.DUE, ChangeKind.WOULD_DELETE]
        assert methods == {"ListRooms", "ListParticipants", "ListDispatch"}
        assert "r" in w.world.rooms


@pytest.mark.rule("A10")
async def test_a10_an_orphan_is_probed_when_it_is_due():
    async with lab() as w:
        with_policies(w, replace(QUICK, grace=300.0))
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(1)
        assert w.asked("ListDispatch") == ["r"], "when its episode opened"
        probed = []
        for i in range(2, 30):
            report = await w.ticks(1)
            if w.asked("ListDispatch"):
                probed.append(i)
        assert orphan(report, "r").due
        assert probed == [21], "on the tick after the one that found it due, at 300 s"


@pytest.mark.trap("T17")
@pytest.mark.rule("C")
async def test_t17_c_the_server_is_waited_for_unless_the_policy_says_not_to():
    async with lab() as w:
        with_policies(w, replace(QUICK, respect_room_timeouts=True, hard_limit=1800.0))
        w.strand("r")
        report = await w.until_orphaned("r")
        ruling = orphan(report, "r").ruling
        assert ruling.due_age == 1800.0
        assert "hard_limit" in ruling.why_due
        report = await w.ticks(119)
        assert not orphan(report, "r").due
        report = await w.ticks(1)
        assert orphan(report, "r").due


@pytest.mark.trap("T18")
async def test_t18_a_room_that_nobody_ever_joined_has_a_policy_of_its_own():
    async with lab() as w:
        await w.tick()
        w.world.create_room("waiting", empty_timeout=LONG, departure_timeout=LONG)
        w.world.join_agent("waiting", "support")
        report = await w.ticks(1)
        assert orphan(report, "waiting").policy == "never-attended"


@pytest.mark.trap("T19")
async def test_t19_a_transfer_that_rings_is_kept_from_every_policy_of_the_user():
    async with lab() as w:
        with_policies(w, replace(QUICK, match=Match()))
        w.strand("caller-human-agent")
        report = await w.until_orphaned("caller-human-agent")
        found = orphan(report, "caller-human-agent")
        assert found.policy == "transfer"
        assert found.ruling.policy.action is Action.WARN


async def test_a_policy_that_keeps_makes_nothing_due():
    async with lab() as w:
        with_policies(w, replace(QUICK, action=Action.KEEP))
        w.strand("r")
        await w.until_orphaned("r")
        report = await w.ticks(40)
        assert not orphan(report, "r").due
        assert "quick" not in report.due


@pytest.mark.rule("C")
async def test_c_blind_time_makes_nothing_due():
    async with lab() as w:
        with_policies(w, QUICK)
        w.strand("r")
        await w.until_orphaned("r")
        w.restart(after=3600)
        report = await w.ticks(2)
        assert orphan(report, "r").age <= 30
        assert not orphan(report, "r").due


@pytest.mark.rule("A1")
async def test_a1_a_suspicious_list_makes_nothing_due():
    async with lab() as w:
        with_policies(w, QUICK)
        for i in range(8):
            w.call(f"n{i}")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(5)
        w.fault(FaultKind.EMPTY_BODY, "ListRooms")
        for _ in range(2):
            report = await w.ticks(1)
            assert report.result is TickResult.SUSPICIOUS
            assert report.changes == ()
        w.faults.clear()
        kinds = [c.kind for _ in range(8) for c in (await w.ticks(1)).changes]
        assert kinds == [ChangeKind.DUE, ChangeKind.WOULD_DELETE], (
            "once good ticks have watched for as long as it takes"
        )
