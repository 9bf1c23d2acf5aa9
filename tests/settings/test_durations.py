"""Durations are text or seconds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.settings import format_duration, parse_duration
from watchdog.settings.durations import parse_retention


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("15m", 900),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1d2h3m4s5ms", 93784.005),
        ("500ms", 0.5),
        ("1.5h", 5400),
        (" 15s ", 15),
        ("15", 15),
        ("0.5", 0.5),
        (15, 15),
        (1.2, 1.2),
        (0, 0),
    ],
)
def test_the_forms_of_a_duration(written: object, seconds: float):
    assert parse_duration(written) == timedelta(seconds=seconds)


NO_DURATIONS = [
    "s",
    "-1s",
    "1m1h",
    "1h,30m",
    "1S",
    "1e3",
    "1m2m",
    "1.s",
    ".5s",
    "٣s",
    "1sm",
    "inf",
    "15_0",
]


@pytest.mark.parametrize(
    "written",
    [
        *NO_DURATIONS,
        "",
        "1h 30m",
        None,
        True,
        float("inf"),
        float("nan"),
        -1,
        10**12,
        "9" * 400,
        [],
    ],
)
def test_what_is_no_duration(written: object):
    with pytest.raises(ValueError, match=r"is no duration; write|is out of range"):
        parse_duration(written)


@given(st.integers(min_value=0, max_value=10**12))
def test_what_is_printed_can_be_read_again(milliseconds: int):
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_is_a_duration_or_says_that_it_is_none(text: str):
    try:
        duration = parse_duration(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"is no duration; write|is out of range"):
            parse_duration(text)
    else:
        assert duration >= timedelta(0)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("90d", timedelta(days=90)),
        ("7d", timedelta(days=7)),
        (604800, timedelta(days=7)),
        ("forever", "forever"),
        (" Forever ", "forever"),
    ],
)
def test_history_is_kept_for_a_week_or_more_or_for_ever(written: object, kept: object):
    assert parse_retention(written) == kept


@pytest.mark.parametrize("written", ["6d23h", "0", 0, "never", "", None, True])
def test_a_retention_that_is_too_short_or_no_duration_is_refused(written: object):
    with pytest.raises(ValueError, match='or "forever"'):
        parse_retention(written)
