"""Nothing in the schema or the statements that Postgres could not run.

Whatever SQLAlchemy cannot say in Postgres' language raises here; what it would say for one of the two
databases only is looked for.
"""

import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from tests.store.builders import START
from watchdog.store import statements
from watchdog.store.byday import (
    COUNTED_OF_DAY,
    FIRST_AND_LAST,
    LINES_OF_DAY,
    OVER_MIDNIGHT,
    OVER_THE_FIRST,
)
from watchdog.store.migrate import scripts_directory
from watchdog.store.statements import (
    audit_entries,
    episodes_of_room,
    is_one_of,
    is_open,
    newest_closed,
    of_days,
    oldest_avoided,
    oldest_closed,
    select_episodes,
)
from watchdog.store.tables import Usd, Utc, daily_avoided, daily_counts, daily_spend, metadata

POSTGRES = postgresql.asyncpg.dialect()
POSTGRES_TYPES = {
    "TEXT",
    "BIGINT",
    "INTEGER",
    "BOOLEAN",
    "DOUBLE PRECISION",
    "TIMESTAMP WITH TIME ZONE",
}
SQLITE_ONLY = re.compile(
    r"AUTOINCREMENT|WITHOUT ROWID|OR REPLACE|OR IGNORE|PRAGMA|GLOB|ROWID|IFNULL|STRFTIME|JULIANDAY"
    r"|DATETIME|JSON_EACH|JSON_EXTRACT|COLLATE|`|\[",
    re.IGNORECASE,
)

DAILY = (daily_spend, daily_counts, daily_avoided)
SUMS = {name: sums for name, sums in vars(statements).items() if name.endswith("_SUMS")}

STATEMENTS: dict[str, sa.Executable] = {
    **{
        name: value
        for name, value in vars(statements).items()
        if isinstance(value, sa.Executable) and not name.startswith("_")
    },
    "open": select_episodes(is_open("main")),
    "open anywhere": select_episodes(is_open(None)),
    "by id": select_episodes(is_one_of(["E1", "E2"])),
    "of a room": episodes_of_room("main", "call", 20),
    "oldest closed": oldest_closed("main", START, 200),
    "oldest avoided": oldest_avoided("main", START, 200),
    "newest closed": newest_closed("main", 200),
    **{f"{t.name} of days": of_days(t, "main", START.date(), START.date()) for t in DAILY},
    **{f"keys of {name}": value.known for name, value in SUMS.items()},
    **{f"add to {name}": value.add for name, value in SUMS.items()},
    **{f"insert into {name}": value.insert for name, value in SUMS.items()},
    "lines of a day": LINES_OF_DAY,
    "counted of a day": COUNTED_OF_DAY,
    "over midnight": OVER_MIDNIGHT,
    "over the first midnight": OVER_THE_FIRST,
    "when the first began": FIRST_AND_LAST[0],
    "of the audit": audit_entries(project="main", room="call", intent="in_1", limit=20),
}


def said(clause: sa.ClauseElement | sa.Executable) -> str:
    return str(clause.compile(dialect=POSTGRES)).strip()


def test_every_statement_of_the_module_is_among_those_tested() -> None:
    built = {name for name in vars(statements) if name.isupper() and not name.startswith("_")}
    names = {name for name in built if name.endswith("_KEYS")}
    turns = {name for name in built if name.endswith("_TURN")}
    assert built - names - turns - {"SUMMED"} - SUMS.keys() <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_is_one_that_postgres_runs(name: str) -> None:
    text = said(STATEMENTS[name])
    assert text.split(maxsplit=1)[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}
    assert not SQLITE_ONLY.search(re.sub(r"__\[POSTCOMPILE_\w+\]", "", text))


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_a_table_is_one_that_postgres_has(table: sa.Table) -> None:
    for column in table.columns:
        assert column.type.compile(dialect=POSTGRES) in POSTGRES_TYPES
        assert column.server_default is None
        assert column.computed is None
    for clause in (CreateTable(table), *(CreateIndex(index) for index in table.indexes)):
        assert not SQLITE_ONLY.search(said(clause))
    # SERIAL would hide a number that only one of the two databases gives out.
    assert "SERIAL" not in said(CreateTable(table))


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_no_table_or_index_has_an_option_of_one_database(table: sa.Table) -> None:
    for part in (table, *table.columns, *table.indexes, *table.constraints):
        assert dict(part.dialect_kwargs) == {}


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_names_are_short_enough_for_postgres_and_given_by_us(table: sa.Table) -> None:
    for part in (table, *table.columns, *table.indexes, *table.constraints):
        assert part.name
        assert len(part.name) <= 63


def test_times_and_money_have_one_meaning_in_both() -> None:
    assert Utc().compile(dialect=POSTGRES) == "TIMESTAMP WITH TIME ZONE"
    assert Usd().compile(dialect=POSTGRES) == "BIGINT"


def migrations() -> list[Path]:
    return sorted((scripts_directory() / "versions").glob("*.py"))


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(ddl: str) -> list[list[str]]:
    """The statements, each as its parts in alphabetical order; an added column is its table's."""
    made = [
        [part.strip(" ,\t") for part in statement.split("\n") if part.strip(" ,\t")]
        for statement in ddl.split(";")
        if statement.strip()
    ]
    tables = {parts[0].split()[2]: parts for parts in made if parts[0].startswith("CREATE TABLE")}
    for added in [parts for parts in made if parts[0].startswith("ALTER TABLE")]:
        table, column = re.fullmatch(r"ALTER TABLE (\w+) ADD COLUMN (.*)", added[0]).groups()
        tables[table].append(column)
        made.remove(added)
    return sorted(map(sorted, made))


def test_the_migrations_make_on_postgres_what_the_tables_say() -> None:
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": written}
    )
    with Operations.context(context):
        for path in migrations():
            loaded(path).upgrade()
    tables = [said(CreateTable(table)) for table in metadata.sorted_tables]
    indexes = [said(CreateIndex(i)) for table in metadata.sorted_tables for i in table.indexes]
    assert lines(written.getvalue()) == lines(";".join([*tables, *indexes]))
