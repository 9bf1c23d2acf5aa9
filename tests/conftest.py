"""Fixtures that every kind of test shares, and the count of what ran against a real server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.needs import lacking
from tests.postgres import USER, PostgresServer, running_postgres
from tests.realserver import HOW_TO_GET_ONE, RealServer, find_server, running_server
from watchdog.simulator.clock import VirtualClock
from watchdog.store.database import upgrade


def server_binary() -> Path:
    """A livekit-server to start; without one a test is skipped, and fails in CI."""
    binary = find_server()
    if binary is None:
        lacking(HOW_TO_GET_ONE)
    return binary


@pytest.fixture(scope="session")
def livekit_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A real livekit-server, one for each test process. Tests with it carry `real_server`."""
    with running_server(server_binary(), tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[RealServer]:
    """A real livekit-server of this test's own: nobody else's rooms are on it."""
    with running_server(server_binary(), tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real Postgres, one for each test process. Its database `migrated` is made anew for each test."""
    with running_postgres() as server:
        server.sql(f"CREATE DATABASE migrated OWNER {USER}")
        # Not in this thread: an event loop of a test may run in it.
        migrating = Thread(target=lambda: asyncio.run(upgrade(server.url("migrated"))))
        migrating.start()
        migrating.join()
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of this test's own on it, at the newest schema."""
    name = postgres_server.create("migrated")
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def new_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty one."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that only moves when somebody waits on it."""
    return VirtualClock()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses the real server says so, and no marker is forgotten."""
    for item in items:
        uses = {"livekit_server", "fresh_server"} & set(getattr(item, "fixturenames", ()))
        if uses and item.get_closest_marker("real_server") is None:
            raise pytest.UsageError(f"{item.nodeid} uses a real server without real_server")


class RealServerCount:
    """Counts in the process that reports, so that it adds up with pytest-xdist too."""

    def __init__(self) -> None:
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and "real_server" in report.keywords and not report.skipped:
            self.ran += 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{self.ran} tests ran against a real livekit-server")


class ExercisedCount:
    """Adds up what tests say they exercised, by `record_property("exercised: …", number)`."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" or not report.passed:
            return
        for name, value in report.user_properties:
            if name.startswith("exercised: ") and isinstance(value, int):
                what = name.removeprefix("exercised: ")
                self.sums[what] = self.sums.get(what, 0) + value

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for what, number in sorted(self.sums.items()):
            terminalreporter.write_line(f"{number} {what}")


def pytest_configure(config: pytest.Config) -> None:
    """One counter of each kind for the run."""
    config.pluginmanager.register(RealServerCount(), "real-server-count")
    config.pluginmanager.register(ExercisedCount(), "exercised-count")
