"""Too many at once: when a hold opens, drains and ends; and changes too sudden to be believed (SAFETY D)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.limits import Queue
from watchdog.core.sudden import SuddenChange


def queue(**more) -> Queue:
    return Queue(**({"per_tick": 3, "per_hour": 10, "limit_hold": 1800.0, "poll": 15.0} | more))


def ids(count: int, first: int = 0) -> list[str]:
    return [f"ep_{n:03}" for n in range(first, first + count)]


@pytest.mark.parametrize(
    ("waiting", "recent", "holds"),
    [(3, 0, False), (4, 0, True), (3, 7, False), (3, 8, True), (0, 60, False), (1, 10, True)],
)
def test_a_hold_opens_above_either_limit(waiting, recent, holds):
    assert (queue().update(ids(waiting), recent, 0.0).opened is not None) is holds


def test_a_hold_lasts_then_drains_and_newcomers_do_not_open_it_anew():
    held = queue().update(ids(5), 0, 100.0)
    assert (held.most_now(100.0), held.turn("ep_000", 100.0)) == (0, False)
    held = held.update(ids(9), 0, 1000.0)
    assert held.opened == 100.0
    assert held.most_now(1899.9) == 0
    assert held.most_now(1900.0) == 1
    assert [key for key in held.ids if held.turn(key, 1900.0)] == ids(held.ahead)
    assert held.ahead == 4


def test_a_hold_ends_once_what_waits_fits_both_limits():
    held = queue().update(ids(5), 0, 0.0).update(ids(3), 0, 15.0)
    assert held.opened is None
    assert held.most_now(15.0) == 3


def test_what_is_released_goes_and_later_ones_are_counted_anew():
    free = queue().update(ids(5), 0, 0.0).release().update(ids(5), 0, 15.0)
    assert free.opened is None
    assert all(free.turn(key, 15.0) for key in free.ids)
    assert free.goes_uncounted("ep_000")
    more = free.update(ids(9), 0, 30.0)
    assert more.opened == 30.0
    assert more.turn("ep_004", 30.0)
    assert not more.turn("ep_005", 30.0)
    assert more.go(ids(9), 30.0) == set(ids(3)), "a later hold keeps the later ones only"


def test_what_goes_in_a_tick_is_the_oldest_and_never_more_than_its_limit():
    assert queue().update(ids(3), 0, 0.0).go(ids(3), 0.0) == set(ids(3))
    held = queue().update(ids(5), 0, 0.0)
    assert held.go(ids(5), 1799.9) == set()
    assert held.go(ids(5), 1800.0) == {"ep_000"}


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40))
def test_nothing_goes_while_a_hold_is_young_and_never_more_than_a_limit_allows(steps):
    current = queue()
    for n, (waiting, recent) in enumerate(steps):
        at = n * 15.0
        current = current.update(ids(waiting), recent, at)
        if waiting > 3 or waiting > max(0, 10 - recent):
            assert current.most_now(at) == 0
        else:
            assert current.most_now(at) == 3


def sudden(**more) -> SuddenChange:
    return SuddenChange(**({"max_drop": 0.5, "min_population": 20} | more))


@pytest.mark.parametrize(
    ("before", "now", "holds"), [(20, 10, False), (20, 9, True), (19, 0, False), (100, 49, True)]
)
def test_attended_rooms_that_end_at_once_are_sudden(before, now, holds):
    change = sudden()
    change.note(0.0, attended=before, orphaned=0)
    change.note(15.0, attended=now, orphaned=0)
    assert bool(change.says()) is holds


@pytest.mark.parametrize(("turned", "holds"), [(10, False), (11, True)])
def test_rooms_that_are_orphaned_at_once_are_sudden(turned, holds):
    change = sudden()
    change.note(0.0, attended=20, orphaned=turned)
    assert bool(change.says()) is holds


def test_it_is_over_after_five_minutes():
    change = sudden()
    change.note(0.0, attended=100, orphaned=0)
    change.note(15.0, attended=10, orphaned=60)
    assert change.says()
    change.note(300.0, attended=10, orphaned=0)
    assert change.says()
    change.note(301.0, attended=10, orphaned=0)
    assert change.says() == "", "now there are too few for anything to be sudden"


def test_calls_that_end_and_are_replaced_are_no_change():
    change = sudden()
    for n in range(100):
        change.note(n * 15.0, attended=100 + n % 7, orphaned=2)
        assert change.says() == ""
