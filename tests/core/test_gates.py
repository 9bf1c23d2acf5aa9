"""Every gate at, below and above its edge; and what cannot be known lets nothing pass (SAFETY D)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.arming import Arming
from watchdog.core.deletion import Mode
from watchdog.core.gates import (
    ALWAYS,
    GATES,
    PROTECTIONS,
    WAIVED_BY_HAND,
    ProjectState,
    RoomCase,
    Safeguards,
    holding,
    words,
)
from watchdog.core.hold import FOR_EVER, held_until
from watchdog.core.policy import Action, Fit, Policy, Ruling, Step

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SAFEGUARDS = Safeguards(mode=Mode.ENFORCE)
PROJECT = ProjectState(
    SAFEGUARDS,
    entries=(),
    paused="",
    stopped="",
    refused="",
    sudden="",
    good_ticks=3,
    warm_seconds=60.0,
    since_jump=ALWAYS,
    locked=True,
    unwritten="",
    waiting=1,
    recent=0,
)


def ruling(due_age: float = 90.0, action: Action = Action.DELETE) -> Ruling:
    policy = Policy("quick", action=action)
    return Ruling(policy, due_age, "the policy's grace", (Step(policy, Fit.YES, "it is so"),))


ROOM = RoomCase(
    room_name="call-1",
    project="p",
    now=NOW,
    orphaned=True,
    why_orphaned="1 agent, no person",
    ruling=ruling(),
    age=90.0,
    recording=False,
    simulated=False,
    hold_known=True,
    pending="",
    cooldown=0.0,
    arming_known=True,
    arming=Arming(0.0, looks=2, first=0.0, last=30.0),
)


def held_by(project: ProjectState, room: RoomCase) -> list[str]:
    return [word.gate for word in holding(words(project, room))]


def test_a_room_that_nothing_holds_passes_every_gate():
    assert held_by(PROJECT, ROOM) == []
    assert [w.gate for w in words(PROJECT, ROOM)] == [g.name for g in GATES]


@pytest.mark.parametrize(
    ("gate", "project", "room"),
    [
        ("orphaned", {}, {"orphaned": False}),
        ("mode", {"safeguards": replace(SAFEGUARDS, mode=Mode.OBSERVE)}, {}),
        ("paused", {"paused": "paused by ana"}, {}),
        ("protected", {"safeguards": replace(SAFEGUARDS, protected=("call-*",))}, {}),
        ("recording", {}, {"recording": True}),
        ("recording", {}, {"recording": True, "age": 3599.9}),
        (
            "recording",
            {"safeguards": replace(SAFEGUARDS, recordings=ALWAYS)},
            {"recording": True, "age": 1e9},
        ),
        ("simulation", {}, {"simulated": True}),
        ("hold", {}, {"held_until": FOR_EVER}),
        ("hold", {}, {"held_until": NOW + timedelta(seconds=0.001)}),
        ("allow_list", {"safeguards": replace(SAFEGUARDS, mode=Mode.ALLOWLIST)}, {}),
        ("action", {}, {"ruling": ruling(action=Action.WARN)}),
        ("action", {}, {"ruling": ruling(action=Action.KEEP)}),
        ("due", {}, {"age": 89.999}),
        ("warmed_up", {"good_ticks": 2}, {}),
        ("warmed_up", {"warm_seconds": 59.999}, {}),
        ("clock_jump", {"since_jump": 59.999}, {}),
        ("reachable", {}, {"stranded": True}),
        ("settled", {}, {"pending": "being verified"}),
        ("cooldown", {}, {"cooldown": 0.001}),
        ("lock", {"locked": False}, {}),
        ("durable", {"unwritten": "an outcome"}, {}),
        ("stop_file", {"stopped": "the file forbids it"}, {}),
        ("sudden_change", {"sudden": "most calls are over"}, {}),
        ("permitted", {"refused": "401"}, {}),
        ("limits", {"held_for": 0.0}, {}),
        ("limits", {"held_for": 1799.9}, {}),
        ("limits", {"held_for": 1e6}, {}),
        ("armed", {}, {"arming": None}),
        ("armed", {}, {"arming": Arming(0.0, looks=1, first=0.0, last=0.0)}),
        ("armed", {}, {"arming": Arming(0.0, looks=9, first=0.0, last=29.999)}),
        (
            "armed",
            {"safeguards": replace(SAFEGUARDS, confirmations=3)},
            {"arming": Arming(0.0, looks=2, first=0.0, last=45.0)},
        ),
    ],
)
def test_a_gate_holds_alone(gate, project, room):
    assert held_by(replace(PROJECT, **project), replace(ROOM, **room)) == [gate]


@pytest.mark.parametrize(
    ("project", "room"),
    [
        ({}, {"recording": True, "age": 3600.0}),
        ({"safeguards": replace(SAFEGUARDS, recordings=0.0)}, {"recording": True}),
        ({"safeguards": replace(SAFEGUARDS, simulations=False)}, {"simulated": True}),
        ({}, {"held_until": NOW}),
        ({"safeguards": replace(SAFEGUARDS, mode=Mode.ALLOWLIST, allowed=("call-*",))}, {}),
        ({"safeguards": replace(SAFEGUARDS, protected=("Call-*", "all-*"))}, {}),
        ({"since_jump": 60.0}, {}),
        ({"held_for": 1800.0}, {"turn": True}),
    ],
)
def test_at_its_edge_a_gate_lets_pass(project, room):
    assert held_by(replace(PROJECT, **project), replace(ROOM, **room)) == []


@pytest.mark.parametrize(
    ("gate", "project", "room"),
    [
        ("orphaned", {}, {"orphaned": None}),
        ("protected", {"entries": None}, {}),
        ("paused", {"paused": None}, {}),
        ("recording", {}, {"recording": None}),
        ("simulation", {}, {"simulated": None}),
        ("hold", {}, {"hold_known": False}),
        ("stop_file", {"stopped": None}, {}),
        ("permitted", {"refused": None}, {}),
        ("sudden_change", {"sudden": None}, {}),
        ("warmed_up", {"good_ticks": None}, {}),
        ("warmed_up", {"warm_seconds": None}, {}),
        ("clock_jump", {"since_jump": None}, {}),
        ("settled", {}, {"pending": None}),
        ("cooldown", {}, {"cooldown": None}),
        ("lock", {"locked": None}, {}),
        ("durable", {"unwritten": None}, {}),
        ("limits", {"waiting": None}, {}),
        ("limits", {"recent": None}, {}),
        ("armed", {}, {"arming_known": False}),
    ],
)
def test_what_is_not_known_holds_and_says_so(gate, project, room):
    [word] = holding(words(replace(PROJECT, **project), replace(ROOM, **room)))
    assert (word.gate, word.passes) == (gate, None)


def test_protection_goes_before_every_allowance():
    both = replace(SAFEGUARDS, mode=Mode.ALLOWLIST, allowed=("call-*",), protected=("call-1",))
    assert held_by(replace(PROJECT, safeguards=both), ROOM) == ["protected"]


NEVER_WAIVED = (
    "protected",
    "recording",
    "simulation",
    "hold",
    "orphaned",
    "clock_jump",
    "armed",
    "lock",
    "stop_file",
)


@given(st.sets(st.sampled_from(NEVER_WAIVED)))
def test_by_hand_waives_what_it_may_and_nothing_else(holds):
    safeguards = Safeguards(protected=("call-1",) if "protected" in holds else ())
    project = ProjectState(
        safeguards,
        entries=(),
        since_jump=0.0 if "clock_jump" in holds else ALWAYS,
        locked="lock" not in holds,
        stopped="it is there" if "stop_file" in holds else "",
        unwritten="",
    )
    room = replace(
        ROOM,
        recording="recording" in holds,
        simulated="simulation" in holds,
        held_until=FOR_EVER if "hold" in holds else None,
        orphaned="orphaned" not in holds,
        ruling=ruling(1e9, Action.KEEP),
        cooldown=600.0,
        stranded=True,
        arming=None if "armed" in holds else ROOM.arming,
    )
    said = words(project, room, waived=WAIVED_BY_HAND)
    assert {w.gate for w in holding(said)} == holds
    waived = {w.gate for w in said if w.waived}
    # Here the mode asks for no list, and the policy for no warning.
    assert waived == WAIVED_BY_HAND - {"allow_list", "warned"}
    assert not waived & PROTECTIONS


@pytest.mark.parametrize(
    ("metadata", "until"),
    [
        ("", None),
        ("{}", None),
        ("hello", None),
        ('{"watchdog.hold": false}', None),
        ('{"watchdog.hold": "2026-03-01T12:00:00+00:00"}', NOW),
        ('{"watchdog.hold": "2026-03-01T12:00:00Z"}', NOW),
        ('{"watchdog.hold": "2026-03-01T14:00:00+02:00"}', NOW),
        ('{"other": {"watchdog.hold": true}}', None),
        ('{"other": "watchdog.hold"}', None),
        ('{"watchdog.hold": true}', FOR_EVER),
        ('{"watchdog\\u002ehold": true}', FOR_EVER),
        ('{"watchdog.hold": null}', FOR_EVER),
        ('{"watchdog.hold": 1790000000}', FOR_EVER),
        ('{"watchdog.hold": "soon"}', FOR_EVER),
        ('{"watchdog.hold": "2026-03-01T12:00:00"}', FOR_EVER),
        ('{"watchdog.hold": {}}', FOR_EVER),
        ("please watchdog.hold this room", FOR_EVER),
        ('["watchdog.hold"]', FOR_EVER),
        ('"watchdog.hold"', FOR_EVER),
        ('{"watchdog.hold": false', FOR_EVER),
    ],
)
def test_a_hold_is_read_from_metadata_and_what_is_unclear_holds(metadata, until):
    assert held_until(metadata, "watchdog.hold") == until


@given(st.text())
def test_any_metadata_is_read_without_an_error(text):
    held_until(text, "watchdog.hold")
    held_until("watchdog.hold" + text, "watchdog.hold")


@pytest.mark.rule("D")
@pytest.mark.parametrize(
    ("known", "since", "passes"),
    [
        (False, None, None),
        (True, None, False),
        (True, 59.9, False),
        (True, 60.0, True),
        (True, 60.1, True),
    ],
)
def test_d_a_room_whose_policy_asks_for_it_was_warned_long_enough_ago(known, since, passes):
    asked = ruling()
    asked = replace(asked, policy=replace(asked.policy, warn_before=60.0))
    room = replace(ROOM, ruling=asked, warned_known=known, warned_for=since)
    [word] = [w for w in words(PROJECT, room) if w.gate == "warned"]
    assert word.passes is passes
    [plain] = [w for w in words(PROJECT, replace(room, ruling=ruling())) if w.gate == "warned"]
    assert plain.passes is True, "without one there is nothing to wait for"


@pytest.mark.parametrize(("age", "told"), [(29.9, False), (30.0, True), (90.0, True)])
def test_agents_are_to_be_warned_so_long_before_their_room_is_due(age, told):
    asked = ruling(90.0)
    asked = replace(asked, policy=replace(asked.policy, warn_before=60.0))
    assert asked.is_to_be_warned(age) is told
    kept = replace(asked, policy=replace(asked.policy, action=Action.WARN))
    assert not kept.is_to_be_warned(age)
