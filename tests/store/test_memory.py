"""What a later run finds of an earlier one, however that ended."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.store.builders import agent, at, closed, episode, seen_at, tick
from tests.store.shell import Shell
from watchdog.core.errors import StoreError
from watchdog.core.records import ProjectMemory
from watchdog.core.spend import Spend
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore

REPOSITORY = Path(__file__).parents[2]


async def test_an_empty_database_remembers_nothing(store: EpisodeStore) -> None:
    assert await store.load("main") == ProjectMemory()


@pytest.mark.rule("A5")
async def test_a_look_noted_in_a_tick_moves_the_episode_and_its_present_agents(
    store: EpisodeStore,
) -> None:
    left = agent(2, seen=5, gone=10)
    one = episode("E1", agents=(agent(1), left))
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 30}), [], {})
    (found,) = (await EpisodeStore(store._database).load("main")).episodes
    assert found.bounds.last_seen_orphaned_at == at(30)
    assert found.agents[0].bounds.last_seen_orphaned_at == at(30)
    assert found.agents[1] == left


@pytest.mark.rule("A10")
async def test_a_good_probe_noted_in_a_tick_moves_both_its_times(store: EpisodeStore) -> None:
    one = replace(episode("E1"), last_probed_at=at(0), last_reachable_at=at(100))
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, probed={"E1": 90}), [], {})
    (found,) = (await EpisodeStore(store._database).load("main")).episodes
    assert (found.last_probed_at, found.last_reachable_at) == (at(90), at(100))
    assert found.bounds == one.bounds


@pytest.mark.rule("A10")
async def test_a_probe_noted_before_the_room_was_stranded_changes_nothing(
    store: EpisodeStore,
) -> None:
    one = episode("E1")
    await store.commit(tick(1, probed={"E1": 1}), [one], {})
    stranded = replace(
        one, last_probed_at=at(3600), last_reachable_at=at(1), stranded_since=at(3600)
    )
    await store.commit(tick(2), [stranded], {})
    assert (await EpisodeStore(store._database).load("main")).episodes == (stranded,)


async def test_records_never_move_a_bound_back(store: EpisodeStore) -> None:
    one = seen_at(episode("E1"), 500)
    await store.commit(tick(1, seen={"E1": 400}), [one], {})
    await store.commit(tick(2, seen={"E1": 450}), [], {})
    assert (await EpisodeStore(store._database).load("main")).episodes == (one,)


async def test_the_newest_of_several_records_counts(store: EpisodeStore) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    for number, seconds in ((2, 30), (3, 60), (4, 45)):
        await store.commit(tick(number, seen={"E1": seconds}), [], {})
    assert (await EpisodeStore(store._database).load("main")).episodes == (seen_at(one, 60),)


async def test_the_same_store_remembers_what_a_restarted_one_does(store: EpisodeStore) -> None:
    one, two = episode("E1"), episode("E2", since=3)
    await store.commit(tick(1), [one, two], {"support": Spend(Decimal(1))})
    await store.commit(tick(2, seen={"E1": 30, "E2": 31}, probed={"E2": 32}), [], {})
    await store.commit(tick(3, seen={"E2": 45}), [closed(one, 45)], {"support": Spend(Decimal(1))})
    assert await store.load("main") == await EpisodeStore(store._database).load("main")


@pytest.mark.trap("T37")
async def test_t37_bounds_survive_a_restart(url: str) -> None:
    one = episode("E1", agents=(agent(1), agent(2, seen=3, gone=9)))
    record = replace(
        tick(2, seen={"E1": 30}), exported={"support": Spend(Decimal("1.25"), Decimal("2.5"))}
    )
    async with await open_database(url) as database:
        store = EpisodeStore(database)
        await store.commit(tick(1), [one], {"support": Spend(Decimal(1))})
        await store.commit(record, [], {})
    async with await open_database(url) as database:
        assert await EpisodeStore(database).load("main") == ProjectMemory(
            episodes=(seen_at(one, 30),),
            last=record,
            last_good_at=record.at,
            closed_spend={"support": Spend(Decimal(1))},
        )


COMMIT_FOR_EVER = """
import asyncio, sys
from dataclasses import replace
from decimal import Decimal
from tests.store.builders import agent, episode, seen_at, tick
from watchdog.core.spend import Spend
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore

async def main():
    store = EpisodeStore(await open_database(sys.argv[1]))
    number = 0
    while True:
        number += 1
        changed = [
            replace(seen_at(episode(f"E{n}"), number), watched_at_open=float(number))
            for n in range(20)
        ]
        await store.commit(tick(number), changed, {"support": Spend(Decimal(number))})
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.trap("T37")
@pytest.mark.parametrize("ticks", [1, 17])
async def test_t37_a_killed_run_leaves_exactly_its_last_commit(url: str, ticks: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMMIT_FOR_EVER, url],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    ) as process:
        assert process.stdout is not None
        for _ in range(ticks):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)  # most likely in the middle of the next commit
        told = max([told, *map(int, process.stdout.read().split("\n")[:-1])])
    assert process.returncode == -signal.SIGKILL

    async with await open_database(url) as database:
        memory = await EpisodeStore(database).load("main")
    assert memory.last is not None
    number = memory.last.number
    assert told <= number <= told + 1  # it may have been killed between the commit and the line
    assert memory.last == tick(number)
    expected = [
        replace(seen_at(episode(f"E{n}"), number), watched_at_open=float(number)) for n in range(20)
    ]
    assert sorted(memory.episodes, key=lambda e: e.id) == sorted(expected, key=lambda e: e.id)
    assert memory.closed_spend == {"support": Spend(Decimal(number))}


async def test_a_value_that_is_not_ours_is_one_clear_error(
    store: EpisodeStore, shell: Shell
) -> None:
    await store.commit(tick(1), [episode("E1")], {})
    shell.run("UPDATE episode_agents SET role = 'conductor'")
    assert shell.rows("SELECT role FROM episode_agents") == [("conductor",)]
    with pytest.raises(
        StoreError, match=r"the database .* holds.* 'conductor' is not a valid Role"
    ):
        await store.load("main")


async def test_the_newest_closed_episode_of_each_room_is_remembered(store: EpisodeStore) -> None:
    first = closed(episode("E1", room_sid="RM_1"), 60)
    again = closed(episode("E2", room_sid="RM_1", since=100), 160)
    other = closed(episode("E3", room_sid="RM_2", since=50), 90)
    await store.commit(tick(1), [first, again, other, episode("E4")], {})
    assert (await store.load("main")).recent == (other, again)


async def test_a_clock_that_was_set_takes_what_records_saw_on_the_old_one(
    store: EpisodeStore,
) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    await store.commit(tick(2, seen={"E1": 5000}, probed={"E1": 5000}), [], {})
    back = seen_at(one, 30)
    await store.commit(replace(tick(3), clock_set=True), [back], {})
    assert (await EpisodeStore(store._database).load("main")).episodes == (back,)
    await store.commit(tick(4, seen={"E1": 45}), [], {})
    assert (await store.load("main")).episodes == (seen_at(one, 45),)
