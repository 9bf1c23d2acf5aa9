"""The watchdog watches: from rooms to verdicts, episodes and numbers."""

from decimal import Decimal

from tests.daemon.harness import lab, orphan
from watchdog.core.model import CloseReason, TickResult, VerdictState
from watchdog.core.report import ChangeKind


async def test_a_room_whose_person_left_is_orphaned_and_its_neighbour_never():
    async with lab() as w:
        w.call("left-alone")
        w.call("neighbour")
        report = await w.tick()
        assert report.result is TickResult.OK
        assert report.rooms[VerdictState.ATTENDED] == 2
        w.world.leave("left-alone", "alice")
        report = await w.ticks(1)
        assert [v.episode.room_name for v in report.orphans] == ["left-alone"]
        assert report.rooms[VerdictState.ORPHANED] == 1
        assert report.rooms[VerdictState.ATTENDED] == 1
        assert report.orphaned_agents == {"support": 1}
        assert report.changes[0].kind is ChangeKind.OPENED
        for _ in range(40):
            report = await w.ticks(1)
            assert orphan(report, "neighbour") is None
        assert orphan(report, "left-alone").age == 40 * w.poll


async def test_a_person_who_returns_closes_the_episode():
    async with lab() as w:
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        w.world.join("r", "alice")
        report = await w.ticks(1)
        assert report.orphans == ()
        closed = report.changes[-1]
        assert closed.kind is ChangeKind.CLOSED
        assert closed.episode.close_reason is CloseReason.PERSON_RETURNED


async def test_spend_grows_while_agents_are_alone_and_stops_with_them():
    async with lab() as w:
        w.call("r")
        await w.tick()
        w.world.leave("r", "alice")
        await w.until_orphaned("r")
        report = await w.ticks(4 * 60)
        spend = report.spend["support"]
        # An hour of one WebRTC connection is 0.03; the last look is up to a minute old.
        assert Decimal("0.0294") < spend.low <= Decimal("0.03")
        assert spend.low <= spend.high < Decimal("0.0303")
        w.world.delete_room("r")
        w.call("other")
        report = await w.ticks(4)
        assert report.orphans == ()
        after = report.spend["support"]
        report = await w.ticks(60)
        assert report.spend["support"] == after
