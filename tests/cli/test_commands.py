"""The commands that ask something and end."""

import json
import re
import signal
from importlib.metadata import version

import pytest

from tests.cli.program import SECRET, Program, closed_port, eventually, get, silent_server

COMMANDS = (
    (),
    ("run",),
    ("once",),
    ("demo",),
    ("simulate",),
    ("check-config",),
    ("rooms",),
    ("notify-test",),
    ("replay",),
    ("report",),
    ("explain",),
    ("audit",),
    ("pause",),
    ("resume",),
    ("release",),
    ("delete",),
    ("replay",),
    *(
        (name, *command)
        for name in ("allow", "protect")
        for command in ((), ("add",), ("list",), ("remove",))
    ),
    ("prices",),
    ("prices", "check"),
    ("db",),
    ("db", "upgrade"),
    ("db", "current"),
)


# ---- help and version ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "(none)")
def test_every_command_explains_itself(bare, command):
    result = bare(*command, "--help")
    assert result.code == 0
    assert result.err == ""
    assert result.out.startswith(f"Usage: {' '.join(('livekit-watchdog', *command))} ")
    assert "--help" in result.out
    assert not list(bare.directory.iterdir())


def test_the_list_of_commands_is_complete(bare):
    listed = re.findall(
        r"^  ([a-z-]+)  ", bare("--help").out.partition("Commands:")[2], re.MULTILINE
    )
    assert sorted(listed) == sorted({c[0] for c in COMMANDS if c})


def test_it_tells_its_version(bare):
    result = bare.in_a_new_interpreter("--version")
    assert (result.code, result.out) == (0, version("livekit-agent-watchdog") + "\n")


# ---- once ------------------------------------------------------------------------------------------


def test_once_counts_the_rooms_and_shows_the_orphans(program, server):
    server.call("attended")
    server.call("orphaned", person=False)
    result = program.in_a_new_interpreter("once")
    assert result.code == 0
    assert result.err == ""
    assert result.out.startswith(
        "default: 1 attended, 1 orphaned, 0 empty, 0 unknown rooms (3 requests)\n"
    )
    assert re.search(
        r"^default +orphaned +support +0s .*1 agent, no person *$", result.out, re.MULTILINE
    )
    assert server.asked("DeleteRoom") == 0


def test_once_as_json_is_nothing_but_json(program, server):
    server.call("attended")
    sid = server.call("orphaned", person=False)
    result = program("once", "--json")
    assert (result.code, result.err) == (0, "")
    [report] = result.json
    assert report["project"] == "default"
    assert report["result"] == "ok"
    assert report["rooms"] == {"attended": 1, "orphaned": 1, "empty": 0, "unknown": 0}
    [orphan] = report["orphans"]
    assert orphan["episode"]["room_name"] == "orphaned"
    assert orphan["episode"]["room_sid"] == sid
    assert orphan["reason"] == "1 agent, no person"


def test_once_goes_on_with_the_episodes_of_the_last_time(program, server):
    server.call("orphaned", person=False)
    first, second = (program("once", "--json").json[0]["orphans"][0]["episode"] for _ in "12")
    assert first["id"] == second["id"]
    assert first["bounds"]["first_orphaned_at"] == second["bounds"]["first_orphaned_at"]


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["text", "json"])
def test_once_fails_where_the_server_is_down(program, json_too):
    down = program.with_(LIVEKIT_URL=f"http://127.0.0.1:{closed_port()}")
    result = down("once", *json_too)
    assert result.code == 1
    assert result.all.count("cannot reach the server") == 1
    assert "check the URL, DNS and firewall, and that the server runs" in result.all
    if json_too:
        assert result.json[0]["result"] == "failed"
        assert result.err == ""
    else:
        assert result.err.startswith("default: ListRooms: ")
        assert result.out == ""


@pytest.mark.trap("T33")
@pytest.mark.parametrize("command", ["once", "check-config --probe"])
def test_t33_an_ambient_token_does_not_win_over_key_and_secret(program, server, command):
    server.call("orphaned", person=False)
    result = program.with_(LIVEKIT_TOKEN="garbage")(*command.split())
    assert (result.code, result.err) == (0, "")
    assert "1 orphaned" in result.out


