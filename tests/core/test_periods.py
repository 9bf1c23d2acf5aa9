"""What was spent in the present day and month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from watchdog.core.periods import Period, Tally
from watchdog.core.spend import Spend

MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


def total(low: str, high: str = "0") -> dict[str, Spend]:
    """As the counters of two agents say it."""
    return {"a": Spend(Decimal(low), Decimal(high)), "b": Spend(Decimal(1), Decimal(1))}


def test_a_period_counts_from_what_the_counters_said_when_it_began():
    tally = Tally().at(MIDNIGHT - timedelta(hours=30), total("1", "2"))
    assert tally.spent(Period.DAY) == tally.spent(Period.MONTH) == Spend(Decimal(2), Decimal(3))
    tally = tally.at(MIDNIGHT - timedelta(hours=20), total("5", "6"))
    assert tally.spent(Period.DAY).low == Decimal(4)
    assert tally.spent(Period.MONTH).low == Decimal(6)
    tally = tally.at(MIDNIGHT, total("7", "9"))
    assert tally.spent(Period.DAY) == tally.spent(Period.MONTH) == Spend(Decimal(2), Decimal(3))


def test_within_a_period_what_is_spent_never_falls():
    tally = Tally()
    seen = []
    for minute, low in enumerate((1, 1, 2, 5, 5)):
        tally = tally.at(MIDNIGHT + timedelta(minutes=minute), total(str(low)))
        seen.append(tally.spent(Period.DAY).low)
    assert seen == sorted(seen) == [2, 2, 3, 6, 6]


def test_the_day_is_that_of_utc():
    west = MIDNIGHT.astimezone(tz=None)
    assert Period.DAY.of(west) == "2026-12-01"
    assert Period.MONTH.of(west) == "2026-12"


@pytest.mark.parametrize("period", Period)
def test_before_anything_was_told_nothing_is_spent(period: Period):
    assert Tally().spent(period) == Spend()
