"""From an agent left alone to somebody's pager and back, with the real programs all the way."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.alerts.files import (
    ALERTMANAGER,
    ALERTS,
    ALWAYS_FIRES,
    RECORDING,
    hurried_alertmanager,
    hurried_rules,
)
from tests.alerts.receiver import Receiver, receiving
from tests.cli.program import IN_A_HURRY, Program, Server, simulated_server
from tests.monitoring import running_alertmanager, running_prometheus

DUE = "LiveKitOrphanedRoomsDue"

POLICY = """
mode = "observe"
[[policies]]
name = "quick"
grace = "1s"
allow_short_grace = true
respect_room_timeouts = false
"""

ENDINGS = {
    "the person returns": lambda world: world.join("call-1", "alice"),
    "the room goes": lambda world: world.close_room("call-1"),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with simulated_server() as server:
        yield server


@pytest.fixture
def program(tmp_path: Path, server: Server) -> Program:
    """A watchdog in mode observe whose policy waits a second."""
    (tmp_path / "watchdog.toml").write_text(POLICY)
    return Program(tmp_path, **server.variables, **IN_A_HURRY)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_agent_left_alone_is_told_to_whoever_is_on_call_and_so_is_its_end(
    ending, tmp_path, program, server, record_property
):
    server.call("call-1", person=False)
    server.call("call-2")
    hurried = [hurried_rules(tmp_path), RECORDING]
    with receiving() as receiver, program.started("run") as daemon:
        target = urlsplit(daemon.url()).netloc
        config = hurried_alertmanager(tmp_path, receiver.url)
        with (
            running_alertmanager(tmp_path, config) as alertmanager,
            running_prometheus(
                tmp_path, {"livekit-watchdog": target}, rules=hurried, alertmanager=alertmanager
            ),
        ):
            [fired] = daemon.eventually(lambda: receiver.told("/alerts", DUE, "firing"))
            server.do(ENDINGS[ending])
            [resolved] = daemon.eventually(lambda: receiver.told("/alerts", DUE, "resolved"))
            [beat] = daemon.eventually(lambda: receiver.told("/heartbeat", ALWAYS_FIRES, "firing"))

    labels = {
        "alertname": DUE,
        "job": "livekit-watchdog",
        "instance": target,
        "project": "default",
        "policy": "quick",
        "severity": "warning",
        "scope": "rooms",
    }
    assert fired["labels"] == resolved["labels"] == labels
    assert fired["annotations"] == {
        "summary": "1 rooms of default with agents alone, past the threshold of policy quick",
        "description": "1 rooms of project default are past the threshold of policy quick and not deleted. "
        "The oldest: call-1.",
        "runbook_url": f"docs/runbook.md#{DUE.lower()}",
    }
    assert resolved["endsAt"] > resolved["startsAt"] == fired["startsAt"]
    assert beat["labels"] == {"alertname": ALWAYS_FIRES, "severity": "none"}
    assert_groups(receiver)
    assert server.asked("DeleteRoom") == 0
    record_property("exercised: alerts delivered by a real Alertmanager", delivered(receiver))


def assert_groups(receiver: Receiver) -> None:
    """Each message is about one alert of one project, and the switch goes nowhere but to its own place."""
    for _, message in receiver.messages:
        assert message["groupLabels"].keys() <= {"alertname", "project"}
        assert {a["labels"]["alertname"] for a in message["alerts"]} == {
            message["groupLabels"]["alertname"]
        }
    assert receiver.names("/heartbeat") == {ALWAYS_FIRES}
    assert ALWAYS_FIRES not in receiver.names("/alerts")


def delivered(receiver: Receiver) -> int:
    """How many alerts came, a firing and its end counted apart."""
    return sum(len(message["alerts"]) for _, message in receiver.messages)


def test_the_hurried_copies_differ_from_what_is_shipped_in_durations_alone(tmp_path):
    real = yaml.safe_load(ALERTS.read_text())
    hurried = yaml.safe_load(hurried_rules(tmp_path).read_text())
    rules = [rule for group in hurried["groups"] for rule in group["rules"]]
    assert {rule["for"] for rule in rules if "for" in rule} == {"1s"}
    for document in (real, hurried):
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            rule["for"] = bool(rule.get("for"))
    assert hurried == real

    real = yaml.safe_load(ALERTMANAGER.read_text())
    config = yaml.safe_load(hurried_alertmanager(tmp_path, "http://127.0.0.1:5001").read_text())
    for document in (real, config):
        for route in (document["route"], *document["route"]["routes"]):
            del route["group_wait"], route["group_interval"]
    assert config == real
