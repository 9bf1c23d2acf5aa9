"""Two real nodes that share a redis: what is on either is seen, and handled, through one of them."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from livekit.api import ListParticipantsRequest, LiveKitAPI

from tests.conftest import server_binary
from tests.contract.backends import RealBackend
from tests.real.test_dead_node import TIMEOUTS, redis_binary
from tests.real.test_deletion import LIVELY, listed
from tests.real.watcher import POLL, watching
from tests.realserver import RealServer, running_redis, running_server

pytestmark = [pytest.mark.real_server, pytest.mark.slow, pytest.mark.timeout(400)]
ROOMS = 14
"""Of each kind; so many that each node has some."""
CONFIGURATION = f'mode = "enforce"\n[limits]\nmax_deletions_per_tick = {ROOMS}\n{LIVELY % "two"}'


def hosted_by(node: RealServer, rooms: list[str]) -> set[str]:
    """The rooms that a node runs: it alone logs that a participant became active there."""
    lines = [json.loads(line) for line in node.log.read_text().splitlines() if line[:1] == "{"]
    return {line["room"] for line in lines if line.get("msg") == "participant active"} & set(rooms)


async def test_rooms_on_both_nodes_are_seen_and_those_left_alone_are_deleted(tmp_path: Path):
    redis, binary = redis_binary(), server_binary()
    alone = [f"two-alone-{number}" for number in range(ROOMS)]
    attended = [f"two-call-{number}" for number in range(ROOMS)]
    async with AsyncExitStack() as stack:
        address = stack.enter_context(running_redis(redis, tmp_path))
        nodes = [
            stack.enter_context(running_server(binary, tmp_path, redis=address)) for _ in range(2)
        ]
        doors = [RealBackend(stack, node) for node in nodes]
        for number, room in enumerate((*alone, *attended)):
            await doors[number % 2].join(room, "agent", kind="agent", agent=True, **TIMEOUTS)
        for number, room in enumerate(attended):
            await doors[number % 2].join(room, "alice")
        for node in nodes:
            for kind in (alone, attended):
                assert hosted_by(node, kind), "both nodes have rooms of both kinds"
        watcher = stack.enter_context(watching(nodes[0], tmp_path, configuration=CONFIGURATION))
        await watcher.ready()

        async def seen():
            return set(await watcher.rooms()) == set(alone)

        await watcher.until(seen, "every room that is left alone, on both nodes, and no other")
        api = await stack.enter_async_context(
            LiveKitAPI(nodes[1].url, nodes[1].key, nodes[1].secret)
        )

        async def gone():
            return not await listed(api, *alone)

        await watcher.until(gone, "the end of all of them", patience=200)
        await asyncio.sleep(2 * POLL)
        assert set(await listed(api, *attended)) == set(attended)
        for room in attended:
            there = await api.room.list_participants(ListParticipantsRequest(room=room))
            assert {one.identity for one in there.participants} == {"agent", "alice"}
