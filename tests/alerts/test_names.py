"""Every series, label and label value that a rule names is one that the watchdog exports."""

import re
from collections.abc import Mapping

import pytest

from tests.alerts.files import ALERTS, RECORDING, Rule, rules_of
from tests.promql import EXPORTED, OF_PROMETHEUS, names_of, problems

_QUERY = re.compile(r'query\s*\(?(?:\s*printf\s*)?\s*"([^"]*)"')


def queries_in(template: str) -> list[str]:
    """The expressions that an annotation's template asks for itself."""
    return [found.replace("%q", '""') for found in _QUERY.findall(template)]


RULES = rules_of(ALERTS) + rules_of(RECORDING)


RECORDED = {rule.name: frozenset[str]() for rule in rules_of(RECORDING)}
KNOWN = EXPORTED | RECORDED | OF_PROMETHEUS


def problems_of(rule: Rule, known: Mapping[str, frozenset[str]]) -> list[str]:
    """What this rule names and nobody exports."""
    asked = [rule.expr, *(q for text in rule.annotations.values() for q in queries_in(text))]
    return [problem for expression in asked for problem in problems(expression, known)]


def metrics_of(rule: Rule) -> set[str]:
    """The metrics that a rule's expression names."""
    return {selector.metric for selector in names_of(rule.expr).selectors}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_a_rule_names_is_exported(rule):
    assert problems_of(rule, KNOWN) == []


def test_a_renamed_metric_is_noticed_in_every_rule_that_names_it():
    names = set[str]().union(*map(metrics_of, RULES)) & EXPORTED.keys()
    assert len(names) > 10
    for name in names:
        renamed = {k: v for k, v in KNOWN.items() if k != name} | {f"{name}_renamed": KNOWN[name]}
        blamed = {rule.name for rule in RULES if f"no metric {name}" in problems_of(rule, renamed)}
        assert blamed >= {rule.name for rule in RULES if name in metrics_of(rule)}


def test_all_rules_but_these_stand_on_what_the_watchdog_exports():
    others = {rule.name for rule in RULES if not metrics_of(rule) & EXPORTED.keys()}
    assert others == {
        "LiveKitWatchdogDown",
        "LiveKitWatchdogDeadMansSwitch",
        "LiveKitWatchdogRulesIncomplete",
        "livekit_watchdog:burn_threshold:usd_per_hour",
    }


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("livekit_watchdog_nothing > 0", "no metric livekit_watchdog_nothing"),
        ("sum by (project) (nothing)", "no metric nothing"),
        ('livekit_watchdog_rooms{state="x"}', "livekit_watchdog_rooms has no state"),
        ('livekit_watchdog_gate_holding{gate=~"limits|nose"} == 1', "gate is never nose"),
        (
            "rate(livekit_watchdog_tick_duration_seconds[5m])",
            "no metric livekit_watchdog_tick_duration_seconds",
        ),
        (
            "sum by (color) (livekit_watchdog_rooms)",
            "no label color: sum by (color) (livekit_watchdog_rooms)",
        ),
        ("a unless on (project) livekit_watchdog_rooms offset 1h", "no metric a"),
    ],
)
def test_what_nobody_exports_is_a_problem(expression, problem):
    assert problems(expression, KNOWN) == [problem]


@pytest.mark.parametrize(
    "expression",
    [
        "histogram_quantile(0.9, sum by (le) (rate(livekit_watchdog_tick_duration_seconds_bucket[5m])))",
        'time() - livekit_watchdog_last_success_timestamp_seconds{job="j", project!="x"} > 5 * 60',
        "max_over_time(up[10m:1m]) offset 1h == bool 1",
    ],
)
def test_what_is_exported_is_none(expression):
    assert problems(expression, KNOWN) == []


def test_a_template_is_asked_for_its_queries_too():
    text = '{{ range query (printf "sum(gone{project=%q})" "eu") }}{{ end }}{{ query "gone2" }}'
    assert problems_of(Rule("", "vector(1)", "", {}, {"summary": text}), KNOWN) == [
        "no metric gone",
        "no metric gone2",
    ]
