"""A stretch of time cut out of a bill: nothing is lost, and nothing counted twice."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.expose.builders import at
from tests.reporting.bills import LINE, line
from watchdog.reporting.window import Window, day_of, months

MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 3, 1), timezones=st.just(UTC))


def test_half_of_a_stretch_is_half_of_its_bill():
    cut = Window(at(25), at(75)).cut(LINE, (at(0), at(100)))
    assert (cut.spend.low, cut.spend.high, cut.spend.unverified) == (
        Decimal("0.5"),
        Decimal("0.75"),
        Decimal("0.125"),
    )
    assert (cut.seconds, cut.price) == (50, LINE.price)


def test_a_window_without_ends_changes_nothing():
    odd = line("0.12345678901234567")
    assert Window().cut(odd, (at(0), at(100))) is odd
    assert Window(at(0), at(100)).cut(odd, (at(0), at(100))) is odd


@given(
    st.lists(MOMENTS, min_size=2, max_size=6, unique=True),
    MOMENTS,
    st.timedeltas(timedelta(0), timedelta(days=40)),
    st.decimals(0, 10**6, places=9),
)
def test_windows_that_meet_share_a_line_without_a_rest(ends, start, lasted, amount):
    one = line(str(amount), seconds=amount)
    stretch = (start, start + lasted)
    edges = [None, *sorted(ends), None]
    windows = [Window(a, b) for a, b in pairwise(edges)]
    parts = [window.cut(one, stretch) for window in windows]
    assert sum(part.spend.low for part in parts) == amount
    assert sum(part.seconds for part in parts) == amount
    assert all(part.spend.low >= 0 for part in parts)
    for window, part in zip(windows, parts, strict=True):
        assert window.clip(stretch) is not None or part.spend.low == 0


def test_the_end_of_a_window_is_not_in_it():
    window = Window(at(0), at(10))
    assert [window.holds(at(s)) for s in (-1, 0, 9, 10)] == [False, True, True, False]
    assert window.clip((at(10), at(20))) is None
    assert window.clip((at(-5), at(0))) is None
    assert window.clip((at(-5), at(1))) == (at(0), at(1))
    assert window.clip((at(0), at(0))) == (at(0), at(0))
    assert window.clip((at(10), at(10))) is None


def test_a_month_ends_where_the_next_begins():
    assert months(datetime(2026, 12, 31, 23, tzinfo=UTC)) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


@given(st.none() | MOMENTS, st.none() | MOMENTS, MOMENTS)
def test_a_day_is_whole_in_a_window_where_nothing_of_it_is_cut(since, until, moment):
    window, day = Window(since, until), moment.date()
    is_whole = window.clip(day_of(day)) == day_of(day)
    first, end = window.whole_days or (day, day)
    assert is_whole == ((first is None or first <= day) and (end is None or day < end))
