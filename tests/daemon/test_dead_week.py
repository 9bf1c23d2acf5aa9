"""A dead node's rooms for a week, in observe: what is only listed is unverified, and never spend (A10)."""

from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from tests.daemon import bills
from tests.daemon.bills import BILLS
from tests.daemon.harness import Lab, lab
from watchdog.core.model import Role
from watchdog.core.report import TickReport
from watchdog.expose.catalogue import PREFIX
from watchdog.expose.labels import RoomNames
from watchdog.expose.metrics import Metrics
from watchdog.simulator.rooms import Ghost

HOUR, WEEK = 3600.0, 7 * 86_400.0
YEAR = 366 * 86_400
ALIVE, DEAD = "legacy", "support"
DEAD_ROOMS = {"dead-0": Ghost.UNAVAILABLE, "dead-1": Ghost.NO_OBJECT, "dead-2": Ghost.UNAVAILABLE}


def per_hour(agent: str, *, certain: bool) -> Decimal:
    """USD an hour of one agent: of the meters that certainly bill while idle, or of all."""
    meters = BILLS[agent, Role.AGENT]
    return sum((m.rate * 3600 for m in meters if m.idle or not certain), Decimal(0))


def strand(w: Lab, room: str, agent: str) -> None:
    w.world.create_room(room, empty_timeout=YEAR, departure_timeout=YEAR)
    w.world.join(room, "alice")
    w.world.join_agent(room, agent)
    w.world.leave(room, "alice")


def scraped(report: TickReport) -> dict[tuple[str, str], float]:
    """Money as Prometheus is told: by metric and agent name."""
    metrics = Metrics(CollectorRegistry(), RoomNames("full"))
    metrics.on_report(report)
    body, _ = metrics.expose()
    families = text_string_to_metric_families(body.decode())
    return {
        (s.name.removeprefix(PREFIX), s.labels.get("agent_name", "")): s.value
        for family in families
        for s in family.samples
        if "usd" in s.name
    }


async def dead_week(w: Lab) -> None:
    w.tariffs = bills.tariffs()
    w.restart()
    for room in DEAD_ROOMS:
        strand(w, room, DEAD)
    strand(w, "alive", ALIVE)
    w.world.create_room("attended", empty_timeout=YEAR, departure_timeout=YEAR)
    w.world.join("attended", "bob")
    while w.clock.monotonic() < 2.5 * HOUR:
        report = await w.ticks(1)
    assert len(report.orphans) == 4
    for room, ghost in DEAD_ROOMS.items():
        w.world.strand(room, ghost)
    died = Decimal(w.clock.monotonic())
    # The hourly probe finds it, and the next tick confirms it.
    while report.stranded < len(DEAD_ROOMS):
        report = await w.ticks(1)
    unnoticed = Decimal(w.clock.monotonic()) - died
    assert unnoticed <= Decimal(HOUR + 10 * w.poll)
    found = report.spend[DEAD]
    restarts = 0
    while w.clock.monotonic() < 2.5 * HOUR + WEEK:
        report = await w.ticks(1)
        assert report.stranded == len(DEAD_ROOMS), report.error
        if w.clock.monotonic() > (restarts + 1) * WEEK / 3 and restarts < 2:
            restarts += 1
            w.restart()
    lived = Decimal(w.clock.monotonic())
    dead, alive = report.spend[DEAD], report.spend[ALIVE]
    many = len(DEAD_ROOMS)

    # Nothing was booked for what is only listed since that was found out; what had been, stays exported.
    assert (dead.low, dead.high) == (found.low, found.high)
    most = (died + unnoticed) / 3600 * many
    assert dead.low <= most * per_hour(DEAD, certain=True)
    assert dead.high <= most * per_hour(DEAD, certain=False) + Decimal("0.01"), "whole steps"
    # All the rest of the week is unverified: from the last good probe, an hour before at the most.
    whole = lived / 3600 * many * per_hour(DEAD, certain=False)
    week = Decimal(WEEK) / 3600 * many * per_hour(DEAD, certain=False)
    assert week * Decimal("0.99") <= dead.unverified <= whole
    assert report.burn[DEAD].low == report.burn[DEAD].high == 0
    assert abs(report.burn[DEAD].unverified - many * per_hour(DEAD, certain=False)) < bills.ATOM
    # The room that lives is billed as ever.
    assert alive.unverified == 0
    assert alive.low >= Decimal(WEEK) / 3600 * per_hour(ALIVE, certain=True)
    money = scraped(report)
    assert money["unverified_usd_total", ""] == pytest.approx(float(dead.unverified))
    assert money["spend_low_usd_total", DEAD] == pytest.approx(float(found.low))
    assert money["spend_high_usd_total", DEAD] == pytest.approx(float(found.high))
    assert money["burn_high_usd_per_hour", DEAD] == 0
    assert w.deleted() == [], "mode observe"


@pytest.mark.rule("A10")
async def test_a10_a_dead_nodes_rooms_are_a_week_of_unverified_spend_polled_every_ten_minutes():
    async with lab(poll=600.0) as w:
        await dead_week(w)


@pytest.mark.slow
@pytest.mark.rule("A10")
@pytest.mark.timeout(900)
async def test_a10_a_dead_nodes_rooms_are_a_week_of_unverified_spend_at_the_ordinary_pace():
    async with lab() as w:
        await dead_week(w)
