"""Names made fit to be shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.expose.builders import NASTY
from watchdog.expose.labels import MAX_LABEL, OTHER, UNNAMED, AgentNames, RoomNames, printable

ANY_TEXT = st.text(st.characters(), max_size=256)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name 全角 é", "plain name 全角 é"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\rc\td", "a\\x0ab\\x0dc\\x09d"),
        ("\u202eabc", "\\u202eabc"),
        ("\u2028", "\\u2028"),
        ("\x9b", "\\x9b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out(text, shown):
    assert printable(text) == shown


@pytest.mark.trap("T45")
@given(ANY_TEXT)
def test_t45_printable_text_is_one_harmless_line(text):
    shown = printable(text)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


@given(ANY_TEXT, st.integers(1, 40))
def test_a_limit_is_kept_and_a_cut_is_visible(text, limit):
    shown = printable(text, limit)
    assert len(shown) <= limit
    if shown != printable(text):
        assert shown.endswith("…")


def test_a_cut_never_splits_an_escape():
    assert printable("ab\x1bcd", 5) == "ab…"
    assert printable("ab\x1bc", 7) == "ab\\x1bc"
    assert printable("a" * 128, MAX_LABEL) == "a" * 128
    assert printable("a" * 129, MAX_LABEL) == "a" * 127 + "…"


def test_the_first_names_are_kept_and_later_ones_are_other():
    names = AgentNames(limit=2)
    assert [names(n) for n in ("a", "b", "c", "a", "b", "d")] == ["a", "b", OTHER, "a", "b", OTHER]


def test_an_agent_without_a_name_is_unnamed_and_takes_no_place():
    names = AgentNames(limit=1)
    assert [names(n) for n in ("", "  ", UNNAMED, OTHER, "a")] == [
        UNNAMED,
        UNNAMED,
        UNNAMED,
        OTHER,
        "a",
    ]


def test_restored_names_come_before_new_ones():
    names = AgentNames(limit=2)
    names.restore(["old", OTHER, UNNAMED])
    assert [names(n) for n in ("new", "newer", "old")] == ["new", OTHER, "old"]


def test_fifty_names_are_kept_by_default():
    names = AgentNames()
    assert len({names(f"agent-{i}") for i in range(500)}) == 51


def test_full_shows_the_name_as_it_is():
    assert RoomNames("full").label("call-+49 176 1234") == "call-+49 176 1234"
    assert RoomNames("full").private("a\nb") == "a\nb"
    assert RoomNames("full").label("x" * 300) == "x" * 127 + "…"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("call-+4917612345678", "ca*****"),
        ("+4917612345678", "+******"),
        ("support-room", "su***om"),
        ("49176", "*******"),
        ("abcd", "***"),
        ("", "***"),
        ("room-٣٤", "ro*****"),
        ("①②room③④", "*******"),
    ],
)
def test_masked_shows_the_ends_and_no_digit(name, shown):
    assert RoomNames("masked").label(name) == shown


@given(ANY_TEXT)
def test_masked_never_shows_a_digit_of_any_script(name):
    assert not any(c.isnumeric() for c in RoomNames("masked").private(name))


@pytest.mark.trap("T45")
@given(ANY_TEXT)
def test_t45_hashed_names_are_short_stable_and_tell_nothing(name):
    shown = RoomNames("hashed").label(name)
    assert shown == RoomNames("hashed").label(name)
    assert len(shown) == 12
    assert set(shown) <= set("0123456789abcdef")


def test_a_key_changes_the_hash():
    plain, one, two = (RoomNames("hashed", k).label("call-1") for k in (b"", b"one", b"two"))
    assert len({plain, one, two}) == 3
    assert plain == "5d7963c4f471"


@pytest.mark.trap("T45")
@pytest.mark.parametrize("policy", ["full", "masked", "hashed"])
@pytest.mark.parametrize("name", NASTY)
def test_t45_room_labels_are_bounded_under_every_policy(policy, name):
    label = RoomNames(policy).label(name)
    assert len(label) <= MAX_LABEL
    assert label.isprintable()
