"""What a span costs: tables of worked examples."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.prices.sums import billed, slice_cost, span_cost
from watchdog.core.model import AgentSpan, Bounds, CloseReason, Episode, Role
from watchdog.core.pricebook import Meter, PriceBook
from watchdog.core.pricing import (
    billed_seconds,
    burn_per_hour,
    episode_charges,
    episode_spend,
    seconds,
)
from watchdog.core.profiles import (
    AGENT_SESSION,
    WEBRTC_PARTICIPANT,
    Assignment,
    Choices,
    Part,
    Profile,
    Rated,
    Rates,
    Tariff,
    Tariffs,
    Use,
    default_hosting,
    profile_of,
    resolve_tariff,
)
from watchdog.core.spend import Spend
from watchdog.prices.book import load_book

TODAY = date(2026, 10, 1)
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
BOOK = load_book()


def after(value: float) -> datetime:
    return NOON + timedelta(seconds=value)


def tariff(profile: str, plan: str = "ship") -> Tariff:
    return resolve_tariff(BOOK, profile_of(profile), plan, TODAY)


def meter(**changes: object) -> Meter:
    """A dollar a second, billed by the second without a minimum, unless changed."""
    plain = Meter(
        meter="m",
        plan="ship",
        unit="min",
        price=Decimal(60),
        bills_when_idle=True,
        increment_s=1,
        minimum_s=0,
        effective_from=date(2026, 1, 1),
        source="test",
        last_verified=TODAY,
        confidence="high",
    )
    return replace(plain, **changes)


def dollar_a_second(**changes: object) -> Tariff:
    rates = Rates((Rated(meter(**changes)),))
    return Tariff("p", "ship", {Part.AGENT: rates, Part.AVATAR: rates}, "v", "h")


def everywhere(tariff: Tariff) -> Tariffs:
    """One tariff for every agent."""
    return Tariffs(tariff)


def span(
    first: float = 0,
    last: float = 3600,
    *,
    attended: float | None = None,
    gone: float | None = None,
    joined: float | None = -600,
    role: Role = Role.AGENT,
    name: str = "support",
) -> AgentSpan:
    """One agent's span; all times in seconds after noon."""
    return AgentSpan(
        participant_sid="PA_1",
        identity="agent-AJ_1",
        agent_name=name,
        kind="AGENT",
        role=role,
        joined_at=None if joined is None else after(joined),
        bounds=Bounds(
            None if attended is None else after(attended),
            after(first),
            after(last),
            None if gone is None else after(gone),
        ),
    )


def episode(*agents: AgentSpan, **changes: object) -> Episode:
    whole = Episode(
        id="e1",
        project="default",
        room_sid="RM_1",
        room_name="call-1",
        room_created_at=after(-700),
        empty_timeout=300,
        departure_timeout=20,
        person_seen=True,
        bounds=agents[0].bounds,
        watched_at_open=0.0,
        agents=agents,
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("profile", "plan", "low", "high"),
    [
        ("self-hosted-on-cloud", "ship", "0.03", "0.03"),
        ("self-hosted-on-cloud", "scale", "0.024", "0.024"),
        ("cloud-hosted", "ship", "0.60", "0.63"),
        ("cloud-hosted", "scale", "0.60", "0.624"),
        ("self-hosted-everything", "ship", "0", "0"),
    ],
)
def test_a_worked_hour_of_one_stranded_agent(profile: str, plan: str, low: str, high: str):
    hour = span(0, 3600, attended=0, gone=3600)
    spend = span_cost(hour, tariff(profile, plan), upto=after(3600))
    assert spend == Spend(Decimal(low), Decimal(high), Decimal(0))


AVATARED = Choices(stt="deepgram.nova-3", avatar="tavus.cvi.starter")


