"""The disk is full for a while: the daemon says so once, keeps watching, and writes when it can again."""

import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.cli.program import Running, get, sample
from tests.needs import lacking


class Disk(Protocol):
    """Where the database lies, and how to take its space away and give it back."""

    directory: Path
    says: str

    def fill(self, daemon: Running) -> None: ...

    def free(self, daemon: Running) -> None: ...


@dataclass
class SmallDisk:
    """A file system of its own, really full."""

    directory: Path
    says: str = "database or disk is full; free some space"

    def fill(self, daemon: Running) -> None:
        block = b"x" * 4096
        with (self.directory / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(block):
                    pass
            except OSError:
                return

    def free(self, daemon: Running) -> None:
        (self.directory / "filler").unlink()


@dataclass
class NoMoreWriting:
    """The process may make no file longer than the log of SQLite's is: the same from its point of view."""

    directory: Path
    says: str = "disk I/O error"

    def fill(self, daemon: Running) -> None:
        self._limit(daemon, (self.directory / "watchdog.db-wal").stat().st_size)

    def free(self, daemon: Running) -> None:
        self._limit(daemon, resource.RLIM_INFINITY)

    def _limit(self, daemon: Running, size: int) -> None:
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.fixture(params=["tmpfs", "limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    directory = tmp_path / "disk"
    directory.mkdir()
    if request.param == "limit":
        yield NoMoreWriting(directory)
        return
    with ExitStack() as stack:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
        done = subprocess.run(mount, check=False, capture_output=True, text=True)
        if done.returncode:
            lacking(f"this user may not mount: {done.stderr.strip()}")
        stack.callback(subprocess.run, ["umount", "--lazy", str(directory)], check=True)
        yield SmallDisk(directory)


@pytest.mark.slow
@pytest.mark.trap("T49")
def test_t49_a_full_disk_is_said_once_and_outlived(program, server, disk):
    server.call("call-1", person=False)
    on_disk = program.with_(
        WATCHDOG_DATABASE=f"sqlite+aiosqlite:///{disk.directory}/watchdog.db",
        WATCHDOG_PRICES__PROFILE="cloud-hosted",
    )
    with on_disk.started("run") as daemon:
        url = daemon.url()
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        daemon.eventually(lambda: daemon.logged("episode opened"))

        disk.fill(daemon)
        server.call("call-2", person=False)
        daemon.eventually(lambda: get(f"{url}/readyz").status == 503)
        error = get(f"{url}/readyz").json["projects"]["default"]["error"]
        assert f"the database {disk.directory}/watchdog.db could not be" in error
        assert disk.says in error
        failures = {"project": "default", "result": "failed"}
        ticks = sample(f"{url}/metrics", "ticks_total", **failures) or 0
        daemon.eventually(
            lambda: (sample(f"{url}/metrics", "ticks_total", **failures) or 0) >= ticks + 2
        )
        assert get(f"{url}/healthz").status == 200
        assert len(daemon.logged("project not observed")) == 1

        disk.free(daemon)
        daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
        daemon.eventually(lambda: daemon.logged("project observed again"))
        daemon.eventually(
            lambda: sample(f"{url}/metrics", "rooms", project="default", verdict="orphaned") == 2
        )
        ended = daemon.stop()
    assert ended.code == 0
    assert "Traceback" not in ended.all
    # What was found while nothing could be written is written now, each episode once.
    assert len(daemon.logged("episode opened")) == 2
    assert not daemon.logged("episode closed")
    stored = [r["episode"]["room_name"] for r in on_disk("rooms", "--json").json["rooms"]]
    assert sorted(stored) == ["call-1", "call-2"]


@pytest.mark.trap("T49")
def test_t49_a_disk_that_is_full_from_the_start_is_one_sentence(program, tmp_path):
    directory = tmp_path / "disk"
    directory.mkdir()

    def allow_one_byte():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))

    limited = program.with_(WATCHDOG_DATABASE=f"sqlite+aiosqlite:///{directory}/watchdog.db")
    result = limited.in_a_new_interpreter("db", "upgrade", before=allow_one_byte)
    assert result.code == 1
    assert result.err.startswith("livekit-watchdog: the database ")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.all