@pytest.mark.filterwarnings("ignore:The HMAC key")
def test_a_short_secret_is_no_occasion_for_a_warning(program, server):
    server.simulator.keys["devkey"] = "secret"  # that of `livekit-server --dev`
    result = program.with_(LIVEKIT_API_SECRET="secret")("once")
    assert (result.code, result.err) == (0, "")


def test_a_signal_ends_once_while_the_server_is_silent(program):
    with silent_server() as url, program.with_(LIVEKIT_URL=url).started("once") as running:
        eventually((program.directory / "watchdog.db").exists)
        running.stop(signal.SIGINT)
    assert "Traceback" not in running.err


# ---- check-config ----------------------------------------------------------------------------------


def test_check_config_says_what_the_configuration_means(bare):
    (bare.directory / "watchdog.toml").write_text(
        f"""
        poll_interval = "30s"
        [http]
        listen = "off"
        [prices]
        plan = "scale"
        [[projects]]
        name = "eu"
        url = "wss://eu.livekit.cloud"
        api_key = "APIabc"
        api_secret = "{SECRET}"
        [[projects]]
        name = "lab"
        url = "http://127.0.0.1:7880"
        api_key = "devkey"
        api_secret = "{SECRET}"
        """
    )
    result = bare("check-config")
    assert (result.code, result.err) == (0, "")
    for part in (
        "configuration  watchdog.toml: good",
        "poll           every 30s",
        "http           off",
        (
            "project        eu at wss://eu.livekit.cloud\n"
            "  mode         observe: nothing is ever deleted\n"
            "  prices       profile self-hosted-on-cloud, plan scale"
        ),
        (
            "project        lab at http://127.0.0.1:7880\n"
            "  mode         observe: nothing is ever deleted\n"
            "  prices       profile self-hosted-everything, plan scale"
        ),
    ):
        assert part in result.out
    assert SECRET not in result.all

    as_json = bare("check-config", "--json")
    assert (as_json.code, as_json.err) == (0, "")
    assert [p["name"] for p in as_json.json["projects"]] == ["eu", "lab"]
    assert as_json.json["projects"][0]["probe"] is None
    assert SECRET not in as_json.all
    assert not (bare.directory / "watchdog.db").exists()


def test_a_good_probe(program, server):
    server.call("attended")
    server.call("orphaned", person=False)
    result = program("check-config", "--probe")
    assert (result.code, result.err) == (0, "")
    assert "the key is good; 2 rooms are listed" in result.out
    assert "looked at    2 rooms: 1 attended, 1 orphaned, 0 empty, 0 unknown" in result.out
    assert "orphaned now: orphaned" in result.out
    assert "NTP" not in result.out
    probe = program("check-config", "--probe", "--json").json["projects"][0]["probe"]
    assert probe["ok"] is True
    assert probe["orphaned"] == ["orphaned"]
    assert abs(probe["clock_skew_seconds"]) < 5
    assert (probe["count_excludes_agents"], probe["count_includes_agents"]) == (2, 0)


def test_a_probe_with_a_bad_key(program):
    wrong = "another-secret-of-more-than-thirty-two-characters"
    result = program.with_(LIVEKIT_API_SECRET=wrong)("check-config", "--probe")
    assert result.code == 1
    assert "probe        FAILED: ListRooms: the server answered 401" in result.out
    assert "the key or secret is not valid for this project" in result.out
    assert wrong not in result.all


def test_a_probe_of_a_server_that_is_down(program):
    down = program.with_(LIVEKIT_URL=f"http://127.0.0.1:{closed_port()}")
    result = down("check-config", "--probe")
    assert result.code == 1
    assert "probe        FAILED: ListRooms: cannot reach the server" in result.out
    as_json = down("check-config", "--probe", "--json")
    assert as_json.code == 1
    assert as_json.json["projects"][0]["probe"]["ok"] is False


@pytest.mark.trap("T36")
@pytest.mark.parametrize("hours", [1, -1])
def test_t36_a_probe_says_that_the_clocks_disagree(program, server, hours):
    server.skew(3600 * hours)
    result = program("check-config", "--probe")
    assert result.code == 0
    told = re.search(r"the server is ([+-]\d+\.\d) s from this machine - set one", result.out)
    assert told is not None
    assert abs(float(told[1]) - 3600 * hours) < 5


