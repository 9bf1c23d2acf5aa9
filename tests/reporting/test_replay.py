"""Policies applied to the past: who would have been acted on, when, and what that would have meant."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tests.expose.builders import at, episode
from watchdog.core.model import CloseReason, Episode, TickResult
from watchdog.core.policy import Action, Match, Policy, built_in_policies, ordered
from watchdog.core.pricebook import Meter
from watchdog.core.profiles import Part, Rated, Rates, Tariff, Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.spend import Spend
from watchdog.reporting.replay import Fate, Rules, replay, replay_one, sight_of

POLL = 15.0
DELAY = 30.0 + POLL
"""From being due to being acted on."""
QUICK = Policy("quick", grace=90.0, respect_room_timeouts=False)
MOMENT = 90.0 + DELAY
CENT_A_SECOND = Meter(
    meter="m",
    plan="ship",
    unit="min",
    price=Decimal("0.60"),
    bills_when_idle=True,
    increment_s=1,
    minimum_s=1,
    effective_from=date(2026, 1, 1),
    source="",
    last_verified=date(2026, 1, 1),
    confidence="high",
)
PRICED = Tariffs(Tariff("p", "ship", {Part.AGENT: Rates((Rated(CENT_A_SECOND),))}, "1", "hash"))
UNPRICED = Tariffs(
    Tariff(
        "p",
        "ship",
        {Part.AGENT: Rates(unpriced=(Rated(replace(CENT_A_SECOND, price=None)),))},
        "1",
        "hash",
    )
)


def rules(*policies: Policy, tariffs: Tariffs = PRICED, **more) -> Rules:
    before, after = built_in_policies(POLL)
    return Rules(ordered(before, policies, after), tariffs, POLL, **more)


def over(seconds: float, reason: CloseReason = CloseReason.ROOM_GONE, **more) -> Episode:
    """An episode that began at 0 and ended then, all of it watched."""
    return episode(gone=seconds, reason=reason, **({"watched_at_close": seconds} | more))


def still_open(seen: float, **more) -> Episode:
    """An episode that began at 0 and was last seen then."""
    return episode(seen=seen, **more)


def tick(seconds: float, *, blind: float = 0.0) -> TickRecord:
    """The newest tick: so many seconds after the beginning, of which so many were blind."""
    return TickRecord("prod", 9, at(seconds), TickResult.OK, seconds - blind, blind)


def from_then_on(seconds: float):
    """The bounds of an agent that came then, and stayed until 1000."""
    bounds = over(1000).agents[0].bounds
    return replace(bounds, last_attended_at=at(seconds), first_orphaned_at=at(seconds))


# ---- when ------------------------------------------------------------------------------------------


def test_a_room_is_acted_on_once_it_was_due_for_the_looks_that_confirm_it_and_a_poll():
    row = replay_one(over(1000), rules(QUICK), None)
    assert (row.fate, row.ruling.policy.name, row.due_age) == (Fate.ACTED_ON, "quick", 90)
    assert (row.moment, row.moment_latest) == (at(MOMENT), at(MOMENT))
    assert row.seconds_left == 1000 - MOMENT


@pytest.mark.parametrize(
    ("ended", "fate"),
    [
        (60, Fate.LEFT_ALONE),
        (90, Fate.LEFT_ALONE),
        (MOMENT - 1, Fate.LEFT_ALONE),
        (MOMENT, Fate.LEFT_ALONE),  # it ended by itself, just then
        (MOMENT + 1, Fate.ACTED_ON),
    ],
)
def test_what_is_over_by_the_moment_was_left_alone(ended, fate):
    assert replay_one(over(ended), rules(QUICK), None).fate is fate


@pytest.mark.parametrize(("now", "fate"), [(MOMENT - 1, Fate.LEFT_ALONE), (MOMENT, Fate.ACTED_ON)])
def test_an_open_episode_counts_until_the_newest_tick(now, fate):
    row = replay_one(still_open(now), rules(QUICK), tick(now))
    assert (row.fate, row.until) == (fate, at(now))


def test_the_room_s_own_timeouts_come_first_where_the_policy_respects_them():
    patient = replace(QUICK, respect_room_timeouts=True)
    assert replay_one(over(9000), rules(patient), None).due_age == 3630
    limited = replace(patient, hard_limit=1200.0)
    assert replay_one(over(9000), rules(limited), None).due_age == 1200


def test_max_spend_makes_a_room_due_by_what_its_agents_cost():
    spending = Policy("spending", grace=60.0, max_spend=Decimal("2.00"))
    row = replay_one(over(1000), rules(spending), None)
    assert (row.fate, row.due_age, row.ruling.policy.name) == (Fate.ACTED_ON, 200, "spending")
    second = replace(episode(agents=("a", "b")).agents[1], bounds=from_then_on(100))
    two = replace(over(1000), agents=(*over(1000).agents, second))
    assert replay_one(two, rules(spending), None).due_age == 150


def test_without_a_price_max_spend_is_never_reached():
    spending = Policy("spending", grace=60.0, max_spend=Decimal("2.00"))
    assert replay_one(over(1000), rules(spending, tariffs=UNPRICED), None).fate is Fate.LEFT_ALONE


def test_a_room_whose_agents_are_away_when_it_is_due_waits_until_one_is_back():
    first, back = over(1000).agents[0], episode(2).agents[0]
    gone = replace(first, bounds=replace(first.bounds, first_gone_at=at(60)))
    again = replace(back, bounds=from_then_on(300))
    assert replay_one(replace(over(1000), agents=(gone, again)), rules(QUICK), None).due_age == 300
    assert (
        replay_one(replace(over(1000), agents=(gone,)), rules(QUICK), None).fate is Fate.LEFT_ALONE
    )


# ---- what was watched ------------------------------------------------------------------------------


def test_time_that_was_not_watched_is_no_age_and_makes_the_moment_vague():
    row = replay_one(over(1000, watched_at_close=700), rules(QUICK), None)
    assert (row.moment, row.moment_latest) == (at(MOMENT), at(MOMENT + 300))
    # Low from the latest moment on, high from the earliest.
    assert row.further == Spend(Decimal("5.65"), Decimal("8.65"))
    assert replay_one(over(1000, watched_at_close=120), rules(QUICK), None).fate is Fate.LEFT_ALONE


def test_an_older_episode_is_taken_as_watched_whole_and_says_so():
    row = replay_one(over(1000, watched_at_close=None), rules(QUICK), None)
    assert (row.fate, row.by_wall_clock) == (Fate.ACTED_ON, True)
    assert not replay_one(over(1000), rules(QUICK), None).by_wall_clock
    assert replay("prod", [over(60, watched_at_close=None)], rules(QUICK), None).by_wall_clock == 1


@pytest.mark.parametrize(
    ("newest", "share"),
    [(tick(1000), 0.0), (tick(1000, blind=250), 0.25), (tick(0), None)],
)
def test_the_share_of_blind_time_is_told(newest, share):
    assert sight_of(newest).blind_share == share


def test_where_no_tick_is_stored_nothing_is_said_of_blind_time():
    assert replay("prod", [], rules(), None).sight is None


# ---- who would have been hurt ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "reason", "hurts"),
    [
        (1, CloseReason.PERSON_RETURNED, True),
        (300, CloseReason.PERSON_RETURNED, True),
        (301, CloseReason.PERSON_RETURNED, False),
        (300, CloseReason.PERSON_JOINED, True),
        (10, CloseReason.ROOM_GONE, False),
        (10, CloseReason.DELETED, False),
    ],
)
def test_a_person_who_was_back_within_five_minutes_would_have_been_hurt(after, reason, hurts):
    row = replay_one(over(MOMENT + after, reason), rules(QUICK), None)
    assert (row.fate, row.would_have_hurt) == (Fate.ACTED_ON, hurts)


def test_where_the_moment_is_vague_the_latest_decides_who_was_hurt():
    back = over(MOMENT + 500, CloseReason.PERSON_RETURNED, watched_at_close=MOMENT + 200)
    row = replay_one(back, rules(QUICK), None)
    assert (row.seconds_left, row.would_have_hurt) == (200, True)


def test_nobody_is_hurt_by_a_warning_or_in_a_protected_room():
    back = over(MOMENT + 10, CloseReason.PERSON_RETURNED)
    warning = replace(QUICK, action=Action.WARN)
    assert not replay_one(back, rules(warning), None).would_have_hurt
    assert not replay_one(back, rules(QUICK, protected=("call-*",)), None).would_have_hurt


# ---- which policy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "policy"),
    [
        ({"person_seen": True, "person_kinds": frozenset({"SIP"}), "hung_up": True}, "phone"),
        ({"person_seen": True, "person_kinds": frozenset({"STANDARD"})}, "default"),
        ({"person_seen": False}, "never-attended"),
        # Not known: never-attended may match, and so may phone; the most patient decides.
        ({"person_seen": None}, "never-attended"),
        ({"person_seen": True, "person_kinds": None, "hung_up": None}, "default"),
    ],
)
def test_the_walk_uses_what_is_known_of_each_episode(known, policy):
    long_ago = over(20_000, departure_timeout=20, **known)
    assert replay_one(long_ago, rules(), None).ruling.policy.name == policy


@pytest.mark.parametrize(("action", "fate"), [("warn", Fate.WARNED), ("keep", Fate.KEPT)])
def test_warnings_and_what_is_kept_count_apart_and_need_no_confirming(action, fate):
    row = replay_one(over(100), rules(replace(QUICK, action=Action(action))), None)
    assert (row.fate, row.moment) == (fate, at(90))


@pytest.mark.parametrize(
    ("more", "given", "fate", "why"),
    [
        ({}, {"protected": ("x", "call-?")}, Fate.PROTECTED, "'call-?' is on the protect list"),
        ({"simulated": True}, {}, Fate.PROTECTED, "a simulated participant is, or was, in it"),
        ({"simulated": True}, {"simulations": False}, Fate.ACTED_ON, "the policy's grace"),
        ({"stranded_since": at(100)}, {}, Fate.UNREACHABLE, "its node did not answer"),
        ({"stranded_since": at(500)}, {}, Fate.ACTED_ON, "the policy's grace"),
    ],
)
def test_what_is_never_deleted_is_named_and_not_acted_on(more, given, fate, why):
    row = replay_one(over(1000, **more), rules(QUICK, **given), None)
    assert (row.fate, row.why) == (fate, why)


# ---- what it cost ----------------------------------------------------------------------------------


def test_what_it_went_on_to_cost_is_what_it_cost_less_what_it_had_cost():
    row = replay_one(over(1000), rules(QUICK), None)
    assert row.further == Spend(Decimal("8.65"), Decimal("8.65"))


def test_an_open_episode_goes_on_to_cost_until_it_was_seen_and_perhaps_until_the_newest_tick():
    row = replay_one(still_open(900), rules(QUICK), tick(1000))
    assert row.further == Spend(Decimal("7.65"), Decimal("8.65"))


def test_without_a_price_the_cost_is_not_zero_but_unknown():
    row = replay_one(over(1000), rules(QUICK, tariffs=UNPRICED), None)
    assert (row.fate, row.further, row.is_priced) == (Fate.ACTED_ON, Spend(), False)
    assert not replay("prod", [over(1000)], rules(QUICK, tariffs=UNPRICED), None).is_priced


# ---- the whole -------------------------------------------------------------------------------------


def test_the_whole_counts_by_fate_and_policy_and_can_be_made_in_parts():
    calls = Policy("calls", Match(rooms=("call-*",)), grace=90.0, respect_room_timeouts=False)
    kept = Policy("kept", Match(rooms=("vip-*",)), action=Action.KEEP)
    history = [
        over(1000),
        over(MOMENT + 60, CloseReason.PERSON_RETURNED),
        over(30),
        over(9000, room="vip-1"),
        over(9000, room="a-human-agent"),
        over(20_000, room="other"),
    ]
    given = rules(calls, kept)
    whole = replay("prod", history, given, tick(20_000))
    assert (whole.considered, len(whole.rows), whole.hurt) == (6, 5, 1)
    assert whole.by_policy == {"calls": 2, "default": 1}
    assert [len(whole.of(fate)) for fate in (Fate.WARNED, Fate.KEPT, Fate.PROTECTED)] == [1, 1, 0]
    assert whole.further == sum((row.further for row in whole.of(Fate.ACTED_ON)), Spend())
    parts = [replay("prod", part, given, tick(20_000)) for part in (history[:2], history[2:])]
    assert parts[0] + parts[1] == whole


@pytest.mark.parametrize(
    ("timeout", "basis", "seconds"),
    [(20, "horizon", 3600), (1000, "room_timeout", 1000 - MOMENT)],
)
def test_what_a_deletion_would_count_as_avoided_is_told_by_its_basis(
    timeout: int, basis: str, seconds: float
):
    """From the moment on, by the rule of the running daemon, whatever the room went on to cost."""
    row = replay_one(over(5000, departure_timeout=timeout, person_seen=True), rules(QUICK), None)
    assert row.fate is Fate.ACTED_ON
    ((found, amount),) = row.avoided.items()
    assert found == basis
    assert amount == pytest.approx(Decimal(seconds) / 100)
    both = replay("prod", [row.episode, row.episode], rules(QUICK), None)
    assert both.avoided == {basis: 2 * amount}
    assert replay_one(over(5000), rules(QUICK, tariffs=UNPRICED), None).avoided == {}
