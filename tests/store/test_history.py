"""Rolling up: what history says afterwards is what it said before, by day, and in a small file."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.builders import LINE, START, agent, at, closed, episode, seen_at, sqlite_rows, tick
from tests.store.shell import Shell
from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.days import DayCount, DayLine, day_counts, day_lines
from watchdog.core.errors import StoreError
from watchdog.core.ledger import LedgerLine, Postings
from watchdog.core.model import CloseReason, Episode, Role
from watchdog.core.spend import Spend
from watchdog.store.byday import Daily
from watchdog.store.database import Database, open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore

REPOSITORY = Path(__file__).parents[2]
DAY = 86400.0
LATER = at(1000 * DAY)
HOSTILE = ("support", "", "a\0b", "'; DROP TABLE episodes; --", "\ud800", "é\n|", "x" * 3000)

Lines = dict[str, tuple[LedgerLine, ...]]


@pytest.fixture
def history(database: Database) -> HistoryStore:
    return HistoryStore(database)


def line(
    low: str = "1.25",
    *,
    meter: str = "m",
    name: str = "support",
    price: str | None = "0.01",
    book: str = "h",
) -> LedgerLine:
    amount = Decimal(low)
    return replace(
        LINE,
        agent_name=name,
        meter=meter,
        price=None if price is None else Decimal(price),
        spend=Spend(amount, amount * 2, amount / 8),
        book_hash=book,
    )


def ended(key: str, since: float, lasted: float, **more) -> Episode:
    one = closed(seen_at(episode(key, since=since, **more), since + lasted), since + lasted)
    return replace(one, policy="default", person_seen=since % 2 == 0)


async def keep(database: Database, episodes: Iterable[Episode], lines: Lines, number: int = 1):
    """As the daemon's ticks write them."""
    by_project = defaultdict(list)
    for one in episodes:
        by_project[one.project].append(one)
    for project, found in by_project.items():
        own = {one.id: lines[one.id] for one in found if one.id in lines}
        await EpisodeStore(database).commit(
            tick(number, project=project), found, {}, Postings(at(0), lines=own)
        )


def amounts(lines: Iterable[DayLine]) -> dict[tuple, list[Decimal]]:
    """Sums of low, high, unverified and seconds by all else that is said."""
    sums: dict[tuple, list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 4)
    for one in lines:
        said, spend = one.line, one.line.spend
        key = (
            *(one.key, said.profile, said.meter, said.plan, said.unit, said.price),
            *(said.agent_name, said.book_version, said.book_hash),
        )
        parts = (spend.low, spend.high, spend.unverified, said.seconds)
        sums[key] = [a + b for a, b in zip(sums[key], parts, strict=True)]
    return dict(sums)


def numbers(counts: Iterable[DayCount]) -> dict[object, list[float]]:
    sums: dict[object, list[float]] = defaultdict(lambda: [0.0] * 3)
    for one in counts:
        parts = (one.episodes, one.never_attended, one.orphaned_seconds)
        sums[one.key] = [a + b for a, b in zip(sums[one.key], parts, strict=True)]
    return dict(sums)


def by_day(episodes: Iterable[Episode], lines: Lines) -> Daily:
    """What episodes come to, reckoned from themselves."""
    found = list(episodes)
    return Daily(
        tuple(d for e in found for d in day_lines(e, lines.get(e.id, ()), LATER)),
        tuple(d for e in found for d in day_counts(e, LATER)),
    )


def only(whole: Daily, project: str | None, since: date | None, until: date | None) -> Daily:
    def asked_for(one: DayLine | DayCount) -> bool:
        in_time = (since or date.min) <= one.key.day < (until or date.max)
        return in_time and project in (None, one.key.project)

    return Daily(tuple(filter(asked_for, whole.lines)), tuple(filter(asked_for, whole.counts)))


