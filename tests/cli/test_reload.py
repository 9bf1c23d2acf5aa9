"""A configuration that changes under a running daemon is taken up; a bad one is refused and told."""

import signal
from pathlib import Path

import pytest

from tests.cli.program import KEY, SECRET, Program, get, sample, silent_server

QUICK = """
[http]
listen = "127.0.0.1:0"
[detection]
requests_per_minute = 6000
"""


def table(name: str, url: str, secret: str = f'api_secret = "{SECRET}"', **more: str) -> str:
    extra = "".join(f"{key} = {value}\n" for key, value in more.items())
    return f'[[projects]]\nname = "{name}"\nurl = "{url}"\napi_key = "{KEY}"\n{secret}\n{extra}'


class Configuration:
    """The file that the daemon reads."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "watchdog.toml"

    def write(self, *tables: str, head: str = "") -> None:
        self.path.write_text(f'poll_interval = "1s"\n{head}\n{QUICK}\n' + "\n".join(tables))


def ready(url: str) -> dict[str, bool]:
    return {name: p["ready"] for name, p in get(f"{url}/readyz").json["projects"].items()}


def test_projects_are_added_changed_and_removed_and_the_others_go_on(bare: Program, server) -> None:
    server.call("orphaned-1", person=False)
    file = Configuration(bare.directory)
    file.write(table("stays", server.url), table("goes", server.url))
    with bare.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: ready(url) == {"stays": True, "goes": True})
        before = sample(f"{url}/metrics", "ticks_total", project="stays", result="ok")
        opened = daemon.logged("episode opened")

        file.write(
            table("stays", server.url),
            table("comes", server.url, mode='"enforce"', poll_interval='"2s"'),
        )
        daemon.process.send_signal(signal.SIGHUP)
        (said,) = daemon.eventually(lambda: daemon.logged("configuration reloaded"))
        assert (said["added"], said["changed"], said["removed"]) == (["comes"], [], ["goes"])
        daemon.eventually(lambda: ready(url) == {"stays": True, "comes": True})
        metrics = f"{url}/metrics"
        assert sample(metrics, "mode_info", project="comes", mode="enforce") == 1
        assert sample(metrics, "ticks_total", project="stays", result="ok") >= before
        assert 'project="goes"' not in get(metrics).text, "no series of a project that is gone"
        assert get(f"{url}/webhooks/livekit/goes").status in (404, 405)

        file.write(table("stays", server.url, mode='"allowlist"'), table("comes", server.url))
        daemon.eventually(lambda: len(daemon.logged("configuration reloaded")) == 2)
        assert daemon.logged("configuration reloaded")[1]["changed"] == ["stays", "comes"]
        daemon.eventually(lambda: sample(metrics, "mode_info", project="stays", mode="allowlist"))
        assert sample(metrics, "mode_info", project="stays", mode="observe") is None
        daemon.eventually(lambda: ready(url) == {"stays": True, "comes": True})
        mine = [line for line in daemon.logged("episode opened") if line["project"] == "stays"]
        assert mine == [line for line in opened if line["project"] == "stays"], (
            "begun anew, it knows its episodes from the database"
        )
        assert daemon.stop().code == 0


def test_a_bad_configuration_is_refused_and_the_old_one_stays(bare: Program, server) -> None:
    file = Configuration(bare.directory)
    file.write(table("main", server.url))
    with bare.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: ready(url) == {"main": True})
        metrics = f"{url}/metrics"
        assert sample(metrics, "config_last_reload_successful") == 1
        file.write(table("main", server.url), head='mode = "enfoce"')
        daemon.process.send_signal(signal.SIGHUP)
        event = "the configuration was not reloaded: the one before stays in force"
        (said,) = daemon.eventually(lambda: daemon.logged(event))
        assert "watchdog.toml: mode" in said["why"]
        assert sample(metrics, "config_last_reload_successful") == 0
        assert sample(metrics, "mode_info", project="main", mode="observe") == 1
        ticks = sample(metrics, "ticks_total", project="main", result="ok")
        daemon.eventually(
            lambda: sample(metrics, "ticks_total", project="main", result="ok") > ticks
        )
        # A secret's file that comes later, as a mounted one may, is found without being told.
        secret = bare.directory / "secret"
        file.write(table("main", server.url, f'api_secret_file = "{secret}"', mode='"enforce"'))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.eventually(lambda: len(daemon.logged(event)) >= 2)
        assert str(secret) in daemon.logged(event)[-1]["why"]
        secret.write_text(SECRET)
        daemon.eventually(lambda: sample(metrics, "mode_info", project="main", mode="enforce"))
        daemon.eventually(lambda: sample(metrics, "config_last_reload_successful") == 1)
        assert SECRET not in daemon.err


def test_what_only_a_new_start_takes_up_is_named(bare: Program, server) -> None:
    file = Configuration(bare.directory)
    file.write(table("main", server.url))
    with bare.started("run") as daemon:
        daemon.eventually(daemon.url)
        file.write(table("main", server.url), head='database = "sqlite+aiosqlite:///other.db"')
        daemon.process.send_signal(signal.SIGHUP)
        (said,) = daemon.eventually(
            lambda: daemon.logged("these keys are taken up only by a new start")
        )
        assert said["keys"] == ["database"]
    assert not (bare.directory / "other.db").exists()


@pytest.mark.trap("T01")
def test_t01_of_50_projects_one_that_hangs_and_one_with_a_wrong_key_slow_none_of_the_others(
    bare: Program, server
) -> None:
    server.call("orphaned-1", person=False)
    good = [f"good-{number}" for number in range(48)]
    with silent_server() as silent:
        file = Configuration(bare.directory)
        wrong = 'api_secret = "another-secret-of-more-than-32-characters"'
        file.write(
            table("hangs", silent),
            table("wrong", server.url, wrong),
            *(table(name, server.url) for name in good),
        )
        with bare.started("run") as daemon:
            metrics = f"{daemon.url()}/metrics"

            def ticks(project: str, result: str) -> float:
                return sample(metrics, "ticks_total", project=project, result=result) or 0

            # The first request to the silent server is given up after 10 s: ten turns of the others.
            daemon.eventually(lambda: ticks("hangs", "failed") >= 1)
            assert min(ticks(name, "ok") for name in good) >= 3
            assert ticks("wrong", "failed") >= 1
            daemon.eventually(lambda: ready(metrics.removesuffix("/metrics"))["good-33"])
            shown = ready(metrics.removesuffix("/metrics"))
            assert {name for name, fresh in shown.items() if not fresh} == {"hangs", "wrong"}
            everything = get(metrics).text + daemon.err
            assert SECRET not in everything
            assert "another-secret" not in everything
