"""A simulated server, and the program told about it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import IN_A_HURRY, Program, Server, simulated_server


@pytest.fixture
def server() -> Iterator[Server]:
    """A running simulated server with nobody in it."""
    with simulated_server() as server:
        yield server


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
        **IN_A_HURRY,
    )
