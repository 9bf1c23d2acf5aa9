"""One tick, one transaction, and one row where nothing changed."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import event

from tests.store.builders import agent, at, closed, episode, seen_at, tick
from tests.store.shell import RowCounter, Shell
from watchdog.core.errors import StoreError
from watchdog.core.model import TickResult
from watchdog.core.records import ProjectMemory
from watchdog.core.spend import Spend
from watchdog.store import episodes as store_episodes
from watchdog.store import rows as store_rows
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore

NOT_NULL = (
    r"(NOT NULL constraint failed: {table}\.{column})"
    r'|(null value in column "{column}" of relation "{table}")'
)
ONE = Spend(Decimal(1), Decimal(2))


@pytest.fixture
def counter(database: Database, shell: Shell) -> RowCounter:
    return RowCounter(shell)


RING = 64
"""The ring in these tests: small, so that going round it costs little."""


@pytest.fixture(autouse=True)
def _small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (store_rows, store_episodes):
        monkeypatch.setattr(module, "RING", RING)


async def test_a_tick_in_which_nothing_changed_writes_exactly_one_row(
    store: EpisodeStore, counter: RowCounter
) -> None:
    await store.commit(tick(1), [episode("E1"), episode("E2")], {})
    counter.take()
    # Over two rounds of the ring: slots are first filled, then written again.
    for number in range(2, 2 * RING + 10):
        seen = {"E1": number * 15, "E2": number * 15}
        assert await store.commit(tick(number, seen=seen), [], {}) == 1
        assert counter.take() == [
            "INSERT tick_journal" if number <= RING else "UPDATE tick_journal"
        ]


async def test_a_tick_in_which_nothing_changed_asks_the_database_nothing(
    store: EpisodeStore, database: Database
) -> None:
    await store.commit(tick(1), [episode("E1")], {})
    await store.commit(tick(1 + RING, seen={"E1": 20}), [], {})
    asked: list[str] = []

    @event.listens_for(database._engine.sync_engine, "before_cursor_execute")
    def note(_c: object, _cur: object, statement: str, *_: object) -> None:
        asked.append(statement.split(maxsplit=1)[0])

    await store.commit(tick(1 + 2 * RING, seen={"E1": 30}), [], {})
    assert [verb for verb in asked if verb != "BEGIN"] == ["UPDATE"]


async def test_rows_are_counted_for_what_was_really_written(
    store: EpisodeStore, counter: RowCounter
) -> None:
    one = episode("E1", agents=(agent(1), agent(2)))
    assert await store.commit(tick(1), [one], {}) == 4
    assert counter.take() == [
        "INSERT episode_agents",
        "INSERT episode_agents",
        "INSERT episodes",
        "INSERT tick_journal",
    ]

    left = replace(one, agents=(agent(1), agent(2, gone=60)), person_seen=True)
    assert await store.commit(tick(2), [left], {}) == 3
    assert counter.take() == ["INSERT tick_journal", "UPDATE episode_agents", "UPDATE episodes"]

    assert await store.commit(tick(3), [left], {}) == 1  # passed, but the rows say it already
    assert counter.take() == ["INSERT tick_journal"]

    came = replace(left, agents=(*left.agents, agent(3, since=90, seen=90)))
    assert await store.commit(tick(4), [came], {}) == 2
    assert counter.take() == ["INSERT episode_agents", "INSERT tick_journal"]

    assert await store.commit(tick(5), [], {"support": ONE, "sales": ONE}) == 3
    assert counter.take() == ["INSERT closed_spend", "INSERT closed_spend", "INSERT tick_journal"]
    assert await store.commit(tick(6), [], {"support": ONE}) == 2
    assert counter.take() == ["INSERT tick_journal", "UPDATE closed_spend"]

    assert await store.commit(tick(7), [replace(came, agents=())], {}) == 4
    assert counter.take() == [*["DELETE episode_agents"] * 3, "INSERT tick_journal"]


async def test_what_stands_only_in_a_slot_is_moved_to_its_row_before_the_slot_is_overwritten(
    store: EpisodeStore, counter: RowCounter
) -> None:
    one = episode("E1", agents=(agent(1), agent(2, gone=0)))
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 31}, probed={"E1": 32}), [], {})
    for number in range(3, 2 + RING):  # never looked at again: the budget did not reach it
        assert await store.commit(tick(number), [], {}) == 1
    counter.take()

    assert await store.commit(tick(2 + RING), [], {}) == 3
    assert counter.take() == ["UPDATE episode_agents", "UPDATE episodes", "UPDATE tick_journal"]
    expected = replace(seen_at(one, 31), last_probed_at=at(32), last_reachable_at=at(32))
    assert (await EpisodeStore(store._database).load("main")).episodes == (expected,)

    for number in range(3 + RING, 3 + 2 * RING):  # once moved, it is not moved again
        assert await store.commit(tick(number), [], {}) == 1


async def test_a_slot_is_flushed_after_a_restart_as_well(store: EpisodeStore) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 30}), [], {})
    restarted = EpisodeStore(store._database)
    await restarted.load("main")
    assert await restarted.commit(tick(2 + RING), [], {}) == 3
    assert (await restarted.load("main")).episodes == (seen_at(one, 30),)


async def test_a_tick_that_sees_the_episode_anew_needs_no_flush(store: EpisodeStore) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 30}), [], {})
    assert await store.commit(tick(2 + RING, seen={"E1": 4000}), [], {}) == 1
    assert (await store.load("main")).episodes == (seen_at(one, 4000),)


async def test_what_its_row_says_already_is_not_flushed(store: EpisodeStore) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 30}, probed={"E1": 30}), [], {})
    later = replace(
        seen_at(one, 45), person_seen=True, last_probed_at=at(40), last_reachable_at=at(40)
    )
    await store.commit(tick(3, seen={"E1": 45}), [later], {})
    for number in (2 + RING, 3 + RING):
        assert await store.commit(tick(number), [], {}) == 1
    assert (await store.load("main")).episodes == (later,)


async def test_a_slot_skipped_by_the_numbering_does_not_lose_what_it_held(
    store: EpisodeStore,
) -> None:
    one, two = episode("E1"), episode("E2")
    await store.commit(tick(1, seen={"E1": 1}), [one, two], {})
    await store.commit(tick(5, seen={"E2": 70}), [], {})
    await store.commit(tick(1 + 3 * RING), [], {})
    await store.commit(tick(5 + 3 * RING), [], {})
    found = (await EpisodeStore(store._database).load("main")).episodes
    assert found == (seen_at(one, 1), seen_at(two, 70))


async def test_a_commit_that_fails_in_the_middle_leaves_nothing(
    store: EpisodeStore, shell: Shell
) -> None:
    before = episode("E1")
    await store.commit(tick(1), [before], {"support": ONE})
    # The rows of E2 and E3 are valid; E3's second agent breaks a real constraint (NOT NULL).
    broken = replace(agent(2), identity=None)  # type: ignore[arg-type]
    with pytest.raises(
        StoreError, match=NOT_NULL.format(table="episode_agents", column="identity")
    ):
        await store.commit(
            tick(2),
            [seen_at(before, 15), episode("E2"), episode("E3", agents=(agent(1), broken))],
            {"support": ONE},
        )
    assert shell.rows("SELECT id FROM episodes") == [("E1",)]
    assert shell.rows("SELECT number FROM tick_journal") == [("1",)]
    memory = await EpisodeStore(store._database).load("main")
    assert memory == ProjectMemory((before,), (), tick(1), tick(1).at, {"support": ONE})


async def test_the_commit_after_a_failed_one_writes_what_that_one_did_not(
    store: EpisodeStore, counter: RowCounter
) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    changed = replace(one, person_seen=True, agents=(agent(1), agent(2)))
    with pytest.raises(StoreError, match="amount of money"):
        await store.commit(tick(2), [changed], {"support": Spend(Decimal("NaN"))})
    counter.take()
    assert await store.commit(tick(2), [changed], {"support": ONE}) == 4
    assert (await store.load("main")).episodes == (changed,)


async def test_a_cancelled_commit_is_carried_through_and_leaves_no_lock_behind(
    store: EpisodeStore, database: Database, shell: Shell
) -> None:
    tasks: list[asyncio.Task[int]] = []
    cancel_at = statements = 0

    @event.listens_for(database._engine.sync_engine, "before_cursor_execute")
    def cancel_in_time(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == cancel_at:
            tasks[-1].cancel()

    while True:  # at each of its statements, until there are no more
        cancel_at += 1
        statements = 0
        one = episode(f"E{cancel_at}")
        tasks.append(
            asyncio.create_task(store.commit(tick(cancel_at), [one], {f"a{cancel_at}": ONE}))
        )
        await asyncio.wait(tasks)
        interrupted = tasks[-1].cancelled()
        assert interrupted == (cancel_at <= statements)
        memory = await store.load("main")
        assert len(memory.episodes) == cancel_at
        assert len(memory.closed_spend) == cancel_at
        assert memory.last == tick(cancel_at)
        # The task, and what it holds on to, is still there: another process can write all the same.
        shell.lock_at_once()
        if not interrupted:
            break
    assert cancel_at > 5


async def test_a_commit_cancelled_twice_is_still_carried_through(
    store: EpisodeStore, database: Database
) -> None:
    async with database.writing():  # somebody else writes
        task = asyncio.create_task(store.commit(tick(1), [episode("E1")], {}))
        for _ in range(3):
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (await store.load("main")).last == tick(1)


async def test_thousands_of_new_episodes_are_one_commit_of_few_statements(
    store: EpisodeStore, database: Database
) -> None:
    writes: list[str] = []

    @event.listens_for(database._engine.sync_engine, "before_cursor_execute")
    def note(_c: object, _cur: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "SELECT")):
            writes.append(" ".join(statement.split()[:3]))

    many = [episode(f"E{number:05}") for number in range(5000)]
    assert await store.commit(tick(1), many, {}) == 10_001
    assert writes == [
        "INSERT INTO episodes",
        "INSERT INTO episode_agents",
        "UPDATE tick_journal SET",
        "INSERT INTO tick_journal",
    ]
    assert (await store.load("main")).episodes == tuple(many)


async def test_an_episode_that_ended_can_be_taken_up_again(
    store: EpisodeStore, counter: RowCounter
) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2), [closed(one, 30)], {})
    assert (await store.load("main")).episodes == ()
    counter.take()
    again = seen_at(one, 45)
    assert await store.commit(tick(3), [again], {}) == 3
    assert (await EpisodeStore(store._database).load("main")).episodes == (again,)


async def test_a_committing_store_that_was_never_loaded_reads_the_rows_first(
    store: EpisodeStore,
) -> None:
    one = episode("E1")
    await store.commit(tick(1, seen={}), [one], {})
    await store.commit(tick(2, seen={"E1": 30}), [], {})
    fresh = EpisodeStore(store._database)
    assert await fresh.commit(tick(2 + RING), [], {}) == 3
    assert (await fresh.load("main")).episodes == (seen_at(one, 30),)


@pytest.mark.parametrize("kind", ["sqlite"])  # the driver of Postgres does not count
async def test_rows_that_vanish_under_the_daemon_are_reported_and_written_anew(
    store: EpisodeStore, shell: Shell
) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    shell.run("DELETE FROM episodes")
    changed = replace(one, person_seen=True)
    with pytest.raises(StoreError, match="vanished from the database"):
        await store.commit(tick(2), [changed], {})
    assert await store.commit(tick(2), [changed], {}) == 3
    assert (await store.load("main")).episodes == (changed,)


async def test_the_last_good_tick_is_remembered_longer_than_the_ring(store: EpisodeStore) -> None:
    await store.commit(tick(1), [], {})
    for number in range(2, RING + 5):
        await store.commit(tick(number, result=TickResult.FAILED), [], {})
    memory = await EpisodeStore(store._database).load("main")
    assert memory.last_good_at == tick(1).at
    assert memory.last == tick(RING + 4, result=TickResult.FAILED)


async def test_projects_commit_at_the_same_time(url: str) -> None:
    async with await open_database(url) as database:
        store = EpisodeStore(database)
        names = [f"p{number}" for number in range(8)]

        async def run(project: str) -> None:
            for number in range(1, 6):
                one = replace(episode(f"E-{project}", project=project), watched_at_open=number)
                spent = {"support": Spend(Decimal(number), Decimal(2 * number))}
                await store.commit(tick(number, project=project), [one], spent)

        await asyncio.gather(*map(run, names))
        five = Spend(Decimal(5), Decimal(10))
        for project in names:
            memory = await store.load(project)
            assert [e.watched_at_open for e in memory.episodes] == [5]
            assert memory.closed_spend == {"support": five}
