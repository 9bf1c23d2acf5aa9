"""What can go wrong with a DeleteRoom, and what the request log says of each."""

from datetime import timedelta

import pytest
from livekit.api import DeleteRoomRequest, ListRoomsRequest, ServerError

from tests.simulator.conftest import KEY, SECRET
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.deletions import Deletion
from watchdog.simulator.faults import Fault, FaultKind
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

HOUR = 3600


@pytest.fixture(autouse=True)
def stranded_agent(world: World) -> None:
    """An agent alone in a room that nothing closes soon."""
    world.join("r", "alice", departure_timeout=HOUR)
    world.join_agent("r", "coach", identity="agent")
    world.leave("r", "alice")


async def delete(api: SimulatorApi, room: str = "r") -> int:
    """DeleteRoom; the status it was answered with."""
    try:
        await api.room.delete_room(DeleteRoomRequest(room=room))
    except ServerError as refused:
        return refused.status
    return 200


async def delete_within(
    api: SimulatorApi, clock: VirtualClock, seconds: float, room: str = "r"
) -> int | None:
    """DeleteRoom by a caller that gives up; None if it did."""
    try:
        async with clock.timeout(seconds):
            return await delete(api, room)
    except TimeoutError:
        return None


# --- what the log says ------------------------------------------------------------------------------


