"""How history scales: a year of closed episodes filled in, rolled up, and read again by day and as a report.

`.venv/bin/python -m benchmarks.history [EPISODES] [BATCH]` (default 1,000,000 and the daemon's batch); needs
about 1.6 KB of disk an episode, in a temporary directory.
"""

import asyncio
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from watchdog.core.model import CloseReason, TickResult
from watchdog.core.records import TickRecord
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore
from watchdog.tidying import HOURLY

ROOT = Path(__file__).parents[1]
DAYS = 365
KEPT = timedelta(days=90)
END = datetime(2026, 9, 1, tzinfo=UTC)
PROJECTS, AGENTS = 2, 12
METERS = ("lk.agent.session", "lk.webrtc.participant", "lk.inference.stt.deepgram-nova-3")
POLICIES = ("default", "never-attended", "phone")
REASONS = tuple(CloseReason)
AT_ONCE = 20_000
SCATTER = 0x9E3779B97F4A7C15


def rows_of(number: int, of: int) -> tuple[tuple, tuple, list[tuple]]:
    """One closed episode, its agent, and its lines."""
    began = END - timedelta(days=DAYS) * (1 - number / of)
    lasted = timedelta(seconds=60 + number * 7919 % 3600)
    key = f"ep_{number * SCATTER % 2**64:016x}"  # as scattered as real ones
    project = f"project-{number % PROJECTS}"
    name, sid = f"agent-{number * 31 % AGENTS}", f"RM_{number:012x}"
    first, last, gone = (
        f"{at:%Y-%m-%d %H:%M:%S.%f}" for at in (began, began + lasted, began + lasted)
    )
    episode = (
        *(key, project, sid, f"call-{number:08x}", first, 300, 20, number % 3 > 0),
        *(
            first,
            first,
            last,
            gone,
            1.0 * number,
            REASONS[number % len(REASONS)],
            POLICIES[number * 7 % 3],
        ),
    )
    agent = (
        key,
        f"PA_{number:012x}",
        0,
        f"agent-AJ_{number:x}",
        name,
        "AGENT",
        "agent",
        first,
        first,
        first,
        last,
        gone,
    )
    nano = int(lasted.total_seconds() * 166_667)
    lines = [
        (
            key,
            name,
            "cloud-hosted",
            meter,
            "ship",
            "minute",
            10_000_000,
            lasted.total_seconds(),
            nano,
            nano * 2,
            0,
            "2026-08-01",
            "h" * 64,
        )
        for meter in METERS
    ]
    return episode, agent, lines


