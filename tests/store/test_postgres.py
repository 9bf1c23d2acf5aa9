"""Postgres: every way in which it fails is one clear sentence, and several processes share it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PASSWORD, USER, PostgresServer, running_postgres
from tests.store.builders import at, episode, tick
from tests.store.test_places import assert_fit_for_the_operator
from watchdog.core.deletion import AuditEntry, AuditKind
from watchdog.core.errors import ConfigurationError, StoreError, WatchdogError
from watchdog.settings import load_settings
from watchdog.store.audit import AuditStore
from watchdog.store.database import check, current, open_beside, open_database, upgrade
from watchdog.store.engine import Patience, find
from watchdog.store.episodes import EpisodeStore
from watchdog.store.migrate import HEAD

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with running_postgres() as server:
        yield server


def assert_says(error: WatchdogError, kind: type[WatchdogError], *words: str) -> None:
    assert type(error) is kind
    assert all(re.search(word, str(error)) for word in words), str(error)
    assert_fit_for_the_operator(error)
    seen: BaseException | None = error
    while seen is not None:
        assert PASSWORD not in str(seen)
        assert "wrong-password" not in str(seen)
        seen = seen.__cause__


@pytest.mark.parametrize("way_in", [open_database, open_beside, current, check, upgrade])
@pytest.mark.parametrize(
    ("user", "password", "database", "words"),
    [
        (USER, "wrong-password", "migrated", "refuses this user .*check user and password"),
        ("nobody", "wrong-password", "migrated", "refuses this user .*check user and password"),
        (USER, PASSWORD, "missing", "does not exist on its server: create it"),
        (USER, PASSWORD, "migrated?ssl=banana", "options that are not understood .*sslmode"),
        (USER, PASSWORD, "migrated?colour=red", "options that are not understood"),
    ],
)
async def test_what_the_server_refuses_is_an_error_of_the_configuration(
    postgres_server: PostgresServer, way_in, user, password, database, *, words
) -> None:
    url = postgres_server.url(database, user=user, password=password)
    with pytest.raises(WatchdogError) as refused:
        await way_in(url)
    assert_says(refused.value, ConfigurationError, words)


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1:1", "Connect call failed"), ("nowhere.invalid", "not known")],
)
async def test_a_server_that_is_not_there_is_an_error_that_can_pass(host: str, words: str) -> None:
    with pytest.raises(WatchdogError) as failed:
        await open_database(f"postgresql+asyncpg://me:{PASSWORD}@{host}/watchdog")
    assert_says(failed.value, StoreError, words, "cannot be reached", "check that its server runs")


async def test_a_user_that_may_make_no_tables(
    postgres_server: PostgresServer, new_postgres_url: str
) -> None:
    name = new_postgres_url.rpartition("/")[2]
    postgres_server.sql(f"ALTER DATABASE {name} OWNER TO postgres")
    with pytest.raises(WatchdogError) as refused:
        await open_database(new_postgres_url)
    assert_says(refused.value, ConfigurationError, "permission denied", "make the user its owner")


async def test_a_server_that_only_lets_read(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    postgres_server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with await open_database(postgres_url) as database:
        with pytest.raises(StoreError) as failed:
            await EpisodeStore(database).commit(tick(1), [], {})
    assert_says(failed.value, StoreError, "is read-only", "primary server")


@pytest.mark.trap("T49")
async def test_t49_a_server_that_stops_loses_the_tick_and_nothing_else(
    own_server: PostgresServer,
) -> None:
    async with await open_database(own_server.url(own_server.create())) as database:
        store = EpisodeStore(database)
        await store.commit(tick(1), [episode("E1")], {})
        own_server.stop(signal.SIGINT)
        with pytest.raises(StoreError) as failed:
            await store.commit(tick(2), [episode("E2")], {})
        assert_says(failed.value, StoreError, "cannot be reached", "check that its server runs")
        own_server.start()
        assert (await store.load("main")).last == tick(1)
        assert await store.commit(tick(2), [episode("E2")], {}) == 3  # it recovers by itself


@pytest.mark.trap("T49")
async def test_t49_a_connection_that_is_lost_in_a_transaction_undoes_it(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    async with await open_database(postgres_url) as database:
        with pytest.raises(StoreError) as failed:  # noqa: PT012
            async with database.writing() as connection:
                await connection.exec_driver_sql("DELETE FROM episodes")
                postgres_server.sql(
                    f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                )
                await connection.exec_driver_sql("DELETE FROM episodes")
        assert_says(failed.value, StoreError, "was lost", "check its server")
        assert await EpisodeStore(database).commit(tick(1), [], {}) == 1


async def test_a_transaction_that_falls_silent_is_ended_and_holds_nobody_up(
    postgres_url: str,
) -> None:
    """As of a process that is paused: what it has locked must not wait for it."""
    line = [AuditEntry(at(0), "main", AuditKind.PAUSED)]
    opened = open_database(postgres_url, Patience(idle=1.0))
    async with await opened as mine, await open_database(postgres_url) as other:
        with pytest.raises(StoreError, match="was lost"):  # noqa: PT012
            async with mine.auditing() as silent:
                await asyncio.wait_for(AuditStore(other).append(line), 10)
                await silent.exec_driver_sql("SELECT 1")
        assert [e.number for e in await AuditStore(mine).entries()] == [1]


MIGRATE = """
import asyncio, sys
from watchdog.store.database import upgrade
print(asyncio.run(upgrade(sys.argv[1])).changed)
"""


def test_processes_that_migrate_at_once_do_it_once(new_postgres_url: str) -> None:
    command = [sys.executable, "-c", MIGRATE, new_postgres_url]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in "123"]
    said = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert said == ["False", "False", "True"]
    assert asyncio.run(current(new_postgres_url)) == (HEAD, HEAD)


async def test_other_applications_may_have_tables_in_the_same_database(
    postgres_server: PostgresServer, new_postgres_url: str
) -> None:
    name = new_postgres_url.rpartition("/")[2]
    postgres_server.sql("CREATE TABLE invoices (id int)", database=name)
    assert (await upgrade(new_postgres_url)).changed


async def test_a_password_never_shows(tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://me:{PASSWORD}@db/watchdog?password={PASSWORD}"
    place = find(url)
    (tmp_path / "watchdog.toml").write_text(f'database = "{url}"')
    settings = load_settings(tmp_path / "watchdog.toml", {})
    assert settings.database == url
    for shown in (place.name, repr(place), str(place), repr(settings), str(settings)):
        assert PASSWORD not in shown
