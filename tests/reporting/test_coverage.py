"""How much of a window was watched."""

import pytest

from tests.expose.builders import at
from watchdog.core.model import TickResult
from watchdog.core.records import Milestones, TickRecord
from watchdog.reporting.coverage import coverage_of
from watchdog.reporting.window import Window


def record(number: int, seconds: float, blind: float = 0.0) -> TickRecord:
    return TickRecord("prod", number, at(seconds), TickResult.OK, seconds - blind, blind)


FIRST, MIDDLE, LAST = record(1, 0), record(50, 1000, 100), record(99, 2000, 350)


def seen(window: Window, *, before=None, oldest=FIRST, last=LAST, good=2000.0, now=2000.0):
    return coverage_of("prod", Milestones(before, oldest, last, at(good)), window, at(now))


def test_without_a_beginning_it_is_all_since_the_first_tick():
    found = seen(Window())
    assert (found.start, found.watched, found.blind) == (None, 1650, 350)
    assert (found.blind_share, found.unseen, found.reaches_back) == (0.175, 0, True)


def test_within_a_window_it_is_the_difference_of_two_records():
    found = seen(Window(at(1000), at(2000)), before=MIDDLE)
    assert (found.start, found.watched, found.blind) == (at(1000), 750, 250)


def test_a_window_that_begins_before_the_first_tick_begins_with_it():
    found = seen(Window(at(-500)))
    assert (found.start, found.watched, found.blind, found.reaches_back) == (at(0), 1650, 350, True)


def test_where_the_records_kept_begin_later_than_the_window_it_says_so():
    found = seen(Window(at(10)), oldest=MIDDLE)
    assert (found.start, found.watched, found.blind) == (at(1000), 750, 250)
    assert (found.reaches_back, found.blind_before) == (False, 100)
    near = seen(Window(at(960)), oldest=MIDDLE)
    assert near.blind_before == 40  # no more than has passed


@pytest.mark.parametrize(
    ("window", "now", "unseen"), [(Window(), 5000, 3000), (Window(None, at(2600)), 5000, 600)]
)
def test_what_has_passed_since_the_last_good_tick_is_told_apart(window, now, unseen):
    assert seen(window, now=now).unseen == unseen


def test_where_no_tick_is_known_nothing_is_said():
    assert coverage_of("prod", None, Window(), at(0)) is None
    assert seen(Window(None, at(-10)), last=None) is None


def test_where_no_time_has_passed_there_is_no_share():
    assert seen(Window(), last=FIRST, good=0, now=0).blind_share is None
