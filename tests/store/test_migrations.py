"""From every older schema to this one, with a copy first, and never from a newer one."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.store.builders import episode, sqlite_rows, tick
from watchdog.core.errors import StoreError
from watchdog.store import migrate as migration
from watchdog.store.database import (
    Database,
    current,
    open_database,
    open_for_reading,
    upgrade,
)
from watchdog.store.engine import find, make_engine
from watchdog.store.episodes import EpisodeStore
from watchdog.store.migrate import HEAD, MigrationResult, migrate, scripts_directory
from watchdog.store.tables import metadata

NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "9999", "{head}"
def upgrade():
    with op.batch_alter_table("episodes", recreate="always") as table:
        table.add_column(sa.Column("note", sa.Text, server_default="new"))
{more}
"""


@pytest.fixture
def newer_scripts(tmp_path: Path) -> Path:
    """This version's migrations and one more, which makes `episodes` anew."""
    return with_next(tmp_path / "100% newer")  # a percent sign means something to Alembic


def with_next(target: Path, more: str = "") -> Path:
    shutil.copytree(scripts_directory(), target, ignore=shutil.ignore_patterns("__pycache__"))
    (target / "versions" / "9999_next.py").write_text(NEXT.format(head=HEAD, more=more))
    return target


async def migrated(url: str, scripts: Path) -> MigrationResult:
    """What a later version, with those migrations, would do."""
    engine = make_engine(find(url))
    try:
        return await migrate(engine, find(url), scripts=scripts, head="9999")
    finally:
        await engine.dispose()


async def filled(url: str) -> None:
    async with await open_database(url) as database:
        await EpisodeStore(database).commit(tick(1), [episode("E1")], {})


def files(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.iterdir() if p.is_file())


def test_the_head_this_version_states_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(scripts_directory())).get_current_head() == HEAD


async def test_a_new_database_gets_the_schema_and_needs_no_copy(url: str, path: Path) -> None:
    async with await open_database(url) as database:
        assert database.migration == MigrationResult(None, HEAD, None)
    assert files(path) == ["watchdog.db"]
    assert await current(url) == (HEAD, HEAD)


async def test_an_empty_file_is_a_new_database(url: str, path: Path) -> None:
    path.touch()
    assert await upgrade(url) == MigrationResult(None, HEAD, None)


async def test_a_second_upgrade_does_nothing(url: str, path: Path) -> None:
    await upgrade(url)
    before = path.read_bytes()
    result = await upgrade(url)
    assert result == MigrationResult(HEAD, HEAD, None)
    assert not result.changed
    assert path.read_bytes() == before
    assert files(path) == ["watchdog.db", "watchdog.db.lock"]


async def test_current_changes_and_creates_nothing(url: str, path: Path) -> None:
    assert await current(url) == (None, HEAD)
    assert list(path.parent.iterdir()) == []
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("VACUUM")
    before = path.read_bytes()
    assert await current(url) == (None, HEAD)
    assert (path.read_bytes(), files(path)) == (before, ["watchdog.db"])


async def test_a_file_is_copied_before_it_is_migrated(
    url: str, path: Path, newer_scripts: Path
) -> None:
    await filled(url)
    copy = Path(f"{path}.{HEAD}.bak")
    assert await migrated(url, newer_scripts) == MigrationResult(HEAD, "9999", copy)
    assert sqlite_rows(path, "SELECT id, note FROM episodes") == [("E1", "new")]
    assert sqlite_rows(copy, "SELECT version_num FROM alembic_version") == [(HEAD,)]

    # The copy is a whole database: this version runs on it.
    async with await open_database(f"sqlite+aiosqlite:///{copy}") as database:
        assert not database.migration.changed
        assert (await EpisodeStore(database).load("main")).episodes == (episode("E1"),)


async def test_a_copy_never_replaces_another(url: str, path: Path, newer_scripts: Path) -> None:
    await filled(url)
    Path(f"{path}.{HEAD}.bak").write_text("an older copy")
    Path(f"{path}.{HEAD}.1.bak").write_text("another")
    result = await migrated(url, newer_scripts)
    assert result.backup == Path(f"{path}.{HEAD}.2.bak")
    assert Path(f"{path}.{HEAD}.bak").read_text() == "an older copy"


async def test_the_copy_holds_what_still_stood_in_the_write_ahead_log(
    url: str, path: Path, newer_scripts: Path
) -> None:
    await filled(url)
    with closing(sqlite3.connect(path)) as left_open:
        left_open.execute("UPDATE episodes SET room_name = 'in the log'")
        left_open.commit()
        assert path.with_name("watchdog.db-wal").stat().st_size > 0
        result = await migrated(url, newer_scripts)
    assert result.backup is not None
    assert sqlite_rows(result.backup, "SELECT room_name FROM episodes") == [("in the log",)]


