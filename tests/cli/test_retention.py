"""`run` rolls up what ended longer ago than `retention`; nothing else that a daemon is made for does."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.program import KEY, SECRET, closed_port
from tests.store.builders import START, at, episode, sqlite_rows, tick
from tests.store.test_history import ended, line
from watchdog.app import opened_daemon, run
from watchdog.clocks import SystemClock
from watchdog.core.ledger import Postings
from watchdog.reading import tariffs_of
from watchdog.reporting.entries import Estimate
from watchdog.reporting.window import Window
from watchdog.settings import load_settings
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World
from watchdog.spending import Books, Question, read_spending
from watchdog.store.database import open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore
from watchdog.tidying import Cadence

AT_ONCE = Cadence(first=0, every=0.01, pause=0, batch=2)
NOW = (datetime.now(UTC) - START).total_seconds()
DAY = 86400.0


@asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    simulator = RoomServiceSimulator(World(SystemClock()), {KEY: SECRET})
    async with serve(simulator) as url:
        yield url


def settings_for(directory: Path, url: str, **variables: str):
    return load_settings(
        environ={
            "LIVEKIT_URL": url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "WATCHDOG_DATABASE": f"sqlite+aiosqlite:///{directory / 'watchdog.db'}",
            "WATCHDOG_POLL_INTERVAL": "1s",
            "WATCHDOG_HTTP__LISTEN": "off",
            "WATCHDOG_DETECTION__REQUESTS_PER_MINUTE": "6000",
            **variables,
        },
        cwd=directory,
    )


async def with_history(settings, *projects: str) -> None:
    """Five episodes of a hundred days ago, one of yesterday, and one that is open, in each project."""
    async with await open_database(settings.database) as database:
        for project in projects:
            old = [
                ended(f"{project}_{n}", NOW - 100 * DAY + n, 60, project=project) for n in range(5)
            ]
            young = ended(f"{project}_young", NOW - DAY, 60, project=project)
            still = episode(f"{project}_open", since=NOW - 100 * DAY, project=project)
            postings = Postings(at(0), lines={one.id: (line("1"),) for one in (*old, young)})
            record = replace(tick(1, project=project), at=at(NOW - 60))
            await EpisodeStore(database).commit(record, [*old, young, still], {}, postings)


def kept(settings) -> list[str]:
    path = Path(settings.database.removeprefix("sqlite+aiosqlite:///"))
    return [str(key) for (key,) in sqlite_rows(path, "SELECT id FROM episodes ORDER BY id")]


def rolled_up(settings) -> list[tuple[object, ...]]:
    path = Path(settings.database.removeprefix("sqlite+aiosqlite:///"))
    query = "SELECT project, sum(episodes) FROM daily_counts GROUP BY project ORDER BY project"
    return sqlite_rows(path, query)


async def eventually(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_run_rolls_up_what_is_older_than_its_retention(tmp_path: Path) -> None:
    async with simulated() as url:
        settings = settings_for(tmp_path, url)
        await with_history(settings, "default", "of-before")
        running = asyncio.create_task(run(settings, SystemClock(), lambda: settings, AT_ONCE))
        await eventually(lambda: rolled_up(settings) == [("default", 5), ("of-before", 5)])
        signal.raise_signal(signal.SIGTERM)
        await running
    left = kept(settings)
    assert [key for key in left if key.startswith("of-before")] == [
        "of-before_open",
        "of-before_young",
    ]
    assert {"default_open", "default_young"} <= set(left)


async def test_nothing_of_a_project_is_rolled_up_before_it_was_seen(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, f"http://127.0.0.1:{closed_port()}")
    await with_history(settings, "default", "of-before")
    async with opened_daemon(settings, SystemClock()) as daemon:
        await daemon.tick(daemon.watched["default"])
        while await daemon.roll_up(100):
            pass
    assert rolled_up(settings) == [("of-before", 5)]
    assert len([key for key in kept(settings) if key.startswith("default")]) == 7


@pytest.mark.parametrize(
    ("retention", "left"), [("forever", 7), ("101d", 7), ("99d", 2), ("7d", 2)]
)
async def test_it_keeps_as_long_as_it_is_told(tmp_path: Path, retention: str, left: int) -> None:
    settings = settings_for(tmp_path, "http://127.0.0.1:9", WATCHDOG_RETENTION=retention)
    await with_history(settings, "of-before")
    async with opened_daemon(settings, SystemClock()) as daemon:
        while await daemon.roll_up(100):
            pass
    assert len(kept(settings)) == left


async def test_what_is_older_than_the_ledger_costs_what_a_report_said_before(
    tmp_path: Path,
) -> None:
    async def reported():
        async with await open_for_reading(settings.database) as database:
            books = Books(tariffs_of(settings), {})
            return (
                await read_spending(database, books, Question(Window()), datetime.now(UTC))
            ).report

    async with simulated() as url:
        settings = settings_for(tmp_path, url, WATCHDOG_PRICES__PROFILE="cloud-hosted")
        async with await open_database(settings.database) as database:
            for project in ("default", "of-before"):
                old = ended("E_" + project, NOW - 100 * DAY, 1.5 * DAY, project=project)
                old = replace(old, policy="")
                await EpisodeStore(database).commit(
                    tick(1, project=project), [old], {}, Postings(at(0))
                )
        before = await reported()
        assert before.estimates == {Estimate.TODAYS_PRICES: 1, Estimate.NOT_RECKONED: 1}
        assert before.totals.spend.low > 0
        async with opened_daemon(settings, SystemClock()) as daemon:
            await daemon.tick(daemon.watched["default"])
            while await daemon.roll_up(100):
                pass
    assert kept(settings) == []
    after = await reported()
    assert (after.totals, after.groups) == (before.totals, before.groups)


async def test_beside_a_run_nothing_is_rolled_up(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, "http://127.0.0.1:9")
    await with_history(settings, "of-before")
    async with (
        opened_daemon(settings, SystemClock()),
        opened_daemon(settings, SystemClock(), beside_a_run=True) as beside,
    ):
        assert await beside.roll_up(100) == 0
    assert len(kept(settings)) == 7
