"""Every kind of fault has its effect through the ordinary client, and is counted."""

from datetime import timedelta

import pytest
from google.protobuf.message import DecodeError
from livekit.api import (
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    LiveKitAPI,
    ServerError,
)

from tests.simulator.conftest import KEY, SECRET
from watchdog.core.budget import Purpose
from watchdog.core.errors import BadAnswer, RequestTimedOut
from watchdog.rooms.gateway import LOOK_DEADLINE, LiveKitGateway
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.faults import Fault, FaultKind, FaultPlan
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World


@pytest.fixture(autouse=True)
def call(world: World) -> None:
    """Two people, one of them hidden, with an agent and its avatar; and a room beside it."""
    world.join("call", "alice", departure_timeout=3600)
    world.join("call", "supervisor", hidden=True)
    world.join_agent("call", "coach", identity="agent")
    world.join(
        "call", "avatar", kind="AGENT", agent=True, attributes={"lk.publish_on_behalf": "agent"}
    )
    world.join("beside", "bruno")


async def counts(api: SimulatorApi) -> dict[str, int]:
    answer = await api.room.list_rooms(ListRoomsRequest())
    return {r.name: r.num_participants for r in answer.rooms}


async def people(api: SimulatorApi, room: str = "call") -> list[str]:
    answer = await api.room.list_participants(ListParticipantsRequest(room=room))
    return [p.identity for p in answer.participants]


async def test_without_a_fault_the_truth_is_told(
    api: SimulatorApi, simulator: RoomServiceSimulator
):
    assert await counts(api) == {"call": 2, "beside": 1}
    assert await people(api) == ["alice", "supervisor", "agent", "avatar"]
    assert not simulator.faults.injected


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (FaultKind.ERROR_500, 500, "internal"),
        (FaultKind.ERROR_503, 503, "unavailable"),
        (FaultKind.TIMEOUT_408, 408, "deadline_exceeded"),
        (FaultKind.RATE_LIMIT_429, 429, "resource_exhausted"),
        (FaultKind.UNAUTHORIZED_401, 401, "unknown"),
        (FaultKind.LOST_ANSWER, 503, "unavailable"),
    ],
)
@pytest.mark.parametrize("over", ["in process", "http"])
async def test_an_error_reaches_the_client_with_its_status_and_code(
    simulator: RoomServiceSimulator,
    api: SimulatorApi,
    *,
    kind: FaultKind,
    status: int,
    code: str,
    over: str,
):
    simulator.faults.add(Fault(kind))

    if over == "http":
        async with serve(simulator) as url, LiveKitAPI(url, KEY, SECRET) as client:
            with pytest.raises(ServerError) as refused:
                await client.room.list_rooms(ListRoomsRequest())
    else:
        with pytest.raises(ServerError) as refused:
            await api.room.list_rooms(ListRoomsRequest())

    assert (refused.value.status, refused.value.code) == (status, code)
    assert simulator.faults.injected == {kind: 1}


@pytest.mark.trap("T03")
async def test_t03_garbage_makes_the_sdk_raise_decode_error(
    api: SimulatorApi, gateway: LiveKitGateway, simulator: RoomServiceSimulator
):
    simulator.faults.add(Fault(FaultKind.GARBAGE))

    with pytest.raises(DecodeError):
        await api.room.list_rooms(ListRoomsRequest())
    with pytest.raises(BadAnswer):
        await gateway.list_rooms()

    assert simulator.faults.injected == {FaultKind.GARBAGE: 2}


@pytest.mark.trap("T02")
async def test_t02_an_empty_body_parses_as_no_rooms_and_nobody(
    api: SimulatorApi, simulator: RoomServiceSimulator
):
    simulator.faults.add(Fault(FaultKind.EMPTY_BODY))

    assert await counts(api) == {}
    assert await people(api) == []
    assert simulator.faults.injected == {FaultKind.EMPTY_BODY: 2}


@pytest.mark.trap("T01")
async def test_t01_a_hanging_server_is_given_up_at_the_deadline(
    gateway: LiveKitGateway, simulator: RoomServiceSimulator, clock: VirtualClock
):
    [room] = (await gateway.list_rooms(names=("call",))).rooms.values()
    simulator.faults.add(Fault(FaultKind.HANG, method="ListParticipants"))
    begin = clock.monotonic()

    with pytest.raises(RequestTimedOut):
        await gateway.look(room, Purpose.SWEEP)

    assert clock.monotonic() - begin == LOOK_DEADLINE
    assert simulator.faults.injected == {FaultKind.HANG: 1}
    assert simulator.log[-1].status == 0, "it was never answered"


async def test_a_delay_passes_half_before_and_half_after_the_answer_is_made(
    api: SimulatorApi, simulator: RoomServiceSimulator, clock: VirtualClock, world: World
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=4))
    world.after(1, lambda: world.leave("call", "alice"))
    world.after(3, lambda: world.leave("call", "supervisor"))

    assert await people(api) == ["supervisor", "agent", "avatar"]
    assert clock.monotonic() == 4
    assert simulator.faults.injected == {FaultKind.DELAY: 1}


