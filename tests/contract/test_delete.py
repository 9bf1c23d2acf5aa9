"""What DeleteRoom does, on both backends."""

import pytest
from livekit.api import CreateRoomRequest, DeleteRoomRequest, LiveKitAPI, ServerError

from tests.contract.backends import Backend
from tests.contract.conftest import Looking, until


@pytest.mark.trap("T25")
async def test_t25_deleting_a_room_that_is_not_there_is_404_not_found(api: LiveKitAPI, room: str):
    with pytest.raises(ServerError) as refused:
        await api.room.delete_room(DeleteRoomRequest(room=room))

    assert (refused.value.status, refused.value.code) == (404, "not_found")


@pytest.mark.trap("T31")
async def test_t31_a_sid_is_no_name(api: LiveKitAPI, looking: Looking, room: str):
    made = await api.room.create_room(CreateRoomRequest(name=room))

    with pytest.raises(ServerError) as refused:
        await api.room.delete_room(DeleteRoomRequest(room=made.sid))

    assert (refused.value.status, refused.value.code) == (404, "not_found")
    assert await looking.listed(room) is not None


async def test_a_deleted_room_is_gone_at_once_and_everyone_is_out(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    members = [
        await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600),
        await backend.join(room, "alice"),
        await backend.join(room, "supervisor", hidden=True),
    ]

    await api.room.delete_room(DeleteRoomRequest(room=room))

    assert await looking.listed(room) is None
    assert await looking.present(room) == {}

    async def all_out() -> bool:
        return not any(backend.in_room(m) for m in members)

    await until(all_out)


async def test_an_empty_room_can_be_deleted(api: LiveKitAPI, looking: Looking, room: str):
    await api.room.create_room(CreateRoomRequest(name=room))

    await api.room.delete_room(DeleteRoomRequest(room=room))

    assert await looking.listed(room) is None


async def test_whoever_joins_after_a_deletion_makes_a_new_room_with_default_timeouts(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "alice", departure_timeout=3600)
    first = await looking.listed(room)
    await api.room.delete_room(DeleteRoomRequest(room=room))

    await backend.join(room, "bruno")

    second = await looking.listed(room)
    assert second.sid != first.sid
    assert (second.empty_timeout, second.departure_timeout) == (300, 20)