def assert_same(found: Daily, expected: Daily) -> None:
    money, wanted = amounts(found.lines), amounts(expected.lines)
    assert money.keys() == wanted.keys()
    for key, sums in money.items():
        assert sums[:3] == wanted[key][:3], key  # to the last nano-dollar
        assert float(sums[3]) == pytest.approx(float(wanted[key][3]), rel=1e-9)
    counted, wanted_counts = numbers(found.counts), numbers(expected.counts)
    assert counted.keys() == wanted_counts.keys()
    for key, values in counted.items():
        assert values == pytest.approx(wanted_counts[key], rel=1e-9)


def seeded(seed: int, number: int = 60) -> tuple[list[Episode], Lines]:
    """Episodes of two projects over 40 days, with lines of every kind."""
    rng = random.Random(seed)
    episodes, lines = [], {}
    for n in range(number):
        name = rng.choice(HOSTILE).replace("\0", "\ufffd").replace("\ud800", "\ufffd")
        lasted = rng.choice([0.0, 90.0, 3600.0, rng.uniform(0, 3 * DAY)])
        one = ended(
            f"E{n}",
            rng.uniform(0, 40 * DAY),
            lasted,
            project=rng.choice(["main", "second"]),
            agents=(replace(agent(n), agent_name=name),),
        )
        episodes.append(
            replace(
                one,
                policy=rng.choice(["", "default", "phone"]),
                close_reason=rng.choice(list(CloseReason)),
                person_seen=rng.choice([None, True, False]),
            )
        )
        lines[one.id] = tuple(
            replace(
                line(
                    f"{rng.randrange(10**12)}e-9",
                    meter=meter,
                    name=name,
                    price=rng.choice([None, "0", "0.01", "0.0100"]),
                    book=rng.choice(["h", "k"]),
                ),
                plan=rng.choice(["ship", "list"]),
            )
            for meter in rng.sample(["a", "b", "c", "d"], rng.randrange(4))
        )
    # As a database keeps money.
    return episodes, {key: tuple(map(to_the_nano, found)) for key, found in lines.items()}


def to_the_nano(one: LedgerLine) -> LedgerLine:
    spend = one.spend
    nanos = [round(a, 9) for a in (spend.low, spend.high, spend.unverified)]
    return replace(one, spend=Spend(*nanos))


@pytest.mark.parametrize("seed", range(4))
async def test_sums_afterwards_are_the_sums_before(
    history: HistoryStore, database: Database, seed: int
) -> None:
    episodes, lines = seeded(seed)
    await keep(database, episodes, lines)
    batches = []
    while done := await history.roll_up(LATER, 7):
        batches.append(done)
    assert sum(batches) == len(episodes)
    assert max(batches) == 7
    assert_same(await history.daily(), by_day(episodes, lines))
    assert await EpisodeStore(database).episodes_since() == ()


@pytest.mark.parametrize("seed", range(4))
async def test_half_rolled_up_and_half_not_come_to_the_same(
    history: HistoryStore, database: Database, seed: int
) -> None:
    episodes, lines = seeded(seed)
    await keep(database, episodes, lines)
    cutoff = at(20 * DAY)
    while await history.roll_up(cutoff, 5):
        pass
    left = await EpisodeStore(database).episodes_since()
    assert {e.id for e in left} == {e.id for e in episodes if e.bounds.first_gone_at >= cutoff}
    rolled, kept = await history.daily(), by_day(left, lines)
    both = Daily(rolled.lines + kept.lines, rolled.counts + kept.counts)
    assert_same(both, by_day(episodes, lines))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rolled_up", [0, 20, 50])
async def test_closed_episodes_by_day_are_the_same_rolled_up_or_not(
    history: HistoryStore, database: Database, seed: int, rolled_up: int
) -> None:
    episodes, lines = seeded(seed)
    still_open = [episode("O1", since=3 * DAY), episode("O2", since=39 * DAY, project="second")]
    await keep(database, [*episodes, *still_open], lines | {"O1": (line(),)})
    while await history.roll_up(at(rolled_up * DAY), 9):
        pass
    expected = by_day(episodes, lines)
    assert_same(await history.closed(), expected)
    for asked in [
        ("main", None, None),
        ("second", date(2026, 3, 9), None),
        (None, None, date(2026, 3, 25)),
        ("main", date(2026, 3, 15), date(2026, 3, 16)),
        ("main", date(2025, 1, 1), date(2028, 1, 1)),
        ("nobody", None, None),
    ]:
        assert_same(await history.closed(*asked), only(expected, *asked))


