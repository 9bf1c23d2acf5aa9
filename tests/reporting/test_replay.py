"""Other policies applied to the past."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tests.store.builders import at, closed, episode, tick
from watchdog.core.arming import ARMING_SECONDS
from watchdog.core.model import CloseReason
from watchdog.core.policy import Action, Match, Policy, built_in_policies, ordered
from watchdog.core.pricing import PROFILES, resolve_tariff
from watchdog.prices.book import load_book
from watchdog.reporting.replay import HURT_SECONDS, replay

POLL = 15.0
GRACE = 90.0
ACTED = GRACE + ARMING_SECONDS + POLL
TARIFF = resolve_tariff(load_book(), PROFILES["self-hosted-on-cloud"], "ship", date(2026, 9, 1))
QUICK = Policy("quick", grace=GRACE, respect_room_timeouts=False)


def ended(seconds: float, reason=CloseReason.ROOM_GONE, **more):
    """An episode that was watched throughout, and ended after so many seconds."""
    one = closed(episode(**more), seconds)
    return replace(one, close_reason=reason, watched_at_close=one.watched_at_open + seconds)


def run(*episodes, policies=(QUICK,), last=None, tariff=TARIFF, protected=()):
    before, after = built_in_policies(POLL)
    return replay(
        episodes,
        ordered(before, policies, after),
        ticks={"main": last or tick(400)},
        tariffs={"main": tariff} if tariff else {},
        protected=protected,
        poll=POLL,
    )


@pytest.mark.parametrize(
    ("lasted", "acted"), [(ACTED - 0.001, False), (ACTED, True), (ACTED + 1, True)]
)
def test_what_lasted_until_it_was_due_and_confirmed_would_have_been_deleted(lasted, acted):
    [one] = run(ended(lasted)).episodes
    assert one.deleted is acted
    assert one.at == (at(ACTED) if acted else None)
    assert one.policy.name == "quick"


@pytest.mark.parametrize(
    ("later", "hurt"), [(0.0, True), (HURT_SECONDS, True), (HURT_SECONDS + 0.001, False)]
)
@pytest.mark.parametrize("reason", [CloseReason.PERSON_RETURNED, CloseReason.PERSON_JOINED])
def test_a_person_who_came_back_within_five_minutes_would_have_been_hurt(later, hurt, reason):
    [one] = run(ended(ACTED + later, reason)).episodes
    assert one.returned == pytest.approx(later)
    assert one.hurt is hurt


def test_a_room_that_ended_by_itself_hurts_nobody():
    [one] = run(ended(ACTED + 10)).episodes
    assert one.deleted
    assert one.returned is None
    assert not one.hurt


def test_what_it_went_on_to_cost_is_what_it_cost_after_that_moment():
    hour = 3600.0
    [one] = run(ended(ACTED + hour, seen=ACTED + hour)).episodes
    rate = sum((m.hourly for m in TARIFF.agent.certain), Decimal(0))
    assert float(one.after.low) == pytest.approx(float(rate), rel=0.02)
    assert one.after.high >= one.after.low


def test_without_a_price_the_cost_is_not_known_and_never_nothing():
    [one] = run(ended(ACTED + 600), tariff=None).episodes
    assert one.deleted
    assert one.after is None


def test_an_open_episode_counts_until_the_newest_tick():
    last = replace(tick(100), watched_seconds=42.5 + ACTED + 60)
    [one] = run(episode(), last=last).episodes
    assert one.deleted
    [young] = run(episode(), last=replace(last, watched_seconds=42.5 + ACTED - 1)).episodes
    assert not young.deleted


def test_time_that_was_not_watched_makes_nothing_due():
    one = replace(ended(ACTED + 600), watched_at_close=42.5 + ACTED - 1)
    assert not run(one).episodes[0].deleted


def test_an_older_row_without_watched_time_is_judged_by_the_wall_and_says_so():
    [one] = run(replace(ended(ACTED + 1), watched_at_close=None)).episodes
    assert one.deleted
    assert one.by_the_wall


def test_a_protected_room_is_named_and_not_acted_on():
    result = run(ended(ACTED + 60, room_name="prod-demo-1"), protected=("prod-*",))
    assert result.deleted == ()
    assert result.episodes[0].protected == "prod-*"


@pytest.mark.parametrize(
    ("action", "warned"), [(Action.WARN, True), (Action.KEEP, False), (Action.DELETE, False)]
)
def test_a_policy_that_warns_counts_apart(action, warned):
    [one] = run(ended(ACTED + 60), policies=(replace(QUICK, action=action),)).episodes
    assert one.warned is warned
    assert one.deleted is (action is Action.DELETE)


def test_where_history_is_not_known_the_most_patient_policy_decides():
    picky = replace(QUICK, name="picky", match=Match(person_seen=True))
    [one] = run(ended(ACTED + 60), policies=(picky,)).episodes
    assert one.policy.name != "picky"
    assert not one.deleted
    [known] = run(replace(ended(ACTED + 60), person_seen=True), policies=(picky,)).episodes
    assert known.deleted


def test_what_webhooks_told_of_the_last_caller_counts():
    phoned = replace(ended(300), person_seen=True, person_kinds=frozenset({"SIP"}), hung_up=True)
    [one] = run(phoned, policies=()).episodes
    assert one.policy.name == "phone"
    assert one.deleted


def test_a_limit_of_spend_is_reached_by_what_its_agents_burned():
    dear = replace(QUICK, grace=60.0, respect_room_timeouts=True, max_spend=Decimal("0.0001"))
    [one] = run(ended(3600), policies=(dear,)).episodes
    assert 60.0 <= one.due_age < 3600.0


def test_how_much_of_the_time_nothing_was_seen_is_told_with_the_answer():
    result = run(last=replace(tick(1), watched_seconds=900.0, blind_seconds=100.0))
    assert result.blindness["main"].share == pytest.approx(0.1)
    assert run(last=replace(tick(1), watched_seconds=0.0)).blindness["main"].share == 0.0


def test_totals_add_up_what_would_have_been_deleted():
    result = run(ended(ACTED + 60), ended(ACTED + 120, key="E2"), ended(10, key="E3"))
    assert len(result.deleted) == 2
    assert result.after.low == sum(one.after.low for one in result.deleted)
