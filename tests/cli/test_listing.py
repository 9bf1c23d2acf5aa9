"""`allow` and `protect`, as an operator uses them."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.program import get


@pytest.fixture
def prepared(program):
    """The program with a database, and globs of its own on both lists."""
    (program.directory / "watchdog.toml").write_text(
        '[protect]\nrooms = ["prod-demo-*"]\n[allowlist]\nrooms = ["test-*"]\n'
    )
    assert program("db", "upgrade").code == 0
    return program


def listed(program, name: str, *more: str) -> list[dict]:
    return program(name, "list", "--json", *more).json


def patterns(program, name: str, *more: str) -> list[tuple[str, str]]:
    return [(line["pattern"], line["standing"]) for line in listed(program, name, *more)]


def test_what_is_added_is_listed_beside_what_is_configured_with_its_origin(prepared):
    before = datetime.now(UTC)
    added = prepared("protect", "add", "call-*", "--for", "2h", "--reason", "load test")
    assert added.code == 0, added.err
    assert re.fullmatch(
        r"'call-\*' of every project is on the protect list until .*UTC\n", added.out
    )
    configured, stored = listed(prepared, "protect")
    assert (configured["pattern"], configured["origin"]) == ("prod-demo-*", "config")
    assert (stored["origin"], stored["reason"], stored["project"]) == ("stored", "load test", None)
    assert stored["actor"]
    lasts = datetime.fromisoformat(stored["until"]) - before
    assert timedelta(hours=2) <= lasts + timedelta(seconds=1) <= timedelta(hours=2, minutes=2)
    text = prepared("protect", "list").out
    for part in ("prod-demo-*", "config", "call-*", "stored", "load test", stored["id"]):
        assert part in text
    assert patterns(prepared, "allow") == [("test-*", "in force")]
    [line] = prepared("audit", "--json").json
    assert (line["kind"], line["details"]["pattern"]) == ("listed", "call-*")


def test_what_is_removed_is_told_only_to_who_asks_for_all(prepared):
    prepared("allow", "add", "call-*", "--project", "default")
    prepared("allow", "add", "other")
    [_, first, second] = listed(prepared, "allow")
    removed = prepared("allow", "remove", "call-*", "--reason", "enough")
    assert removed.out == (
        f"'call-*' of project default is no longer on the deletion allow-list ({first['id']})\n"
    )
    assert prepared("allow", "remove", second["id"]).code == 0
    assert patterns(prepared, "allow") == [("test-*", "in force")]
    assert patterns(prepared, "allow", "--all")[1:] == [("call-*", "removed"), ("other", "removed")]
    assert "removed" in prepared("allow", "list", "--all").out
    kinds = [line["kind"] for line in prepared("audit", "--json").json]
    assert kinds == ["listed", "listed", "unlisted", "unlisted"]
    assert "enough" in prepared("audit").out


def test_what_has_expired_is_not_shown_as_in_force(prepared):
    prepared("protect", "add", "call-*", "--for", "1ms")
    assert patterns(prepared, "protect") == [("prod-demo-*", "in force")]
    assert patterns(prepared, "protect", "--all")[1:] == [("call-*", "expired")]
    assert prepared("protect", "remove", "call-*").code == 1


def test_a_newer_entry_takes_the_place_of_the_older(prepared):
    prepared("protect", "add", "call-*", "--reason", "the first")
    again = prepared("protect", "add", "call-*", "--for", "1h")
    assert "It takes the place of protect_" in again.out
    assert "the first" in again.out
    assert [standing for _, standing in patterns(prepared, "protect", "--all")[1:]] == [
        "removed",
        "in force",
    ]


def test_a_name_with_signs_of_a_glob_can_be_meant_exactly(prepared):
    assert prepared("allow", "add", "--exact", "*").code == 0
    assert prepared("protect", "add", "--exact", "a[1]").code == 0
    assert patterns(prepared, "allow")[1:] == [("[*]", "in force")]
    assert patterns(prepared, "protect")[1:] == [("a[[]1]", "in force")]
    assert prepared("protect", "remove", "--exact", "a[1]").code == 0


BAD = [
    (("allow", "add", "*"), "'*' would allow every room"),
    (("allow", "add", "[!x]*"), "'[!x]*' would allow every room"),
    (("allow", "add", " "), "' ' would allow every room"),
    (("protect", "add", ""), "'' is an empty glob and matches no name"),
    (("protect", "add", "--exact", ""), "'' is an empty glob"),
    (("protect", "add", "r", "--for", "soon"), "--for: 'soon' is no duration; write "),
    (("protect", "add", "r", "--for", "0s"), "--for: '0s' is no time at all"),
    (("protect", "add", "r", "--project", "prod"), "'prod' is no configured project"),
    (("protect", "add", b"r\xff"), "has characters that no room's name can have"),
]


def test_what_cannot_be_added_is_said_in_one_sentence(prepared):
    for arguments, sentence in BAD:
        result = prepared(*arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert sentence in result.err
        assert result.err.count("\n") == 1
    assert prepared("audit", "--json").json == []


def test_to_remove_what_is_not_there_fails(prepared):
    result = prepared("allow", "remove", "nothing")
    assert (result.code, result.out) == (1, "")
    assert "has the pattern or id 'nothing'" in result.err
    prepared("allow", "add", "call-*")
    result = prepared("allow", "remove", "call-*", "--project", "default")
    assert result.code == 1
    assert "no entry of project default" in result.err


def test_what_is_configured_is_not_removed_by_command(prepared):
    result = prepared("protect", "remove", "prod-demo-*")
    assert result.code == 1
    assert "is on the protect list by the configuration" in result.err


def test_an_empty_list_says_so(program):
    assert program("db", "upgrade").code == 0
    assert program("protect", "list").out == "Nothing is on the protect list.\n"
    assert program("allow", "list", "--json").json == []


@pytest.mark.parametrize("command", [("add", "x"), ("list",), ("remove", "x")])
def test_without_a_database_the_cure_is_said(program, command):
    result = program("protect", *command)
    assert result.code == 1
    assert "start `livekit-watchdog run` first" in result.err


def test_beside_a_running_daemon_explain_and_rooms_say_what_protects(program, server):
    server.call("call-1", person=False)
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        daemon.eventually(lambda: program("rooms", "--json").json["rooms"])

        def protected() -> list[tuple[bool, str]]:
            [episode] = program("explain", "call-1", "--json").json["episodes"]
            [room] = program("rooms", "--json").json["rooms"]
            gates = [*episode["gates"], *room["gates"]]
            return [(g["passes"], g["why"]) for g in gates if g["gate"] == "protected"]

        assert {passes for passes, _ in protected()} == {True}
        assert program("protect", "add", "call-*", "--reason", "load test").code == 0
        [(passes, why)] = set(protected())
        assert passes is False
        assert re.fullmatch(r"'call-\*' is on the protect list \(added by \S+: load test\)", why), (
            why
        )
        assert program("protect", "remove", "call-*").code == 0
        assert {passes for passes, _ in protected()} == {True}