async def test_without_episodes_there_are_no_days(history: HistoryStore) -> None:
    assert await history.closed() == Daily()


async def test_an_episode_is_counted_under_its_first_agent_and_no_recorder(
    history: HistoryStore, database: Database
) -> None:
    recorder = replace(agent(3), role=Role.RECORDER, agent_name="recorder")
    second = replace(agent(2), agent_name="second")
    with_both = replace(ended("E1", 0, 60, agents=(agent(1), second)), recordings=(recorder,))
    alone = replace(ended("E2", 0, 60, agents=()), recordings=(recorder,))
    await keep(database, [with_both, alone], {})
    before = await history.closed()
    assert sorted(c.key.agent_name for c in before.counts) == ["", "support"]
    assert_same(before, by_day([with_both, alone], {}))
    await history.roll_up(LATER, 10)
    assert_same(await history.closed(), before)


async def test_open_episodes_and_young_ones_are_left_alone(
    history: HistoryStore, database: Database, shell: Shell
) -> None:
    still_open = episode("E1", since=-50 * DAY)
    young = ended("E2", 0, DAY)
    await keep(database, [still_open, young], {"E1": (line(),), "E2": (line(),)})
    assert await history.roll_up(young.bounds.first_gone_at, 100) == 0
    assert await history.daily() == Daily((), ())
    assert await history.roll_up(young.bounds.first_gone_at + timedelta(microseconds=1), 100) == 1
    assert await EpisodeStore(database).episodes_since() == (still_open,)
    assert shell.rows("SELECT DISTINCT episode_id FROM ledger") == [("E1",)]
    assert shell.rows("SELECT DISTINCT episode_id FROM episode_agents") == [("E1",)]


async def test_again_does_nothing(history: HistoryStore, database: Database) -> None:
    episodes, lines = seeded(9, 10)
    await keep(database, episodes, lines)
    while await history.roll_up(LATER, 4):
        pass
    once = await history.daily()
    assert await history.roll_up(LATER, 4) == 0
    assert await history.daily() == once


async def test_an_episode_counts_on_each_utc_day_it_touches(
    history: HistoryStore, database: Database
) -> None:
    midnight = datetime(2026, 3, 3, tzinfo=UTC)
    since = (midnight - START).total_seconds() - 3600
    one = ended("E1", since, 4 * 3600)
    await keep(database, [one], {"E1": (line("4"),)})
    await history.roll_up(LATER, 10)
    found = await history.daily("main")
    assert [(d.key.day, d.line.spend.low) for d in found.lines] == [
        (date(2026, 3, 2), Decimal(1)),
        (date(2026, 3, 3), Decimal(3)),
    ]
    assert [(c.key.day, c.episodes, c.orphaned_seconds) for c in found.counts] == [
        (date(2026, 3, 2), 1, 3600),
        (date(2026, 3, 3), 0, 3 * 3600),
    ]
    assert all(d.key.policy == "default" and d.line.price == Decimal("0.01") for d in found.lines)
    third = await history.daily("main", date(2026, 3, 3), date(2026, 3, 4))
    assert [d.key.day for d in (*third.lines, *third.counts)] == [date(2026, 3, 3)] * 2
    assert await history.daily("main", until=date(2026, 3, 2)) == Daily((), ())


async def test_an_episode_that_ended_at_midnight_does_not_touch_the_next_day(
    history: HistoryStore, database: Database
) -> None:
    midnight = (datetime(2026, 3, 3, tzinfo=UTC) - START).total_seconds()
    await keep(database, [ended("E1", midnight - 60, 60)], {"E1": (line(),)})
    await history.roll_up(LATER, 10)
    assert {d.key.day for d in (await history.daily()).lines} == {date(2026, 3, 2)}