async def test_a_deletion_is_logged_with_its_sid_and_who_was_in_the_room(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    world.join("r", "alice")
    world.join("r", "supervisor", hidden=True)
    world.join("r", "avatar", kind="AGENT", attributes={"lk.publish_on_behalf": "agent"})
    world.join("r", "EG_1", kind="EGRESS")
    sid = world.room("r").sid
    clock.advance(5)

    assert await delete(api) == 200

    assert simulator.deletions == (
        Deletion(
            at=world.now(),
            room="r",
            found=("alice", "supervisor"),
            sid=sid,
            persons=("alice", "supervisor"),
            agents=("agent", "avatar"),
            effect_at=world.now(),
            status=200,
        ),
    )
    assert simulator.deletions[0].effect


async def test_a_deletion_of_nothing_is_logged_without_a_sid(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    assert await delete(api, "elsewhere") == 404

    assert simulator.deletions == (
        Deletion(world.now(), "elsewhere", (), None, (), (), effect_at=None, status=404),
    )
    assert not simulator.deletions[0].effect


async def test_a_refused_deletion_has_no_effect_and_its_log_tells_who_was_there(
    simulator: RoomServiceSimulator, world: World
):
    world.join("r", "alice")

    assert await delete(SimulatorApi(simulator, KEY, SECRET + "wrong")) == 401

    [refused] = simulator.deletions
    assert (refused.effect, refused.status) == (False, 401)
    assert (refused.sid, refused.persons, refused.agents) == (
        world.room("r").sid,
        ("alice",),
        ("agent",),
    )


@pytest.mark.trap("T28")
@pytest.mark.trap("T30")
@pytest.mark.parametrize(("how", "status"), [(Ghost.UNAVAILABLE, 503), (Ghost.NO_OBJECT, 500)])
async def test_t28_t30_a_dead_nodes_room_is_not_deleted_and_nobody_is_really_in_it(
    api: SimulatorApi,
    simulator: RoomServiceSimulator,
    world: World,
    *,
    how: Ghost,
    status: int,
):
    world.join("r", "alice")
    world.strand("r", how)
    simulator.faults.add(Fault(FaultKind.DELETE_NO_EFFECT))
    simulator.faults.add(Fault(FaultKind.ROOM_MADE_ANEW))

    assert await delete(api) == status

    [entry] = simulator.deletions
    assert (entry.effect, entry.status, entry.persons, entry.agents) == (False, status, (), ())
    assert set(world.room("r").participants) == {"alice", "agent"}
    assert not simulator.faults.injected, "neither fault had anything to act on"


# --- answers that are not true, late or missing -----------------------------------------------------


@pytest.mark.trap("T29")
async def test_t29_a_deletion_that_does_nothing_is_answered_200(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    simulator.faults.add(Fault(FaultKind.DELETE_NO_EFFECT))
    sid = world.room("r").sid

    assert await delete(api) == 200

    assert world.room("r").sid == sid
    assert set(world.room("r").participants) == {"agent"}
    [entry] = simulator.deletions
    assert (entry.effect, entry.status, entry.sid) == (False, 200, sid)
    assert simulator.faults.injected == {FaultKind.DELETE_NO_EFFECT: 1}


@pytest.mark.trap("T29")
async def test_t29_a_room_made_anew_has_a_new_sid_default_timeouts_and_one_agent(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    simulator.faults.add(Fault(FaultKind.ROOM_MADE_ANEW, nth=1))
    first = world.room("r").sid

    assert await delete(api) == 200

    second = world.room("r")
    assert second.sid != first
    assert (second.empty_timeout, second.departure_timeout) == (300, 20)
    [agent] = second.participants.values()
    assert agent.identity.startswith("agent-AJ_")
    assert agent.attributes["lk.agent_name"] == "coach"
    assert world.ledger.rooms[first].ended_at == world.ledger.rooms[second.sid].created_at
    assert [(d.effect, d.sid, d.agents) for d in simulator.deletions] == [
        (True, first, ("agent",)),
    ]

    assert await delete(api) == 200
    assert "r" not in world.rooms, "that was the first one only"
    assert simulator.faults.injected == {FaultKind.ROOM_MADE_ANEW: 1}
    clock.advance(HOUR)
    assert "r" not in world.rooms


@pytest.mark.parametrize("kind", [FaultKind.DELETE_NO_EFFECT, FaultKind.ROOM_MADE_ANEW])
async def test_faults_of_deletion_meet_no_other_request_and_none_that_finds_no_room(
    api: SimulatorApi, simulator: RoomServiceSimulator, kind: FaultKind
):
    simulator.faults.add(Fault(kind))

    await api.room.list_rooms(ListRoomsRequest())
    assert await delete(api, "elsewhere") == 404

    assert not simulator.faults.injected


@pytest.mark.trap("T27")
@pytest.mark.parametrize(
    ("fault", "status", "effect"),
    [
        (Fault(FaultKind.ERROR_503), 503, False),
        (Fault(FaultKind.LOST_ANSWER), 503, True),
        (Fault(FaultKind.TIMEOUT_408), 408, False),
        (Fault(FaultKind.LOST_ANSWER, amount=408), 408, True),
        (Fault(FaultKind.ERROR_500), 500, False),
        (Fault(FaultKind.LOST_ANSWER, amount=500), 500, True),
    ],
)
async def test_t27_an_error_can_mean_either(
    api: SimulatorApi,
    simulator: RoomServiceSimulator,
    world: World,
    *,
    fault: Fault,
    status: int,
    effect: bool,
):
    simulator.faults.add(fault)

    assert await delete(api) == status

    assert ("r" not in world.rooms) is effect
    assert [(d.effect, d.status) for d in simulator.deletions] == [(effect, status)]
    assert simulator.faults.injected == {fault.kind: 1}


@pytest.mark.trap("T27")
@pytest.mark.parametrize(
    ("kind", "effect"), [(FaultKind.HANG, False), (FaultKind.NEVER_ANSWERED, True)]
)
async def test_t27_no_answer_at_all_can_mean_either(
    api: SimulatorApi,
    simulator: RoomServiceSimulator,
    world: World,
    clock: VirtualClock,
    *,
    kind: FaultKind,
    effect: bool,
):
    simulator.faults.add(Fault(kind))
    begin = world.now()

    assert await delete_within(api, clock, 5) is None

    clock.advance(HOUR / 2)
    [entry] = simulator.deletions
    assert (entry.effect, entry.status) == (effect, 0)
    assert entry.effect_at == (begin if effect else None)
    assert ("r" not in world.rooms) is effect
    assert simulator.faults.injected == {kind: 1}


@pytest.mark.parametrize(("after", "effect_at"), [(1.0, 0), (0.75, 1), (0.5, 2), (0.0, 4)])
async def test_a_delay_passes_before_the_effect_or_after_it_as_planned(
    api: SimulatorApi,
    simulator: RoomServiceSimulator,
    world: World,
    clock: VirtualClock,
    *,
    after: float,
    effect_at: float,
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=4, after=after))
    begin = world.now()

    assert await delete(api) == 200

    assert clock.monotonic() == 4
    [entry] = simulator.deletions
    assert (entry.at, entry.effect_at) == (begin, begin + timedelta(seconds=effect_at))


async def test_who_is_in_the_room_is_told_of_both_moments_when_the_effect_is_late(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World
):
    world.join("r", "alice")
    simulator.faults.add(Fault(FaultKind.DELAY, amount=4, after=0))
    world.after(1, lambda: world.leave("r", "alice"))
    world.after(3, lambda: world.join("r", "bruno"))

    await delete(api)

    [entry] = simulator.deletions
    assert (entry.found, entry.persons) == (("alice",), ("bruno",))


@pytest.mark.trap("T27")
@pytest.mark.parametrize("rejoined", [False, True])
async def test_t27_a_server_carries_out_what_its_caller_has_given_up_on(
    api: SimulatorApi,
    simulator: RoomServiceSimulator,
    world: World,
    clock: VirtualClock,
    rejoined: bool,
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=20, after=0))
    begin, sid = world.now(), world.room("r").sid

    assert await delete_within(api, clock, 5) is None
    clock.advance(10)
    assert not simulator.deletions[0].effect
    assert world.room("r").sid == sid
    if rejoined:
        world.join("r", "alice")

    clock.advance(10)
    assert "r" not in world.rooms
    [entry] = simulator.deletions
    assert (entry.effect_at, entry.sid) == (begin + timedelta(seconds=20), sid)
    assert entry.persons == (("alice",) if rejoined else ())
    assert (entry.status, simulator.log[-1].status) == (0, 0)
    assert world.ledger.rooms[sid].ended_at == entry.effect_at


@pytest.mark.parametrize("gone", ["deleted", "stranded", "refused"])
async def test_what_was_given_up_on_can_also_come_to_nothing(
    simulator: RoomServiceSimulator, world: World, clock: VirtualClock, gone: str
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=20, after=0))
    secret = SECRET + "wrong" * (gone == "refused")

    assert await delete_within(SimulatorApi(simulator, KEY, secret), clock, 5) is None
    if gone == "deleted":
        world.delete_room("r")
    elif gone == "stranded":
        world.strand("r")
    clock.advance(60)

    assert [(d.effect, d.status) for d in simulator.deletions] == [(False, 0)]
    assert ("r" in world.rooms) is (gone != "deleted")


async def test_a_late_deletion_hits_whatever_has_that_name_by_then(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=20, after=0))
    first = world.room("r").sid
    assert await delete_within(api, clock, 5) is None

    world.delete_room("r")
    second = world.create_room("r").sid
    world.join("r", "alice")
    clock.advance(60)

    [entry] = simulator.deletions
    assert (entry.sid, entry.persons) == (second, ("alice",))
    assert entry.sid != first


async def test_an_error_in_the_servers_stead_is_no_effect_however_late(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    simulator.faults.add(Fault(FaultKind.DELAY, amount=20, after=0))
    simulator.faults.add(Fault(FaultKind.ERROR_503))

    assert await delete_within(api, clock, 5) is None
    clock.advance(60)

    assert "r" in world.rooms
    assert not simulator.deletions[0].effect


@pytest.mark.parametrize(
    "nonsense", [{"after": 1.1}, {"after": -0.1}, {"kind": FaultKind.LOST_ANSWER, "amount": 200}]
)
def test_a_fault_that_makes_no_sense_is_refused(nonsense: dict):
    with pytest.raises(ValueError, match="not"):
        Fault(**{"kind": FaultKind.DELAY, **nonsense})
