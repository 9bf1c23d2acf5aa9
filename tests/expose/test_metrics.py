"""What Prometheus is told."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.expose.builders import NASTY, at, closed, failed, opened, orphan, report, usd
from watchdog.core.deletion import BY_POLICY, AuditEntry, AuditKind, Outcome
from watchdog.core.errors import CODES
from watchdog.core.gates import GATES
from watchdog.core.hooks import Taken
from watchdog.core.model import CloseReason, CountMeaning, TickResult, VerdictState
from watchdog.core.periods import BudgetView, Period
from watchdog.core.report import Change, ChangeKind
from watchdog.core.suspects import SuspectReason
from watchdog.expose.catalogue import PREFIX, SPECS
from watchdog.expose.labels import RoomNames
from watchdog.expose.metrics import METHODS, Metrics, metrics_markdown

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SUFFIXES = ("_bucket", "_sum", "_count")


def make(policy="full", **more):
    return Metrics(CollectorRegistry(), RoomNames(policy), **more)


def samples(metrics, accept=""):
    """Every sample of ours as (name, labels) -> value; fails on a duplicate series."""
    body, _ = metrics.expose(accept)
    parse = parse_openmetrics if accept else parse_text
    found = [s for family in parse(body.decode("utf-8")) for s in family.samples]
    keys = [(s.name.removeprefix(PREFIX), frozenset(s.labels.items())) for s in found]
    duplicates = [key for key, n in Counter(keys).items() if n > 1]
    assert not duplicates, duplicates
    return {key: s.value for key, s in zip(keys, found, strict=True)}


def value(metrics, name, **labels):
    return samples(metrics).get((name, frozenset(labels.items())))


def labels_of(metrics, name):
    return [dict(labels) for n, labels in samples(metrics) if n == name]


def names(metrics):
    return {name for name, _ in samples(metrics)}


def full_report(**more):
    view = orphan(1, spend=usd("0.5", "0.7"), age=90)
    values = {
        "orphans": (view,),
        "orphaned_agents": {"support": 1},
        "stranded": 1,
        "due": {"default": 1, "phone": 0},
        "spend": {"support": usd("1.5", "2.5", "0.25"), "sales": usd("1", "1", "0.5")},
        "burn": {"support": usd("0.6", "0.9")},
        "blind_seconds": 30.0,
        "sweep_age": 12.0,
        "budget_delay": 3.0,
        "count_meaning": CountMeaning.EXCLUDES_AGENTS,
        "clock_skew": -0.5,
    }
    return report(4, **(values | more))


def test_a_good_tick_fills_every_gauge():
    metrics = make(version="1.2.3")
    metrics.on_report(full_report())
    room = {"project": "prod", "room": "call-1", "agent_name": "support", "policy": ""}
    expected = {
        ("rooms", "attended"): value(metrics, "rooms", project="prod", verdict="attended"),
        ("rooms", "orphaned"): value(metrics, "rooms", project="prod", verdict="orphaned"),
        ("rooms", "empty"): value(metrics, "rooms", project="prod", verdict="empty"),
    }
    assert expected == {
        ("rooms", "attended"): 3,
        ("rooms", "orphaned"): 1,
        ("rooms", "empty"): 0,
    }
    assert value(metrics, "orphaned_agents", project="prod", agent_name="support") == 1
    assert value(metrics, "oldest_orphan_age_seconds", project="prod") == 90
    assert value(metrics, "orphaned_room_age_seconds", **room) == 90
    assert value(metrics, "orphaned_room_session_age_seconds", **room) == 690
    assert value(metrics, "orphaned_room_spend_usd", **room) == 0.5
    assert value(metrics, "stranded_rooms", project="prod") == 1
    assert value(metrics, "orphaned_rooms_due", project="prod", policy="default") == 1
    assert value(metrics, "orphaned_rooms_due", project="prod", policy="phone") == 0
    assert value(metrics, "spend_low_usd_total", project="prod", agent_name="support") == 1.5
    assert value(metrics, "spend_high_usd_total", project="prod", agent_name="support") == 2.5
    assert value(metrics, "unverified_usd_total", project="prod") == 0.75
    assert value(metrics, "burn_low_usd_per_hour", project="prod", agent_name="support") == 0.6
    assert value(metrics, "burn_high_usd_per_hour", project="prod", agent_name="support") == 0.9
    assert value(metrics, "blind_seconds_total", project="prod") == 30
    assert value(metrics, "sweep_age_seconds", project="prod") == 12
    assert value(metrics, "budget_delay_seconds", project="prod") == 3
    assert value(metrics, "clock_skew_seconds", project="prod") == -0.5
    assert value(metrics, "last_success_timestamp_seconds", project="prod") == at(60).timestamp()
    assert value(metrics, "build_info", version="1.2.3") == 1


@pytest.mark.rule("A4")
def test_what_was_learned_about_the_count_is_told():
    metrics = make()
    metrics.on_report(full_report())
    metrics.on_report(full_report(count_meaning=CountMeaning.INCLUDES_AGENTS))
    assert labels_of(metrics, "count_includes_agents_info") == [
        {"project": "prod", "meaning": "includes_agents"}
    ]


def test_nothing_is_known_before_the_first_good_tick():
    metrics = make()
    metrics.on_request("prod", "ListRooms", "unauthenticated", 0.01)
    metrics.on_report(failed(1))
    ours = {n for n in names(metrics) if not n.startswith(("process_", "python_"))}
    assert ours == {
        "build_info",
        "ticks_total",
        "api_requests_total",
        "blind_seconds_total",
        "joined_after_deletion_total",
        *(f"tick_duration_seconds{s}" for s in SUFFIXES),
        *(f"api_request_duration_seconds{s}" for s in SUFFIXES),
    }


def test_a_suspicious_first_list_tells_no_rooms():
    metrics = make()
    metrics.on_report(
        report(1, result=TickResult.SUSPICIOUS, last_success_at=None, rooms={VerdictState.EMPTY: 0})
    )
    assert "rooms" not in names(metrics)


def test_after_a_failed_tick_the_last_known_gauges_stay_and_their_age_is_told():
    metrics = make()
    metrics.on_report(full_report())
    metrics.on_report(failed(9, last_success_at=at(60)))
    assert value(metrics, "rooms", project="prod", verdict="attended") == 3
    assert value(metrics, "oldest_orphan_age_seconds", project="prod") == 90
    assert value(metrics, "last_success_timestamp_seconds", project="prod") == at(60).timestamp()
    assert value(metrics, "ticks_total", project="prod", result="failed") == 1
    assert value(metrics, "ticks_total", project="prod", result="ok") == 1


def test_what_is_over_is_gone_from_the_gauges():
    metrics = make()
    metrics.on_report(full_report())
    metrics.on_report(report(5, spend=full_report().spend))
    gone = {"orphaned_room_age_seconds", "orphaned_room_spend_usd", "orphaned_agents"}
    assert not gone & names(metrics)
    assert value(metrics, "oldest_orphan_age_seconds", project="prod") == 0


@pytest.mark.trap("T37")
def test_t37_counters_go_on_from_what_was_restored():
    metrics = make()
    # The first tick after a restart fails: the report carries what the store remembers.
    restored = {"support": usd("100", "200", "5")}
    metrics.on_report(
        failed(400, spend=restored, blind_seconds=77.0, last_success_at=at(0), orphans=())
    )
    assert value(metrics, "spend_low_usd_total", project="prod", agent_name="support") == 100
    assert value(metrics, "blind_seconds_total", project="prod") == 77
    assert "rooms" not in names(metrics)
    metrics.on_report(full_report(spend={"support": usd("101", "202", "5")}, blind_seconds=90.0))
    assert value(metrics, "spend_high_usd_total", project="prod", agent_name="support") == 202
    assert value(metrics, "blind_seconds_total", project="prod") == 90


@pytest.mark.trap("T50")
@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 99), max_size=3), max_size=6)
)
@settings(max_examples=40, deadline=None)
def test_t50_no_counter_ever_falls_whatever_the_reports_say(ticks):
    metrics = make()
    before: dict = {}
    for number, spend in enumerate(ticks, start=1):
        metrics.on_report(
            report(
                number,
                spend={name: usd(str(n), str(2 * n), str(n)) for name, n in spend.items()},
                blind_seconds=float(sum(spend.values())),
            )
        )
        now = {key: v for key, v in samples(metrics).items() if key[0].endswith("usd_total")}
        assert all(now.get(key, -1) >= v for key, v in before.items())
        before = now


def test_a_closed_episode_is_observed_once_by_its_wall_clock_bounds():
    metrics = make()
    metrics.on_report(report(1, changes=(closed(1, lasted=200), opened(orphan(2)))))
    metrics.on_report(report(2))
    labels = {"project": "prod", "close_reason": "person_returned"}
    assert value(metrics, "episode_duration_seconds_count", **labels) == 1
    assert value(metrics, "episode_duration_seconds_sum", **labels) == 200
    assert value(metrics, "episode_duration_seconds_bucket", **labels, le="120.0") == 0
    assert value(metrics, "episode_duration_seconds_bucket", **labels, le="300.0") == 1


def test_close_reasons_are_told_apart():
    metrics = make()
    ends = tuple(
        closed(i, lasted=60, reason=reason) for i, reason in enumerate(CloseReason, start=1)
    )
    stranded = Change(ChangeKind.STRANDED, orphan(9).episode, "")
    metrics.on_report(report(1, changes=(*ends, stranded)))
    seen = labels_of(metrics, "episode_duration_seconds_count")
    assert {d["close_reason"] for d in seen} == {r.value for r in CloseReason}


def test_requests_are_counted_under_known_methods_and_codes():
    metrics = make()
    for code in sorted(CODES):
        metrics.on_request("prod", "ListRooms", code, 0.02)
    metrics.on_request("prod", "SomethingNew", "a made-up code", 0.02)
    seen = labels_of(metrics, "api_requests_total")
    assert {d["code"] for d in seen} == CODES
    assert {d["method"] for d in seen} == {"ListRooms", "other"}
    count = value(metrics, "api_request_duration_seconds_count", project="prod", method="ListRooms")
    assert count == len(CODES)


def test_mode_and_price_age_are_told_once_known():
    metrics = make()
    assert not {"mode_info", "price_verified_timestamp_seconds"} & names(metrics)
    metrics.set_mode("prod", "observe")
    metrics.set_prices(datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC))
    assert value(metrics, "mode_info", project="prod", mode="observe") == 1
    assert value(metrics, "price_verified_timestamp_seconds") == 1788220800
    assert value(metrics, "price_stale_timestamp_seconds") == 1788220800 + 90 * 86400
    metrics.set_prices(None, None)
    told = {"price_verified_timestamp_seconds", "price_stale_timestamp_seconds"}
    assert not told & set(names(metrics))


def test_an_unpriced_tariff_has_no_spend_rather_than_zero():
    metrics = make(unpriced=lambda project, name: name == "avatar")
    view = orphan(1, agent="avatar", spend=usd("0"))
    both = {"avatar": usd("0"), "support": usd("0")}
    metrics.on_report(report(1, orphans=(view,), spend=both, burn=both))
    for name in ("spend_low_usd_total", "burn_high_usd_per_hour"):
        assert [d["agent_name"] for d in labels_of(metrics, name)] == ["support"]
    assert "orphaned_room_spend_usd" not in names(metrics)
    assert "orphaned_room_age_seconds" in names(metrics)


def test_a_removed_project_leaves_nothing_behind():
    metrics = make()
    for project in ("prod", "test"):
        metrics.on_request(project, "ListRooms", "ok", 0.1)
        metrics.set_mode(project, "observe")
        metrics.on_report(full_report(project=project, changes=(closed(3),)))
    metrics.project_removed("prod")
    left = [dict(labels).get("project") for _, labels in samples(metrics)]
    assert "prod" not in left
    assert "test" in left


@pytest.mark.trap("T45")
def test_t45_five_thousand_orphans_over_sixty_names_make_few_series():
    metrics = make()
    agents = [f"agent-{i}" for i in range(60)]
    views = tuple(
        orphan(i, room=f"room-{i}", agent=agents[i % 60], age=float(i)) for i in range(5000)
    )
    totals = {name: usd("1") for name in agents}
    metrics.on_report(
        report(
            1, orphans=views, orphaned_agents=dict.fromkeys(agents, 83), spend=totals, burn=totals
        )
    )
    series = Counter(name for name, _ in samples(metrics))
    for name in ("orphaned_room_age_seconds", "orphaned_room_spend_usd"):
        assert series[name] == 20
    for name in ("orphaned_agents", "spend_low_usd_total", "burn_high_usd_per_hour"):
        assert series[name] == 51
    assert value(metrics, "orphaned_agents", project="prod", agent_name="_other") == 10 * 83
    assert value(metrics, "spend_low_usd_total", project="prod", agent_name="_other") == 10
    rooms = {d["room"] for d in labels_of(metrics, "orphaned_room_age_seconds")}
    assert rooms == {f"room-{i}" for i in range(4980, 5000)}
    assert not any("RM_" in str(key) for key in samples(metrics))


@pytest.mark.trap("T45")
@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_t45_a_scrape_stays_within_two_thousand_series_when_everything_has_happened(accept):
    metrics = make()
    metrics.set_mode("prod", "enforce")
    metrics.set_prices(at(0), at(0))
    agents = [f"agent-{i}" for i in range(50)]
    policies = [f"policy-{i}" for i in range(10)]
    for method in (*METHODS, "SomethingNew"):
        for code in CODES:
            metrics.on_request("prod", method, code, 0.02)
    for result in Taken:
        metrics.on_webhook("prod", result)
    views = tuple(
        orphan(i, room=f"room-{i}", agent=agents[i % 50], age=float(i), policy=policies[i % 10])
        for i in range(5000)
    )
    settled = tuple(
        AuditEntry(at(0), "prod", AuditKind.OUTCOME, policy=policy, outcome=outcome, actor=actor)
        for policy in policies
        for outcome in Outcome
        for actor in (BY_POLICY, "operator")
    )
    for result in TickResult:
        metrics.on_report(failed(1, result=result))
    metrics.on_report(
        full_report(
            orphans=views,
            orphaned_agents=dict.fromkeys(agents, 100),
            due=dict.fromkeys(policies, 500),
            spend=dict.fromkeys(agents, usd("1", "2", "3")),
            burn=dict.fromkeys(agents, usd("1", "2")),
            changes=tuple(
                closed(i, lasted=60, reason=reason) for i, reason in enumerate(CloseReason)
            ),
            outcomes=settled,
            gates={gate.name: True for gate in GATES},
            suspect_counts={reason.value: 1 for reason in SuspectReason},
            troubled={outcome.value: 1 for outcome in Outcome},
        )
    )
    assert len({name for name, _ in samples(metrics, accept)}) > 40
    assert len(samples(metrics, accept)) <= 2000


def test_rooms_that_read_the_same_when_masked_stay_apart():
    metrics = make("masked")
    views = tuple(orphan(i, room=f"call-{i}23", age=100.0 - i) for i in range(1, 5))
    metrics.on_report(report(1, orphans=views))
    ages = {
        dict(labels)["room"]: age
        for (name, labels), age in samples(metrics).items()
        if name == "orphaned_room_age_seconds"
    }
    assert ages == {"ca*****": 99, "ca*****~2": 98, "ca*****~3": 97, "ca*****~4": 96}


def test_a_room_keeps_its_label_while_its_episode_lasts():
    metrics = make("masked")
    first, second = orphan(1, room="call-11", age=100), orphan(2, room="call-22", age=50)
    metrics.on_report(report(1, orphans=(first, second)))
    metrics.on_report(report(2, orphans=(second,)))
    assert [d["room"] for d in labels_of(metrics, "orphaned_room_age_seconds")] == ["ca*****~2"]
    metrics.on_report(report(3, orphans=(second, orphan(3, room="call-33", age=10))))
    rooms = {d["room"] for d in labels_of(metrics, "orphaned_room_age_seconds")}
    assert rooms == {"ca*****", "ca*****~2"}


def test_names_that_are_equal_once_cut_stay_apart_within_the_bound():
    metrics = make()
    views = tuple(orphan(i, room="x" * 200 + str(i), age=float(i)) for i in range(3))
    metrics.on_report(report(1, orphans=views))
    rooms = [d["room"] for d in labels_of(metrics, "orphaned_room_age_seconds")]
    assert len(set(rooms)) == 3
    assert all(len(room) <= 128 for room in rooms)


@pytest.mark.trap("T45")
@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_t45_nasty_names_come_back_from_the_scrape_as_they_went_in(accept):
    metrics = make()
    views = tuple(
        orphan(i, room=text, agent=text, policy=text, age=float(i))
        for i, text in enumerate(NASTY, start=1)
    )
    totals = {text: usd("1") for text in NASTY}
    metrics.on_report(report(1, orphans=views, spend=totals, burn=totals))
    found = {
        dict(labels)["room"]
        for name, labels in samples(metrics, accept)
        if name == "orphaned_room_age_seconds"
    }
    assert found == {RoomNames().label(text) for text in NASTY}


@pytest.mark.trap("T45")
@given(
    st.lists(st.text(st.characters(), max_size=256), max_size=30),
    st.sampled_from(["full", "masked", "hashed"]),
    st.sampled_from(["", OPENMETRICS]),
)
@settings(max_examples=60, deadline=None)
def test_t45_no_text_breaks_the_scrape(texts, policy, accept):
    metrics = make(policy)
    views = tuple(
        orphan(i, room=text, agent=text, policy=text, age=float(i)) for i, text in enumerate(texts)
    )
    metrics.on_report(
        report(
            1,
            orphans=views,
            spend={text: usd("1") for text in texts},
            orphaned_agents=dict.fromkeys(texts, 1),
        )
    )
    rooms = [n for n, _ in samples(metrics, accept) if n == "orphaned_room_age_seconds"]
    assert len(rooms) == min(20, len(views))
    agents = [v for (n, _), v in samples(metrics, accept).items() if n == "orphaned_agents"]
    assert sum(agents) == len(set(texts))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/html,*/*;q=0.8", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=x", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=zz;q=\x7f", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
def test_the_format_follows_the_accept_header(accept, content_type):
    metrics = make()
    metrics.on_report(full_report())
    body, told = metrics.expose(accept)
    assert told.startswith(content_type)
    assert body.endswith(b"# EOF\n") == ("openmetrics" in told)


def test_everything_in_the_catalogue_is_exported_and_nothing_else():
    metrics = make()
    metrics.set_mode("prod", "observe")
    metrics.set_prices(at(0), at(0))
    metrics.on_request("prod", "ListRooms", "ok", 0.1)
    deleted = AuditEntry(at(0), "prod", AuditKind.OUTCOME, policy="p", outcome=Outcome.DELETED)
    metrics.on_report(
        full_report(
            changes=(closed(3),),
            outcomes=(deleted,),
            gates={"armed": True},
            suspect_counts={"count_disagrees": 1},
            troubled={"stranded": 1},
            budgets={Period.DAY: BudgetView(Decimal(5), usd("1", "2"))},
        )
    )
    metrics.on_webhook("prod", Taken.ACCEPTED)
    metrics.on_reload(at(0), ok=True)
    body, _ = metrics.expose()
    families = {f.name: f for f in parse_text(body.decode())}
    exported = set()
    for spec in SPECS:
        family = families[spec.full_name.removesuffix("_total")]
        assert family.type == spec.type
        assert family.documentation == spec.help
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(spec.labels)
        exported.add(family.name)
    others = set(families) - exported
    assert all(name.startswith(("process_", "python_")) for name in others), others


def test_an_outcome_counts_once_under_its_policy_or_by_hand():
    metrics = make()
    settled = [
        AuditEntry(at(0), "prod", AuditKind.OUTCOME, policy="p", outcome=Outcome.DELETED),
        AuditEntry(at(0), "prod", AuditKind.OUTCOME, "ana", policy="p", outcome=Outcome.DELETED),
        AuditEntry(at(0), "prod", AuditKind.OUTCOME, policy="p", outcome=Outcome.UNKNOWN),
    ]
    metrics.on_report(full_report(outcomes=tuple(settled)))
    metrics.on_report(full_report())
    for policy, outcome in (("p", "deleted"), ("by_hand", "deleted"), ("p", "unknown")):
        found = value(
            metrics, "deletion_attempts_total", project="prod", policy=policy, outcome=outcome
        )
        assert found == 1
    for policy in ("p", "by_hand"):
        assert value(metrics, "deletions_total", project="prod", policy=policy) == 1


def test_two_instances_share_nothing():
    one, two = make(), make()
    one.on_report(full_report())
    assert "rooms" in names(one)
    assert "rooms" not in names(two)


def test_the_page_about_metrics_is_what_the_code_says():
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == metrics_markdown()