async def test_projects_are_kept_apart_and_can_have_times_of_their_own(
    history: HistoryStore, database: Database
) -> None:
    names = ("main", "second", "third")
    episodes = [ended(f"E_{name}", 0, 60, project=name) for name in names]
    await keep(database, episodes, {e.id: (line(),) for e in episodes})
    assert await history.roll_up(LATER, 10, but={"main": None, "second": at(60)}) == 1
    assert await history.roll_up(LATER, 10, but={"main": None, "second": at(60)}) == 0
    assert [d.key.project for d in (await history.daily()).lines] == ["third"]
    assert await history.roll_up(LATER, 10) == 1
    assert await history.roll_up(LATER, 10) == 1
    assert [d.key.project for d in (await history.daily("main")).lines] == ["main"]
    assert [d.key.project for d in (await history.daily()).lines] == sorted(names)


async def test_an_episode_without_lines_keeps_its_counts(
    history: HistoryStore, database: Database
) -> None:
    await keep(database, [ended("E1", 1, 60)], {})
    await history.roll_up(LATER, 10)
    found = await history.daily()
    assert found.lines == ()
    assert [(c.episodes, c.never_attended) for c in found.counts] == [(1, 1)]


async def test_only_an_episode_older_than_the_ledger_is_reckoned_anew(
    history: HistoryStore, database: Database
) -> None:
    older = replace(ended("E1", 0, 60), policy="")
    free, booked = ended("E2", 0, 60), replace(ended("E3", 0, 60), policy="")
    await keep(database, [older, free, booked], {"E3": (line("2", meter="n"),)})
    asked_for: list[str] = []

    def reckon(one: Episode) -> tuple[LedgerLine, ...]:
        asked_for.append(one.id)
        return (line("5"),)

    await history.roll_up(LATER, 10, reckon=reckon)
    assert asked_for == ["E1"]
    assert {d.line.meter: d.line.spend.low for d in (await history.daily()).lines} == {
        "m": 5,
        "n": 2,
    }


async def test_sums_go_on_growing(history: HistoryStore, database: Database) -> None:
    for number in (1, 2, 3):
        await keep(database, [ended(f"E{number}", 0, 60)], {f"E{number}": (line("2"),)}, number)
        await history.roll_up(LATER, 10)
    (one,) = (await history.daily()).lines
    assert one.line.spend == Spend(Decimal(6), Decimal(12), Decimal("0.75"))
    assert one.line.seconds == 3 * LINE.seconds


# ---- avoided --------------------------------------------------------------------------------------


def avoidance(key: str, since: float, *, name: str = "support", hours: float = 1) -> Avoidance:
    return Avoidance(
        episode=key,
        room_name="call",
        agent_name=name,
        basis=next(iter(Basis)),
        began=at(since),
        until=at(since + hours * 3600),
        rate=Decimal("0.6"),
        provider_from=at(since),
        provider_until=at(since),
        provider_rate=Decimal(0),
        stopped_at=None,
    )


async def test_what_was_avoided_in_all_stays_the_same(
    history: HistoryStore, database: Database
) -> None:
    done = [avoidance(f"E{n}", n * DAY, name=name) for n in range(3) for name in ("a", "b")]
    running = avoidance("E9", 10 * DAY, name="a", hours=9000)
    store = EpisodeStore(database)
    now = replace(tick(1), at=at(11 * DAY))
    await store.commit(now, [], {}, Postings(now.at, avoided=(*done, running)))
    before = await store.load("main")
    assert sum(before.avoided.values()) == Decimal("3.6")

    assert await history.roll_up(at(1.5 * DAY), 100) == 4
    middle = await store.load("main")
    assert (middle.avoided, middle.avoiding) == (before.avoided, (running,))
    assert await history.roll_up(LATER, 100) == 2
    assert await history.roll_up(LATER, 100) == 0
    after = await store.load("main")
    assert (after.avoided, after.avoiding) == (before.avoided, (running,))
    by_days = await history.daily_avoided("main", date(2026, 3, 2))
    assert {(day, name): usd for (_, day, name, _), usd in by_days.items()} == {
        (date(2026, 3, n), name): Decimal("0.6") for n in (2, 3) for name in ("a", "b")
    }


