"""Arming, warming up and cooling down: pure clocks with edges (SAFETY D)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.arming import Arming
from watchdog.core.cooldown import Cooldowns
from watchdog.core.warmup import WarmUp


def test_looks_arm_a_room_once_there_were_enough_and_they_are_thirty_seconds_apart():
    arming = Arming(100.0).confirmed(100.0)
    assert not arming.is_armed(2)
    assert not arming.confirmed(129.9).is_armed(2)
    assert arming.confirmed(130.0).is_armed(2)
    assert not arming.confirmed(130.0).is_armed(3)


def test_a_look_from_before_it_was_due_counts_for_nothing():
    assert Arming(100.0).confirmed(99.9) == Arming(100.0)


@given(st.integers(2, 10))
def test_the_looks_are_spread_over_the_time_that_must_pass(confirmations):
    arming, asked = Arming(0.0), []
    while not arming.is_armed(confirmations):
        asked.append(arming.next_look(confirmations))
        arming = arming.confirmed(asked[-1])
    assert len(asked) in (confirmations, confirmations + 1)
    assert asked == sorted(asked)
    assert 30.0 <= asked[-1] <= 30.1


def test_three_good_ticks_and_a_minute_warm_up_and_a_gap_begins_anew():
    warm = WarmUp(0.0)
    for at in (15.0, 30.0, 45.0):
        warm.good_tick(at, 37.5)
    assert (warm.ticks, warm.seconds(59.0)) == (3, 59.0)
    warm.good_tick(82.5, 37.5)
    assert (warm.ticks, warm.seconds(82.5)) == (4, 82.5)
    warm.good_tick(120.1, 37.5)
    assert (warm.ticks, warm.seconds(120.1)) == (1, 0.0)
    warm.begin_anew(130.0)
    assert (warm.ticks, warm.seconds(131.0)) == (0, 1.0)


def test_a_name_cools_down_twice_as_long_each_time_up_to_two_hours():
    names, at, waits = Cooldowns(), 0.0, []
    for _ in range(6):
        names.deleted("a", at, attended=False, counts=True)
        waits.append(names.left("a", at)[0])
        at += waits[-1]
        assert names.left("a", at) == (0.0, "")
        assert names.left("b", at) == (0.0, "")
    assert waits == [600, 1200, 2400, 4800, 7200, 7200]


def test_a_person_in_between_makes_the_name_as_good_as_new():
    names = Cooldowns()
    names.deleted("a", 0.0, attended=False, counts=True)
    names.deleted("a", 600.0, attended=True, counts=True)
    assert names.left("a", 600.0)[0] == 600.0


def test_an_attempt_that_failed_is_tried_again_later_and_later():
    names, waits = Cooldowns(), []
    for _ in range(6):
        names.not_deleted("a", 0.0, "no answer")
        waits.append(names.left("a", 0.0)[0])
    assert waits == [60, 120, 240, 480, 600, 600]
    assert names.left("a", 0.0)[1] == "no answer"


@pytest.mark.parametrize(("at", "left"), [(3599.9, 2), (3600.0, 1), (7200.1, 0)])
def test_an_hour_forgets_what_is_older_than_an_hour(at, left):
    names = Cooldowns()
    names.deleted("a", 0.0, attended=True, counts=True)
    names.deleted("b", 3600.0, attended=True, counts=True)
    names.deleted("c", 3600.0, attended=True, counts=False)
    assert names.in_the_last_hour(at) == left
