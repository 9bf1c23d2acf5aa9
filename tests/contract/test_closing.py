"""When the server itself closes a room (CloseIfEmpty), on both backends in real time."""

import asyncio

import pytest
from livekit.api import CreateRoomRequest, LiveKitAPI

from tests.contract.backends import Backend
from tests.contract.conftest import Looking, until


async def gone(looking: Looking, room: str) -> None:
    """Wait until the room is no longer listed."""

    async def unlisted() -> bool:
        return await looking.listed(room) is None

    await until(unlisted)


async def test_an_agent_left_alone_is_put_out_when_the_departure_timeout_is_over(
    backend: Backend, looking: Looking, room: str
):
    agent = await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=1)
    alice = await backend.join(room, "alice")
    await backend.leave(alice)

    await gone(looking, room)

    assert await looking.present(room) == {}

    async def agent_is_out() -> bool:
        return not backend.in_room(agent)

    await until(agent_is_out)


async def test_a_room_with_a_long_departure_timeout_keeps_its_agent(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    alice = await backend.join(room, "alice")
    await backend.leave(alice)
    # A room beside it that closes by itself shows that the server had its chance.
    beside = f"{room}-beside"
    await backend.leave(await backend.join(beside, "bruno", departure_timeout=1))
    await gone(looking, beside)

    assert set(await looking.present(room)) == {"agent"}
    assert await looking.listed(room) is not None


async def test_a_person_keeps_a_room_open_however_short_its_timeouts(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "alice", departure_timeout=1, empty_timeout=1)
    agent = await backend.join(room, "agent", kind="agent", agent=True)
    await backend.leave(agent)
    beside = f"{room}-beside"
    await backend.leave(await backend.join(beside, "bruno", departure_timeout=1))
    await gone(looking, beside)

    assert set(await looking.present(room)) == {"alice"}


@pytest.mark.trap("T18")
async def test_t18_a_waiting_agent_does_not_prolong_the_empty_timeout_from_creation(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    await api.room.create_room(
        CreateRoomRequest(name=room, empty_timeout=2, departure_timeout=3600)
    )
    agent = await backend.join(room, "agent", kind="agent", agent=True)

    await gone(looking, room)

    async def agent_is_out() -> bool:
        return not backend.in_room(agent)

    await until(agent_is_out)


async def test_an_agent_that_flaps_before_anybody_came_leaves_the_empty_timeout_in_force(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    await api.room.create_room(
        CreateRoomRequest(name=room, empty_timeout=3600, departure_timeout=1)
    )
    flapping = await backend.join(room, "agent", kind="agent", agent=True)
    await backend.leave(flapping)
    await backend.join(room, "agent-2", kind="agent", agent=True)
    beside = f"{room}-beside"
    await backend.leave(await backend.join(beside, "bruno", departure_timeout=1))
    await gone(looking, beside)

    assert set(await looking.present(room)) == {"agent-2"}


@pytest.mark.trap("T39")
async def test_t39_every_departure_of_an_agent_starts_the_departure_timeout_anew(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3)
    alice = await backend.join(room, "alice")
    beside = f"{room}-beside"
    await backend.join(beside, "agent", kind="agent", agent=True, departure_timeout=3)
    bruno = await backend.join(beside, "bruno")
    await backend.leave(alice)
    await backend.leave(bruno)
    # Both would close now; in the first a second agent comes and goes.
    await asyncio.sleep(1.5)
    await backend.leave(await backend.join(room, "agent-2", kind="agent", agent=True))

    await gone(looking, beside)

    assert set(await looking.present(room)) == {"agent"}
    await gone(looking, room)


@pytest.mark.trap("T24")
async def test_t24_the_same_name_after_a_closing_is_a_new_room(
    backend: Backend, looking: Looking, room: str
):
    alice = await backend.join(room, "alice", departure_timeout=1)
    first = await looking.listed(room)
    await backend.leave(alice)
    await gone(looking, room)

    await backend.join(room, "alice")

    assert (await looking.listed(room)).sid != first.sid
