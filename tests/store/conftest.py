from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "watchdog.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with await open_database(url) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> EpisodeStore:
    return EpisodeStore(database)
