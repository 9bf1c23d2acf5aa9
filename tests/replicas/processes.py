"""Real replicas: processes of the program on one Postgres, and a simulated server for each project."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cli.program import KEY, SECRET, Program, Running, Server, simulated_server
from tests.postgres import PostgresServer

LEASE = 5.0
"""The shortest there can be, in seconds."""

CONFIG = """\
mode = "enforce"
poll_interval = "{poll:g}s"
database = "{url}"
[replicas]
lease = "{lease:g}s"
[http]
listen = "127.0.0.1:0"
[detection]
requests_per_minute = 6000
[prices]
profile = "self-hosted-on-cloud"
plan = "ship"
[limits]
max_deletions_per_tick = 100
max_deletions_per_hour = 10000
[[policies]]
name = "quick"
grace = "2s"
allow_short_grace = true
respect_room_timeouts = false
"""
PROJECT = """\
[[projects]]
name = "{name}"
url = "{server}"
api_key = "{key}"
api_secret = "{secret}"
"""


class Farm:
    """Projects with their servers, and what the replicas that share them are told."""

    def __init__(
        self, server: PostgresServer, url: str, directory: Path, servers: dict[str, Server]
    ) -> None:
        self.servers, self.url = servers, url
        self._server, self._database = server, url.rpartition("/")[2]
        self._directory = directory
        self.config = ""

    def configure(self, lease: float, poll: float) -> None:
        """Say how long a lease lasts, and how often is polled, in seconds."""
        self.config = CONFIG.format(url=self.url, lease=lease, poll=poll) + "".join(
            PROJECT.format(name=name, server=one.url, key=KEY, secret=SECRET)
            for name, one in self.servers.items()
        )

    def program(self, name: str, config: str = "", **variables: str) -> Program:
        """The program in a directory of its own, configured like every replica."""
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        (directory / "watchdog.toml").write_text(config or self.config)
        return Program(directory, **variables)

    def sql(self, statement: str) -> list[tuple[str, ...]]:
        """What the database says."""
        return self._server.sql(statement, database=self._database)

    def holders(self) -> dict[str, int]:
        """The process that has each project, of those that somebody has."""
        rows = self.sql(
            "SELECT project, name FROM leases JOIN replicas USING (holder)"
            " WHERE leases.expires_at > clock_timestamp()"
        )
        return {project: int(name.rpartition(":")[2]) for project, name in rows}

    def held_by(self, replica: Running) -> set[str]:
        """The projects that a replica has."""
        return {name for name, pid in self.holders().items() if pid == replica.process.pid}


@contextmanager
def a_farm(  # noqa: PLR0917
    server: PostgresServer,
    url: str,
    directory: Path,
    projects: int,
    lease: float = LEASE,
    poll: float = 1.0,
) -> Iterator[Farm]:
    """So many projects, each with a server of its own."""
    with ExitStack() as stack:
        servers = {f"p{n:02}": stack.enter_context(simulated_server()) for n in range(projects)}
        farm = Farm(server, url, directory, servers)
        farm.configure(lease, poll)
        yield farm


def send(replica: Running, number: signal.Signals) -> None:
    """A signal that it can do nothing about, or none at all."""
    os.kill(replica.process.pid, number)
