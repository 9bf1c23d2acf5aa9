"""What ListRooms and ListParticipants show, on the simulator and on a real server alike."""

import asyncio

import pytest
from livekit.api import CreateRoomRequest, ListRoomsRequest, LiveKitAPI
from livekit.protocol.models import ParticipantInfo

from tests.contract.backends import Backend
from tests.contract.conftest import Looking, until
from watchdog.core.budget import Purpose
from watchdog.core.classify import classify
from watchdog.core.model import VerdictState
from watchdog.rooms.gateway import LiveKitGateway

Kind, State = ParticipantInfo.Kind, ParticipantInfo.State


async def test_a_name_that_does_not_exist_is_silently_left_out(api: LiveKitAPI, room: str):
    made = await api.room.create_room(CreateRoomRequest(name=room))

    answer = await api.room.list_rooms(ListRoomsRequest(names=[room, f"{room}-not-there"]))

    assert [(r.name, r.sid) for r in answer.rooms] == [(room, made.sid)]


async def test_the_whole_list_holds_every_room_once(api: LiveKitAPI, room: str):
    names = {f"{room}-{n}" for n in range(5)}
    for name in names:
        await api.room.create_room(CreateRoomRequest(name=name))

    listed = [r.name for r in (await api.room.list_rooms(ListRoomsRequest())).rooms]

    assert len(listed) == len(set(listed))
    assert names <= set(listed)


async def test_a_room_shows_its_sid_creation_time_and_default_timeouts(
    api: LiveKitAPI, looking: Looking, room: str
):
    made = await api.room.create_room(CreateRoomRequest(name=room))

    shown = await looking.listed(room)

    assert shown.sid == made.sid
    assert shown.sid.startswith("RM_")
    assert (shown.empty_timeout, shown.departure_timeout) == (300, 20)
    assert shown.creation_time == shown.creation_time_ms // 1000
    assert shown.num_participants == 0
    assert not shown.active_recording


async def test_timeouts_given_by_a_token_that_makes_the_room_are_shown(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "alice", empty_timeout=1800, departure_timeout=3600)

    shown = await looking.listed(room)

    assert (shown.empty_timeout, shown.departure_timeout) == (1800, 3600)


async def test_creating_a_room_that_is_there_returns_it_unchanged(api: LiveKitAPI, room: str):
    first = await api.room.create_room(CreateRoomRequest(name=room, departure_timeout=900))

    again = await api.room.create_room(CreateRoomRequest(name=room, departure_timeout=7))

    assert (again.sid, again.departure_timeout) == (first.sid, 900)