EPISODE = (
    "INSERT INTO episodes (id, project, room_sid, room_name, room_created_at, empty_timeout,"
    " departure_timeout, person_seen, last_attended_at, first_orphaned_at, last_seen_orphaned_at,"
    " first_gone_at, watched_at_open, close_reason, policy) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
AGENT = (
    "INSERT INTO episode_agents (episode_id, participant_sid, position, identity, agent_name, kind, role,"
    " joined_at, last_attended_at, first_orphaned_at, last_seen_orphaned_at, first_gone_at)"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
)
LINE = (
    "INSERT INTO ledger (episode_id, agent_name, profile, meter, plan, unit, price, seconds, low, high,"
    " unverified, book_version, book_hash) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
)


def batches(number: int) -> Iterator[range]:
    """All numbers, so many at once."""
    for start in range(0, number, AT_ONCE):
        yield range(start, min(start + AT_ONCE, number))


def fill(path: Path, number: int) -> None:
    """A year of closed episodes, directly in SQL."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for batch in batches(number):
            made = [rows_of(n, number) for n in batch]
            connection.executemany(EPISODE, [episode for episode, _, _ in made])
            connection.executemany(AGENT, [agent for _, agent, _ in made])
            connection.executemany(LINE, [line for _, _, lines in made for line in lines])
            connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def roll_up_all(
    database: Database, batch: int, before: datetime = END - KEPT
) -> tuple[int, list[float]]:
    """Batch after batch without the daemon's pauses; how many episodes, and what each batch took."""
    history, whole, took = HistoryStore(database), 0, []
    while True:
        began = time.perf_counter()
        done = await history.roll_up(before, batch)
        took.append(time.perf_counter() - began)
        if not done:
            return whole, took
        whole += done


async def commits(database: Database, first: int) -> float:
    """The median of what a steady tick's commit takes."""
    store, took = EpisodeStore(database), []
    await store.load("project-0")
    for number in range(first, first + 50):
        record = TickRecord("project-0", number, END, TickResult.OK, 0.0, 0.0)
        began = time.perf_counter()
        await store.commit(record, [], {})
        took.append(time.perf_counter() - began)
    return statistics.median(took)


async def a_start(database: Database, first: int) -> None:
    """What a start reads, and what ticks take after it."""
    began = time.perf_counter()
    await EpisodeStore(database).load("project-0")
    took = time.perf_counter() - began
    print(
        f"start           {took:.3f} s to load, {1e3 * await commits(database, first):.1f} ms a tick"
    )


def megabytes(path: Path) -> str:
    """The file's size."""
    return f"{path.stat().st_size / 1e6:,.0f} MB"


async def closed(database: Database) -> None:
    """The whole year by day, as a report reads it."""
    began = time.perf_counter()
    found = await HistoryStore(database).closed()
    took = time.perf_counter() - began
    spend = sum(one.line.spend.high for one in found.lines)
    print(
        f"the year        {took:.1f} s for {len(found.lines):,} lines and {len(found.counts):,} counts,"
        f" {sum(c.episodes for c in found.counts):,} episodes, {spend:,.2f} USD"
    )


def report(path: Path, what: str) -> None:
    """The command itself, beside nothing else."""
    began, used = time.perf_counter(), cpu_of_children()
    done = subprocess.run(
        [sys.executable, "-m", "watchdog", "report"],
        cwd=path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WATCHDOG_DATABASE": url_of(path)},
        capture_output=True,
        check=True,
        text=True,
    )
    took = time.perf_counter() - began
    counted = next(line for line in done.stdout.splitlines() if "episodes" in line)
    used = cpu_of_children() - used
    print(f"report          {took:.1f} s ({used:.1f} s of CPU), {what}: {counted.strip()}")


def cpu_of_children() -> float:
    """Seconds, of those that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def url_of(path: Path) -> str:
    """Of a SQLite file."""
    return f"sqlite+aiosqlite:///{path}"


async def measure(number: int, batch: int, path: Path) -> None:
    """All of it."""
    url = url_of(path)
    async with await open_database(url):  # creates it
        pass
    fill(path, number)
    print(f"filled          {number:,} episodes, {len(METERS) * number:,} lines: {megabytes(path)}")
    async with await open_database(url) as database:
        await a_start(database, 1)
        await closed(database)
    report(path, "nothing rolled up")
    async with await open_database(url) as database:
        began = time.perf_counter()
        whole, took = await roll_up_all(database, batch)
        took.sort()
        print(
            f"rolled up       {whole:,} in {time.perf_counter() - began:.0f} s, {batch} at a time: median"
            f" {1e3 * statistics.median(took):.0f} ms, 99% {1e3 * took[len(took) * 99 // 100]:.0f} ms,"
            f" longest {1e3 * took[-1]:.0f} ms"
        )
        await a_start(database, 99)
        await closed(database)
    report(path, f"{KEPT.days} days kept")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (pages,), (free,) = (
            connection.execute(f"PRAGMA {p}").fetchone() for p in ("page_count", "freelist_count")
        )
        print(
            f"file            {megabytes(path)}, of which {free / pages:.0%} are free to use again"
        )
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"after VACUUM    {megabytes(path)}, what a file holds that never was larger")
    async with await open_database(url) as database:
        await roll_up_all(database, batch, END + timedelta(days=2))
    report(path, "all rolled up")
    print(
        f"memory          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB at most"
    )


def main() -> None:
    """Read the arguments and measure."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else HOURLY.batch
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(number, batch, Path(directory) / "watchdog.db"))


if __name__ == "__main__":
    main()
