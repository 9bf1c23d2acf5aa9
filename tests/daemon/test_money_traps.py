"""Where the numbers about money could go wrong: upgrades, webhooks, other hands, absurd clocks."""

from decimal import Decimal

import pytest
import sqlalchemy as sa

from tests.daemon import harness
from tests.daemon.harness import TARIFFS, Lab, lab
from tests.daemon.test_avoided import KEY, QUICK
from tests.daemon.test_by_hand import ask
from watchdog.core.classify import DetectionRules
from watchdog.core.deletion import Mode
from watchdog.core.model import TickResult
from watchdog.core.periods import Period
from watchdog.core.profiles import Tariffs
from watchdog.simulator.webhooks import Delivery


@pytest.mark.parametrize("lost", [False, True])
async def test_webhooks_of_a_deletion_take_nothing_away_from_what_it_avoids(lost, monkeypatch):
    real = Lab.deliver

    def deliver(self, event):
        if event.event == "room_finished":
            if lost:
                return None
            self.clock.advance(0.005)  # it arrives a little after participant_left
        return real(self, event)

    monkeypatch.setattr(Lab, "deliver", deliver)
    async with lab(per_minute=2000, webhooks=Delivery()) as w:
        w.clock.advance(0.25)
        w.enforcing(QUICK)
        w.call("busy")
        w.strand("r")
        await w.until_deleted("r")
        report = await w.ticks(10)
        assert KEY in report.avoided


async def test_after_an_upgrade_what_was_spent_before_is_not_spent_today():
    async with lab() as w:
        w.strand("r")
        await w.ticks(200)
        w.world.close_room("r")
        await w.ticks(6)
        w.clock.advance(2 * 86400)
        await w.ticks(2)
        async with w.database.writing() as connection:  # a record from before migration 0004
            await connection.execute(sa.text("UPDATE tick_journal SET tally=NULL, avoided=NULL"))
        w.restart()
        w.project._books._budgets = {Period.DAY: Decimal(1)}
        report = await w.ticks(1)
        assert report.budgets[Period.DAY].spent.low == 0


async def test_a_deletion_by_hand_in_observe_avoids_nothing_after_a_restart_in_enforce():
    async with lab(per_minute=2000) as w:
        w.enforcing(QUICK, mode=Mode.OBSERVE)
        w.call("busy")
        w.strand("r")
        await w.ticks(20)
        await ask(w)
        assert (await w.ticks(12)).avoided == {}
        w.enforcing(QUICK)
        assert (await w.ticks(2)).avoided == {}


async def test_a_phone_leg_beside_an_agent_is_no_second_agent_of_its_name():
    async with lab(rules=DetectionRules(not_persons=frozenset({"SIP"}))) as w:
        w.call("r")
        w.world.join("r", "sip_1", kind="SIP")
        await w.ticks(2)
        w.world.leave("r", "alice")
        report = await w.until_orphaned("r")
        assert report.orphaned_agents["support"] == 1


async def test_one_absurd_date_of_a_server_does_not_end_the_ticks_for_ever(monkeypatch):
    async with lab(webhooks=Delivery()) as w:
        w.call("busy")
        await w.ticks(2)
        w.strand("r")
        with monkeypatch.context() as once:
            once.setattr(harness.TrueSkew, "skew", property(lambda _: 2.5e11))
            assert (await w.ticks(1)).result is TickResult.OK
        report = await w.ticks(3)
        assert [view.episode.room_name for view in report.orphans] == ["r"]


class _BrokenTariffs(Tariffs):
    """A fault of ours in whatever reckons what agents of one name cost."""

    def of(self, room_name, agent_name):
        if agent_name == "broken":
            raise ZeroDivisionError("a fault of ours")
        return super().of(room_name, agent_name)


async def test_a_fault_in_the_sums_keeps_nobody_from_seeing_and_ending_what_is_left_alone():
    broken = _BrokenTariffs(TARIFFS.default)
    async with lab(per_minute=2000, tariffs=broken) as w:
        w.enforcing(QUICK)
        w.call("busy")
        w.strand("good")
        w.strand("bad", name="broken")
        report = await w.ticks(4)
        assert report.result is TickResult.OK
        assert "ZeroDivisionError" in report.money_fault
        assert report.spend["support"].high > 0
        assert "broken" not in report.spend
        await w.until_deleted("bad")
        await w.until_deleted("good")
        report = await w.ticks(8)
        assert report.money_fault == ""
        assert report.orphans == ()
