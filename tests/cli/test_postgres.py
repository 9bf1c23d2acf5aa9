"""The commands on a database on a Postgres server."""

import json

import pytest

from tests.postgres import PASSWORD
from watchdog.store.migrate import HEAD


@pytest.fixture
def on_postgres(program, new_postgres_url):
    """The program, told of an empty database."""
    program.environment["WATCHDOG_DATABASE"] = new_postgres_url
    return program


def test_the_schema_is_made_once_and_told(on_postgres):
    assert on_postgres("db", "current").out.startswith("revision none: there is no database yet")
    assert on_postgres("db", "upgrade").out == f"The database went from nothing to {HEAD}.\n"
    assert on_postgres("db", "upgrade").out == f"The database is at revision {HEAD} already.\n"
    assert on_postgres("db", "current").out.startswith(f"revision {HEAD}")


def test_what_one_command_stores_another_reads(on_postgres, server):
    server.call("orphaned", person=False)
    assert on_postgres("once").code == 0
    rooms = json.loads(on_postgres("rooms", "--json").out)
    assert "orphaned" in json.dumps(rooms)
    assert on_postgres("pause", "--reason", "a test").out == "default: paused\n"
    assert on_postgres("pause").out == "default: paused (it was already)\n"
    assert [line["kind"] for line in json.loads(on_postgres("audit", "--json").out)] == ["paused"]
    assert on_postgres("explain", "default/orphaned").code == 0
    assert on_postgres("report").code == 0


def test_check_config_says_what_is_wrong_with_it_and_no_password(on_postgres, new_postgres_url):
    assert on_postgres("check-config").code == 0
    for wrong in (new_postgres_url + "_missing", new_postgres_url.replace(PASSWORD, "wrong-one")):
        on_postgres.environment["WATCHDOG_DATABASE"] = wrong
        for command in (("check-config",), ("once",), ("rooms",), ("db", "current")):
            result = on_postgres(*command)
            assert result.code == 2
            assert "127.0.0.1" in result.err
            assert len(result.err.splitlines()) == 1
            assert PASSWORD not in result.out + result.err
            assert "wrong-one" not in result.out + result.err
