"""Every place and state of a database that cannot be used is one clear sentence with its cure."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.builders import episode, tick
from watchdog.core.errors import ConfigurationError, StoreError, WatchdogError
from watchdog.store.database import Database, current, open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore
from watchdog.store.failures import explained

REPOSITORY = Path(__file__).parents[2]
SECRET = "s3cr3t-Pa55"
FORMS = r"use sqlite\+aiosqlite:///watchdog\.db \(.*\) or postgresql\+asyncpg://user@host/name"


def assert_fit_for_the_operator(error: WatchdogError) -> None:
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert "sqlalche" not in text  # neither its pages nor its classes
    assert "SELECT" not in text
    assert SECRET not in text
    assert ":" in text or ";" in text  # what happened, and the cure after it


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is not a well-formed URL"),
        ("watchdog.db", "is not a well-formed URL"),
        (f"postgresql+asyncpg://me:{SECRET}@db:nonsense/watchdog", "is not a well-formed URL"),
        (f"postgresql+asyncpg://me:{SECRET}@db", "names no database"),
        (f"mysql://me:{SECRET}@db/watchdog", "unsupported driver 'mysql'"),
        (f"postgresql://me:{SECRET}@db/watchdog", "unsupported driver 'postgresql'"),
        (f"mysql://db/watchdog?password={SECRET}", "unsupported driver 'mysql'"),
        ("sqlite:///watchdog.db", "unsupported driver 'sqlite'"),
        ("sqlite+aiosqlite://watchdog.db", "names a host, and SQLite has none"),
        ("sqlite+aiosqlite:///watchdog.db?colour=red", "options that are not understood"),
        ("sqlite+aiosqlite:///watchdog.db?timeout=soon", "options that are not understood"),
        ("sqlite+aiosqlite:///watch%00dog.db", "holds a NUL character"),
    ],
)
@pytest.mark.parametrize("way_in", [open_database, open_for_reading, current])
async def test_a_url_that_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way_in, url: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "watchdog.db").touch()
    with pytest.raises(ConfigurationError, match=f"{says}.*{FORMS}") as refused:
        await way_in(url)
    assert_fit_for_the_operator(refused.value)
    assert refused.value.exit_code == 2
    assert (tmp_path / "watchdog.db").read_bytes() == b""


async def test_postgres_without_its_driver_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match="needs the Python package asyncpg") as refused:
        await open_database(f"postgresql+asyncpg://me:{SECRET}@127.0.0.1/watchdog")
    assert_fit_for_the_operator(refused.value)


def test_an_option_that_only_the_driver_knows_it_does_not_know() -> None:
    with pytest.raises(ConfigurationError, match="options that are not understood") as refused:  # noqa: SIM117
        with explained("postgresql+asyncpg://me:***@db/watchdog", opening=True):
            sqlite3.connect(":memory:", colour="red")  # type: ignore[call-overload]
    assert_fit_for_the_operator(refused.value)
    with (
        pytest.raises(TypeError),
        explained("watchdog.db"),
    ):  # our own mistake is not the operator's
        sqlite3.connect(":memory:", colour="red")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("missing/watchdog.db", r"directory .*/missing does not exist: create it or change"),
        ("file/watchdog.db", r"directory .*/file is a file: create it or change"),
        ("directory", r"is a directory: name a file in it, such as .*/directory/watchdog\.db"),
        ("pipe", r"is not a regular file: change `database`"),
        ("x" * 300, r"File name too long.*change `database`"),
    ],
)
async def test_a_path_where_no_database_can_be(tmp_path: Path, where: str, says: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match=says) as refused:
        await open_database(f"sqlite+aiosqlite:///{tmp_path}/{where}")
    assert_fit_for_the_operator(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_directory_in_which_the_system_lets_nobody_write() -> None:
    with pytest.raises(
        ConfigurationError, match=r"/proc.* (cannot be opened|is not writable)"
    ) as no:
        await open_database("sqlite+aiosqlite:////proc/watchdog.db")
    assert_fit_for_the_operator(no.value)


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """Permission bits do not bind root: become nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


async def test_a_directory_that_is_not_writable_for_this_user(shared: Path) -> None:
    shared.chmod(0o555)
    with an_ordinary_user(), pytest.raises(ConfigurationError) as refused:
        await open_database(f"sqlite+aiosqlite:///{shared}/watchdog.db")
    assert f"directory {shared} is not writable for this user" in str(refused.value)
    assert_fit_for_the_operator(refused.value)
    shared.chmod(0o755)


async def test_a_file_that_is_not_writable_for_this_user(shared: Path) -> None:
    shared.chmod(0o777)
    file = shared / "watchdog.db"
    url = f"sqlite+aiosqlite:///{file}"
    await (await open_database(url)).close()
    file.chmod(0o444)
    with an_ordinary_user(), pytest.raises(ConfigurationError) as refused:
        await open_database(url)
    assert f"{file} is not readable and writable for this user" in str(refused.value)
    assert_fit_for_the_operator(refused.value)


async def test_a_directory_this_user_may_not_look_into(shared: Path) -> None:
    (shared / "closed").mkdir(mode=0o700)
    (shared / "closed").chmod(0o000)
    with (
        an_ordinary_user(),
        pytest.raises(ConfigurationError, match="Permission denied") as refused,
    ):
        await open_database(f"sqlite+aiosqlite:///{shared}/closed/watchdog.db")
    assert_fit_for_the_operator(refused.value)
    (shared / "closed").chmod(0o700)


