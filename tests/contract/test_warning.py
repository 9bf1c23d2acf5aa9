"""A data message to a room's agents, and the end of their dispatch, on both backends."""

import pytest
from livekit.api import CreateRoomRequest, LiveKitAPI, SendDataRequest, ServerError

from tests.contract.backends import Backend
from tests.contract.conftest import Looking, until
from tests.contract.test_errors import bearer, post
from watchdog.core.errors import RoomNotFound, RoomUnreachable
from watchdog.rooms.gateway import TOPIC, LiveKitGateway

SEND = "/twirp/livekit.RoomService/SendData"


async def test_a_warning_reaches_the_agents_it_names_and_nobody_else(
    gateway: LiveKitGateway, backend: Backend, room: str
):
    agent = await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    alice = await backend.join(room, "alice")

    await gateway.warn(room, ["agent", "nobody"], b"first")
    await gateway.warn(room, ["agent"], b"second")

    async def both_arrived() -> bool:
        return len(backend.heard(agent)) == 2

    await until(both_arrived)
    assert backend.heard(agent) == [(TOPIC, b"first"), (TOPIC, b"second")]
    assert backend.heard(alice) == []


async def test_a_warning_that_nobody_is_there_to_hear_is_no_error(
    gateway: LiveKitGateway, api: LiveKitAPI, room: str
):
    await api.room.create_room(CreateRoomRequest(name=room))

    await gateway.warn(room, ["agent"], b"hello")


@pytest.mark.trap("T28")
async def test_t28_a_warning_to_a_room_that_is_not_there_is_answered_as_a_dead_node_does(
    gateway: LiveKitGateway, api: LiveKitAPI, room: str
):
    with pytest.raises(ServerError) as refused:
        await api.room.send_data(SendDataRequest(room=room, data=b"hello"))
    assert (refused.value.status, refused.value.code) == (503, "unavailable")

    with pytest.raises(RoomUnreachable):
        await gateway.warn(room, ["agent"], b"hello")


async def test_a_warning_needs_the_admin_grant_on_that_room(
    backend: Backend, api: LiveKitAPI, room: str
):
    await api.room.create_room(CreateRoomRequest(name=room))
    body = b"\n" + bytes([len(room)]) + room.encode()

    for video in ({"roomCreate": True}, {"roomAdmin": True, "room": f"{room}-2"}):
        answer = await post(backend, SEND, bearer(backend, **video), body)
        assert answer == (401, "unauthenticated")


async def test_the_agent_leaves_once_its_dispatch_is_ended_and_the_room_stays(
    gateway: LiveKitGateway, backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "alice", departure_timeout=3600)
    await backend.sdk_agent(room, "coach")
    dispatches = ()

    async def called_it() -> bool:
        nonlocal dispatches
        present = set(await looking.present(room)) - {"alice"}
        dispatches = [d for d in await gateway.dispatches(room) if d.identities & present]
        return len(dispatches) == 1

    await until(called_it)
    [dispatch] = dispatches

    await gateway.end_dispatch(room, dispatch.id, within=1.0)

    async def agent_is_gone() -> bool:
        return set(await looking.present(room)) == {"alice"}

    await until(agent_is_gone)
    assert dispatch.id not in [d.id for d in await gateway.dispatches(room)]
    with pytest.raises(RoomNotFound):
        await gateway.end_dispatch(room, dispatch.id, within=1.0)
