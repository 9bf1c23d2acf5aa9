"""A message to the agents of a room, on both backends."""

import json

import pytest
from livekit.api import LiveKitAPI
from livekit.protocol.models import DataPacket
from livekit.protocol.room import SendDataRequest

from tests.contract.backends import Backend, RealBackend
from tests.contract.conftest import until
from watchdog.core.errors import RoomServiceError, RoomUnreachable
from watchdog.rooms.gateway import TOPIC, LiveKitGateway


async def test_a_message_reaches_the_agent_it_names_and_nobody_else(
    backend: Backend, gateway: LiveKitGateway, room: str
):
    heard: list[tuple[str, str, bytes, bool]] = []
    for identity in ("agent", "other"):
        member = await backend.join(
            room, identity, kind="agent", agent=True, departure_timeout=3600
        )
        if isinstance(backend, RealBackend):

            def on_data(packet, name=identity):
                heard.append((name, packet.topic, packet.data, packet.participant is None))

            member.inner.on("data_received", on_data)
    payload = json.dumps({"type": "room_will_be_deleted"}).encode()
    await gateway.warn(room, ["agent"], payload)
    if isinstance(backend, RealBackend):

        async def received():
            return bool(heard)

        await until(received)
        assert heard == [("agent", TOPIC, payload, True)], (
            "and the server's messages have no sender"
        )
    else:
        [message] = backend.simulator.messages
        assert (message.identity, message.topic, message.data) == ("agent", TOPIC, payload)


@pytest.mark.trap("T28")
async def test_t28_a_room_that_is_not_there_answers_a_message_as_a_dead_node_does(
    gateway: LiveKitGateway, room: str
):
    with pytest.raises(RoomUnreachable, match="503 unavailable"):
        await gateway.warn(room, ["agent"], b"{}")


async def test_without_anybody_to_be_told_nothing_is_sent(gateway: LiveKitGateway, room: str):
    with pytest.raises(RoomServiceError, match="nobody is there to be told"):
        await gateway.warn(room, [], b"{}")


async def test_a_message_of_another_kind_of_client_is_taken_too(
    api: LiveKitAPI, backend: Backend, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    await api.room.send_data(
        SendDataRequest(room=room, data=b"{}", kind=DataPacket.RELIABLE, topic=TOPIC)
    )
