"""The database as a plain shell has it: what is in it, and what somebody else does to it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Protocol

from tests.postgres import PostgresServer

TABLES = ("episodes", "episode_agents", "tick_journal", "closed_spend")


class Shell(Protocol):
    """What both kinds have."""

    def rows(self, query: str) -> list[tuple[str, ...]]:
        """The answer, all values as text; what it changes is changed."""
        ...

    def run(self, *statements: str) -> None:
        """Run what has no answer."""
        ...

    def on(self, event: str, table: str, what: str, *, when: str = "") -> None:
        """Have the database `fail` or `ignore` what happens to rows of a table."""
        ...

    def lock_at_once(self) -> None:
        """Take and give back the lock that a writer needs; raises where somebody else has it."""
        ...

    def count_rows(self) -> None:
        """Have the database note in a table `written` what happens to each row of `TABLES`."""
        ...


class SqliteShell:
    """sqlite3 on the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self, query: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            found = [tuple(map(str, row)) for row in connection.execute(query)]
            connection.commit()
            return found

    def run(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("PRAGMA foreign_keys=ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def on(self, event: str, table: str, what: str, *, when: str = "") -> None:
        condition = f"WHEN {when}" if when else ""
        act = {"fail": "RAISE(ABORT, 'no')", "ignore": "RAISE(IGNORE)"}[what]
        self.run(f"CREATE TRIGGER t {event} ON {table} {condition} BEGIN SELECT {act}; END")

    def lock_at_once(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=0)) as connection:
            connection.execute("BEGIN IMMEDIATE")

    def count_rows(self) -> None:
        self.run(
            "CREATE TABLE written (what TEXT)",
            *(
                f"CREATE TRIGGER count_{table}_{verb} AFTER {verb} ON {table}"
                f" BEGIN INSERT INTO written VALUES ('{verb} {table}'); END"
                for table in TABLES
                for verb in ("INSERT", "UPDATE", "DELETE")
            ),
        )


class PostgresShell:
    """psql, as the server's superuser."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self.server, self.database = server, database

    def rows(self, query: str) -> list[tuple[str, ...]]:
        return self.server.sql(query, database=self.database)

    def run(self, *statements: str) -> None:
        self.server.sql(*statements, database=self.database)

    def on(self, event: str, table: str, what: str, *, when: str = "") -> None:
        condition = f"WHEN ({when})" if when else ""
        act = {"fail": "RAISE EXCEPTION 'no'", "ignore": "RETURN NULL"}[what]
        self.run(
            f"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {act}; END $$",
            f"CREATE TRIGGER t {event} ON {table} FOR EACH ROW {condition} EXECUTE FUNCTION f()",
        )

    def lock_at_once(self) -> None:
        self.run(f"BEGIN; LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE NOWAIT; ROLLBACK")

    def count_rows(self) -> None:
        self.run(
            "CREATE TABLE written (what TEXT)",
            "GRANT ALL ON written TO PUBLIC",
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO written VALUES (TG_OP || ' ' || TG_TABLE_NAME); RETURN NULL; END $$",
            *(
                f"CREATE TRIGGER count_rows AFTER INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION note()"
                for table in TABLES
            ),
        )


class RowCounter:
    """Counts rows by triggers in the database itself, independently of what any driver reports."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        shell.count_rows()

    def take(self) -> list[str]:
        """What was written since the last call, one entry a row."""
        return sorted(what for (what,) in self._shell.rows("DELETE FROM written RETURNING what"))