@pytest.mark.parametrize(
    ("hosting", "choices", "low"),
    [
        ("cloud-hosted", Choices(stt="lk.inference.stt.deepgram-nova-3"), "0.888"),
        ("self-hosted-on-cloud", Choices(stt="deepgram.nova-3"), "0.03"),
        ("self-hosted-on-cloud", Choices(stt="assemblyai.universal-streaming"), "0.18"),
        ("self-hosted-on-cloud", AVATARED, "22.26"),
        ("self-hosted-everything", AVATARED, "22.20"),
    ],
)
def test_the_worked_hours_come_out_to_the_cent(hosting: str, choices: Choices, low: str):
    """PRICES.md, "Worked hours": an agent, and its avatar where it has one."""
    tariffs = everywhere(resolve_tariff(BOOK, profile_of(hosting, choices), "ship", TODAY))
    agents = [span(0, 3600, attended=0, joined=0)]
    if choices.avatar:
        avatar = span(0, 3600, attended=0, joined=0, role=Role.AVATAR)
        agents.append(replace(avatar, participant_sid="PA_2"))
    spent = episode_spend(episode(*agents), tariffs, upto=after(3600))
    assert spent["support"].low == Decimal(low)


def test_tokens_and_characters_are_said_to_be_unseen_and_cost_nothing():
    choices = Choices(llm="lk.inference.llm.gpt-4o-mini.in", tts="elevenlabs.flash-v2.5")
    made = resolve_tariff(BOOK, profile_of("self-hosted-on-cloud", choices), "ship", TODAY)
    assert made.unseen == ("lk.inference.llm.gpt-4o-mini.in", "elevenlabs.flash-v2.5")
    assert made.unpriced == ()
    assert span_cost(span(attended=0), made, upto=after(3600)).high == Decimal("0.03")


def test_a_share_of_a_machine_is_charged_by_its_size():
    choices = Choices(vcpu=Decimal("0.25"), memory_gb=Decimal("0.5"))
    made = resolve_tariff(BOOK, profile_of("self-hosted-everything", choices), "ship", TODAY)
    hour = span_cost(span(attended=0), made, upto=after(3600))
    assert hour.low == hour.high == Decimal("0.25") * Decimal("0.04048") + Decimal("0.0022225")


@pytest.mark.parametrize(
    ("kind", "choices", "low", "high"),
    [
        ("SIP", Choices(), "0", "1.20"),
        ("SIP", Choices(sip="lk.sip.third_party"), "0.24", "0.24"),
        ("CONNECTOR", Choices(), "0", "0.03"),
        ("BRIDGE", Choices(), "0", "0.03"),
    ],
)
@pytest.mark.trap("T12")
def test_t12_a_leg_that_is_no_person_is_charged_as_a_leg_and_not_as_an_agent(
    kind: str, choices: Choices, low: str, high: str
):
    leg = replace(span(attended=0), kind=kind)
    choices = replace(choices, stt="lk.inference.stt.deepgram-nova-3")
    made = resolve_tariff(BOOK, profile_of("cloud-hosted", choices), "ship", TODAY)
    assert span_cost(leg, made, upto=after(3600)) == Spend(Decimal(low), Decimal(high))


def test_a_recording_left_behind_is_charged_beside_the_agent():
    recorder = replace(span(attended=0, role=Role.RECORDER), participant_sid="EG_1", kind="EGRESS")
    room = replace(episode(span(attended=0)), recordings=(recorder,))
    choices = Choices(recording="lk.egress.composite.audio")
    for chosen, low, high in ((Choices(), "0.03", "1.23"), (choices, "0.33", "0.33")):
        made = resolve_tariff(BOOK, profile_of("self-hosted-on-cloud", chosen), "ship", TODAY)
        spent = episode_spend(room, everywhere(made), upto=after(3600))
        assert spent == {"support": Spend(Decimal(low), Decimal(high))}


def test_what_has_no_price_is_charged_in_seconds_and_not_in_money():
    ingress = replace(span(attended=0, gone=60), kind="INGRESS")
    made = everywhere(tariff("cloud-hosted"))
    ((_, _, charge),) = episode_charges(episode(ingress), made, upto=after(3600))
    assert charge.rated.meter.price is None
    assert (charge.seconds, charge.spend) == (Decimal(60), Spend())


