"""The effective figure: list prices less what is left of an allowance."""

from decimal import Decimal

import pytest

from watchdog.core.spend import Spend
from watchdog.reporting.allowance import effective
from watchdog.reporting.report import MeterSum

SESSION = MeterSum(
    "lk.agent_session",
    "ship",
    "min",
    priced=True,
    quota=False,
    seconds=Decimal(6000),
    spend=Spend(Decimal("0.60"), Decimal(1)),
)
OTHER = MeterSum(
    "other",
    "list",
    "h",
    priced=True,
    quota=False,
    seconds=Decimal(3600),
    spend=Spend(Decimal(2), Decimal(2)),
)
FREE = MeterSum("lk.ingress", "ship", "min", priced=False, quota=False, seconds=Decimal(60))
TOTAL = Spend(Decimal("2.60"), Decimal(3), Decimal("0.5"))


@pytest.mark.parametrize(
    ("left", "low", "high"),
    [
        ({}, "2.60", "3"),
        ({"lk.agent_session": 30}, "2.30", "2.70"),
        ({"lk.agent_session": 80}, "2.00", "2.20"),
        ({"lk.agent_session": 1000}, "2.00", "2.00"),
        ({"lk.agent_session": 1000, "other": 1}, "0.00", "0.00"),
        ({"lk.ingress": 99, "unheard-of": 5}, "2.60", "3"),
    ],
)
def test_what_is_left_covers_low_and_high_and_never_more_than_there_is(left, low, high):
    given = {meter: Decimal(units) for meter, units in left.items()}
    found = effective(TOTAL, (SESSION, OTHER, FREE), given)
    assert (found.low, found.high) == (Decimal(low), Decimal(high))
    assert found.unverified == TOTAL.unverified