# ---- what can go wrong ----------------------------------------------------------------------------


async def test_a_batch_that_fails_changes_nothing(
    history: HistoryStore, database: Database, shell: Shell
) -> None:
    episodes, lines = seeded(3, 12)
    await keep(database, episodes, lines)
    shell.on("AFTER INSERT", "daily_counts", "fail")
    with pytest.raises(StoreError):
        await history.roll_up(LATER, 100)
    assert len(await EpisodeStore(database).episodes_since()) == 12
    assert await history.daily() == Daily((), ())


async def test_a_row_that_is_not_deleted_undoes_its_batch(
    history: HistoryStore, database: Database, shell: Shell
) -> None:
    await keep(database, [ended("E1", 0, 60), ended("E2", 0, 60)], {"E1": (line(),)})
    shell.on("BEFORE DELETE", "episodes", "ignore", when="OLD.id = 'E2'")
    with pytest.raises(StoreError, match="1 rows of episodes changed while they were rolled up"):
        await history.roll_up(LATER, 100)
    assert len(await EpisodeStore(database).episodes_since()) == 2
    assert await history.daily() == Daily((), ())


async def test_a_reader_beside_the_run_rolls_nothing_up(
    database: Database, url: str, history: HistoryStore
) -> None:
    await keep(database, [ended("E1", 0, 60)], {"E1": (line(),)})
    async with await open_for_reading(url) as other:
        with pytest.raises(StoreError, match="is read-only"):
            await HistoryStore(other).roll_up(LATER, 10)
        await history.roll_up(LATER, 10)
        assert len((await HistoryStore(other).daily()).lines) == 1


@pytest.mark.trap("T37")
async def test_t37_killed_at_any_moment_it_loses_and_doubles_nothing(
    url: str, path: Path, tmp_path: Path
) -> None:
    episodes, lines = seeded(5, 8)
    async with await open_database(url) as database:
        await keep(database, episodes, lines)
    copies = tmp_path / "copies"
    copies.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.dying", path, copies],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    killed = int(done.stdout)
    assert killed > 20
    whole = sum(one.spend.high for found in lines.values() for one in found)
    left = set()
    for number in range(1, killed + 2):
        copy = copies / f"{number}.db"
        high, counted, kept = sqlite_rows(
            copy,
            "SELECT (SELECT coalesce(sum(high), 0) FROM ledger)"
            " + (SELECT coalesce(sum(high), 0) FROM daily_spend),"
            " (SELECT count(*) FROM episodes)"
            " + (SELECT coalesce(sum(episodes), 0) FROM daily_counts),"
            " (SELECT count(*) FROM episodes)",
        )[0]
        assert (high, counted) == (int(whole * 10**9), len(episodes)), number
        left.add(kept)
    assert len(left) > 2, "some were killed between batches"
    assert min(left) == 0


# ---- the file -------------------------------------------------------------------------------------


async def test_the_file_does_not_grow_with_what_was_rolled_up(
    history: HistoryStore, database: Database, path: Path
) -> None:
    """It has no auto_vacuum: pages of deleted rows are used again, which is what keeps it small."""
    pages = []
    for month in range(8):
        episodes = [ended(f"M{month}_{n}", n * 3600, 600) for n in range(700)]
        await keep(database, episodes, {e.id: (line(), line(meter="n")) for e in episodes}, month)
        while await history.roll_up(LATER, 200):
            pass
        pages.append(sqlite_rows(path, "PRAGMA page_count")[0][0])
    assert pages[0] > 100
    assert pages[-1] <= pages[1] * 1.02, pages