def test_each_agent_is_charged_by_the_profile_that_names_it():
    dear = resolve_tariff(BOOK, profile_of("cloud-hosted", name="dear"), "ship", TODAY)
    tariffs = Tariffs(
        tariff("self-hosted-on-cloud"),
        (Assignment(dear, agents=("vip-*",)), Assignment(dear, agents=("x",), rooms=("call-*",))),
    )
    room = episode(*(span(attended=0, name=name) for name in ("vip-1", "x", "support")))
    spent = {n: s.low for n, s in episode_spend(room, tariffs, upto=after(3600)).items()}
    assert spent == {
        "vip-1": Decimal("0.60"),
        "x": Decimal("0.60"),
        "support": Decimal("0.03"),
    }
    elsewhere = replace(room, room_name="other")
    assert episode_spend(elsewhere, tariffs, upto=after(3600))["x"].low == Decimal("0.03")


def test_a_price_is_lacking_for_those_agents_alone_that_may_run_the_meter():
    build = resolve_tariff(BOOK, profile_of("cloud-hosted"), "build", TODAY)
    tariffs = Tariffs(
        tariff("self-hosted-on-cloud"),
        (Assignment(build, agents=("free-*",)), Assignment(build, agents=("x",), rooms=("b*",))),
    )
    assert {n: tariffs.lacks_price(n) for n in ("free-1", "x", "support")} == {
        "free-1": True,
        "x": True,
        "support": False,
    }


@pytest.mark.trap("T10")
@pytest.mark.parametrize("profile", ["cloud-hosted", "self-hosted-on-cloud"])
def test_t10_an_avatar_is_charged_its_own_connection_and_no_agent_session(profile: str):
    avatar = span(0, 3600, attended=0, gone=3600, role=Role.AVATAR)
    spend = span_cost(avatar, tariff(profile), upto=after(3600))
    assert spend == Spend(Decimal("0.03"), Decimal("0.03"))


@pytest.mark.parametrize("role", [Role.PERSON, Role.LEFT])
def test_who_is_neither_agent_nor_avatar_costs_nothing_here(role: Role):
    spend = span_cost(span(role=role), tariff("cloud-hosted"), upto=after(3600))
    assert spend == Spend()


def test_the_default_profile_follows_the_url():
    assert default_hosting(url_is_cloud=True) == "self-hosted-on-cloud"
    assert default_hosting(url_is_cloud=False) == "self-hosted-everything"


@pytest.mark.parametrize(
    ("profile", "unpriced"),
    [
        ("cloud-hosted", (AGENT_SESSION, WEBRTC_PARTICIPANT)),
        ("self-hosted-on-cloud", (WEBRTC_PARTICIPANT,)),
        ("self-hosted-everything", ()),
    ],
)
def test_under_plan_build_the_meters_are_unpriced_and_said_to_be(
    profile: str, unpriced: tuple[str, ...]
):
    build = tariff(profile, "build")
    assert build.unpriced == unpriced
    assert not any(rates.certain or rates.possible for rates in build.parts.values())
    assert tariff(profile, "ship").unpriced == ()


def test_a_meter_without_a_valid_entry_is_unpriced_not_free():
    early = resolve_tariff(BOOK, profile_of("cloud-hosted"), "ship", date(2026, 1, 1))
    assert early.unpriced == (AGENT_SESSION, WEBRTC_PARTICIPANT)
    assert early.last_verified is None


def test_an_unpriced_meter_costs_nothing_and_is_kept_apart():
    made = resolve_tariff(BOOK, profile_of("cloud-hosted"), "build", TODAY)
    rates = made.parts[Part.AGENT]
    assert (rates.certain, rates.possible, rates.hourly) == ((), (), Spend())
    assert [r.meter.meter for r in rates.unpriced] == [AGENT_SESSION, WEBRTC_PARTICIPANT]


def test_a_tariff_says_which_book_it_is_from():
    cloud = tariff("cloud-hosted")
    assert (cloud.book_version, cloud.book_hash) == (BOOK.book_version, BOOK.content_hash)
    assert cloud.last_verified == date(2026, 9, 30)
    assert cloud.stale_on == date(2026, 12, 29)


