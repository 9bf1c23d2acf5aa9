"""Whether two globs can name the same thing."""

import itertools
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.globs import overlap


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("call-*", "call-*", True),
        ("call-*", "*-vip", True),
        ("call-*", "room-*", False),
        ("a?", "a", False),
        ("a?", "ab", True),
        ("a*b", "a*c", False),
        ("*", "", True),
        ("**", "*a*", True),
        ("[a-m]*", "[f-z]", True),
        ("[a-f]", "[g-z]", False),
        ("[!a]", "a", False),
        ("[!a]", "[ab]", True),
        ("[!a-y]x", "[b-y]x", False),
        ("[]]", "]", True),
        ("[", "[", True),
        ("bot-?-*", "bot-*-7", True),
    ],
)
def test_globs_overlap_where_some_name_fits_both(one: str, two: str, expected: bool):
    assert overlap(one, two) is overlap(two, one) is expected


pieces = st.sampled_from(["a", "b", "c", "*", "?", "[ab]", "[!a]", "[a-c]"])
globs = st.lists(pieces, max_size=3).map("".join)
NAMES = ["".join(name) for size in range(6) for name in itertools.product("abcz", repeat=size)]


@given(globs, globs)
def test_they_overlap_exactly_where_one_of_all_short_names_fits_both(one: str, two: str):
    fits_both = any(fnmatchcase(name, one) and fnmatchcase(name, two) for name in NAMES)
    assert overlap(one, two) is fits_both


def test_long_globs_are_compared_as_well():
    long = "a?" * 1500
    assert overlap(f"{long}*", f"*{long}")
    assert not overlap(f"{long}*b", f"{long}*c")
