"""The example for Alertmanager: valid, the dead man's switch goes its own way, blindness mutes rooms."""

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.files import ALERTMANAGER, ALERTS, ALWAYS_FIRES, hurried_alertmanager, rules_of
from tests.cli.program import eventually
from tests.monitoring import running_alertmanager
from tests.needs import tool

NAMES = [rule.name for rule in rules_of(ALERTS)]


def amtool(*arguments: str | Path) -> str:
    """What amtool prints; it has to end well."""
    done = subprocess.run(
        [tool("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_finds_it_valid():
    assert "SUCCESS" in amtool("check-config", ALERTMANAGER)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_dead_mans_switch_goes_apart(name):
    receivers = amtool(
        "config",
        "routes",
        "test",
        f"--config.file={ALERTMANAGER}",
        f"alertname={name}",
        "project=eu",
    )
    assert receivers.split() == ["heartbeat" if name == ALWAYS_FIRES else "operators"]


def test_it_groups_by_alert_and_project():
    assert yaml.safe_load(ALERTMANAGER.read_text())["route"]["group_by"] == ["alertname", "project"]


@pytest.fixture
def opener() -> urllib.request.OpenerDirector:
    """A client that asks loopback directly."""
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def test_while_it_is_blind_alerts_about_the_rooms_of_that_project_are_muted(tmp_path, opener):
    labels_of = {rule.name: {"alertname": rule.name, **rule.labels} for rule in rules_of(ALERTS)}

    def alert(name: str, project: str) -> dict[str, Any]:
        where = {"job": "livekit-watchdog", "instance": "w:9779", "project": project}
        return {"labels": labels_of[name] | where}

    others = [name for name in NAMES if name not in ("LiveKitWatchdogBlind", ALWAYS_FIRES)]
    sent = [alert(name, project) for name in others for project in ("eu", "us")]
    sent.append(alert("LiveKitWatchdogBlind", "eu"))
    config = hurried_alertmanager(tmp_path, "http://127.0.0.1:9")
    with running_alertmanager(tmp_path, config) as address:
        url = f"http://{address}/api/v2/alerts"
        headers = {"Content-Type": "application/json"}
        opener.open(urllib.request.Request(url, json.dumps(sent).encode(), headers)).close()

        def states() -> dict[tuple[str, str], str]:
            with opener.open(url) as answer:
                told = json.load(answer)
            return {
                (a["labels"]["alertname"], a["labels"]["project"]): a["status"]["state"]
                for a in told
            }

        def judged() -> dict[tuple[str, str], str]:
            found = states()
            ready = len(found) == len(sent) and "unprocessed" not in found.values()
            # What mutes is taken in apart from what it mutes, and may come a moment later.
            return found if ready and "suppressed" in found.values() else {}

        muted = {key for key, state in eventually(judged).items() if state == "suppressed"}
    of_rooms = {rule.name for rule in rules_of(ALERTS) if rule.labels.get("scope") == "rooms"}
    assert len(of_rooms) >= 5
    assert muted == {(name, "eu") for name in of_rooms}