@pytest.mark.parametrize(
    ("bills_when_idle", "certain", "possible"),
    [(True, ("a",), ("b",)), (None, (), ("a", "b")), (False, (), ())],
)
def test_what_a_meter_bills_while_idle_decides_which_estimate_it_enters(
    bills_when_idle: bool | None, certain: tuple[str, ...], possible: tuple[str, ...]
):
    meters = tuple(meter(meter=name, bills_when_idle=bills_when_idle) for name in "ab")
    book = PriceBook(1, "v", "USD", meters, "h", timedelta(days=90))
    profile = Profile("p", {Part.AGENT: (Use("a"), Use("b", runs=False))})
    rates = resolve_tariff(book, profile, "ship", TODAY).parts[Part.AGENT]
    assert tuple(r.meter.meter for r in rates.certain) == certain
    assert tuple(r.meter.meter for r in rates.possible) == possible


@pytest.mark.parametrize(
    ("increment", "minimum", "duration", "expected"),
    [
        (1, 10, "0", 0),
        (1, 10, "-5", 0),
        (1, 10, "0.001", 10),
        (1, 10, "10", 10),
        (1, 10, "10.000001", 11),
        (1, 10, "3600", 3600),
        (60, 60, "1", 60),
        (60, 60, "60", 60),
        (60, 60, "61", 120),
        (60, 90, "5", 120),
        (1, 0, "0.5", 1),
    ],
)
def test_the_seconds_a_session_is_billed_as(
    increment: int, minimum: int, duration: str, expected: int
):
    rule = meter(increment_s=increment, minimum_s=minimum)
    assert billed_seconds(rule, Decimal(duration)) == expected


@pytest.mark.parametrize(
    ("unit", "price"), [("min", "0.5"), ("connection-min", "0.5"), ("h", "30")]
)
def test_units(unit: str, price: str):
    rule = meter(unit=unit, price=Decimal(price))
    assert billed(rule, Decimal(3600)) == rule.hourly == 30


def test_seconds_are_exact_to_the_microsecond():
    assert seconds(timedelta(days=400, microseconds=1)) == Decimal("34560000.000001")
    assert seconds(timedelta(microseconds=-1)) == Decimal("-0.000001")


@pytest.mark.parametrize(
    ("began", "start", "end", "expected"),
    [
        (0, 0, 1, 10),  # a session that was orphaned from its first second: the minimum is its own
        (-3, 0, 1, 0),  # three seconds of the call had used the minimum up already
        (-3, 0, 9, 2),
        (-600, 0, 1, 1),
        (0, 5, 5, 0),
        (0, 9, 5, 0),
    ],
)
def test_the_minimum_is_never_charged_to_the_orphaned_slice_alone(
    began: float, start: float, end: float, expected: int
):
    assert slice_cost(meter(minimum_s=10), after(began), after(start), after(end)) == expected


@pytest.mark.trap("T38")
def test_t38_low_takes_the_inner_bounds_and_high_the_outer_ones():
    spend = span_cost(span(15, 60, attended=0, gone=75), dollar_a_second(), upto=after(500))
    assert spend == Spend(Decimal(45), Decimal(75))


def test_while_it_is_open_high_runs_on_and_low_waits_for_the_next_look():
    here = span(15, 60, attended=0)
    for now in (60, 70, 500):
        spend = span_cost(here, dollar_a_second(), upto=after(now))
        assert spend == Spend(Decimal(45), Decimal(now))


@pytest.mark.parametrize("gone", [None, 75])
def test_nothing_is_booked_beyond_the_moment_asked_about(gone: float | None):
    spend = span_cost(span(0, 60, attended=0, gone=gone), dollar_a_second(), upto=after(20))
    assert spend == Spend(Decimal(20), Decimal(20))


def test_a_look_that_was_asked_before_the_episode_opened_costs_nothing_yet():
    opened = span(15, 14.9, attended=0)
    assert span_cost(opened, dollar_a_second(), upto=after(15)).low == 0


