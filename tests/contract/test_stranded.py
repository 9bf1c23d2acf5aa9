"""Rooms whose node has died: they stay listed, and can be neither reached nor deleted (T28, T30)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from livekit.api import CreateRoomRequest, DeleteRoomRequest, LiveKitAPI, ServerError
from livekit.protocol.models import ParticipantInfo

from tests.contract.backends import Backend, RealBackend, SimulatorBackend
from tests.contract.conftest import Looking, gateway_to, until
from tests.needs import lacking
from tests.realserver import find_redis, find_server, running_redis, running_server
from watchdog.core.errors import RoomUnreachable

NO_REDIS = "no redis-server found: install it, or name one in REDIS_SERVER"


@pytest.fixture(params=["simulator", pytest.param("livekit-server", marks=pytest.mark.real_server)])
async def backend(
    request: pytest.FixtureRequest, tmp_path: Path, room: str
) -> AsyncIterator[Backend]:
    """A server in whose room an agent was when the room's node died."""
    async with AsyncExitStack() as stack:
        if request.param == "simulator":
            simulated = await SimulatorBackend(stack).start()
            await simulated.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
            simulated.world.kill_node("ND_main")
            yield simulated
            return
        # For its reason to skip or to fail, and for nothing else.
        request.getfixturevalue("livekit_server")
        redis, binary = find_redis(), find_server()
        if redis is None:
            lacking(NO_REDIS)
        address = stack.enter_context(running_redis(redis, tmp_path))
        # With one node alone, the room can be nowhere else.
        dying = stack.enter_context(running_server(binary, tmp_path, redis=address))
        joined = RealBackend(stack, dying)
        await joined.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
        other = stack.enter_context(running_server(binary, tmp_path, redis=address))
        dying.kill()
        yield RealBackend(stack, other)


@pytest.mark.trap("T30")
async def test_t30_its_room_and_its_participants_stay_listed_as_if_active(
    looking: Looking, room: str
):
    assert (await looking.listed(room)).departure_timeout == 3600

    [ghost] = (await looking.present(room)).values()

    assert (ghost.identity, ghost.kind) == ("agent", ParticipantInfo.Kind.AGENT)
    assert ghost.state != ParticipantInfo.State.DISCONNECTED


@pytest.mark.trap("T28")
async def test_t28_its_room_can_be_neither_probed_nor_deleted(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    with pytest.raises(ServerError) as refused:
        await api.room.delete_room(DeleteRoomRequest(room=room))
    assert (refused.value.status, refused.value.code) == (503, "unavailable")

    gateway = gateway_to(backend, backend.secret)
    with pytest.raises(RoomUnreachable):
        await gateway.probe(room)
    await gateway.aclose()
    assert await looking.listed(room) is not None


@pytest.mark.trap("T28")
async def test_t28_making_the_room_again_would_bring_it_back_under_its_old_sid(
    api: LiveKitAPI, looking: Looking, room: str
):
    stranded = await looking.listed(room)

    async def taken_over() -> bool:
        # A real server waits 5 s before it takes a node that went silent for dead.
        try:
            return (await api.room.create_room(CreateRoomRequest(name=room))).sid == stranded.sid
        except ServerError as error:
            if error.status != 503:
                raise
            return False

    await until(taken_over)

    assert set(await looking.present(room)) == {"agent"}, "the store remembers who was there"
    await api.room.delete_room(DeleteRoomRequest(room=room))
    assert await looking.listed(room) is None
