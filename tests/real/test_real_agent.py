"""A real agent that stays behind, on a real server, seen through our gateway."""

import asyncio
from pathlib import Path

import pytest
from livekit.api import CreateAgentDispatchRequest, CreateRoomRequest, LiveKitAPI

from tests.realserver import PersonProcess, RealServer, agent_worker, person
from watchdog.clocks import SystemClock
from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.model import Look, RoomSnapshot
from watchdog.rooms.gateway import LiveKitGateway

pytestmark = pytest.mark.real_server

ROOM = "left-behind"


async def look_until(gateway: LiveKitGateway, room: RoomSnapshot, *identities: str) -> Look:
    """Look until those and nobody else are there; fails after 300 looks."""
    for _ in range(300):
        look = await gateway.look(room, Purpose.AGAIN)
        shown = {p.identity for p in look.participants}
        if shown == set(identities):
            return look
        await asyncio.sleep(0.1)
    pytest.fail(f"at last there were {shown}, not {set(identities)}")


async def test_an_agent_told_to_stay_is_alone_once_its_person_has_left(
    livekit_server: RealServer, tmp_path: Path
):
    server = livekit_server
    gateway = LiveKitGateway.connect(
        server.url,
        server.key,
        server.secret,
        clock=SystemClock(),
        bucket=TokenBucket(per_minute=100_000, burst=1000),
    )
    async with (
        LiveKitAPI(server.url, server.key, server.secret) as api,
        agent_worker(server, tmp_path, "coach"),
    ):
        await api.room.create_room(CreateRoomRequest(name=ROOM, departure_timeout=3600))
        await api.agent_dispatch.create_dispatch(
            CreateAgentDispatchRequest(room=ROOM, agent_name="coach")
        )
        listing = await gateway.list_rooms(names=(ROOM,))
        [room] = listing.rooms.values()
        assert room.departure_timeout == 3600
        for _ in range(300):
            if (await gateway.look(room, Purpose.AGAIN)).participants:
                break
            await asyncio.sleep(0.1)
        [agent] = (await gateway.look(room, Purpose.AGAIN)).participants
        assert (agent.kind, agent.agent_grant, agent.agent_name) == ("AGENT", True, "coach")
        assert agent.identity.startswith("agent-AJ_")

        async with person(server, ROOM, "alice"):
            await look_until(gateway, room, agent.identity, "alice")
        await look_until(gateway, room, agent.identity)

        bruno = await PersonProcess.join(server, ROOM, "bruno")
        await look_until(gateway, room, agent.identity, "bruno")
        await bruno.leave()
        look = await look_until(gateway, room, agent.identity)

        assert look.participants[0].sid == agent.sid, "the same agent all along"
    await gateway.aclose()
