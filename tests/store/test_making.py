"""A new database is made by a process that ends, and without it all the same."""

import os
import subprocess
import sys

import pytest

from tests.cli.program import environment
from watchdog.core.errors import ConfigurationError, StoreError
from watchdog.store import making
from watchdog.store.database import current, open_database
from watchdog.store.making import made_apart
from watchdog.store.migrate import HEAD


def started(*_, **__):
    pytest.fail("a process was started")


def url_of(path):
    return f"sqlite+aiosqlite:///{path}"


async def test_a_database_that_is_not_there_is_there_afterwards(tmp_path):
    url = url_of(tmp_path / "new.db")
    await made_apart(url)
    assert await current(url) == (HEAD, HEAD)


def test_whoever_has_it_made_does_not_load_alembic(tmp_path):
    url = url_of(tmp_path / "new.db")
    code = (
        "import asyncio, sys\n"
        "from watchdog.store.database import open_database\n"
        "from watchdog.store.making import made_apart\n"
        "async def use():\n"
        "    await made_apart(sys.argv[1])\n"
        "    async with await open_database(sys.argv[1]) as database:\n"
        "        print(database.migration.to_revision, 'alembic' in sys.modules)\n"
        "asyncio.run(use())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, url],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{HEAD} False\n"


@pytest.mark.parametrize("executable", ["/nowhere/python", "/bin/false", ""])
async def test_where_no_process_can_make_it_the_run_does(tmp_path, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    url = url_of(tmp_path / "new.db")
    await made_apart(url)
    async with await open_database(url) as database:
        assert (database.migration.from_revision, database.migration.to_revision) == (None, HEAD)


async def test_modules_in_the_working_directory_are_not_run(tmp_path, monkeypatch):
    (tmp_path / "sqlite3.py").write_text("open('foreign', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    await made_apart(url_of(tmp_path / "new.db"))
    assert not (tmp_path / "foreign").exists()
    assert await current(url_of(tmp_path / "new.db")) == (HEAD, HEAD)


async def test_a_name_that_no_file_can_have_is_left_to_the_run(tmp_path):
    await made_apart(url_of(tmp_path / ("x" * 300)))
    with pytest.raises((ConfigurationError, StoreError)):
        await open_database(url_of(tmp_path / ("x" * 300)))


async def test_a_name_that_is_no_text_is_refused(tmp_path):
    url = url_of(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.db"))
    await made_apart(url)
    with pytest.raises(ConfigurationError, match="not a well-formed URL"):
        await open_database(url)


async def test_one_that_hangs_is_ended(tmp_path, monkeypatch):
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    monkeypatch.setattr(making, "PATIENCE", 0.1)
    await made_apart(url_of(tmp_path / "new.db"))
    async with await open_database(url_of(tmp_path / "new.db")) as database:
        assert database.migration.from_revision is None


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:///:memory:",
        "postgresql+asyncpg://nobody@127.0.0.1:1/none",
        "not a URL",
    ],
)
async def test_for_anything_but_a_missing_file_no_process_is_started(url, monkeypatch):
    monkeypatch.setattr(making.asyncio, "create_subprocess_exec", started)
    await made_apart(url)


async def test_nor_for_a_file_that_is_there(tmp_path, monkeypatch):
    there = tmp_path / "there.db"
    there.touch()
    monkeypatch.setattr(making.asyncio, "create_subprocess_exec", started)
    await made_apart(url_of(there))
