"""Whatever is wrong is one clear message: what, where, the cure; never a traceback, never a secret."""

import re
import socket
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.program import SECRET, Program, Result, sample

PROJECT = {
    "LIVEKIT_URL": "http://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": SECRET,
}
NOBODY = dict.fromkeys(PROJECT, "")


def told(result: Result, code: int, *parts: str) -> None:
    """The command failed with this exit code, and these words on standard error."""
    assert result.code == code, result.all
    for part in parts:
        assert part in result.err
    assert "Traceback" not in result.all
    assert SECRET not in result.all
    assert all(line.isprintable() for line in result.err.splitlines())


@dataclass(frozen=True)
class Case:
    """One thing done wrong. `toml` becomes watchdog.toml."""

    parts: tuple[str, ...]
    code: int = 2
    command: tuple[str, ...] = ("check-config",)
    toml: str = ""
    variables: dict[str, str] = field(default_factory=dict)


def database(path: str) -> dict[str, str]:
    return {"WATCHDOG_DATABASE": f"sqlite+aiosqlite:///{path}"}


WRONG = {
    "no project": Case(
        ("no LiveKit project is configured", "LIVEKIT_URL", "[[projects]]"), variables=NOBODY
    ),
    "half a project": Case(
        ("LIVEKIT_API_SECRET must be set too, beside LIVEKIT_URL, LIVEKIT_API_KEY",),
        variables={"LIVEKIT_API_SECRET": ""},
    ),
    "URL scheme": Case(
        ("LIVEKIT_URL: must begin with ws://, wss://, http:// or https://", "write it like wss://"),
        variables={"LIVEKIT_URL": f"ftp://{SECRET}@example.invalid"},
    ),
    "URL without a host": Case(
        ("LIVEKIT_URL: names no host",), variables={"LIVEKIT_URL": "wss://"}
    ),
    "secret file that is missing": Case(
        ("LIVEKIT_API_SECRET_FILE: ", "nowhere.txt does not exist; check the path"),
        variables={"LIVEKIT_API_SECRET": "", "LIVEKIT_API_SECRET_FILE": "nowhere.txt"},
    ),
    "config file that is missing": Case(
        ("nowhere.toml: the configuration file does not exist",),
        command=("check-config", "--config", "nowhere.toml"),
    ),
    "TOML syntax": Case(
        ("watchdog.toml: line 2, column 6: not valid TOML",), toml='mode = "observe"\n[http\n'
    ),
    "duration": Case(
        ("watchdog.toml: poll_interval: ", "quarter past"), toml='poll_interval = "quarter past"'
    ),
    "duration in the environment": Case(
        ("WATCHDOG_POLL_INTERVAL: ", "15 parsecs"),
        variables={"WATCHDOG_POLL_INTERVAL": "15 parsecs"},
    ),
    "glob": Case(
        ("watchdog.toml: detection.agent_identities", "name at least one fixed character"),
        toml='[detection]\nagent_identities = ["*"]',
    ),
    "unknown key": Case(
        ('watchdog.toml: unknown key "pol_interval"', "nearest known one is poll_interval"),
        toml='pol_interval = "15s"',
    ),
    "unknown variable": Case(
        ("WATCHDOG_POL_INTERVAL: no setting has this variable", "WATCHDOG_POLL_INTERVAL"),
        variables={"WATCHDOG_POL_INTERVAL": "15s"},
    ),
    "mode that is none": Case(
        ('WATCHDOG_MODE: "delete" must be one of', '"enforce"'),
        variables={"WATCHDOG_MODE": "delete"},
    ),
    "listen address": Case(
        ("WATCHDOG_HTTP__LISTEN: ", "9779", 'write it like "127.0.0.1:9779"'),
        variables={"WATCHDOG_HTTP__LISTEN": "localhost-9779"},
    ),
    "database URL": Case(
        ("WATCHDOG_DATABASE: must be a file, like sqlite+aiosqlite:///",),
        variables={"WATCHDOG_DATABASE": f"mysql://root:{SECRET}@db/watchdog"},
    ),
    "several things at once": Case(
        ("poll_interval", "http.listen", "prices.plan"),
        toml='poll_interval = "x"\n[http]\nlisten = "y"\n[prices]\nplan = "z"',
    ),
    "unknown project": Case(
        ("nosuch/room", "write PROJECT/ROOM", "one of: eu, us"),
        command=("explain", "nosuch/room"),
        toml="".join(
            f'[[projects]]\nname = "{name}"\nurl = "wss://{name}.invalid"\napi_key = "k"\n'
            f'api_secret = "{SECRET}"\n'
            for name in ("eu", "us")
        ),
        variables=NOBODY,
    ),
    "project without a room": Case(
        ("'default/'", "write PROJECT/ROOM", "one of: default"), command=("explain", "default/")
    ),
    "explain nothing": Case(("Missing argument 'PROJECT/ROOM'",), command=("explain",)),
    "unknown command": Case(("No such command 'destroy'",), command=("destroy",)),
    "unknown option": Case(("No such option: --verbose",), command=("run", "--verbose")),
    "demo --seconds 0": Case(("--seconds", "0.1"), command=("demo", "--seconds", "0")),
    "demo --seconds soon": Case(
        ("--seconds", "valid number"), command=("demo", "--seconds", "soon")
    ),
    "demo --listen": Case(
        ("--listen", "9779x", 'write it like "127.0.0.1:9779"'),
        command=("demo", "--listen", "127.0.0.1:9779x"),
    ),
    "demo --listen off": Case(
        ("--listen", 'write it like "127.0.0.1:9779"'), command=("demo", "--listen", "off")
    ),
    "demo --listen elsewhere": Case(
        ("cannot listen on 192.0.2.1:9779: ", "choose another with --listen"),
        code=1,
        command=("demo", "--listen", "192.0.2.1:9779"),
    ),
    "simulate --rooms 0": Case(("--rooms", "1"), command=("simulate", "--rooms", "0")),
    "simulate --port": Case(("--port", "65535"), command=("simulate", "--port", "65536")),
    "price book that is missing": Case(
        ("mine.toml: the price book does not exist; check the path",),
        variables={"WATCHDOG_PRICES__BOOK": "mine.toml"},
    ),
    "directory of the database is missing": Case(
        ("the database's directory ", "nowhere does not exist: create it or change `database`"),
        command=("run",),
        variables=database("nowhere/watchdog.db"),
    ),
    "database is a directory": Case(
        (" is a directory: name a file in it, such as ",),
        command=("run",),
        variables=database("."),
    ),
    "no database yet": Case(
        ("there is no database of livekit-watchdog at ", "start `livekit-watchdog run` first"),
        code=1,
        command=("rooms",),
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_cure(tmp_path, case):
    if case.toml:
        (tmp_path / "watchdog.toml").write_text(case.toml)
    program = Program(tmp_path, **PROJECT).with_(**case.variables)
    before = set(tmp_path.iterdir())
    told(program(*case.command), case.code, *case.parts)
    assert set(tmp_path.iterdir()) == before, "it left something behind"


@pytest.mark.parametrize("command", ["run", "once", "check-config", "rooms", "db current"])
def test_every_command_refuses_a_wrong_configuration(tmp_path, command):
    (tmp_path / "watchdog.toml").write_text('poll_interval = "soon"')
    result = Program(tmp_path, **PROJECT)(*command.split())
    told(result, 2, "livekit-watchdog: ", "watchdog.toml: poll_interval: ")
    assert result.out == ""


# ---- the server ------------------------------------------------------------------------------------


@pytest.mark.trap("T32")
def test_t32_a_wrong_key_or_secret(program):
    for wrong in ({"LIVEKIT_API_KEY": "nosuchkey"}, {"LIVEKIT_API_SECRET": "w" * 43}):
        result = program.with_(**wrong)("once")
        told(result, 1, "ListRooms: the server answered 401", "the key or secret is not valid")
        assert "w" * 43 not in result.all
        assert result.err.count("\n") == 1


def test_a_host_that_does_not_exist(program):
    result = program.with_(LIVEKIT_URL="wss://livekit.invalid")("once")
    told(result, 1, "cannot reach the server", "livekit.invalid", "check the URL, DNS")
    assert result.err.count("\n") == 1


def test_a_url_of_something_else(program, server):
    result = program.with_(LIVEKIT_URL=f"{server.url}/some/path")("once")
    told(result, 1, "404", "this URL serves no LiveKit Room Service; check host and path")


# ---- the database ----------------------------------------------------------------------------------


def test_a_file_that_is_no_database(program):
    (program.directory / "watchdog.db").write_bytes(b"this is no database, " * 100)
    for command in (("run",), ("rooms",), ("db", "current")):
        told(
            program(*command),
            1,
            f"the database {program.directory / 'watchdog.db'} is no SQLite database",
            "move it away",
        )


def test_a_damaged_database(program, server):
    server.call("call-1", person=False)
    assert program("once").code == 0
    path = program.directory / "watchdog.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xee" * (len(content) - 4096)
    path.write_bytes(bytes(content))
    for command in (("run",), ("rooms",)):
        told(program(*command), 1, f"the database {path} is damaged", "restore a .bak copy")


def test_a_database_of_a_newer_version(program):
    assert program("db", "upgrade").code == 0
    path = program.directory / "watchdog.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for command in (("run",), ("rooms",), ("db", "upgrade")):
        told(
            program(*command),
            1,
            f"the database {path} has schema 9999, made by a newer livekit-watchdog",
            "install the newer version again",
        )
    current = program("db", "current")
    assert current.code == 0
    assert current.out.startswith("revision 9999; this version needs ")


def test_a_database_of_another_application(program):
    with sqlite3.connect(program.directory / "watchdog.db") as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    told(
        program("run"),
        2,
        "holds another application's tables (customers)",
        "name a file of its own",
    )


# ---- addresses -------------------------------------------------------------------------------------


def test_a_port_that_is_taken(program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        result = program.with_(WATCHDOG_HTTP__LISTEN=where)("run")
        simulated = program("simulate", "--port", where.rpartition(":")[2])
    told(result, 1, f"cannot listen on {where}: address already in use", "WATCHDOG_HTTP__LISTEN")
    told(simulated, 1, f"cannot listen on {where}: ", "choose another with --port")
    assert simulated.err.count(where) == 1


# ---- the price book --------------------------------------------------------------------------------

GOOD_BOOK = """
schema_version = 1
book_version = "mine"
currency = "USD"
[[prices]]
meter = "lk.agent_session"
provider = "livekit"
plan = "ship"
unit = "min"
price = "0.02"
currency = "USD"
basis = "connection_time"
bills_when_idle = true
increment_s = 1
minimum_s = 10
effective_from = 2026-01-01
source = "our contract"
last_verified = 2026-09-30
confidence = "high"
"""

WRONG_BOOKS = {
    "no TOML": ("[[prices]\n", "not valid TOML"),
    "no number": (GOOD_BOOK.replace('"0.02"', '"two cents"'), "price: "),
    "a float": (GOOD_BOOK.replace('"0.02"', "0.02"), "price: "),
    "negative": (GOOD_BOOK.replace('"0.02"', '"-0.02"'), "price: "),
    "no date": (GOOD_BOOK.replace("2026-01-01", '"yesterday"'), "effective_from: "),
    "unknown unit": (GOOD_BOOK.replace('"min"', '"fortnight"'), "unit: "),
    "unknown key": (
        GOOD_BOOK.replace("minimum_s", "minimun_s"),
        'unknown key "minimun_s"; the nearest known one is minimum_s',
    ),
    "a meter's name": (
        GOOD_BOOK.replace("lk.agent_session", "lk agent"),
        'meter: "lk agent" must be 1 to 64 of A-Z a-z 0-9 . _ -',
    ),
    "overlapping days": (
        GOOD_BOOK + GOOD_BOOK.partition('currency = "USD"\n')[2],
        "no. 2 (lk.agent_session, ship): effective_from: its days overlap with those of no. 1",
    ),
    "missing price": (GOOD_BOOK.replace('price = "0.02"\n', ""), "price: is missing"),
}


@pytest.mark.parametrize(("book", "part"), WRONG_BOOKS.values(), ids=WRONG_BOOKS)
def test_a_price_book_that_is_wrong(program, book, part):
    path = program.directory / "book.toml"
    path.write_text(book)
    program = program.with_(
        WATCHDOG_PRICES__BOOK="book.toml", WATCHDOG_PRICES__PROFILE="cloud-hosted"
    )
    told(program("check-config"), 2, "book.toml: ", part)


def test_a_run_refuses_a_price_book_that_is_wrong(program):
    (program.directory / "book.toml").write_text(GOOD_BOOK.replace('"0.02"', '"two cents"'))
    told(program.with_(WATCHDOG_PRICES__BOOK="book.toml")("run"), 2, "book.toml: ", "price: ")


def test_a_price_book_that_is_right_is_used(program, server):
    Path(program.directory / "book.toml").write_text(GOOD_BOOK)
    server.call("call-1", person=False)
    program = program.with_(
        WATCHDOG_PRICES__BOOK="book.toml", WATCHDOG_PRICES__PROFILE="cloud-hosted"
    )
    with program.started("run") as daemon:
        url = f"{daemon.url()}/metrics"
        labels = {"project": "default", "agent_name": "support"}
        burn = daemon.eventually(lambda: sample(url, "burn_low_usd_per_hour", **labels))
    usual = program.with_(WATCHDOG_PRICES__BOOK="", WATCHDOG_DATABASE="sqlite+aiosqlite:///b.db")
    with usual.started("run") as daemon:
        url = f"{daemon.url()}/metrics"
        before = daemon.eventually(lambda: sample(url, "burn_low_usd_per_hour", **labels))
    assert burn - before == pytest.approx(60 * (0.02 - 0.01))


# ---- secrets ---------------------------------------------------------------------------------------


def test_the_secret_is_in_nothing_that_is_written(program, server):
    server.call("call-1", person=False)
    with program.with_(WATCHDOG_LOG__LEVEL="debug").started("run") as daemon:
        daemon.eventually(lambda: daemon.logged("episode opened"))
        daemon.stop()
    written = [daemon.out, daemon.err]
    for command in ("check-config", "check-config --json", "once --json", "rooms --json"):
        written.append(program(*command.split()).all)
    assert not [text for text in written if SECRET in text]
    for file in program.directory.glob("watchdog.db*"):
        assert SECRET.encode() not in file.read_bytes()
    assert not re.search("api_secret", "".join(written))
