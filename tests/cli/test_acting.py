"""`pause`, `resume`, `delete` and `audit`, as an operator uses them."""

import pytest

from tests.cli.program import Terminal, eventually, get, sample

QUICK = """
mode = "%s"
[[policies]]
name = "quick"
grace = "1s"
allow_short_grace = true
respect_room_timeouts = false
"""


def lines(program, *more):
    """The audit as JSON."""
    return program("audit", "--json", *more).json


def test_a_pause_holds_is_told_and_is_taken_back(program, server):
    server.call("call-1", person=False)
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        paused = program("pause", "--reason", "deploying")
        assert (paused.code, paused.out) == (0, "default: paused\n")
        assert program("pause").out == "default: paused (it was already)\n"
        labels = {"project": "default", "gate": "paused"}
        daemon.eventually(lambda: sample(f"{url}/metrics", "gate_holding", **labels) == 1)
        assert program("resume", "default").out == "default: resumed\n"
        assert program("resume").out == "default: was not paused\n"
        daemon.eventually(lambda: sample(f"{url}/metrics", "gate_holding", **labels) == 0)
    said = [(line["kind"], line["why"]) for line in lines(program)]
    assert said == [("paused", "deploying"), ("resumed", "")]
    assert "deploying" in program("audit").out


def test_the_audit_of_nothing_says_so(program, server):
    assert program("db", "upgrade").code == 0
    assert program("audit").out == "The audit has no such line.\n"
    assert lines(program) == []


@pytest.mark.parametrize("command", [("pause",), ("resume",), ("audit",)])
def test_without_a_database_the_cure_is_said(program, command):
    result = program(*command)
    assert result.code == 1
    assert "start `livekit-watchdog run` first" in result.err
    assert result.err.count("\n") == 1


def test_a_project_that_is_none_is_a_mistake(program):
    result = program("pause", "prod")
    assert result.code == 2
    assert "'prod' is no configured project; they are: default" in result.err


def test_delete_wants_a_reason_or_somebody_to_ask(program, server):
    server.call("call-1", person=False)
    result = program("delete", "default/call-1", "--yes")
    assert (result.code, result.out) == (2, "")
    assert "--yes needs --reason" in result.err
    result = program("delete", "default/call-1")
    assert result.code == 2
    assert "nobody to ask" in result.err


def test_delete_refuses_a_room_with_a_person_and_one_that_is_not_there(program, server):
    server.call("busy")
    result = program("delete", "busy", "--yes", "--reason", "no")
    assert result.code == 1
    assert "room 'busy' is attended: 1 person" in result.err
    result = program("delete", "default/nowhere", "--yes", "--reason", "no")
    assert result.code == 1
    assert "lists no room 'nowhere'" in result.err
    assert server.asked("DeleteRoom") == 0


def test_delete_with_another_name_typed_does_nothing(program, server):
    server.call("call-1", person=False)
    terminal = Terminal(program, "delete", "default/call-1")
    try:
        terminal.read_until("Type the room's name")
        terminal.type("call-2\n")
        assert terminal.read_to_end() == 1
        assert "nothing was done" in terminal.text
    finally:
        terminal.close()
    assert server.asked("DeleteRoom") == 0


@pytest.mark.slow
def test_delete_asks_the_running_daemon_and_waits_for_what_becomes_of_it(program, server):
    server.call("call-1", person=False)
    server.call("busy")
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        terminal = Terminal(program, "delete", "default/call-1", columns=120)
        try:
            terminal.read_until("Type the room's name")
            terminal.type("call-1\n")
            code = terminal.read_to_end()
        finally:
            terminal.close()
        assert code == 0, terminal.text
        assert "The running daemon is asked." in terminal.text
        assert "deleted: two lists no longer name the room" in terminal.text
        attempts = {"project": "default", "policy": "by_hand", "outcome": "deleted"}
        daemon.eventually(
            lambda: sample(f"{url}/metrics", "deletion_attempts_total", **attempts) == 1
        )
    assert server.asked("DeleteRoom") == 1
    kinds = [line["kind"] for line in lines(program, "--room", "call-1")]
    assert kinds == ["requested", "intent", "answer", "outcome"]


@pytest.mark.slow
def test_delete_does_it_itself_where_no_daemon_runs_and_nothing_else(program, server):
    (program.directory / "watchdog.toml").write_text(QUICK % "enforce")
    server.call("call-1", person=False)
    server.call("call-2", person=False)
    result = program("delete", "call-1", "--yes", "--reason", "a test", "--json")
    assert result.code == 0, result.all
    assert (result.json["outcome"], result.json["why"]) == (
        "deleted",
        "two lists no longer name the room",
    )
    assert server.asked("DeleteRoom") == 1
    assert {line["room_name"] for line in lines(program)} == {"call-1"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_enforce_deletes_by_itself_and_explain_says_why_it_waited(program, server):
    (program.directory / "watchdog.toml").write_text(QUICK % "enforce")
    server.call("call-1", person=False)
    server.call("busy")
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        daemon.eventually(lambda: daemon.logged("episode due"))
        gates = {
            gate["gate"]: gate["passes"]
            for gate in program("explain", "call-1", "--json").json["episodes"][0]["gates"]
        }
        assert [gate for gate, passes in gates.items() if not passes] == ["warmed_up", "armed"]
        assert "held by warmed_up" in program("rooms").out
        eventually(lambda: server.asked("DeleteRoom") == 1, within=150)
        daemon.eventually(lambda: daemon.logged("episode closed"))
        [closed] = daemon.logged("episode closed")
        assert closed["reason"] == "deleted"
    assert server.asked("DeleteRoom") == 1
