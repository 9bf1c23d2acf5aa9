"""Starts a real Postgres for the tests: on a port and in a directory of its own, without Debian's service."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.needs import lacking
from tests.realserver import free_port

USER = "watchdog"
PASSWORD = "s3cr3t-of-the-tests"
"""Every connection needs it, so that a message that repeats it is found out."""
PATIENCE = 60.0
"""Seconds a server may take to get ready: a loaded machine is slow."""
SPEED = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""A test's database need not survive a power cut."""


def programs() -> Path:
    """The directory of Postgres' programs; without it a test does not run."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    of_debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = max(of_debian, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None:
        lacking("postgres is missing: apt-get install postgresql")
    return newest.parent


def _owner() -> str | None:
    """Whom it runs as: it refuses root."""
    return "postgres" if os.geteuid() == 0 else None


@dataclass
class PostgresServer:
    """A running server. `url` names a database on it, for SQLAlchemy."""

    programs: Path
    directory: Path
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    made: int = field(default=0)

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD) -> str:
        return f"postgresql+asyncpg://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, *statements: str, database: str = "postgres") -> list[tuple[str, ...]]:
        """What psql says, row by row and as text, run by the superuser."""
        command = [self.programs / "psql", "-XAtq", "-F", "\x1f", "-R", "\x1e"]
        for statement in statements:
            command += ["-c", statement]
        done = subprocess.run(
            [*command, "-h", self.directory, "-p", str(self.port), "-U", "postgres", database],
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows = re.split("[\x1e\n]", done.stdout.strip("\x1e\n"))
        return [tuple(row.split("\x1f")) for row in rows if row]

    def create(self, template: str = "template1") -> str:
        """A database that nobody else uses; returns its name."""
        self.made += 1
        name = f"test_{self.made}"
        self.sql(f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever still uses it."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGQUIT at once, SIGINT after it has told its clients."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def start(self) -> None:
        """Start it again, on the port and with the databases it had."""
        self.process = _start(self.programs, self.directory, self.port, self.log)
        _wait_until_ready(self)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server while the scope lasts. Skips the test, or fails it in CI, where there is none to start."""
    found = programs()
    # Not pytest's own directory: nobody but its owner may look into that, and this is another user's.
    directory = Path(tempfile.mkdtemp(prefix="watchdog-pg-"))
    try:
        if _owner():
            shutil.chown(directory, _owner())
        _make(found, directory)
        port, log = free_port(), directory / "log"
        server = PostgresServer(found, directory, port, _start(found, directory, port, log), log)
        try:
            _wait_until_ready(server)
            server.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _make(found: Path, directory: Path) -> None:
    subprocess.run(
        [
            *(found / "initdb", "--pgdata", directory / "data", "--username", "postgres"),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        user=_owner(),
        group=_owner(),
        extra_groups=[] if _owner() else None,
        cwd=directory,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def _start(found: Path, directory: Path, port: int, log: Path) -> "subprocess.Popen[bytes]":
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(directory),
        "shared_buffers": "16MB",
        "max_connections": "100",
        **SPEED,
    }
    with log.open("ab") as file:
        return subprocess.Popen(
            [
                *(found / "postgres", "-D", directory / "data", "-p", str(port)),
                *(part for k, v in settings.items() for part in ("-c", f"{k}={v}")),
            ],
            user=_owner(),
            group=_owner(),
            extra_groups=[] if _owner() else None,
            cwd=directory,
            stdout=file,
            stderr=file,
        )


def _wait_until_ready(server: PostgresServer) -> None:
    until = time.monotonic() + PATIENCE
    command = [server.programs / "pg_isready", "-q", "-h", server.directory, "-p", str(server.port)]
    while subprocess.run(command, check=False).returncode != 0:
        assert server.process.poll() is None, server.log.read_text()
        assert time.monotonic() < until, server.log.read_text()
        time.sleep(0.05)
