"""After a deletion: each way in which it can come to nothing has a state, a back-off, and a cap."""

import pytest

from tests.daemon.harness import FaultKind, orphan
from tests.daemon.test_enforce import left_alone, outcomes
from watchdog.core.cooldown import HOUR, MOST_SENT, Cooldowns
from watchdog.core.deletion import AuditEntry, AuditKind, Outcome
from watchdog.simulator.rooms import Ghost


async def settled(w, most=40):
    """Tick until an attempt is settled; its outcome, and the report."""
    for _ in range(most):
        report = await w.ticks(1)
        if outcomes(report):
            return outcomes(report), report
    raise AssertionError("nothing was settled")


@pytest.mark.trap("T29")
async def test_t29_a_room_that_comes_back_with_agents_alone_is_resurrected():
    async with left_alone() as w:
        w.fault(FaultKind.ROOM_MADE_ANEW, "DeleteRoom", nth=1)
        await w.until_deleted("r")
        found, report = await settled(w)
        assert found == [Outcome.RESURRECTED]
        assert orphan(report, "r") is not None
        assert report.troubled["resurrected"] == 1


@pytest.mark.trap("T29")
async def test_t29_a_name_that_a_person_uses_again_is_not_resurrected():
    async with left_alone() as w:
        await w.until_deleted("r")
        w.call("r")
        found, report = await settled(w)
        assert found == [Outcome.DELETED]
        assert sum(report.troubled.values()) == 0


@pytest.mark.trap("T29")
async def test_t29_an_ineffective_deletion_shows_for_as_long_as_the_room_is_there():
    async with left_alone() as w:
        w.fault(FaultKind.DELETE_NO_EFFECT, "DeleteRoom", nth=1)
        await w.until_deleted("r")
        found, report = await settled(w)
        assert found == [Outcome.INEFFECTIVE]
        assert report.troubled["ineffective"] == 1
        w.world.close_room("r")
        assert sum((await w.ticks(3)).troubled.values()) == 0


@pytest.mark.trap("T29")
@pytest.mark.parametrize("fault", [FaultKind.DELETE_NO_EFFECT, FaultKind.ERROR_500])
async def test_t29_no_name_gets_more_than_three_requests_an_hour(fault):
    async with left_alone() as w:
        w.fault(fault, "DeleteRoom")
        times = []
        for _ in range(3 * 240):
            before = len(w.deleted())
            await w.ticks(1)
            times += [w.clock.monotonic()] * (len(w.deleted()) - before)
        assert len(times) > MOST_SENT
        for first, fourth in zip(times, times[MOST_SENT:], strict=False):
            assert fourth - first >= HOUR - 1


@pytest.mark.trap("T29")
def test_t29_the_cap_outlives_a_restart():
    from datetime import UTC, datetime, timedelta

    now = datetime(2026, 3, 1, 9, tzinfo=UTC)
    sent = [
        AuditEntry(
            now - timedelta(minutes=50 - 15 * n),
            "p",
            AuditKind.ANSWER,
            room_name="r",
            intent=f"in_{n}",
            outcome=Outcome.UNKNOWN,
        )
        for n in range(MOST_SENT)
    ]
    names = Cooldowns()
    names.remember(sent, now, 10_000.0)
    left, why = names.left("r", 10_000.0)
    assert left == pytest.approx(600.0)
    assert "3 requests" in why
    assert names.left("r", 10_601.0)[0] == 0.0


@pytest.mark.trap("T23")
async def test_t23_a_sid_that_reappears_after_its_deletion_keeps_its_episode_and_cools_down():
    async with left_alone() as w:
        await w.until_orphaned("r")
        report = await w.ticks(1)
        before = orphan(report, "r").episode
        await w.until_deleted("r")
        gone = w.simulator.deletions[-1].sid
        await settled(w)
        room = w.world.make_anew("r", "support")
        w.world.rooms["r"].info.sid = gone
        w.world.frames["r"] = w.world.rooms["r"].frame()
        room.sid = gone
        report = await w.until_orphaned("r")
        again = orphan(report, "r").episode
        assert again.id == before.id, "our own id: the SID had only been missing from lists"
        assert again.close_reason is None
        held = [word.gate for word in orphan(await w.ticks(2), "r").words if not word.passes]
        assert "cooldown" in held


@pytest.mark.trap("T30")
@pytest.mark.parametrize("how", list(Ghost))
async def test_t30_ghosts_of_a_dead_node_are_not_deleted_to_tidy_up(how):
    async with left_alone() as w:
        await w.until_orphaned("r")
        w.world.strand("r", how)
        report = await w.ticks(240)
        assert "r" not in w.deleted() or len(w.deleted()) == 1
        assert orphan(report, "r").episode.stranded_since is not None
        assert report.troubled["stranded"] == 1
        assert report.stranded == 1
