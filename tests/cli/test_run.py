"""`run`: it starts, tells the truth, survives what happens to it, and ends when it is told to."""

import signal

import pytest

from tests.cli.program import (
    LONG,
    Program,
    closed_port,
    eventually,
    get,
    sample,
    silent_server,
)

VERDICTS = ("attended", "orphaned", "empty", "unknown")


def is_ready(url):
    return get(f"{url}/readyz").status == 200


def numbers(url):
    """The rooms by verdict as exported."""
    return {v: sample(f"{url}/metrics", "rooms", project="default", verdict=v) for v in VERDICTS}


def test_it_exports_the_world_as_it_is(program, server):
    for i in range(3):
        server.call(f"attended-{i}")
    for i in range(2):
        server.call(f"orphaned-{i}", person=False)
    server.do(lambda world: world.create_room("empty", empty_timeout=LONG, departure_timeout=LONG))
    with program.with_(WATCHDOG_PRICES__PROFILE="cloud-hosted").started("run") as daemon:
        url = daemon.url()
        expected = {"attended": 3, "orphaned": 2, "empty": 1, "unknown": 0}
        daemon.eventually(lambda: numbers(url) == expected)
        assert is_ready(url)
        metrics = f"{url}/metrics"
        labels = {"project": "default", "agent_name": "support"}
        assert sample(metrics, "orphaned_agents", **labels) == 2
        assert sample(metrics, "mode_info", project="default", mode="observe") == 1

        server.leave("attended-0")
        expected = {"attended": 2, "orphaned": 3, "empty": 1, "unknown": 0}
        daemon.eventually(lambda: numbers(url) == expected)
        server.do(lambda world: world.join("orphaned-0", "bob"))
        expected = {"attended": 3, "orphaned": 2, "empty": 1, "unknown": 0}
        daemon.eventually(lambda: numbers(url) == expected)
        daemon.eventually(lambda: (sample(metrics, "spend_high_usd_total", **labels) or 0) > 0)
    assert server.asked("DeleteRoom") == 0


def test_each_change_is_one_line_of_the_log(program, server):
    server.call("call-1")
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: numbers(url)["attended"] == 1)
        server.leave("call-1")
        opened = daemon.eventually(lambda: daemon.logged("episode opened"))
        server.do(lambda world: world.join("call-1", "bob"))
        closed = daemon.eventually(lambda: daemon.logged("episode closed"))
        daemon.stop()
        assert (opened[0]["room"], opened[0]["agents"]) == ("call-1", ["support"])
        assert opened[0]["why"] == "1 agent, no person"
        assert (closed[0]["episode"], closed[0]["reason"]) == (
            opened[0]["episode"],
            "person_returned",
        )
        assert [line["event"] for line in daemon.events] == [
            "watching",
            "episode opened",
            "episode closed",
            "stopped",
        ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_ends_it_cleanly_and_in_time(program, server, number):
    server.call("call-1", person=False)
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: is_ready(url))
        ended = daemon.stop(number)
    assert ended.code == 0
    assert daemon.logged("stopped")
    assert "Traceback" not in ended.all
    # Whatever it knew is on disk, and the database is free again.
    assert program("rooms", "--json").json["rooms"][0]["episode"]["room_name"] == "call-1"
    assert program("db", "upgrade").code == 0


@pytest.mark.trap("T01")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_t01_a_signal_ends_it_in_time_while_a_tick_hangs(program, number):
    with silent_server() as url, program.with_(LIVEKIT_URL=url).started("run") as daemon:
        daemon.url()
        ended = daemon.stop(number)
    assert ended.code == 0
    assert "Traceback" not in ended.all
    assert [line["event"] for line in daemon.events] == [
        "watching",
        "tick cut off by the stop",
        "stopped",
    ]


@pytest.mark.trap("T01")
def test_t01_a_server_that_never_answers_is_a_failed_tick_and_the_loop_goes_on(program):
    with silent_server() as server, program.with_(LIVEKIT_URL=server).started("run") as daemon:
        url = daemon.url()
        failed = daemon.eventually(lambda: daemon.logged("project not observed"))
        assert "ListRooms: no answer within 10 s" in failed[0]["error"]
        page = get(f"{url}/readyz")
        assert page.status == 503
        assert "no answer within 10 s" in page.json["projects"]["default"]["error"]


def test_a_second_run_on_the_same_database_is_refused(program):
    with program.started("run") as daemon:
        daemon.url()
        second = program("run")
        assert second.code == 1
        assert second.err == (
            f"livekit-watchdog: another livekit-watchdog run (pid {daemon.process.pid}) uses "
            f"{program.directory / 'watchdog.db'}; stop it or give this one its own database\n"
        )
        assert daemon.process.poll() is None
        assert daemon.stop().code == 0


