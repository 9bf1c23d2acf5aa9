"""Agent dispatches and their jobs, which the watchdog uses to probe a room's node."""

import pytest
from livekit.api import CreateAgentDispatchRequest, CreateRoomRequest, LiveKitAPI, ServerError
from livekit.protocol.agent import JobStatus

from tests.contract.backends import Backend
from tests.contract.conftest import Looking, until
from watchdog.core.errors import RoomUnreachable
from watchdog.rooms.gateway import LiveKitGateway


async def test_every_room_has_a_dispatch_without_a_name_and_without_jobs(
    api: LiveKitAPI, room: str
):
    await api.room.create_room(CreateRoomRequest(name=room))

    [dispatch] = await api.agent_dispatch.list_dispatch(room)

    assert (dispatch.room, dispatch.agent_name, list(dispatch.state.jobs)) == (room, "", [])


async def test_a_dispatch_is_listed_until_it_is_deleted(api: LiveKitAPI, room: str):
    made = await api.agent_dispatch.create_dispatch(
        CreateAgentDispatchRequest(room=room, agent_name="coach", metadata="m")
    )

    shown = await api.agent_dispatch.get_dispatch(made.id, room)
    assert (shown.agent_name, shown.metadata, shown.room) == ("coach", "m", room)
    await api.agent_dispatch.delete_dispatch(made.id, room)

    assert made.id not in [d.id for d in await api.agent_dispatch.list_dispatch(room)]
    with pytest.raises(ServerError) as refused:
        await api.agent_dispatch.delete_dispatch(made.id, room)
    assert (refused.value.status, refused.value.code) == (404, "not_found")


async def test_a_dispatch_makes_the_room_it_is_for(api: LiveKitAPI, looking: Looking, room: str):
    await api.agent_dispatch.create_dispatch(CreateAgentDispatchRequest(room=room))

    assert (await looking.listed(room)).departure_timeout == 20


async def test_a_live_room_answers_the_probe(gateway: LiveKitGateway, api: LiveKitAPI, room: str):
    await api.room.create_room(CreateRoomRequest(name=room))

    await gateway.probe(room)


@pytest.mark.trap("T28")
async def test_t28_a_room_that_is_not_there_answers_the_probe_as_a_dead_node_does(
    gateway: LiveKitGateway, api: LiveKitAPI, room: str
):
    with pytest.raises(ServerError) as refused:
        await api.agent_dispatch.list_dispatch(room)
    assert (refused.value.status, refused.value.code) == (503, "unavailable")

    with pytest.raises(RoomUnreachable):
        await gateway.probe(room)


@pytest.mark.trap("T40")
async def test_t40_the_job_of_a_killed_agent_stays_running(
    api: LiveKitAPI, backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "alice", departure_timeout=3600)
    await backend.sdk_agent(room, "coach")

    async def agent_is_there() -> bool:
        return len(await looking.present(room)) == 2

    await until(agent_is_there)
    agent = next(p for p in (await looking.present(room)).values() if p.identity != "alice")
    assert agent.identity.startswith("agent-AJ_")
    assert agent.attributes["lk.agent_name"] == "coach"

    async def job_is_running() -> bool:
        return agent.identity in await running_jobs(api, room)

    # The server enters the job a moment after the agent has joined.
    await until(job_is_running)

    await backend.kill_sdk_agent(room)

    async def agent_is_gone() -> bool:
        return set(await looking.present(room)) == {"alice"}

    await until(agent_is_gone)
    assert await running_jobs(api, room) == [agent.identity]


async def running_jobs(api: LiveKitAPI, room: str) -> list[str]:
    """The identities of the RUNNING jobs of the dispatch to "coach"."""
    [dispatch] = [d for d in await api.agent_dispatch.list_dispatch(room) if d.agent_name]
    return [
        job.state.participant_identity
        for job in dispatch.state.jobs
        if job.state.status == JobStatus.JS_RUNNING
    ]
