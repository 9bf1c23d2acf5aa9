"""What deletions avoided within a window."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.expose.builders import at
from watchdog.core.avoided import Avoidance, Basis
from watchdog.reporting.avoided import AvoidedSums, StoredAvoidance, avoided_within
from watchdog.reporting.window import Window

HOUR = 3600
ONE = Avoidance(
    episode="e1",
    room_name="call",
    agent_name="support",
    basis=Basis.HORIZON,
    began=at(0),
    until=at(HOUR),
    rate=Decimal(2),
    provider_from=at(0),
    provider_until=at(0),
    provider_rate=Decimal(0),
)
BOOKED = StoredAvoidance("prod", ONE, Decimal("2.000000001"))
RUNNING = StoredAvoidance("prod", ONE, None)


@pytest.mark.parametrize(
    ("one", "window", "upto", "usd"),
    [
        (BOOKED, Window(), 9 * HOUR, "2.000000001"),  # what was booked, to the last digit
        (RUNNING, Window(), HOUR / 2, "1"),
        (BOOKED, Window(at(HOUR / 4), at(HOUR / 2)), 9 * HOUR, "0.5"),
        (RUNNING, Window(at(HOUR / 4)), HOUR / 2, "0.5"),
        (BOOKED, Window(at(2 * HOUR)), 9 * HOUR, "0"),
        (BOOKED, Window(None, at(-1)), 9 * HOUR, "0"),
    ],
)
def test_it_counts_as_the_time_passes(one, window, upto, usd):
    assert avoided_within(one, window, at(upto)) == Decimal(usd)


def test_sums_are_by_project_and_basis():
    sums = AvoidedSums()
    timeout = replace(RUNNING, avoidance=replace(ONE, basis=Basis.ROOM_TIMEOUT))
    sums.add([BOOKED, RUNNING, timeout], Window(), at(HOUR / 2))
    sums.add([replace(RUNNING, project="other")], Window(), at(HOUR / 2))
    sums.add([replace(BOOKED, project="third")], Window(at(HOUR)), at(2 * HOUR))  # nothing of it
    assert sums.usd == {
        ("prod", Basis.HORIZON): 2,
        ("prod", Basis.ROOM_TIMEOUT): 1,
        ("other", Basis.HORIZON): 1,
    }
