"""The rules are valid, complete, explained in the runbook, and their cases hold: asked of promtool itself."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.files import (
    ALERTS,
    ALWAYS_FIRES,
    CASES,
    RECORDING,
    RULES,
    RUNBOOK,
    Rule,
    alert_cases,
    expression_cases,
    rules_of,
)
from tests.needs import tool

RULES_THAT_ALERT = rules_of(ALERTS)
SEVERITIES = {"critical", "warning", "info"}


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One of Prometheus's tools, to its end."""
    return subprocess.run(
        [tool(program), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def blamed(directory: Path, change: Callable[[dict[str, Any]], None]) -> set[str]:
    """The alerts whose cases fail on a copy of the rules in which each alert was changed."""
    copy = directory / "rules"
    shutil.copytree(RULES, copy)
    document = yaml.safe_load((copy / "alerts.yml").read_text())
    for group in document["groups"]:
        for rule in group["rules"]:
            change(rule)
    (copy / "alerts.yml").write_text(yaml.safe_dump(document))
    done = run("promtool", "test", "rules", *sorted((copy / "tests").glob("*.yml")))
    assert done.returncode != 0
    return set(re.findall(r"alertname: (\w+), time", done.stdout + done.stderr))


def test_promtool_finds_the_rules_valid(record_property):
    done = run("promtool", "check", "rules", ALERTS, RECORDING)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(n) for n in re.findall(r"SUCCESS: (\d+) rules found", done.stdout)]
    assert counts == [len(rules_of(ALERTS)), len(rules_of(RECORDING))]
    record_property("exercised: alert and recording rules checked", sum(counts))


def test_every_case_holds(record_property):
    done = run("promtool", "test", "rules", *CASES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(CASES) > 0
    record_property("exercised: rule test cases held", len(alert_cases() + expression_cases()))


def test_an_alert_that_never_fires_fails_its_cases(tmp_path):
    never = blamed(tmp_path, lambda rule: rule.update(expr="vector(1) > 1"))
    assert never == {rule.name for rule in RULES_THAT_ALERT}


def test_an_alert_that_does_not_wait_fails_its_cases(tmp_path):
    hasty = blamed(tmp_path, lambda rule: rule.pop("for", None))
    assert hasty == {rule.name for rule in RULES_THAT_ALERT if rule.wait}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    fires = {case["alertname"] for case in alert_cases() if case["exp_alerts"]}
    rests = {case["alertname"] for case in alert_cases() if not case["exp_alerts"]}
    names = {rule.name for rule in RULES_THAT_ALERT}
    assert len(names) == len(RULES_THAT_ALERT)
    # Equal, not only enough: a case for an alert that does not exist "does not fire" whatever happens.
    assert fires == names
    assert rests == names - {ALWAYS_FIRES}
    [switch] = [rule for rule in RULES_THAT_ALERT if rule.name == ALWAYS_FIRES]
    assert switch.expr == "vector(1)"


def test_every_expected_alert_is_told_with_all_its_labels_and_annotations():
    by_name = {rule.name: rule for rule in RULES_THAT_ALERT}
    for case in alert_cases():
        rule = by_name[case["alertname"]]
        for alert in case["exp_alerts"]:
            assert alert["exp_labels"].items() >= rule.labels.items()
            assert alert["exp_annotations"].keys() == rule.annotations.keys()


def test_every_recorded_series_has_a_case():
    tested_samples = {s["labels"] for case in expression_cases() for s in case["exp_samples"]}
    assert {rule.name for rule in rules_of(RECORDING)} <= tested_samples


@pytest.mark.parametrize("rule", RULES_THAT_ALERT, ids=lambda rule: rule.name)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(rule: Rule):
    expected = {"none"} if rule.name == ALWAYS_FIRES else SEVERITIES
    assert rule.labels["severity"] in expected
    assert rule.labels.keys() <= {"severity", "scope"}
    assert rule.labels.get("scope", "rooms") == "rooms"
    assert rule.annotations.keys() == {"summary", "description", "runbook_url"}
    assert rule.annotations["summary"].strip()
    assert rule.annotations["description"].strip()
    assert rule.annotations["runbook_url"] == f"docs/runbook.md#{rule.name.lower()}"


def test_the_runbook_has_an_entry_for_every_alert_and_for_nothing_else():
    # GitHub makes the anchor of a heading of one word from the word in small letters.
    headings = re.findall(r"(?m)^### (\w+)$", RUNBOOK.read_text())
    assert sorted(headings) == sorted(rule.name for rule in RULES_THAT_ALERT)


def test_every_entry_of_the_runbook_answers_the_same_questions():
    entries = re.split(r"(?m)^##+ ", RUNBOOK.read_text())
    names = {rule.name for rule in RULES_THAT_ALERT}
    told = {
        e.splitlines()[0]: e for e in entries if e.splitlines()[:1] and e.splitlines()[0] in names
    }
    for name, entry in told.items():
        for question in ("**Us or LiveKit?**", "**Look at**", "**Do**"):
            assert question in entry, f"{name}: {question}"


def test_what_the_runbook_says_to_type_exists(tmp_path):
    from typer.main import get_command

    from watchdog.cli import app

    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    typed = set(re.findall(r"livekit-watchdog ([a-z-]+)", RUNBOOK.read_text()))
    assert {"pause", "explain", "audit"} <= typed
    assert typed <= commands
