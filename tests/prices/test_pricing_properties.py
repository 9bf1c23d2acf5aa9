"""What holds for the cost of every span, whatever its bounds and prices."""

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.prices.sums import slice_cost, span_cost
from watchdog.core.model import AgentSpan, Bounds, Episode, Role
from watchdog.core.pricebook import Meter
from watchdog.core.pricing import billed_seconds, episode_spend, running_spend
from watchdog.core.profiles import Part, Rated, Rates, Tariff, Tariffs
from watchdog.core.spend import Spend

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
TINY = Decimal("1e-18")
"""What dividing by 60 may lose in 28 digits."""

moments = st.integers(min_value=-(10**11), max_value=10**11).map(
    lambda microseconds: NOON + timedelta(microseconds=microseconds)
)
meters = st.builds(
    Meter,
    meter=st.just("m"),
    plan=st.just("ship"),
    unit=st.sampled_from(["min", "connection-min", "h"]),
    price=st.decimals(min_value=0, max_value=100, places=6),
    bills_when_idle=st.just(True),
    increment_s=st.sampled_from([1, 7, 60]),
    minimum_s=st.sampled_from([0, 10, 60, 90]),
    effective_from=st.just(date(2026, 1, 1)),
    source=st.just("test"),
    last_verified=st.just(date(2026, 1, 1)),
    confidence=st.just("low"),
    max_session_s=st.none() | st.sampled_from([60, 3600]),
    final=st.booleans(),
)
rated = st.builds(Rated, meters, st.sampled_from([Decimal(1), Decimal("0.25"), Decimal(4)]))
tariffs = st.builds(
    lambda certain, possible: Tariff(
        "p", "ship", {Part.AGENT: Rates(tuple(certain), tuple(possible))}, "v", "h"
    ),
    st.lists(rated, max_size=3),
    st.lists(rated, max_size=3),
)


@st.composite
def spans(draw: st.DrawFn) -> AgentSpan:
    attended, first, last, gone = sorted(draw(st.tuples(moments, moments, moments, moments)))
    bounds = Bounds(
        draw(st.sampled_from([attended, None])), first, last, draw(st.sampled_from([gone, None]))
    )
    joined = draw(st.none() | moments)
    return AgentSpan("PA_1", "agent-1", "support", "AGENT", Role.AGENT, joined, bounds)


skews = st.none() | st.floats(min_value=-100, max_value=100)


@given(meters, moments, st.lists(moments, min_size=2, max_size=8))
def test_a_stretch_costs_what_its_parts_cost(meter: Meter, began: datetime, cuts: list[datetime]):
    cuts.sort()
    parts = [slice_cost(meter, began, a, b) for a, b in itertools.pairwise(cuts)]
    assert abs(sum(parts) - slice_cost(meter, began, cuts[0], cuts[-1])) < TINY


@given(meters, st.decimals(min_value=0, max_value=10**6, places=6))
def test_a_session_is_billed_as_at_least_itself_and_less_than_one_step_more(
    meter: Meter, duration: Decimal
):
    counted = billed_seconds(meter, duration)
    if duration > 0:
        assert max(duration, meter.minimum_s) <= counted
        assert counted < max(duration, meter.minimum_s) + meter.increment_s
    else:
        assert counted == 0
    assert counted % meter.increment_s == 0


@given(spans(), tariffs, moments, skews)
def test_low_is_never_more_than_high_and_nothing_is_negative(
    span: AgentSpan, tariff: Tariff, upto: datetime, skew: float | None
):
    spend = span_cost(span, tariff, upto=upto, skew=skew)
    assert 0 <= spend.low <= spend.high
    assert spend.unverified == 0


@given(spans(), tariffs, moments, moments, skews)
def test_spend_never_falls_as_time_goes_on(
    span: AgentSpan, tariff: Tariff, one: datetime, two: datetime, skew: float | None
):
    earlier = span_cost(span, tariff, upto=min(one, two), skew=skew)
    later = span_cost(span, tariff, upto=max(one, two), skew=skew)
    assert earlier.low <= later.low
    assert earlier.high <= later.high


@given(spans(), tariffs, moments, skews)
def test_a_later_look_never_lowers_the_estimate(
    span: AgentSpan, tariff: Tariff, seen: datetime, skew: float | None
):
    open_span = replace(span, bounds=replace(span.bounds, first_gone_at=None))
    upto = max(seen, span.bounds.last_seen_orphaned_at)
    looked_again = replace(open_span, bounds=replace(open_span.bounds, last_seen_orphaned_at=upto))
    before = span_cost(open_span, tariff, upto=upto, skew=skew)
    after = span_cost(looked_again, tariff, upto=upto, skew=skew)
    assert before.low <= after.low <= after.high == before.high


@given(spans(), tariffs, st.lists(moments, max_size=6), moments, skews)
def test_how_often_it_is_asked_changes_nothing(
    span: AgentSpan, tariff: Tariff, asked: list[datetime], upto: datetime, skew: float | None
):
    fresh = span_cost(span, tariff, upto=upto, skew=skew)
    for moment in asked:
        span_cost(span, tariff, upto=moment, skew=skew)
    assert span_cost(span, tariff, upto=upto, skew=skew) == fresh


@given(spans(), tariffs, moments, moments, skews)
def test_verified_and_unverified_make_up_the_high_estimate(
    span: AgentSpan, tariff: Tariff, upto: datetime, verified: datetime, skew: float | None
):
    whole = span_cost(span, tariff, upto=upto, skew=skew)
    split = span_cost(span, tariff, upto=upto, skew=skew, verified_until=verified)
    assert 0 <= split.low <= split.high
    assert split.low <= whole.low
    assert abs(split.high + split.unverified - whole.high) < TINY


@given(spans(), tariffs, moments, skews)
def test_everything_is_a_finite_decimal(
    span: AgentSpan, tariff: Tariff, upto: datetime, skew: float | None
):
    spend = span_cost(span, tariff, upto=upto, skew=skew)
    assert isinstance(spend, Spend)
    for amount in (spend.low, spend.high, spend.unverified):
        assert isinstance(amount, Decimal)
        assert amount.is_finite()


@given(
    st.lists(spans(), max_size=3),
    tariffs,
    st.lists(moments, min_size=1, max_size=5),
    moments,
    skews,
)
def test_what_runs_costs_what_reckoning_it_anew_says(
    agents: list[AgentSpan],
    tariff: Tariff,
    later: list[datetime],
    attended: datetime,
    skew: float | None,
):
    episode = Episode(
        *("ep_1", "p", "RM_1", "r", NOON, 300, 20, None),
        Bounds(attended, NOON, NOON),
        0.0,
        tuple(replace(span, agent_name=f"agent-{n % 2}") for n, span in enumerate(agents)),
        skew=skew,
    )
    held, upto = Tariffs(tariff), min(later)
    running = running_spend(episode, held, upto)
    settled = all(
        (s.bounds.first_gone_at or s.bounds.last_seen_orphaned_at) <= upto for s in agents
    )
    assert (running is not None) == settled
    if running is not None:
        assert all(running.at(t) == episode_spend(episode, held, upto=t) for t in later)
