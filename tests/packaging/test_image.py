"""The image, built from its Dockerfile and run as an engine would: another user, a read-only root."""

import signal
from collections.abc import Iterator

import pytest

from tests.cli.program import STOP_WITHIN, Server, closed_port, eventually, simulated_server
from tests.packaging.images import Image, built, require_tools
from watchdog import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.xdist_group("image")]

MOST_ADDED = 120_000_000
"""Bytes that the image may add to its base, Python included."""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    require_tools()
    with built(tmp_path_factory.mktemp("image")) as image:
        yield image


@pytest.fixture
def server() -> Iterator[Server]:
    with simulated_server() as server:
        yield server


def test_it_says_who_it_runs_as_and_what(image):
    config = image.config
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["livekit-watchdog"], ["run"])
    assert config["Volumes"] == {"/var/lib/livekit-watchdog": {}}
    assert config["ExposedPorts"] == {"9779/tcp": {}}
    assert config["StopSignal"] == "SIGTERM"
    assert "WATCHDOG_HTTP__LISTEN=0.0.0.0:9779" in config["Env"]
    assert config["Labels"]["org.opencontainers.image.version"] == __version__
    assert config["Healthcheck"]["Test"][0] == "CMD", "without a shell"


def test_it_adds_no_more_than_it_may(image, record_property):
    record_property("exercised: MB that the image adds to its base", image.added_bytes // 1_000_000)
    assert 0 < image.added_bytes <= MOST_ADDED


def test_nothing_of_the_build_stays(image):
    left = [
        str(path.relative_to(image.root))
        for pattern in ("pip", "setuptools", "tests", "hatchling")
        for path in (image.root / "opt").rglob(pattern)
    ]
    assert left == []
    for place in ("build", "etc/pip.conf", "run/secrets/pip.conf", "run/secrets/ca.pem"):
        assert not (image.root / place).exists()


def test_it_can_write_to_its_volume_alone(image, tmp_path):
    data = image.volume(tmp_path)
    look = "id -u; id -G; for d in /opt /tmp /etc .; do touch $d/x 2>/dev/null && echo $d; done"
    _, out = image.run(data, "sh", "-c", look)
    assert out.split() == ["10001", "10001", "."]
    # What keeps it out is the mount, not only the owner: /tmp is everybody's.
    assert (image.root / "tmp").stat().st_mode & 0o1777 == 0o1777


def test_the_demo_runs(image, tmp_path):
    code, out = image.run(image.volume(tmp_path), "livekit-watchdog", "demo", "--seconds", "5")
    assert (code, out.splitlines()[-1].split()[0]) == (0, "Watched"), out


def test_it_becomes_healthy_watches_and_stops_when_told(image, tmp_path, server):
    data = image.volume(tmp_path)
    server.call("call-1", person=False)
    # An engine gives it a network of its own; here it shares this machine's, on a free port of loopback.
    variables = {
        **server.variables,
        "WATCHDOG_HTTP__LISTEN": f"127.0.0.1:{closed_port()}",
        "WATCHDOG_POLL_INTERVAL": "2s",
    }
    check = image.config["Healthcheck"]["Test"][1:]
    command = (*image.config["Entrypoint"], *image.config["Cmd"])

    def healthy() -> bool:
        return image.run(data, *check, **variables)[0] == 0

    def orphaned() -> list[str]:
        code, out = image.run(data, "livekit-watchdog", "rooms", "--json", **variables)
        return [line for line in out.splitlines() if "call-1" in line] if code == 0 else []

    assert not healthy()
    with image.started(data, *command, **variables) as process:
        eventually(lambda: process.poll() is not None or healthy())
        assert process.poll() is None, "it ended"
        assert eventually(orphaned)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_WITHIN) == 0
    assert not healthy()
    assert (data / "watchdog.db").stat().st_uid == 10001


def test_it_is_healthy_and_not_ready_where_no_server_answers(image, tmp_path):
    data = image.volume(tmp_path)
    port = closed_port()
    variables = {
        "LIVEKIT_URL": f"http://127.0.0.1:{closed_port()}",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "a-secret-of-more-than-thirty-two-characters",
        "WATCHDOG_HTTP__LISTEN": f"127.0.0.1:{port}",
    }
    check = image.config["Healthcheck"]["Test"][1:]
    with image.started(data, "livekit-watchdog", "run", **variables) as process:
        eventually(lambda: image.run(data, *check, **variables)[0] == 0)
        code, _ = image.run(
            data, *[part.replace("/healthz", "/readyz") for part in check], **variables
        )
        assert code == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_WITHIN) == 0
