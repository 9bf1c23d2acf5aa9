"""Which policy decides (B), and when a room is due (C)."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.policy import (
    NEVER,
    Action,
    Fit,
    Match,
    Policy,
    RoomFacts,
    Ruling,
    built_in_policies,
    due_age,
    fit,
    ordered,
    walk,
)

POLL = 15.0
ROOM = RoomFacts("call-1", ("support",), 0.0, departure_timeout=20.0, empty_left=300.0)


def listed(*users: Policy):
    before, after = built_in_policies(POLL)
    return ordered(before, users, after)


def decides(facts: RoomFacts, *users: Policy) -> str:
    return walk(listed(*users), facts).policy.name


@pytest.mark.rule("B")
@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(ROOM, person_seen=True), "default"),
        (replace(ROOM, person_seen=False), "never-attended"),
        # Unknown history: never-attended may match, and is the more patient.
        (ROOM, "never-attended"),
        (replace(ROOM, room="call-human-agent"), "transfer"),
        (
            replace(ROOM, person_seen=True, person_kinds=frozenset({"SIP"}), hung_up=True),
            "phone",
        ),
        # Not known whether it was a hang-up: phone may match, default is the more patient.
        (replace(ROOM, person_seen=True, person_kinds=frozenset({"SIP"})), "default"),
        (
            replace(
                ROOM, person_seen=True, person_kinds=frozenset({"SIP", "STANDARD"}), hung_up=True
            ),
            "default",
        ),
    ],
)
def test_b_the_built_in_policies(facts, expected):
    assert decides(facts) == expected


@pytest.mark.rule("B")
@pytest.mark.trap("T19")
def test_t19_b_a_ringing_warm_transfer_is_kept_whatever_a_users_policy_says():
    everything = Policy("mine", Match(rooms=("*",)), grace=0.0, respect_room_timeouts=False)
    ruling = walk(listed(everything), replace(ROOM, room="caller-human-agent"))
    assert ruling.policy.name == "transfer"
    assert ruling.policy.action is Action.WARN


@pytest.mark.rule("B")
def test_b_the_first_that_certainly_matches_ends_the_walk():
    one, two = Policy("one", Match(rooms=("call-*",))), Policy("two", Match(rooms=("call-*",)))
    ruling = walk(listed(one, two), ROOM)
    assert ruling.policy is one
    assert [step.policy.name for step in ruling.walk] == ["transfer", "one"]


@pytest.mark.rule("B")
@pytest.mark.parametrize("action", [Action.KEEP, Action.WARN])
def test_b_of_those_that_may_match_the_kindest_decides(action):
    kind = Policy("kind", Match(person_seen=False), grace=1.0, action=action)
    quick = Policy("quick", grace=60.0)
    assert decides(ROOM, kind, quick) == "kind"
    assert decides(replace(ROOM, person_seen=True), kind, quick) == "quick"


@pytest.mark.rule("B")
def test_b_of_those_that_would_delete_the_latest_decides():
    late = Policy("late", Match(person_seen=False), grace=7200.0)
    early = Policy("early", grace=60.0)
    assert decides(ROOM, late, early) == "late"
    assert decides(ROOM, replace(late, grace=1.0, respect_room_timeouts=False), early) == "early"


@pytest.mark.rule("B")
@pytest.mark.parametrize(
    ("match", "facts", "expected"),
    [
        (Match(), ROOM, Fit.YES),
        (Match(rooms=("call-*",)), ROOM, Fit.YES),
        (Match(rooms=("CALL-*",)), ROOM, Fit.NO),
        (Match(agents=("supp*",)), ROOM, Fit.YES),
        (Match(agents=("sales",)), ROOM, Fit.NO),
        (Match(rooms=("call-*",), agents=("sales",)), ROOM, Fit.NO),
        (Match(person_seen=True), ROOM, Fit.MAYBE),
        (Match(person_seen=True), replace(ROOM, person_seen=True), Fit.YES),
        (Match(person_seen=True), replace(ROOM, person_seen=False), Fit.NO),
        (Match(last_person_kinds=frozenset({"SIP"})), ROOM, Fit.MAYBE),
        (Match(last_person_kinds=frozenset({"SIP"})), replace(ROOM, person_seen=False), Fit.NO),
    ],
)
def test_b_what_is_not_known_may_match(match, facts, expected):
    assert fit(match, facts)[0] is expected


PATIENT = Policy("p", grace=60.0)


@pytest.mark.rule("C")
@pytest.mark.trap("T17")
@pytest.mark.parametrize(
    ("policy", "facts", "expected"),
    [
        # The server first: its departure timeout and 30 s.
        (PATIENT, replace(ROOM, person_seen=True, departure_timeout=3600), 3630),
        (PATIENT, replace(ROOM, person_seen=True, departure_timeout=20), 60),
        (PATIENT, replace(ROOM, person_seen=False, empty_left=100), 130),
        # Unknown: the larger of the two.
        (PATIENT, replace(ROOM, departure_timeout=500, empty_left=100), 530),
        (PATIENT, replace(ROOM, departure_timeout=100, empty_left=500), 530),
        # Not respecting them leaves the grace.
        (
            replace(PATIENT, respect_room_timeouts=False),
            replace(ROOM, person_seen=True, departure_timeout=3600),
            60,
        ),
        # The hard limit overrides the timeouts, never the grace.
        (
            replace(PATIENT, hard_limit=600.0),
            replace(ROOM, person_seen=True, departure_timeout=86_400),
            600,
        ),
        (
            replace(PATIENT, grace=900.0, hard_limit=600.0),
            replace(ROOM, person_seen=True, departure_timeout=86_400),
            900,
        ),
        # So does max_spend: 2.50 at 10 an hour is reached after a quarter of an hour.
        (
            replace(PATIENT, max_spend=Decimal("2.50")),
            replace(ROOM, person_seen=True, departure_timeout=86_400, burn_low=Decimal(10)),
            900,
        ),
        (
            replace(PATIENT, max_spend=Decimal("2.50")),
            replace(
                ROOM,
                person_seen=True,
                departure_timeout=86_400,
                age=5000.0,
                spend_low=Decimal("2.50"),
            ),
            60,
        ),
        (
            replace(PATIENT, max_spend=Decimal("2.50")),
            replace(ROOM, person_seen=True, departure_timeout=86_400, burn_low=Decimal(0)),
            86_430,
        ),
    ],
)
def test_t17_c_when_a_room_is_due(policy, facts, expected):
    assert due_age(policy, facts)[0] == expected


@pytest.mark.rule("C")
def test_c_a_built_in_grace_is_raised_to_what_a_slow_poll_needs():
    _, (phone, *_) = built_in_policies(poll=300.0)
    assert phone.grace == 335.0


policies = st.builds(
    Policy,
    name=st.just("p"),
    grace=st.floats(0, 10_000),
    respect_room_timeouts=st.booleans(),
    hard_limit=st.none() | st.floats(1, 100_000),
    max_spend=st.none() | st.decimals("0.01", "100", places=2),
)
rooms = st.builds(
    RoomFacts,
    room=st.just("r"),
    agents=st.just(()),
    age=st.floats(0, 100_000),
    departure_timeout=st.floats(0, 100_000),
    empty_left=st.floats(0, 100_000),
    person_seen=st.none() | st.booleans(),
    spend_low=st.decimals("0", "50", places=3),
    burn_low=st.decimals("0", "50", places=3),
)


@pytest.mark.rule("C")
@given(policies, rooms)
def test_c_never_before_the_grace_and_never_for_ever_without_reason(policy, facts):
    age, why = due_age(policy, facts)
    assert policy.grace <= age < NEVER
    assert why
    if policy.hard_limit is not None:
        assert age <= max(policy.grace, policy.hard_limit)


@pytest.mark.rule("B")
@given(st.lists(policies, max_size=4), rooms)
def test_b_more_knowledge_never_makes_the_decision_more_patient(users, facts):
    unknown = walk(listed(*users), replace(facts, person_seen=None))
    for known in (True, False):
        ruling = walk(listed(*users), replace(facts, person_seen=known))
        order = [Action.DELETE, Action.WARN, Action.KEEP]
        assert order.index(ruling.policy.action) <= order.index(unknown.policy.action)


@pytest.mark.parametrize(
    ("policy", "age", "expected"),
    [
        (Policy("p", warn_before=60.0), 29.999, False),
        (Policy("p", warn_before=60.0), 30.0, True),
        (Policy("p", warn_before=60.0), 1e6, True),
        (Policy("p"), 1e6, False),
        (Policy("p", warn_before=60.0, action=Action.WARN), 1e6, False),
        (Policy("p", warn_before=60.0, action=Action.KEEP), 1e6, False),
    ],
)
def test_agents_are_warned_so_long_before_their_room_is_due_and_only_where_it_is_deleted(
    policy, age, expected
):
    assert Ruling(policy, 90.0, "", ()).is_to_be_warned(age) is expected