@pytest.mark.trap("T27")
async def test_t27_a_lost_answer_had_its_effect(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    simulator.faults.add(Fault(FaultKind.LOST_ANSWER, method="DeleteRoom"))

    with pytest.raises(ServerError):
        await api.room.delete_room(DeleteRoomRequest(room="call"))

    assert set(world.rooms) == {"beside"}


@pytest.mark.trap("T04")
async def test_t04_a_partial_list_holds_a_share_of_the_rooms_or_participants(
    api: SimulatorApi, simulator: RoomServiceSimulator
):
    simulator.faults.add(Fault(FaultKind.PARTIAL_LIST, amount=0.5))

    assert await counts(api) == {"call": 2}
    assert await people(api) == ["alice", "supervisor"]
    assert simulator.faults.injected == {FaultKind.PARTIAL_LIST: 2}


@pytest.mark.trap("T06")
@pytest.mark.trap("T07")
@pytest.mark.parametrize("number", [0, 7])
async def test_t06_t07_a_wrong_count_in_one_rooms_row(
    api: SimulatorApi, simulator: RoomServiceSimulator, number: int
):
    simulator.faults.add(Fault(FaultKind.WRONG_COUNT, room="call", amount=number))

    assert await counts(api) == {"call": number, "beside": 1}
    assert simulator.faults.injected == {FaultKind.WRONG_COUNT: 1}


@pytest.mark.trap("T06")
async def test_t06_a_lagging_count_is_what_it_was(
    api: SimulatorApi, simulator: RoomServiceSimulator, clock: VirtualClock, world: World
):
    clock.advance(60)
    world.leave("call", "alice")
    simulator.faults.add(Fault(FaultKind.LAGGING_COUNT, amount=6))

    clock.advance(5.9)
    assert (await counts(api))["call"] == 2
    clock.advance(0.1)
    assert (await counts(api))["call"] == 1
    assert simulator.faults.injected == {FaultKind.LAGGING_COUNT: 1}, "the second time it was true"


@pytest.mark.trap("T51")
async def test_t51_a_count_with_agents(api: SimulatorApi, simulator: RoomServiceSimulator):
    simulator.faults.add(Fault(FaultKind.COUNT_WITH_AGENTS))

    assert await counts(api) == {"call": 4, "beside": 1}
    assert simulator.faults.injected == {FaultKind.COUNT_WITH_AGENTS: 1}


async def test_a_hidden_person_is_missing_from_the_list_and_the_count_alike(
    api: SimulatorApi, simulator: RoomServiceSimulator
):
    simulator.faults.add(Fault(FaultKind.HIDDEN_PERSON, room="call", amount=1))
    assert await people(api) == ["supervisor", "agent", "avatar"]
    assert await counts(api) == {"call": 1, "beside": 1}

    simulator.faults.clear()
    simulator.faults.add(Fault(FaultKind.HIDDEN_PERSON, method="ListParticipants"))
    assert await people(api) == ["agent", "avatar"]
    assert await people(api, "beside") == []
    assert (await counts(api))["call"] == 2

    assert simulator.faults.injected == {FaultKind.HIDDEN_PERSON: 4}


async def test_a_fault_that_changes_nothing_is_not_counted(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    world.leave("call", "alice")
    world.leave("call", "supervisor")
    simulator.faults.add(Fault(FaultKind.HIDDEN_PERSON, room="call"))
    simulator.faults.add(Fault(FaultKind.WRONG_COUNT, room="beside", amount=1))

    assert await people(api) == ["agent", "avatar"]
    await counts(api)

    assert not simulator.faults.injected


# --- when a fault is in force -----------------------------------------------------------------------


async def errors(api: SimulatorApi, calls: int) -> list[int]:
    """Which of so many calls, counted from 1, failed."""
    failed = []
    for number in range(1, calls + 1):
        try:
            await api.room.list_rooms(ListRoomsRequest())
        except ServerError:
            failed.append(number)
    return failed


async def test_the_nth_matching_call_alone(api: SimulatorApi, simulator: RoomServiceSimulator):
    simulator.faults.add(Fault(FaultKind.ERROR_500, method="ListRooms", nth=3))
    await people(api)

    assert await errors(api, 5) == [3]


async def test_a_window_of_time_without_its_end(
    api: SimulatorApi, simulator: RoomServiceSimulator, clock: VirtualClock, world: World
):
    begin = world.now()
    simulator.faults.add(
        Fault(
            FaultKind.ERROR_500,
            from_=begin + timedelta(seconds=10),
            until=begin + timedelta(seconds=20),
        )
    )

    failed = []
    for at in (9, 10, 19, 20):
        clock.advance(at - clock.monotonic())
        failed += [at] if await errors(api, 1) else []
    assert failed == [10, 19]


async def test_one_room_alone(api: SimulatorApi, simulator: RoomServiceSimulator):
    simulator.faults.add(Fault(FaultKind.ERROR_500, room="call"))

    assert await counts(api) == {"call": 2, "beside": 1}
    assert await people(api, "beside") == ["bruno"]
    with pytest.raises(ServerError):
        await people(api, "call")
    with pytest.raises(ServerError):
        await api.room.list_rooms(ListRoomsRequest(names=["call"]))
    with pytest.raises(ServerError):
        await api.agent_dispatch.list_dispatch("call")


async def test_a_rate_is_a_share_and_the_seed_decides_which(
    api: SimulatorApi, simulator: RoomServiceSimulator
):
    outcomes = []
    for seed in (1, 1, 2):
        simulator.faults = FaultPlan([Fault(FaultKind.ERROR_500, rate=0.3)], seed=seed)
        failed = await errors(api, 200)
        assert simulator.faults.injected == {FaultKind.ERROR_500: len(failed)}
        assert 30 < len(failed) < 90
        outcomes.append(failed)

    assert outcomes[0] == outcomes[1] != outcomes[2]
