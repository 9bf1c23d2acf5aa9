"""A real node that dies with a room on it: nothing is sent there, and everything else goes its way (T28)."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from livekit.api import LiveKitAPI

from tests.conftest import server_binary
from tests.contract.backends import RealBackend
from tests.contract.test_stranded import NO_REDIS
from tests.needs import lacking
from tests.real.test_deletion import LIVELY, said_of, until_gone
from tests.real.watcher import POLL, watching
from tests.realserver import find_redis, running_redis, running_server

pytestmark = [pytest.mark.real_server, pytest.mark.slow, pytest.mark.timeout(400)]
TIMEOUTS = {"empty_timeout": 3600, "departure_timeout": 3600}
TICK_SECONDS = 30.0
"""A tick's looks and attempts may take 15 s each."""


def redis_binary() -> Path:
    found = find_redis()
    if found is None:
        lacking(NO_REDIS)
    return found


async def join_once_possible(backend: RealBackend, room: str) -> None:
    """Joins go to the dead node until the others have forgotten it."""
    for _ in range(30):
        with suppress(Exception):
            async with asyncio.timeout(10):
                await backend.join(room, "agent", kind="agent", agent=True, **TIMEOUTS)
                return
        await asyncio.sleep(2)
    pytest.fail(f"nobody could join {room} on the node that lives")


@pytest.mark.trap("T28")
async def test_t28_a_dead_nodes_room_ends_stranded_and_the_other_is_deleted(tmp_path: Path):
    redis, binary = redis_binary(), server_binary()
    async with AsyncExitStack() as stack:
        address = stack.enter_context(running_redis(redis, tmp_path))
        dying = stack.enter_context(running_server(binary, tmp_path, redis=address))
        ghost = RealBackend(stack, dying)
        await ghost.join("dead-ghost", "agent", kind="agent", agent=True, **TIMEOUTS)
        living = stack.enter_context(running_server(binary, tmp_path, redis=address))
        watcher = stack.enter_context(
            watching(living, tmp_path, configuration='mode = "enforce"\n' + LIVELY % "dead")
        )
        await watcher.ready()
        await watcher.orphaned("dead-ghost")
        dying.kill()
        await join_once_possible(RealBackend(stack, living), "dead-alive")
        api = await stack.enter_async_context(LiveKitAPI(living.url, living.key, living.secret))

        await until_gone(api, "dead-alive", watcher)

        async def stranded():
            return await watcher.metric("stranded_rooms", project="default") == 1

        await watcher.until(stranded, "the stranded room")
        ticks = await watcher.metric("ticks_total", project="default", result="ok")
        await asyncio.sleep(5 * POLL)
        assert await watcher.metric("ticks_total", project="default", result="ok") > ticks

        said = await said_of(watcher.database, "dead-ghost")
        assert not [outcome for _, outcome in said if outcome == "deleted"]
        assert len(said) <= 3, "one attempt at most, before it was known"
        assert "dead-ghost" in await watcher.rooms(), "listed, shown, and left alone"
        slowest = await watcher.metric(
            "tick_duration_seconds_bucket", project="default", le=f"{TICK_SECONDS}"
        )
        assert slowest == await watcher.metric("tick_duration_seconds_count", project="default")
