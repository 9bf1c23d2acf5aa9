"""Entries of the allow-list and the protect list, and the gates that ask them (SAFETY D)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from glob import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_gates import PROJECT, ROOM, SAFEGUARDS, held_by
from watchdog.core.deletion import Mode
from watchdog.core.gates import words
from watchdog.core.roomlists import ListEntry, ListName, Standing, moment

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
ALLOWLIST = replace(SAFEGUARDS, mode=Mode.ALLOWLIST)


def entry(name: ListName = ListName.PROTECT, **more) -> ListEntry:
    values = {"pattern": "call-*", "project": "", "until": None, "reason": "load test"}
    return ListEntry("e1", name, since=NOW - timedelta(hours=1), actor="ann", **(values | more))


def allow(**more) -> ListEntry:
    return entry(ListName.ALLOW, **more)


def said(gate: str, *entries: ListEntry, safeguards=SAFEGUARDS, room=ROOM):
    state = replace(PROJECT, safeguards=safeguards, entries=entries)
    return next((w.passes, w.why) for w in words(state, room) if w.gate == gate)


@pytest.mark.parametrize(
    ("until", "removed_at", "standing"),
    [
        (None, None, Standing.IN_FORCE),
        (NOW + INSTANT, None, Standing.IN_FORCE),
        (NOW, None, Standing.EXPIRED),
        (NOW - INSTANT, None, Standing.EXPIRED),
        (None, NOW - INSTANT, Standing.REMOVED),
        (NOW + INSTANT, NOW - INSTANT, Standing.REMOVED),
        (NOW - INSTANT, NOW - 2 * INSTANT, Standing.REMOVED),
        (NOW - INSTANT, NOW - INSTANT, Standing.EXPIRED),
    ],
)
def test_an_entry_counts_until_it_expires_or_is_removed(until, removed_at, standing):
    one = entry(until=until, removed_at=removed_at)
    assert one.standing(NOW) is standing
    assert one.in_force(NOW) is (standing is Standing.IN_FORCE)


@pytest.mark.parametrize(
    ("pattern", "project", "room", "applies"),
    [
        ("call-*", "", "call-1", True),
        ("call-*", "p", "call-1", True),
        ("call-*", "q", "call-1", False),
        ("call-?", "", "call-12", False),
        ("CALL-*", "", "call-1", False),
        ("call-1", "", "call-1", True),
        ("a[1]", "", "a[1]", False),
        (escape("a[1]*"), "", "a[1]*", True),
        (escape("a[1]*"), "", "a[1]b", False),
    ],
)
def test_an_entry_is_for_its_project_or_all_and_matches_as_configured_globs_do(
    pattern, project, room, applies
):
    assert entry(pattern=pattern, project=project).applies("p", room) is applies


@given(st.text(), st.text())
def test_an_escaped_name_matches_that_name_and_no_other(name, other):
    assert entry(pattern=escape(name)).applies("p", name)
    assert entry(pattern=escape(name)).applies("p", other) is (name == other)


def test_a_protect_entry_holds_alone_and_says_whose_it_is():
    until = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)
    state = replace(PROJECT, entries=(entry(until=until),))
    assert held_by(state, ROOM) == ["protected"]
    assert said("protected", entry(until=until)) == (
        False,
        "'call-*' is on the protect list (added by ann: load test, until 14:00 UTC)",
    )
    assert said("protected", entry(reason="")) == (
        False,
        "'call-*' is on the protect list (added by ann)",
    )
    configured = replace(SAFEGUARDS, protected=("call-1",))
    assert said("protected", entry(), safeguards=configured) == (
        False,
        "'call-1' is on the protect list (configured)",
    )


@pytest.mark.parametrize("after", [timedelta(), INSTANT, timedelta(days=9)])
def test_protection_ends_at_its_time_and_not_before(after):
    until = NOW + timedelta(hours=1)
    for now, passes in ((until - INSTANT, False), (until + after, True)):
        room = replace(ROOM, now=now)
        assert said("protected", entry(until=until), room=room)[0] is passes


@pytest.mark.parametrize("after", [timedelta(), INSTANT, timedelta(days=9)])
def test_an_allowance_ends_at_its_time_and_not_before(after):
    until = NOW + timedelta(hours=1)
    for now, passes in ((until - INSTANT, True), (until + after, False)):
        room = replace(ROOM, now=now)
        assert said("allow_list", allow(until=until), safeguards=ALLOWLIST, room=room)[0] is passes


@pytest.mark.parametrize(
    "one",
    [allow(project="q"), allow(removed_at=NOW), allow(pattern="other"), entry(pattern="other")],
)
def test_what_is_for_others_or_was_removed_allows_nothing(one):
    state = replace(PROJECT, safeguards=ALLOWLIST, entries=(one,))
    assert held_by(state, ROOM) == ["allow_list"]


@pytest.mark.parametrize("one", [entry(project="q"), entry(removed_at=NOW), allow()])
def test_what_is_for_others_or_was_removed_protects_nothing(one):
    assert held_by(replace(PROJECT, entries=(one,)), ROOM) == []


def test_protection_goes_before_an_allowance_whichever_is_configured():
    configured = replace(ALLOWLIST, allowed=("call-*",))
    assert held_by(replace(PROJECT, safeguards=configured, entries=(entry(),)), ROOM) == [
        "protected"
    ]
    configured = replace(ALLOWLIST, protected=("call-*",))
    assert held_by(replace(PROJECT, safeguards=configured, entries=(allow(),)), ROOM) == [
        "protected"
    ]
    both = replace(PROJECT, safeguards=ALLOWLIST, entries=(allow(), entry()))
    assert held_by(both, ROOM) == ["protected"]


def test_lists_that_are_not_known_protect_and_allow_nothing_of_their_own():
    assert held_by(replace(PROJECT, safeguards=ALLOWLIST, entries=None), ROOM) == [
        "protected",
        "allow_list",
    ]
    configured = replace(ALLOWLIST, allowed=("call-*",))
    assert held_by(replace(PROJECT, safeguards=configured, entries=None), ROOM) == ["protected"]


def test_a_time_is_told_with_what_it_needs():
    assert moment(NOW + timedelta(hours=2), NOW) == "14:00 UTC"
    assert moment(NOW + timedelta(seconds=61), NOW) == "12:01:01 UTC"
    assert moment(NOW + timedelta(hours=12), NOW) == "2026-03-02 00:00 UTC"
