"""The simulated Room Service: scale, what it remembers, and both ways to reach it."""

import asyncio
from datetime import timedelta
from email.utils import parsedate_to_datetime

import aiohttp
import pytest
from livekit.api import (
    CreateAgentDispatchRequest,
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    LiveKitAPI,
    SendDataRequest,
    ServerError,
)

from tests.simulator.conftest import KEY, SECRET
from watchdog.clocks import SystemClock
from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.classify import classify
from watchdog.core.errors import RoomUnreachable
from watchdog.core.model import VerdictState
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.faults import Fault, FaultKind
from watchdog.simulator.http import serve
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World


async def test_a_hundred_thousand_rooms_are_listed_and_close_each_in_its_time(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    for number in range(100_000):
        world.join(f"call-{number}", "alice")

    answer = await api.room.list_rooms(ListRoomsRequest())

    assert len(answer.rooms) == 100_000
    assert len({r.sid for r in answer.rooms}) == 100_000
    assert {r.num_participants for r in answer.rooms} == {1}

    for number in range(0, 100_000, 1000):
        world.leave(f"call-{number}", "alice")
    clock.advance(20)
    answer = await api.room.list_rooms(ListRoomsRequest())
    assert len(answer.rooms) == 100_000 - 100


@pytest.mark.trap("T11")
async def test_t11_a_kind_that_nobody_knows_yet_comes_through(
    api: SimulatorApi, gateway: LiveKitGateway, world: World
):
    world.join("r", "newcomer", kind=9)

    [shown] = (await api.room.list_participants(ListParticipantsRequest(room="r"))).participants

    assert shown.kind == 9
    [room] = (await gateway.list_rooms()).rooms.values()
    look = await gateway.look(room, Purpose.SWEEP)
    assert classify(look.participants).state is VerdictState.ATTENDED


async def test_http_and_in_process_answer_alike(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    world.join("r", "alice", kind="SIP", hidden=True)
    world.join_agent("r", "coach")

    async with serve(simulator) as url, LiveKitAPI(url, KEY, SECRET) as client:
        for ask in (
            lambda c: c.room.list_rooms(ListRoomsRequest()),
            lambda c: c.room.list_participants(ListParticipantsRequest(room="r")),
            lambda c: c.agent_dispatch.list_dispatch("r"),
        ):
            assert await ask(client) == await ask(api)


@pytest.mark.trap("T36")
async def test_t36_a_server_whose_clock_is_off_says_so_in_its_date_and_its_stamps(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    world.skew = timedelta(minutes=-7)
    world.join("r", "alice")

    async with serve(simulator) as url, aiohttp.ClientSession() as session:
        answer = await session.get(url)
    date = parsedate_to_datetime(answer.headers["Date"])
    [room] = (await api.room.list_rooms(ListRoomsRequest())).rooms
    [alice] = (await api.room.list_participants(ListParticipantsRequest(room="r"))).participants

    assert date == (world.now() - timedelta(minutes=7)).replace(microsecond=0)
    assert room.creation_time == alice.joined_at == int(date.timestamp())


@pytest.mark.trap("T28")
@pytest.mark.parametrize(
    ("how", "status", "code"),
    [(Ghost.UNAVAILABLE, 503, "unavailable"), (Ghost.NO_OBJECT, 500, "unknown")],
)
async def test_t28_a_stranded_room_is_listed_and_out_of_reach(
    api: SimulatorApi,
    gateway: LiveKitGateway,
    world: World,
    *,
    how: Ghost,
    status: int,
    code: str,
):
    world.join_agent("r", "coach", departure_timeout=3600)
    world.strand("r", how)

    assert len((await api.room.list_rooms(ListRoomsRequest())).rooms) == 1
    shown = (await api.room.list_participants(ListParticipantsRequest(room="r"))).participants
    assert len(shown) == 1
    with pytest.raises(ServerError) as refused:
        await api.room.delete_room(DeleteRoomRequest(room="r"))
    assert (refused.value.status, refused.value.code) == (status, code)
    with pytest.raises(RoomUnreachable):
        await gateway.probe("r")


async def test_a_dead_node_takes_three_seconds_to_be_given_up_on(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join_agent("r", "coach")
    world.strand("r")

    with pytest.raises(ServerError):
        await api.room.delete_room(DeleteRoomRequest(room="r"))

    assert clock.monotonic() == 3


async def test_whatever_makes_a_room_brings_a_stranded_one_back(api: SimulatorApi, world: World):
    for name in ("made", "dispatched"):
        world.join_agent(name, "coach", empty_timeout=3600)
        world.strand(name)

    await api.room.create_room(CreateRoomRequest(name="made"))
    await api.agent_dispatch.create_dispatch(CreateAgentDispatchRequest(room="dispatched"))

    for name in ("made", "dispatched"):
        await api.room.delete_room(DeleteRoomRequest(room=name))
    assert dict(world.rooms) == {}


async def test_the_log_names_every_request_and_the_watch_is_told_before_and_after(
    clock: VirtualClock, world: World
):
    told: list[tuple[str, str, str, bool]] = []
    simulator = RoomServiceSimulator(
        world, {KEY: SECRET}, watch=lambda *what: told.append((*what, "r" in world.rooms))
    )
    api = SimulatorApi(simulator, KEY, SECRET)
    world.join("r", "alice")
    clock.advance(5)

    await api.room.list_rooms(ListRoomsRequest())
    await api.room.delete_room(DeleteRoomRequest(room="r"))
    with pytest.raises(ServerError):
        await api.room.delete_room(DeleteRoomRequest(room="r"))

    assert [(r.method, r.room, r.status) for r in simulator.log] == [
        ("ListRooms", "", 200),
        ("DeleteRoom", "r", 200),
        ("DeleteRoom", "r", 404),
    ]
    assert {r.at for r in simulator.log} == {world.now()}
    assert told[2:4] == [
        ("received", "DeleteRoom", "r", True),
        ("answered", "DeleteRoom", "r", False),
    ]


async def test_the_log_keeps_the_last_requests_only(world: World):
    simulator = RoomServiceSimulator(world, {KEY: SECRET}, log_size=3)
    api = SimulatorApi(simulator, KEY, SECRET)

    for number in range(5):
        await api.room.list_participants(ListParticipantsRequest(room=str(number)))

    assert [r.room for r in simulator.log] == ["2", "3", "4"]


@pytest.mark.trap("T46")
@pytest.mark.parametrize(("failover", "received"), [(True, 3), (False, 1)])
async def test_t46_with_a_cloud_url_the_sdk_repeats_a_failed_deletion_unless_told_not_to(
    simulator: RoomServiceSimulator, world: World, monkeypatch, failover: bool, received: int
):
    world.join_agent("r", "coach")
    simulator.faults.add(Fault(FaultKind.ERROR_503, method="DeleteRoom"))
    api = SimulatorApi(
        simulator, KEY, SECRET, url="https://project.livekit.cloud", failover=failover
    )
    monkeypatch.setattr(api.room._client, "_failover_backoff", 0.0)

    with pytest.raises(ServerError):
        await api.room.delete_room(DeleteRoomRequest(room="r"))

    assert [r.method for r in simulator.log].count("DeleteRoom") == received


async def test_the_gateway_of_the_daemon_measures_the_skew_over_http(
    simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    world.skew = timedelta(seconds=90)
    async with serve(simulator) as url:
        gateway = LiveKitGateway.connect(
            url, KEY, SECRET, clock=clock, bucket=TokenBucket(per_minute=100)
        )
        listing = await gateway.list_rooms()
        await gateway.aclose()

    assert listing.clock_skew == pytest.approx(90, abs=1)


@pytest.mark.trap("T01")
async def test_t01_over_http_a_hanging_request_ends_with_the_client_that_gave_it_up():
    simulator = RoomServiceSimulator(World(SystemClock()), {KEY: SECRET})
    simulator.faults.add(Fault(FaultKind.HANG, nth=1))
    async with serve(simulator) as url, LiveKitAPI(url, KEY, SECRET) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.room.list_rooms(ListRoomsRequest())

        await client.room.list_rooms(ListRoomsRequest())

    assert sorted(r.status for r in simulator.log) == [0, 200]


async def test_a_port_that_is_taken_is_said_to_be(simulator: RoomServiceSimulator):
    async with serve(simulator) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"):
            async with serve(simulator, port=port):
                pytest.fail("two servers on one port")


async def test_a_data_message_reaches_whom_it_names_and_is_there_or_everybody(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    world.join_agent("r", "coach", identity="agent-1")
    world.join("r", "alice")
    message = SendDataRequest(room="r", data=b"hello", topic="t")
    message.destination_identities.extend(["agent-1", "nobody"])

    await api.room.send_data(message)
    await api.room.send_data(SendDataRequest(room="r", data=b"all"))

    told = [(m.identity, m.topic, m.data) for m in simulator.messages]
    assert told == [("agent-1", "t", b"hello"), ("agent-1", "", b"all"), ("alice", "", b"all")]


@pytest.mark.trap("T28")
@pytest.mark.parametrize(("how", "status"), [(Ghost.UNAVAILABLE, 503), (Ghost.NO_OBJECT, 500)])
async def test_t28_nobody_in_a_stranded_room_is_told_anything(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, *, how: Ghost, status: int
):
    world.join_agent("r", "coach", departure_timeout=3600)
    world.strand("r", how)

    with pytest.raises(ServerError) as refused:
        await api.room.send_data(SendDataRequest(room="r", data=b"hello"))

    assert refused.value.status == status
    assert list(simulator.messages) == []