# ---- rooms and explain -----------------------------------------------------------------------------


def test_rooms_works_beside_a_running_daemon(program, server):
    server.call("attended")
    server.call("orphaned", person=False)
    with program.started("run") as daemon:
        eventually(lambda: daemon.logged("episode opened"))
        result = program("rooms")
        as_json = program("rooms", "--json")
        over_http = get(f"{daemon.url()}/api/v1/rooms").json
    assert (result.code, result.err) == (0, "")
    assert re.match(
        r"default: 1 attended, 1 orphaned, 0 empty, 0 unknown; last tick \d+s ago: ok\n", result.out
    )
    assert re.search(r"^default +orphaned +support +\d+s ", result.out, re.MULTILINE)
    [row] = as_json.json["rooms"]
    assert row["episode"]["id"] == over_http[0]["episode"]["id"]
    assert row.keys() == over_http[0].keys()
    assert as_json.json["projects"]["default"]["rooms"] == {"attended": 1, "orphaned": 1}


def test_rooms_says_so_where_there_are_none(program, server):
    server.call("attended")
    program("once")
    result = program("rooms")
    assert result.code == 0
    assert result.out.endswith("No orphaned rooms.\n")


def test_a_long_name_is_whole_in_a_pipe(program, server):
    name = "call-" + "x" * 120
    server.call(name, person=False)
    assert name in program("once").out
    assert name in program("rooms").out
    assert name in program("explain", f"default/{name}").out


def test_explain_an_attended_room(program, server):
    server.call("call-1")
    result = program("explain", "default/call-1")
    assert (result.code, result.err) == (0, "")
    for part in (
        "verdict now       attended",
        "1 person",
        "alice",
        "server closes it  never while a person is there",
    ):
        assert part in result.out
    assert "No history: there is no database" in result.out
    assert "never seen orphaned" not in result.out


def test_explain_an_orphaned_room_with_its_episode(program, server):
    sid = server.call("call-1", person=False)
    episode = program("once", "--json").json[0]["orphans"][0]["episode"]
    result = program("explain", "default/call-1")
    assert (result.code, result.err) == (0, "")
    for part in (f"call-1 ({sid})", "verdict now       orphaned", "1 agent, no person"):
        assert part in result.out
    for part in (episode["id"], episode["bounds"]["first_orphaned_at"], "open", "not over"):
        assert part in result.out
    as_json = program("explain", "default/call-1", "--json")
    assert (as_json.code, as_json.err) == (0, "")
    assert as_json.json["now"]["verdict"] == "orphaned"
    assert as_json.json["now"]["room_sid"] == sid
    assert [p["role"] for p in as_json.json["now"]["participants"]] == ["agent"]
    assert [e["id"] for e in as_json.json["episodes"]] == [episode["id"]]
    assert (as_json.json["error"], as_json.json["history_error"]) == (None, None)


def test_explain_a_room_that_is_no_more_shows_its_history(program, server):
    server.call("call-1", person=False)
    episode = program("once", "--json").json[0]["orphans"][0]["episode"]
    server.do(lambda world: world.close_room("call-1"))
    result = program("explain", "default/call-1")
    assert result.code == 0
    assert 'The server of project default lists no room "call-1".' in result.out
    assert episode["id"] in result.out
    by_sid = program("explain", f"default/{episode['room_sid']}", "--json")
    assert [e["id"] for e in by_sid.json["episodes"]] == [episode["id"]]


def test_explain_a_room_that_never_was(program):
    program("once")
    result = program("explain", "default/nothing-here")
    assert 'The server of project default lists no room "nothing-here".' in result.out
    assert "No episode of this room is stored" in result.out
    assert program("explain", "default/nothing-here", "--json").json["now"] is None


@pytest.mark.parametrize("name", ["a/b/c", "/", "default/default", "tab\there", "--json"])
def test_explain_finds_rooms_by_any_name(program, server, name):
    server.call(name, person=False)
    result = program("explain", "--json", "--", f"default/{name}")
    assert result.code == 0, result.all
    assert result.json["now"]["room_name"] == name


