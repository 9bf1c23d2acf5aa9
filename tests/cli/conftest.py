"""A simulated server, and the program told about it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Program, Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A running simulated server with nobody in it."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """The program in an empty directory, told nothing."""
    return Program(tmp_path)


@pytest.fixture
def program(tmp_path: Path, server: Server) -> Program:
    """The program in an empty directory, told of the server, in a hurry, on a free port."""
    return Program(
        tmp_path,
        **server.variables,
        WATCHDOG_POLL_INTERVAL="1s",
        WATCHDOG_DETECTION__REQUESTS_PER_MINUTE="6000",
        WATCHDOG_HTTP__LISTEN="127.0.0.1:0",
    )
