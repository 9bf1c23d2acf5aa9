"""Two and three real replicas on one Postgres: who has what, who takes over, and the commands beside them."""

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Running, eventually, get, sample, samples
from tests.postgres import PostgresServer
from tests.replicas.processes import LEASE, Farm, a_farm, send

PROJECTS = 4


@pytest.fixture
def farm(postgres_server: PostgresServer, postgres_url: str, tmp_path: Path) -> Iterator[Farm]:
    with a_farm(postgres_server, postgres_url, tmp_path, PROJECTS) as farm:
        yield farm


def divided(farm: Farm, *replicas: Running) -> bool:
    """Whether every project is had, and nobody has more than a share."""
    counts = [len(farm.held_by(replica)) for replica in replicas]
    return sum(counts) == PROJECTS and max(counts) == -(-PROJECTS // len(replicas))


def watched(replica: Running) -> set[str]:
    """The projects that it says it watches."""
    return set(get(f"{replica.url()}/readyz").json["projects"])


def test_replicas_share_the_projects_and_a_killed_ones_are_taken_over_within_two_leases(
    farm: Farm,
) -> None:
    for server in farm.servers.values():
        server.call("orphaned", person=False)
    with farm.program("a").started("run") as one, farm.program("b").started("run") as two:
        eventually(lambda: divided(farm, one, two))
        eventually(lambda: watched(one) == farm.held_by(one) and watched(two) == farm.held_by(two))
        assert not watched(one) & watched(two)
        eventually(lambda: get(f"{two.url()}/readyz").status == 200)
        one.kill()
        killed = time.monotonic()
        eventually(lambda: len(farm.held_by(two)) == PROJECTS)
        took = time.monotonic() - killed
        assert took < 2 * LEASE, took
        eventually(lambda: watched(two) == farm.servers.keys())
        # Each orphan is one episode, whoever has watched it.
        rooms = eventually(lambda: all_orphans(farm))
        assert len(rooms) == PROJECTS
        assert two.stop().code == 0
    assert farm.sql(
        "SELECT count(*) FROM replicas WHERE name LIKE '%:" + str(two.process.pid) + "'"
    ) == [("0",)]


def all_orphans(farm: Farm):
    """The orphaned rooms as a command beside them has it, once it knows all."""
    rooms = farm.program("c")("rooms", "--json").json["rooms"]
    return rooms if len(rooms) == PROJECTS else None


def test_a_replica_that_ends_is_followed_at_once_and_one_with_nothing_is_healthy(
    farm: Farm,
) -> None:
    with farm.program("a").started("run") as one, farm.program("b").started("run") as two:
        eventually(lambda: divided(farm, one, two))
        with farm.program("c").started("run") as three:
            url = three.url()
            assert farm.held_by(three) == set(), "two shares are enough"
            assert [get(f"{url}/{page}").status for page in ("healthz", "readyz")] == [200, 200]
            assert one.stop().code == 0
            left = time.monotonic()
            eventually(lambda: divided(farm, two, three))
            assert time.monotonic() - left < LEASE
            assert not one.logged("lease lost: the project is stopped")
            assert two.stop().code == three.stop().code == 0


def test_a_replica_that_was_stopped_gives_up_what_it_lost(farm: Farm) -> None:
    with farm.program("a").started("run") as one, farm.program("b").started("run") as two:
        eventually(lambda: divided(farm, one, two))
        mine = farm.held_by(one)
        send(one, signal.SIGSTOP)
        eventually(lambda: len(farm.held_by(two)) == PROJECTS)
        send(one, signal.SIGCONT)
        eventually(
            lambda: {e["project"] for e in one.logged("lease lost: the project is stopped")} == mine
        )
        eventually(lambda: divided(farm, one, two))


def test_commands_work_beside_the_replicas(farm: Farm) -> None:
    farm.servers["p00"].call("orphaned", person=False)
    beside = farm.program("c")
    with farm.program("a").started("run") as one, farm.program("b").started("run") as two:
        eventually(lambda: divided(farm, one, two))
        eventually(lambda: beside("rooms", "--json").json["rooms"])
        assert "orphaned" in beside("explain", "p00/orphaned").out
        ticks = farm.sql("SELECT count(*) FROM tick_journal WHERE result = 'ok'")
        once = beside("once", "--json")
        assert (once.code, len(once.json)) == (0, PROJECTS)
        assert len(farm.holders()) == PROJECTS, "it has taken nothing away"
        assert farm.sql("SELECT count(*) FROM replicas") == [("2",)]
        assert ticks
        assert beside("pause", "p00", "--reason", "a test").out == "p00: paused\n"
        [holder] = [r for r in (one, two) if "p00" in farm.held_by(r)]
        labels = {"project": "p00", "gate": "paused"}
        eventually(lambda: sample(f"{holder.url()}/metrics", "gate_holding", **labels) == 1)
        other = two if holder is one else one
        shown = samples(f"{other.url()}/metrics")
        assert not [key for key in shown if ("project", "p00") in key[1]], "it is not its to tell"


def test_a_webhook_that_comes_to_the_wrong_replica_is_to_be_sent_again(farm: Farm) -> None:
    with farm.program("a").started("run") as one, farm.program("b").started("run") as two:
        eventually(lambda: divided(farm, one, two))
        eventually(lambda: watched(one) == farm.held_by(one) and watched(two) == farm.held_by(two))
        theirs = min(farm.held_by(two))
        status, text = post(f"{one.url()}/webhooks/livekit/{theirs}")
        assert (status, text) == (503, "elsewhere\n")
        assert post(f"{two.url()}/webhooks/livekit/{theirs}")[0] == 401
        assert post(f"{one.url()}/webhooks/livekit/nothing")[0] == 404


def post(url: str) -> tuple[int, str]:
    """Send something that is no webhook; the answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, b"{}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_delete_asks_the_replica_that_has_the_project_and_does_it_itself_where_none_runs(
    farm: Farm,
) -> None:
    for name in ("p00", "p01"):
        farm.servers[name].call("mine", person=False)
    config = farm.config.replace('mode = "enforce"', 'mode = "observe"')
    beside = farm.program("c", config)
    by_hand = ("--yes", "--reason", "a test")
    with farm.program("a", config).started("run") as one:
        eventually(lambda: len(farm.held_by(one)) == PROJECTS)
        done = beside("delete", "p00/mine", *by_hand)
        assert done.code == 0, done.all
        assert "The running daemon is asked." in done.out
        assert one.stop().code == 0
    done = beside("delete", "p01/mine", *by_hand)
    assert done.code == 0, done.all
    assert "No daemon runs on this database: it is done here." in done.out
    assert [farm.servers[name].asked("DeleteRoom") for name in ("p00", "p01")] == [1, 1]
    assert farm.holders() == {}


def test_a_reload_takes_up_and_gives_back_projects(farm: Farm) -> None:
    parts = farm.config.split("[[projects]]")
    fewer, others = "[[projects]]".join(parts[:-1]), "[[projects]]".join((parts[0], *parts[2:]))
    program = farm.program("a", fewer)
    with program.started("run") as one:
        eventually(lambda: watched(one) == {"p00", "p01", "p02"})
        (program.directory / "watchdog.toml").write_text(others)
        eventually(lambda: watched(one) == {"p01", "p02", "p03"})
        eventually(lambda: farm.held_by(one) == {"p01", "p02", "p03"})
        assert one.stop().code == 0
    assert farm.holders() == {}