def test_explain_needs_no_project_where_there_is_one(program, server):
    server.call("call-1")
    assert program("explain", "call-1", "--json").json["now"]["room_name"] == "call-1"


@pytest.mark.trap("T31")
def test_t31_a_sid_given_by_a_person_is_resolved_to_its_name_first(program, server):
    sid = server.call("call-1", person=False)
    server.call("call-2")
    episode = program("once", "--json").json[0]["orphans"][0]["episode"]
    found = program("explain", f"default/{sid}", "--json")
    assert found.code == 0
    assert (found.json["now"]["room_name"], found.json["now"]["room_sid"]) == ("call-1", sid)
    assert found.json["now"]["verdict"] == "orphaned"
    assert [e["id"] for e in found.json["episodes"]] == [episode["id"]]
    asked = server.do(
        lambda _: {r.room for r in server.simulator.log if r.method == "ListParticipants"}
    )
    assert sid not in asked


@pytest.mark.trap("T31")
def test_t31_a_room_whose_name_looks_like_a_sid_is_that_room(program, server):
    other = server.call("call-1")
    server.call(other, person=False)
    found = program("explain", f"default/{other}", "--json").json["now"]
    assert (found["room_name"], found["verdict"]) == (other, "orphaned")


def test_explain_tells_the_history_even_where_the_server_is_down(program, server):
    server.call("call-1", person=False)
    program("once")
    server.stop()
    result = program("explain", "default/call-1")
    assert result.code == 0
    assert "The server could not be asked: ListRooms: cannot reach the server" in result.out
    assert "spend (estimate)" in result.out
    nothing = program("explain", "default/call-2")
    assert nothing.code == 1
    as_json = program("explain", "default/call-2", "--json")
    assert as_json.code == 1
    assert "cannot reach the server" in as_json.json["error"]


@pytest.mark.trap("T45")
def test_t45_no_room_name_steers_the_terminal(program, server):
    name = "\x1b[2J\x07call\u202e\n[bold]x"
    server.call(name, person=False)
    for command in (("once",), ("rooms",), ("explain", f"default/{name}"), ("once", "--json")):
        result = program(*command)
        assert result.code == 0
        assert all(line.isprintable() for line in result.all.splitlines())


# ---- simulate --------------------------------------------------------------------------------------


def test_simulate_serves_rooms_and_says_how_to_watch_them(bare):
    with bare.started("simulate", "--rooms", "12", "--port", "0") as running:
        running.eventually(lambda: "Ctrl-C ends it." in running.out)
        url, key, secret = (
            re.search(rf"^  export .*\b{name}=(\S+)", running.out, re.MULTILINE)[1]
            for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
        )
        watcher = Program(
            bare.directory, LIVEKIT_URL=url, LIVEKIT_API_KEY=key, LIVEKIT_API_SECRET=secret
        )
        report = watcher("once", "--json").json[0]
        assert report["result"] == "ok"
        assert sum(report["rooms"].values()) >= 12
        ended = running.stop(signal.SIGINT)
    assert (ended.code, ended.err) == (0, "")


# ---- db --------------------------------------------------------------------------------------------


def test_db_creates_and_tells_the_schema(bare):
    before = bare("db", "current")
    assert before.code == 0
    assert before.out.startswith("revision none: there is no database yet; this version needs ")
    assert not list(bare.directory.iterdir())
    first = bare("db", "upgrade")
    assert first.code == 0
    assert first.out.startswith("The database went from nothing to ")
    again = bare("db", "upgrade")
    assert again.code == 0
    assert "already" in again.out
    revision = json.loads(bare("db", "current", "--json").out)
    assert revision["revision"] == revision["needed"]
    assert bare("rooms").code == 0


def test_once_beside_a_run_knows_what_it_knows_and_stores_nothing(program, server):
    server.call("left", person=False)
    with program.started("run") as daemon:
        stored = daemon.eventually(lambda: _stored_rooms(program))
        result = program("once", "--json")
        assert (result.code, result.err) == (0, "")
        [orphan] = result.json[0]["orphans"]
        assert orphan["episode"]["id"] == stored[0]["episode"]["id"]
        assert result.json[0]["rows_written"] == 0


def _stored_rooms(program):
    result = program("rooms", "--json")
    return result.json["rooms"] if result.code == 0 else []