async def test_a_migration_that_makes_a_table_anew_keeps_the_rows_that_point_to_it(
    url: str, path: Path, newer_scripts: Path
) -> None:
    await filled(url)
    await migrated(url, newer_scripts)
    assert sqlite_rows(path, "SELECT episode_id FROM episode_agents") == [("E1",)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("    op.execute('INSERT INTO nowhere VALUES (1)')", "no such table: nowhere"),
        ("    op.execute('DELETE FROM episodes')", "rows of episode_agents point to rows"),
    ],
)
async def test_a_migration_that_fails_changes_nothing(
    url: str, path: Path, tmp_path: Path, more: str, says: str
) -> None:
    await filled(url)
    with pytest.raises(StoreError, match=says):
        await migrated(url, with_next(tmp_path / "scripts", more))
    async with await open_database(url) as database:
        assert not database.migration.changed
        assert (await EpisodeStore(database).load("main")).episodes == (episode("E1"),)


async def test_without_room_for_the_copy_nothing_is_migrated(
    url: str, path: Path, newer_scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(url)
    blocked = path.parent / "nowhere" / "copy.bak"
    monkeypatch.setattr(migration, "_free_name", lambda *_: blocked)
    with pytest.raises(
        StoreError, match=r"could not be copied to .*copy\.bak.*nothing was changed"
    ):
        await migrated(url, newer_scripts)
    assert await current(url) == (HEAD, HEAD)


async def test_a_newer_schema_is_refused_with_both_names(
    url: str, path: Path, newer_scripts: Path
) -> None:
    await filled(url)
    await migrated(url, newer_scripts)
    before, there = path.read_bytes(), files(path)
    for way_in in (open_database, open_for_reading, upgrade):
        with pytest.raises(StoreError, match=f"schema 9999, .*newer .*knows up to {HEAD}: install"):
            await way_in(url)
    assert path.read_bytes() == before
    assert set(files(path)) - set(there) <= {"watchdog.db.lock"}
    assert await current(url) == ("9999", HEAD)


async def test_a_reader_does_not_migrate(
    url: str, monkeypatch: pytest.MonkeyPatch, newer_scripts: Path
) -> None:
    await filled(url)
    monkeypatch.setattr("watchdog.store.database.HEAD", "9999")
    monkeypatch.setattr(migration, "scripts_directory", lambda: newer_scripts)
    with pytest.raises(StoreError, match=f"older schema {HEAD}, .* needs 9999: run .* db upgrade"):
        await open_for_reading(url)


async def test_two_that_create_the_same_database_at_once_both_find_it_whole(url: str) -> None:
    opened = await asyncio.gather(*(open_database(url) for _ in range(4)))
    assert sorted(database.migration.changed for database in opened) == [False, False, False, True]
    for database in opened:
        await database.close()


@pytest.mark.parametrize("steps", [*range(1, 12), 20, 40, 80])
async def test_who_is_told_to_stop_while_it_migrates_stops_at_its_end(
    url: str, path: Path, steps: int
) -> None:
    opening = asyncio.create_task(open_database(url))
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    opening.cancel()
    (result,) = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(result, Database):  # it was faster
        await result.close()
    else:
        assert isinstance(result, asyncio.CancelledError)
    assert (await current(url))[0] in (None, HEAD)
    async with await open_database(url) as database:  # nothing holds a lock on it
        assert database.migration.to_revision == HEAD


async def test_migrations_and_tables_say_the_same(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, metadata))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_the_migrated_schema_is_the_one_the_tables_would_make(path: Path, url: str) -> None:
    """Alembic does not compare everything: primary keys, names of constraints, ON DELETE."""
    await upgrade(url)
    made = path.with_name("made.db")
    engine = sa.create_engine(f"sqlite:///{made}")
    metadata.create_all(engine)
    engine.dispose()
    query = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'alembic_version'"

    def schema(file: Path) -> list[list[str]]:
        # SQLite puts an added column behind the one before it.
        between = r",?\s*\n\s*|, (?=\w+ (?:TEXT|BOOLEAN|DOUBLE))"
        return sorted(sorted(re.split(between, str(sql))) for (sql,) in sqlite_rows(file, query))

    assert schema(path) == schema(made)


async def test_the_way_down_leads_to_an_empty_database(url: str, path: Path) -> None:
    await filled(url)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(scripts_directory()))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    engine.dispose()
    assert sqlite_rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'") == [
        ("alembic_version",)
    ]
    assert await upgrade(url) == MigrationResult(None, HEAD, None)


def test_a_running_daemon_does_not_keep_alembic_in_memory(url: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from watchdog.store.database import open_database, current\n"
        "async def main():\n"
        "    async with await open_database(sys.argv[1]):\n"
        "        return 'alembic' in sys.modules\n"
        "print(asyncio.run(main()))"
    )
    root = Path(__file__).parents[2]
    answers = [
        subprocess.check_output([sys.executable, "-c", script, url], text=True, cwd=root).strip()
        for _ in range(2)
    ]
    assert answers == ["True", "False"]  # it is needed once, to create the schema
