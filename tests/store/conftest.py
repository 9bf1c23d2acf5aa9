"""Every test of the store runs on both databases, but those that look into SQLite's file by its `path`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.shell import PostgresShell, Shell, SqliteShell
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what opens a database on each `kind`, unless the test says itself on which."""
    said = {mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")}
    if "kind" in metafunc.fixturenames and "kind" not in said:
        on_a_file = "path" in metafunc.fixturenames
        metafunc.parametrize("kind", ["sqlite"] if on_a_file else ["sqlite", "postgres"])


@pytest.fixture
def kind() -> str:
    """What keeps the database: sqlite or postgres."""
    raise AssertionError("given by pytest_generate_tests")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a SQLite database: who asks for it runs on that alone."""
    return tmp_path / "watchdog.db"


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database in which nothing is yet."""
    if kind == "postgres":
        # Where the test begins with it open, its schema can as well be a copy: that is faster.
        made = "postgres_url" if "database" in request.fixturenames else "new_postgres_url"
        return str(request.getfixturevalue(made))
    return f"sqlite+aiosqlite:///{tmp_path / 'watchdog.db'}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with await open_database(url) as opened:
        yield opened


@pytest.fixture
def shell(kind: str, url: str, request: pytest.FixtureRequest) -> Shell:
    """What an operator can do to the same database, past the daemon."""
    if kind == "postgres":
        return PostgresShell(request.getfixturevalue("postgres_server"), url.rpartition("/")[2])
    return SqliteShell(Path(url.removeprefix("sqlite+aiosqlite:///")))


@pytest.fixture
def store(database: Database) -> EpisodeStore:
    return EpisodeStore(database)