async def test_the_count_leaves_out_agents_and_recorders_and_includes_hidden_people(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    assert await looking.count_now(room) == 0
    await backend.join(room, "bot", agent=True)
    assert await looking.count_now(room) == 0, "kind STANDARD with the agent grant"
    await backend.join(room, "EG_1", kind="egress")
    assert await looking.count_now(room) == 0
    await backend.join(room, "recorder", recorder=True)
    assert await looking.count_now(room) == 0, "kind STANDARD with the recorder grant"
    await backend.join(room, "supervisor", hidden=True)
    assert await looking.count_now(room) == 1
    for counted, kind in enumerate(("standard", "sip", "ingress", "connector"), start=2):
        await backend.join(room, kind, kind=kind)
        assert await looking.count_now(room) == counted, kind


async def test_a_room_that_does_not_exist_has_an_empty_list_of_participants(
    gateway: LiveKitGateway, looking: Looking, room: str
):
    assert await looking.present(room) == {}


async def test_an_agent_shows_kind_4_its_grant_and_its_name(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(
        room, "agent-1", kind="agent", agent=True, attributes={"lk.agent_name": "coach"}
    )

    [shown] = (await looking.present(room)).values()

    assert shown.kind == Kind.AGENT == 4
    assert shown.permission.agent
    assert not shown.permission.hidden
    assert dict(shown.attributes) == {"lk.agent_name": "coach"}
    assert shown.sid.startswith("PA_")
    assert shown.joined_at == shown.joined_at_ms // 1000 > 0

    async def active() -> bool:
        return (await looking.present(room))["agent-1"].state == State.ACTIVE

    await until(active)


@pytest.mark.trap("T08")
async def test_t08_a_kindless_bot_shows_kind_0_and_the_agent_grant(
    backend: Backend, looking: Looking, gateway: LiveKitGateway, room: str
):
    await backend.join(room, "pipecat", agent=True, departure_timeout=3600)

    [shown] = (await looking.present(room)).values()
    assert (shown.kind, shown.permission.agent) == (Kind.STANDARD, True)

    [listed] = (await gateway.list_rooms(names=(room,))).rooms.values()
    look = await gateway.look(listed, Purpose.SWEEP)
    assert classify(look.participants).state is VerdictState.ORPHANED


@pytest.mark.trap("T14")
async def test_t14_a_hidden_person_is_listed_and_marked(
    backend: Backend, looking: Looking, gateway: LiveKitGateway, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True)
    await backend.join(room, "supervisor", hidden=True)

    shown = await looking.present(room)
    assert shown["supervisor"].permission.hidden

    [listed] = (await gateway.list_rooms(names=(room,))).rooms.values()
    look = await gateway.look(listed, Purpose.SWEEP)
    assert classify(look.participants).state is VerdictState.ATTENDED


@pytest.mark.parametrize(
    ("kind", "number"),
    [("standard", 0), ("ingress", 1), ("egress", 2), ("sip", 3), ("connector", 7)],
)
async def test_every_kind_shows_its_own_number(
    backend: Backend, looking: Looking, room: str, kind: str, number: int
):
    await backend.join(room, "somebody", kind=kind)

    [shown] = (await looking.present(room)).values()

    assert (shown.kind, shown.permission.agent) == (number, False)


@pytest.mark.trap("T10")
async def test_t10_an_avatar_is_an_agent_with_the_attribute_of_whom_it_publishes_for(
    backend: Backend, looking: Looking, gateway: LiveKitGateway, room: str
):
    behalf = {"lk.publish_on_behalf": "agent-1"}
    await backend.join(room, "tavus", kind="agent", agent=True, attributes=behalf)

    [shown] = (await looking.present(room)).values()
    assert (shown.kind, dict(shown.attributes)) == (Kind.AGENT, behalf)

    [listed] = (await gateway.list_rooms(names=(room,))).rooms.values()
    [seen] = (await gateway.look(listed, Purpose.SWEEP)).participants
    assert seen.on_behalf_of == "agent-1"


@pytest.mark.trap("T13")
@pytest.mark.parametrize("how", [{"kind": "egress"}, {"recorder": True}])
async def test_t13_a_recorder_in_the_room_makes_it_recording(
    backend: Backend, looking: Looking, room: str, how: dict
):
    await backend.join(room, "EG_1", departure_timeout=3600, **how)

    async def recording() -> bool:
        return (await looking.listed(room)).active_recording

    await until(recording)


@pytest.mark.trap("T15")
async def test_t15_somebody_who_is_still_joining_is_listed_and_is_a_person(
    backend: Backend, looking: Looking, gateway: LiveKitGateway, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True)
    await backend.join_halfway(room, "alice")

    shown = await looking.present(room)
    assert shown["alice"].state in (State.JOINING, State.JOINED)
    assert await looking.count_now(room) == 1

    [listed] = (await gateway.list_rooms(names=(room,))).rooms.values()
    look = await gateway.look(listed, Purpose.SWEEP)
    assert classify(look.participants).state is VerdictState.ATTENDED


@pytest.mark.trap("T06")
async def test_t06_the_list_is_current_right_after_a_leave_while_the_count_may_still_lag(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    alice = await backend.join(room, "alice")
    assert await looking.count_now(room) == 1

    await backend.leave(alice)

    assert set(await looking.present(room)) == {"agent"}
    assert (await looking.listed(room)).num_participants in (0, 1)

    async def caught_up() -> bool:
        return (await looking.listed(room)).num_participants == 0

    await until(caught_up)


@pytest.mark.trap("T16")
async def test_t16_the_same_identity_again_replaces_the_first_and_gets_a_new_sid(
    backend: Backend, looking: Looking, room: str
):
    first = await backend.join(room, "alice", departure_timeout=3600)
    before = (await looking.present(room))["alice"]
    room_sid = (await looking.listed(room)).sid
    # Times of joining have whole milliseconds, and must differ.
    await asyncio.sleep(0.01)

    second = await backend.join(room, "alice")

    [after] = (await looking.present(room)).values()
    assert after.sid != before.sid
    assert after.joined_at_ms > before.joined_at_ms
    assert (await looking.listed(room)).sid == room_sid
    assert backend.in_room(second)

    async def put_out() -> bool:
        return not backend.in_room(first)

    await until(put_out)


async def test_leaving_and_coming_back_gets_a_new_participant_sid_in_the_same_room(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    alice = await backend.join(room, "alice")
    before, listed = (await looking.present(room))["alice"], await looking.listed(room)
    await backend.leave(alice)

    await backend.join(room, "alice")

    assert (await looking.present(room))["alice"].sid != before.sid
    assert (await looking.listed(room)).sid == listed.sid
