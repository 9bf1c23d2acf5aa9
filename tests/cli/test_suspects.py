"""Suspect rooms, as `rooms` shows them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from tests.store.builders import tick
from watchdog.core.records import Suspect
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore


def test_rooms_names_the_suspects_that_the_last_tick_had(program):
    async def write() -> None:
        now = datetime.now(UTC)
        suspect = Suspect("odd-1", "RM_1", "silent", now)
        last = replace(tick(10, project="default"), at=now, suspects=(suspect,))
        address = f"sqlite+aiosqlite:///{program.directory / 'watchdog.db'}"
        async with await open_database(address) as database:
            await EpisodeStore(database).commit(last, [], {})

    asyncio.run(write())
    assert "default: suspect, never deleted: odd-1 (silent)" in program("rooms").out
    [suspect] = program("rooms", "--json").json["projects"]["default"]["suspects"]
    assert (suspect["room_name"], suspect["reason"]) == ("odd-1", "silent")
