"""Days of random churn: the true cost lies in every range, and a kill changes no total (SAFETY A5, A9)."""

from collections import Counter
from decimal import Decimal

import pytest

from tests.daemon import bills
from tests.daemon.day import Day, Judged, day
from watchdog.core.records import Spend
from watchdog.simulator.ledger import Span

MICRO = Decimal("1e-6")
SOUND, HURT = "episodes without faults", "episodes with injected faults"
WHOLE = bills.tariffs()
CERTAIN = bills.tariffs(only_certain=True)


def check_range(one: Judged) -> None:
    """The true cost lies in it; of a visit that nobody could know of low knows nothing either."""
    spend, truth = one.spend(WHOLE), one.truth
    if one.was_visited:
        truth = bills.Truth(max(truth.least, one.truth_with_visits.least), truth.most)
    assert truth.lies_in(spend), (one.episode, spend, truth)


def check_width(one: Judged) -> None:
    """It is no wider than what was seen and told of its ends allows."""
    spend = one.spend(CERTAIN)
    assert spend.high - spend.low <= one.widest(), (one.episode, spend, one.widest())


def check_unseen(it: Day, one: Judged) -> None:
    """An agent that stands in no bill was there between two looks only."""
    for stay in one.unseen:
        alone = [
            Span(max(stay.joined_at, s.start), min(stay.left_at, s.end or stay.left_at))
            for s in one.spans
            if stay.joined_at < s.end and stay.left_at > s.start
        ]
        assert not any(it.looked_at(stay.room_name, span) for span in alone), stay


def check_each_span_once(it: Day, found: list[Judged]) -> int:
    """Every span of the ledger that covers two good looks is in exactly one episode; returns how many."""
    held = Counter((one.episode.room_sid, span) for one in found for span in one.spans)
    covered = 0
    for life in it.ledger.rooms.values():
        for span in it.ledger.orphaned_spans(life.sid):
            if (
                not it.is_hurt(life.name, span.start, span.end)
                and it.looked_at(life.name, span) > 1
            ):
                covered += 1
                assert held[life.sid, span] == 1, (life, span)
    return covered


def check_sums(it: Day, found: list[Judged]) -> None:
    """What is exported is the sum of the episodes, and where a webhook moved a bound back, no less."""
    sums: dict[str, Spend] = {}
    for one in found:
        for name, spend in one.spend_by_name(WHOLE).items():
            sums[name] = sums.get(name, Spend()) + spend
    assert sums.keys() == it.exported.keys()
    for name, whole in sums.items():
        assert abs(it.exported[name].low - whole.low) < MICRO, name
        assert it.exported[name].high > whole.high - MICRO, name


async def compare(it: Day, record_property) -> Counter[str]:
    """Live the day, and hold every episode of it against the ledger; returns what was compared."""
    it.hurt()
    await it.live()
    found = await it.judged()
    done: Counter[str] = Counter()
    for one in found:
        assert one.spans, f"the ledger has no such orphan: {one.episode}"
        check_range(one)
        done[HURT if one.is_hurt else SOUND] += 1
        done["episodes in which a person came and went unseen"] += one.was_visited
        done["episodes with agents that came and went between two looks"] += bool(one.unseen)
        if one.is_hurt:
            continue
        check_unseen(it, one)
        if not one.outlasts_a_meter():
            check_width(one)
            done["episodes no wider than their looks and webhooks allow"] += 1
            done["episodes told of by webhooks at both ends"] += one.was_told
    done["orphaned spans found in one episode each"] = check_each_span_once(it, found)
    check_sums(it, found)
    done["bounds that late webhooks moved back"] = it.counts["moved back"]
    for what, number in done.items():
        record_property(f"exercised: {what}, against the exact ledger", number)
    return done


@pytest.mark.rule("A5")
async def test_a5_the_true_cost_of_every_episode_lies_in_its_range_for_two_hours(record_property):
    async with day(seed=1, rooms=60, hours=2.0) as it:
        done = await compare(it, record_property)
        assert it.churn.lives == 60
        assert done[SOUND] >= 10
        assert done[HURT] >= 10


@pytest.mark.slow
@pytest.mark.rule("A5")
@pytest.mark.trap("T50")
@pytest.mark.timeout(600)
async def test_a5_the_true_cost_of_every_episode_lies_in_its_range_for_a_day(record_property):
    async with day(seed=7, rooms=1000, hours=24.0) as it:
        done = await compare(it, record_property)
        assert it.churn.lives == 1000
        assert done[SOUND] >= 500
        assert done[HURT] >= 100
        assert len(it.w.faults.injected) == 11
        assert done["episodes told of by webhooks at both ends"] >= 50
        assert it.counts["moved back"] >= 5
        assert it.counts["fell"] >= 20, "of an open episode's high, never of what is exported"
