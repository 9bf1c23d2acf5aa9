"""What commands read, in a process of their own, beside a running daemon."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.builders import at, closed, episode, seen_at, tick
from watchdog.core.errors import StoreError
from watchdog.store.database import Database, open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore


async def test_open_episodes_are_as_new_as_the_last_tick(store: EpisodeStore) -> None:
    one, two = episode("E1"), episode("E2", since=5)
    other = episode("E3", project="second", since=1)
    gone = closed(episode("E4"), 9)
    await store.commit(tick(1), [one, two, gone], {})
    await store.commit(tick(1, project="second"), [other], {})
    await store.commit(tick(2, seen={"E1": 30, "E4": 30}), [], {})
    assert await store.open_episodes("main") == (seen_at(one, 30), two)
    assert await store.open_episodes() == (seen_at(one, 30), other, two)
    assert await store.open_episodes("third") == ()


async def test_a_room_is_found_by_name_or_sid_newest_first_and_never_more_than_asked_for(
    store: EpisodeStore,
) -> None:
    first = closed(episode("E1", room_name="call", room_sid="RM_a"), 10)
    second = closed(episode("E2", room_name="call", room_sid="RM_b", since=20), 30)
    third = episode("E3", room_name="call", room_sid="RM_c", since=40)
    elsewhere = episode("E4", room_name="other", room_sid="RM_d", since=50)
    abroad = episode("E5", room_name="call", room_sid="RM_a", project="second")
    await store.commit(tick(1), [first, second, third, elsewhere], {})
    await store.commit(tick(1, project="second"), [abroad], {})
    await store.commit(tick(2, seen={"E3": 70}), [], {})
    now = seen_at(third, 70)
    assert await store.episodes_of_room("main", "call") == (now, second, first)
    assert await store.episodes_of_room("main", "call", limit=2) == (now, second)
    assert await store.episodes_of_room("main", "RM_b") == (second,)
    assert await store.episodes_of_room("main", "cal%") == ()


async def test_the_last_tick_of_every_project(store: EpisodeStore) -> None:
    for number in range(1, 300):
        await store.commit(tick(number), [], {})
    await store.commit(tick(3, project="second"), [], {})
    assert await store.last_ticks() == {"main": tick(299), "second": tick(3, project="second")}


async def test_a_reader_sees_each_commit_while_the_daemon_runs(
    store: EpisodeStore, url: str
) -> None:
    one = episode("E1")
    async with await open_for_reading(url) as other:
        reader = EpisodeStore(other)
        assert await reader.last_ticks() == {}
        await store.commit(tick(1), [one], {})
        assert await reader.last_ticks() == {"main": tick(1)}
        await store.commit(tick(2, seen={"E1": 30}), [], {})
        assert await reader.open_episodes() == (seen_at(one, 30),)


async def test_a_reader_neither_waits_for_a_writing_daemon_nor_sees_half_of_it(
    store: EpisodeStore, database: Database, url: str
) -> None:
    one = episode("E1")
    await store.commit(tick(1), [one], {})
    async with database.writing() as daemon, await open_for_reading(url) as other:
        await daemon.exec_driver_sql("UPDATE episodes SET room_name = 'half'")
        assert await EpisodeStore(other).open_episodes() == (one,)


async def test_a_reader_can_change_nothing(database: Database, url: str) -> None:
    async with await open_for_reading(url) as other:
        with pytest.raises(StoreError, match="is read-only"):
            await EpisodeStore(other).commit(tick(1), [], {})
    assert await EpisodeStore(database).last_ticks() == {}


async def test_what_is_read_in_one_transaction_is_one_state(
    store: EpisodeStore, database: Database
) -> None:
    count = "SELECT count(*) FROM episodes"
    async with database.reading() as reader:
        before = (await reader.exec_driver_sql(count)).scalar_one()
        await store.commit(tick(1), [episode("E1")], {})
        assert (await reader.exec_driver_sql(count)).scalar_one() == before == 0
    async with database.snapshot() as moment:
        assert len(await EpisodeStore(moment).open_episodes()) == 1
        await store.commit(tick(2), [episode("E2")], {})
        assert len(await EpisodeStore(moment).open_episodes()) == 1
    assert len(await store.open_episodes()) == 2


async def test_reading_where_there_is_no_database_says_so_and_makes_none(
    url: str, path: Path
) -> None:
    with pytest.raises(StoreError, match=r"no database .* at .*watchdog\.db yet: start `livekit-"):
        await open_for_reading(url)
    assert list(path.parent.iterdir()) == []


async def test_in_memory_readers_and_writers_take_turns() -> None:
    async with await open_database("sqlite+aiosqlite://") as database:
        store = EpisodeStore(database)
        one = episode("E1")

        async def write() -> None:
            for number in range(1, 20):
                await store.commit(tick(number), [replace(one, watched_at_open=float(number))], {})

        async def read() -> None:
            for _ in range(20):
                for found in await store.open_episodes():
                    assert (await store.last_ticks())["main"].number >= found.watched_at_open

        await asyncio.gather(write(), read(), read())


async def test_the_history_is_read_oldest_first_in_parts_open_ones_included(
    store: EpisodeStore,
) -> None:
    old, mid = closed(episode("E1"), 10), closed(episode("E2", since=5), 30)
    twin, running = closed(episode("E3", since=5), 40), episode("E0", since=50)
    abroad = episode("E9", project="second", since=1)
    await store.commit(tick(1), [running, twin, mid, old], {})
    await store.commit(tick(1, project="second"), [abroad], {})
    await store.commit(tick(2, seen={"E0": 70}), [], {})
    now = seen_at(running, 70)
    assert await store.episodes_since("main") == (old, mid, twin, now)
    assert await store.episodes_since() == (old, abroad, mid, twin, now)
    assert await store.episodes_since("main", at(30)) == (mid, twin, now)
    assert await store.episodes_since("main", at(41)) == (now,)
    assert await store.episodes_since("main", limit=2) == (old, mid)
    assert await store.episodes_since("main", after=mid, limit=1) == (twin,)
    assert await store.episodes_since("main", at(35), after=twin) == (now,)
    assert await store.episodes_since("main", after=now) == ()