def test_a_server_that_is_down_at_first_is_waited_for(program, server):
    server.call("call-1", person=False)
    server.stop()
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: daemon.logged("project not observed"))
        page = get(f"{url}/readyz")
        assert page.status == 503
        assert "cannot reach the server" in page.json["projects"]["default"]["error"]
        assert get(f"{url}/healthz").status == 200
        assert numbers(url)["attended"] is None

        server.start()
        daemon.eventually(lambda: is_ready(url))
        daemon.eventually(lambda: daemon.logged("project observed again"))
        daemon.eventually(lambda: numbers(url)["orphaned"] == 1)
        assert get(f"{url}/healthz").status == 200
        assert len(daemon.logged("project not observed")) == 1


def test_readiness_is_lost_when_the_server_goes_and_comes_back_with_it(program, server):
    server.call("call-1", person=False)
    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: numbers(url)["orphaned"] == 1)
        server.stop()
        daemon.eventually(lambda: not is_ready(url))
        # What was last known stays: a server that does not answer has not ended an episode.
        assert len(get(f"{url}/api/v1/rooms").json) == 1
        server.start()
        daemon.eventually(lambda: is_ready(url))
    assert not daemon.logged("episode closed")


@pytest.mark.trap("T32")
def test_t32_a_rejected_key_is_said_and_not_asked_about_in_a_hot_loop(program, server):
    with program.with_(LIVEKIT_API_SECRET="x" * 40).started("run") as daemon:
        url = daemon.url()
        failed = daemon.eventually(lambda: daemon.logged("project not observed"))
        assert "the key or secret is not valid for this project" in failed[0]["error"]
        metrics = f"{url}/metrics"
        backing_off = {"project": "default", "result": "backing_off"}
        daemon.eventually(lambda: (sample(metrics, "ticks_total", **backing_off) or 0) >= 3)
        failures = sample(metrics, "ticks_total", project="default", result="failed")
        assert failures is not None
        # A tick that backs off asks nothing: only those that failed did (one may be on its way).
        assert server.asked("ListRooms") <= failures + 1
        assert get(f"{url}/readyz").status == 503
        assert get(f"{url}/healthz").status == 200
    assert "x" * 40 not in daemon.err


@pytest.mark.trap("T37")
def test_t37_a_killed_run_is_taken_up_where_it_was(program: Program, server):
    for i in range(3):
        server.call(f"call-{i}", person=False)

    def stored():
        return {r["episode"]["id"]: r["episode"] for r in program("rooms", "--json").json["rooms"]}

    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: numbers(url)["orphaned"] == 3)
        daemon.kill()
    before = stored()
    assert len(before) == 3
    spent = program("rooms", "--json").json["projects"]["default"]["spend"]["support"]

    with program.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: numbers(url)["orphaned"] == 3)
        again = {r["episode"]["id"]: r["episode"] for r in get(f"{url}/api/v1/rooms").json}
        labels = {"project": "default", "agent_name": "support"}
        high = sample(f"{url}/metrics", "spend_high_usd_total", **labels)
        assert high is not None
        assert high >= float(spent["high_usd"]) - 1e-9
        assert daemon.stop().code == 0
        assert not daemon.logged("episode opened")
        assert not daemon.logged("episode closed")
    after = stored()
    assert again.keys() == after.keys() == before.keys()
    for old, new in ((before[key], after[key]) for key in before):
        for bound in ("last_attended_at", "first_orphaned_at", "first_gone_at"):
            assert new["bounds"][bound] == old["bounds"][bound]
        assert new["bounds"]["last_seen_orphaned_at"] >= old["bounds"]["last_seen_orphaned_at"]
        assert new["room_sid"] == old["room_sid"]


def test_the_port_of_a_stopped_run_is_free_for_the_next(program):
    fixed = program.with_(WATCHDOG_HTTP__LISTEN=f"127.0.0.1:{closed_port()}")
    for _ in range(2):
        with fixed.started("run") as daemon:
            url = daemon.url()
            daemon.eventually(lambda url=url: is_ready(url))
            assert daemon.stop().code == 0


def test_without_http_it_runs_as_well(program, server):
    server.call("call-1", person=False)
    with program.with_(WATCHDOG_HTTP__LISTEN="off").started("run") as daemon:
        assert daemon.url() == "off"
        daemon.eventually(lambda: daemon.logged("episode opened"))
        assert daemon.stop().code == 0


def test_several_projects_are_watched_and_one_that_is_down_does_not_hold_the_others(
    program, server
):
    server.call("call-1", person=False)
    gone = closed_port()
    text = "".join(
        f'[[projects]]\nname = "{name}"\nurl = "{url}"\napi_key = "devkey"\n'
        f'api_secret = "{server.variables["LIVEKIT_API_SECRET"]}"\n'
        for name, url in (("good", server.url), ("gone", f"http://127.0.0.1:{gone}"))
    )
    (program.directory / "watchdog.toml").write_text(text)
    with program.started("run") as daemon:
        url = daemon.url()
        eventually(
            lambda: sample(f"{url}/metrics", "rooms", project="good", verdict="orphaned") == 1
        )
        page = eventually(
            lambda: (p := get(f"{url}/readyz")).json["projects"]["gone"]["error"] and p
        )
        assert page.status == 503
        assert page.json["projects"]["good"]["ready"] is True
        assert page.json["projects"]["gone"]["ready"] is False
        assert daemon.stop().code == 0