async def test_a_database_opened_read_only(url: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as fresh:
        fresh.execute("VACUUM")  # an empty database, not in WAL mode yet
    with pytest.raises(ConfigurationError, match="is read-only: make the file") as refused:
        await open_database(f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true")
    assert_fit_for_the_operator(refused.value)


@pytest.mark.trap("T49")
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_t49_a_database_that_turns_read_only_while_it_is_used(
    store: EpisodeStore, database: Database
) -> None:
    await store.commit(tick(1), [], {})
    async with database.reading() as connection:
        await connection.exec_driver_sql("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match="is read-only: make the file and its directory") as failed:
        await store.commit(tick(2), [episode("E1")], {})
    assert_fit_for_the_operator(failed.value)
    assert failed.value.exit_code == 1
    async with database.reading() as connection:
        await connection.exec_driver_sql("PRAGMA query_only=OFF")
    assert (await store.load("main")).last == tick(1)
    assert await store.commit(tick(2), [episode("E1")], {}) == 3  # it recovers by itself


@pytest.mark.trap("T49")
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_t49_a_full_disk_loses_the_tick_and_nothing_else(
    store: EpisodeStore, database: Database
) -> None:
    await store.commit(tick(1), [episode("E1")], {})
    async with database.reading() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    many = [episode(f"N{number}") for number in range(1000)]
    with pytest.raises(StoreError, match="database or disk is full; free some space") as failed:
        await store.commit(tick(2), many, {})
    assert_fit_for_the_operator(failed.value)
    memory = await store.load("main")
    assert (memory.episodes, memory.last) == ((episode("E1"),), tick(1))
    async with database.reading() as connection:
        await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 10_000}")
    assert await store.commit(tick(2), many, {}) == 2001


@pytest.mark.parametrize("way_in", [open_database, open_for_reading, current])
async def test_a_file_that_is_no_database(url: str, path: Path, way_in) -> None:
    path.write_bytes(b"mode = observe\n" * 400)
    with pytest.raises(
        StoreError, match=r"file is not a database.*restore a \.bak copy"
    ) as refused:
        await way_in(url)
    assert_fit_for_the_operator(refused.value)
    assert refused.value.exit_code == 1
    assert path.read_bytes() == b"mode = observe\n" * 400


async def test_a_database_whose_pages_are_damaged(url: str, path: Path) -> None:
    async with await open_database(url) as database:
        many = [episode(f"E{number}") for number in range(500)]
        await EpisodeStore(database).commit(tick(1), many, {})
    content = bytearray(path.read_bytes())
    # Every page but the first few, which say what tables there are: not even their types remain.
    content[60 * 4096 :] = b"\xff" * (len(content) - 60 * 4096)
    path.write_bytes(content)
    async with await open_database(url) as database:
        with pytest.raises(StoreError, match=r"is damaged \(database disk image is malf") as failed:
            await EpisodeStore(database).load("main")
    assert_fit_for_the_operator(failed.value)


async def test_another_applications_database_is_left_alone(url: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE invoices (id)")
        other.commit()
    with pytest.raises(ConfigurationError, match=r"another application's tables \(invoices\)"):
        await open_database(url)
    with pytest.raises(StoreError, match="no database of livekit-watchdog"):
        await open_for_reading(url)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("invoices",)]


async def test_a_database_that_another_process_keeps_locked(
    store: EpisodeStore, database: Database, path: Path
) -> None:
    async with database.reading() as connection:  # do not wait for the full 5 s in a test
        await connection.exec_driver_sql("PRAGMA busy_timeout=20")
    with closing(sqlite3.connect(path)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="stayed locked by another process") as failed:
            await store.commit(tick(1), [], {})
    assert_fit_for_the_operator(failed.value)
    assert await store.commit(tick(1), [], {}) == 1


async def test_a_short_lock_is_waited_for(store: EpisodeStore, path: Path) -> None:
    with closing(sqlite3.connect(path, check_same_thread=False)) as shell:
        shell.execute("BEGIN IMMEDIATE")
        commit = asyncio.create_task(store.commit(tick(1), [], {}))
        await asyncio.sleep(0)
        await asyncio.to_thread(shell.rollback)
        assert await commit == 1


def test_a_file_that_cannot_be_opened_leaves_no_thread_that_fails_later() -> None:
    script = (
        "import asyncio\n"
        "from watchdog.core.errors import ConfigurationError\n"
        "from watchdog.store.database import open_database\n"
        "for _ in range(20):\n"
        "    try: asyncio.run(open_database('sqlite+aiosqlite:////proc/watchdog.db'))\n"
        "    except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 20


@pytest.mark.trap("T49")
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_t49_every_connection_waits_checks_its_keys_and_syncs_each_commit(
    database: Database,
) -> None:
    """FULL (2): a committed intent must survive a power cut, which NORMAL does not promise in WAL."""
    async with database.reading() as first, database.writing() as second:
        for connection in (first, second):
            for pragma, value in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("busy_timeout", 5000),
            ):
                answer = await connection.exec_driver_sql(f"PRAGMA {pragma}")
                assert answer.scalar_one() == value


async def test_names_of_rooms_never_stand_in_an_error(store: EpisodeStore) -> None:
    private = replace(episode("E1", room_name="call-+4915112345678"), room_sid=None)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"(?i)not.null constraint") as failed:
        await store.commit(tick(1), [private], {})
    chain: BaseException | None = failed.value
    while chain is not None:
        assert "4915112345678" not in str(chain)
        chain = chain.__cause__
