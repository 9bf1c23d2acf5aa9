"""What the ledger says: by episode and meter, with the prices of its time, and corrected where it fell."""

from decimal import Decimal

import pytest
import sqlalchemy as sa

from tests.daemon.harness import TARIFFS, lab
from watchdog.core.spend import Spend
from watchdog.simulator.webhooks import Delivery
from watchdog.store.tables import closed_spend, corrections, episodes, ledger

PER_SECOND = Decimal("0.0005") / 60


async def rows(w, table: sa.Table) -> list[sa.RowMapping]:
    async with w.database.reading() as connection:
        return list((await connection.execute(sa.select(table))).mappings().all())


def total(found: list[sa.RowMapping]) -> Spend:
    return sum((Spend(row["low"], row["high"], row["unverified"]) for row in found), Spend())


def near(one: Spend, other: Spend) -> bool:
    """Within what the database rounds: a nano-dollar for each row and sum."""
    return all(
        abs(a - b) <= Decimal("1e-8")
        for a, b in zip(
            (one.low, one.high, one.unverified),
            (other.low, other.high, other.unverified),
            strict=True,
        )
    )


async def test_a_closed_episode_has_a_line_for_each_agent_name_and_meter_that_sums_to_its_spend():
    async with lab() as w:
        w.call("r", agents=2)
        await w.ticks(2)
        w.world.leave("r", "alice")
        await w.ticks(20)
        w.world.join("r", "alice")
        await w.ticks(2)
        (line,) = await rows(w, ledger)
        (episode,) = await rows(w, episodes)
        assert line["episode_id"] == episode["id"]
        assert (line["agent_name"], line["meter"]) == ("support", "lk.webrtc_participant")
        assert (line["profile"], line["plan"]) == ("self-hosted-on-cloud", "ship")
        assert (line["unit"], line["price"]) == ("min", Decimal("0.0005"))
        assert line["book_hash"] == TARIFFS.default.book_hash
        assert near(total([line]), total(await rows(w, closed_spend)))
        assert line["seconds"] == pytest.approx(float(line["high"] / PER_SECOND), abs=0.01)
        assert episode["policy"] == "default"


async def test_lines_are_written_with_the_episodes_row_and_not_each_tick():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        assert len(await rows(w, ledger)) == 1
        assert (await w.ticks(1)).rows_written == 1
        assert (await w.ticks(1)).rows_written == 1
        w.world.join_agent("r", "sales", identity="agent-late")
        await w.ticks(6)
        assert {line["agent_name"] for line in await rows(w, ledger)} == {"support", "sales"}


@pytest.mark.trap("T50")
async def test_t50_a_late_webhook_lowers_no_counter_and_stands_as_a_correction():
    async with lab(webhooks=Delivery(late=1.0, latest=40.0)) as w:
        w.call("r")
        await w.ticks(4)
        w.pass_time(14.0)  # shortly before the next look: the looks alone allow for much more
        w.world.leave("r", "alice")
        highest = Spend()
        for _ in range(12):
            report = await w.ticks(1)
            spent = report.spend.get("support", Spend())
            assert (spent.low, spent.high) >= (highest.low, highest.high)
            assert spent.high >= highest.high
            highest = spent
        (found,) = await rows(w, corrections)
        (view,) = report.orphans
        assert (found["episode_id"], found["agent_name"]) == (view.episode.id, "support")
        assert (found["low"], found["unverified"]) == (0, 0)
        assert 0 < found["high"] <= 20 * PER_SECOND
        # The line says what is now known; the counter says what it had said before.
        assert view.spend.high <= report.spend["support"].high


async def test_a_restart_lowers_nothing():
    async with lab() as w:
        w.strand("r")
        before = (await w.ticks(20)).spend["support"]
        w.restart()
        report = await w.ticks(1)
        assert report.spend["support"].low >= before.low
        assert report.spend["support"].high >= before.high