@pytest.mark.parametrize(
    ("joined", "skew", "high"),
    [
        (-100, None, 110),
        (-100, 30.0, 140),  # the server's clock is ahead: by ours it joined earlier
        (-100, -30.0, 80),
        (40, None, 10),  # never after we saw it there first
        (None, None, 10),
    ],
)
@pytest.mark.trap("T36")
def test_t36_without_an_earlier_bound_high_starts_when_the_agent_joined_by_our_clock(
    joined: float | None, skew: float | None, high: int
):
    alone = span(0, 10, joined=joined)
    spend = span_cost(alone, dollar_a_second(), upto=after(10), skew=skew)
    assert spend == Spend(Decimal(10), Decimal(high))


def test_an_agent_whose_join_is_unknown_is_not_charged_a_minimum_in_low():
    alone = span(0, 2, joined=None)
    spend = span_cost(alone, dollar_a_second(minimum_s=10), upto=after(2))
    assert spend == Spend(Decimal(2), Decimal(10))


def test_high_never_reaches_behind_the_last_person_of_the_episode():
    agent = span(15, 60, attended=None, joined=-7200)
    room = episode(agent, bounds=Bounds(NOON, after(15), after(60)))
    spend = episode_spend(room, everywhere(dollar_a_second()), upto=after(60))
    assert spend == {"support": Spend(Decimal(45), Decimal(60))}


def test_max_session_ends_what_is_certain_not_what_is_possible():
    spend = span_cost(
        span(0, 3600, attended=0, joined=-600),
        dollar_a_second(max_session_s=1000),
        upto=after(3600),
    )
    assert spend == Spend(Decimal(400), Decimal(3600))


@pytest.mark.rule("A10")
def test_once_stranded_what_came_after_the_last_answer_is_unverified():
    agent = span(15, 600, attended=0)
    verified = episode(agent, last_reachable_at=after(100))
    stranded = replace(verified, stranded_since=after(400))
    assert episode_spend(verified, everywhere(dollar_a_second()), upto=after(600)) == {
        "support": Spend(Decimal(585), Decimal(600), Decimal(0))
    }
    assert episode_spend(stranded, everywhere(dollar_a_second()), upto=after(600)) == {
        "support": Spend(Decimal(85), Decimal(100), Decimal(500))
    }


@pytest.mark.trap("T28")
def test_t28_a_stranded_room_that_never_answered_is_unverified_from_the_start():
    room = episode(span(15, 600, attended=0), stranded_since=after(20))
    assert episode_spend(room, everywhere(dollar_a_second()), upto=after(600)) == {
        "support": Spend(unverified=Decimal(600))
    }


def test_a_closed_episode_ends_every_agents_spend():
    agent = span(0, 60, attended=0)
    room = episode(
        agent,
        bounds=replace(agent.bounds, first_gone_at=after(75)),
        close_reason=CloseReason.ROOM_GONE,
    )
    spend = episode_spend(room, everywhere(dollar_a_second()), upto=after(9999))
    assert spend == {"support": Spend(Decimal(60), Decimal(75))}
    assert burn_per_hour(room, everywhere(dollar_a_second())) == {}


def test_spend_is_summed_by_agent_name():
    room = episode(
        span(0, 60, attended=0, gone=60, name="a"),
        span(0, 30, attended=0, gone=30, name="a"),
        span(0, 10, attended=0, gone=10, name=""),
    )
    assert episode_spend(room, everywhere(dollar_a_second()), upto=after(60)) == {
        "a": Spend(Decimal(90), Decimal(90)),
        "": Spend(Decimal(10), Decimal(10)),
    }


def test_burn_is_that_of_the_agents_that_are_there_now():
    room = episode(span(), span(gone=60), span(role=Role.AVATAR, name="face"))
    assert burn_per_hour(room, everywhere(tariff("cloud-hosted"))) == {
        "support": Spend(Decimal("0.60"), Decimal("0.63")),
        "face": Spend(Decimal("0.03"), Decimal("0.03")),
    }
    stranded = replace(room, stranded_since=NOON)
    assert burn_per_hour(stranded, everywhere(tariff("cloud-hosted")))["support"] == Spend(
        unverified=Decimal("0.63")
    )
