"""One `run` per database file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from watchdog.core.errors import ConfigurationError
from watchdog.store.database import current, open_database, run_lock, upgrade
from watchdog.store.lock import DatabaseInUseError, RunLock
from watchdog.store.migrate import HEAD

HOLD = """
import sys
from pathlib import Path
from watchdog.store.lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_run_is_told_whom_to_stop(path: Path) -> None:
    with RunLock(path), pytest.raises(DatabaseInUseError) as refused:
        RunLock(path).acquire()
    assert str(refused.value) == (
        f"another livekit-watchdog run (pid {os.getpid()}) uses {path};"
        " stop it or give this one its own database"
    )
    assert refused.value.exit_code == 1


def test_the_lock_is_free_again_once_released(path: Path) -> None:
    for _ in range(3):
        with RunLock(path):
            pass
    with RunLock(path):
        assert Path(f"{path}.lock").read_text() == f"{os.getpid()}\n"


def test_runs_on_different_files_do_not_meet(tmp_path: Path) -> None:
    with RunLock(tmp_path / "one.db"), RunLock(tmp_path / "two.db"):
        assert sorted(p.name for p in tmp_path.iterdir()) == ["one.db.lock", "two.db.lock"]


def test_two_names_of_one_file_share_its_lock(tmp_path: Path) -> None:
    (tmp_path / "real.db").touch()
    (tmp_path / "link.db").symlink_to("real.db")
    with RunLock(tmp_path / "real.db"), pytest.raises(DatabaseInUseError):
        RunLock(tmp_path / "link.db").acquire()


def test_a_killed_run_leaves_no_lock_behind(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DatabaseInUseError, match=rf"\(pid {process.pid}\)"):
            RunLock(path).acquire()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with RunLock(path):
        assert Path(f"{path}.lock").read_text() == f"{os.getpid()}\n"


def test_what_a_lock_file_happens_to_hold_does_no_harm(path: Path) -> None:
    with RunLock(path):
        Path(f"{path}.lock").write_bytes(b"")
        with pytest.raises(DatabaseInUseError, match=r"\(pid unknown\)"):
            RunLock(path).acquire()


@pytest.mark.parametrize("kind", ["sqlite"])
async def test_reading_and_the_schema_need_no_lock_but_a_migration_does(url: str) -> None:
    with run_lock(url):
        await (await open_database(url)).close()
        assert await current(url) == (HEAD, HEAD)
        with pytest.raises(DatabaseInUseError):
            await upgrade(url)
    assert not (await upgrade(url)).changed


def test_a_database_in_memory_needs_none() -> None:
    with run_lock("sqlite+aiosqlite://"), run_lock("sqlite+aiosqlite://"):
        pass


def test_a_lock_where_nothing_can_be_written_is_an_error_of_the_configuration(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match="No such file or directory"):
        RunLock(tmp_path / "missing" / "watchdog.db").acquire()
    with pytest.raises(ConfigurationError, match=r"directory .*missing does not exist"):
        run_lock(f"sqlite+aiosqlite:///{tmp_path}/missing/watchdog.db")


async def test_a_lock_whose_file_is_gone_or_replaced_is_not_held(path: Path) -> None:
    lock = RunLock(path)
    assert not lock.held()
    with lock:
        assert lock.held()
        lock.path.unlink()
        assert not lock.held()
        lock.path.touch()
        assert not lock.held()
    assert not lock.held()


@pytest.mark.parametrize(
    ("url", "held"),
    [("sqlite+aiosqlite://", True), ("postgresql+asyncpg://user@host/watchdog", False)],
)
def test_only_a_database_that_is_nobody_elses_needs_no_lock(url: str, held: bool) -> None:
    with run_lock(url) as lock:
        assert lock.held() is held
