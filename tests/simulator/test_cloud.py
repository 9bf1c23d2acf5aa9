"""The cloud flavour: crashed agents come back, deleted rooms drain; and the ledger stays exact."""

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.api import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    ServerError,
)

from tests.simulator.conftest import KEY, SECRET
from watchdog.core.model import Role
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.cloud import DRAINED, CloudFlavour
from watchdog.simulator.faults import Fault, FaultKind, FaultPlan
from watchdog.simulator.ledger import AGENTS, Span, Stay
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

HOUR = 3600


@pytest.fixture
def world(clock: VirtualClock) -> World:
    """An empty world of the cloud flavour."""
    return World(clock, cloud=CloudFlavour())


async def delete(api: SimulatorApi, room: str = "r") -> None:
    await api.room.delete_room(DeleteRoomRequest(room=room))


def agents(world: World) -> list[str]:
    return [p.identity for p in world.room("r").participants.values() if p.role in AGENTS]


# --- crashed agents ---------------------------------------------------------------------------------


def waited(seed: int) -> float:
    """Seconds until another agent was there, by a world of that seed."""
    clock = VirtualClock()
    world = World(clock, seed=seed, cloud=CloudFlavour())
    world.join("r", "alice")
    agent = world.join_agent("r", "coach")
    crashed = world.now()
    world.crash("r", agent.identity)
    assert agents(world) == []
    clock.advance(15)
    [again] = agents(world)
    assert again.startswith("agent-AJ_")
    assert again != agent.identity
    return (world.room("r").participants[again].joined_at - crashed).total_seconds()


def test_a_crashed_agent_is_dispatched_anew_within_15_s_as_the_seed_will_have_it():
    waits = [waited(seed) for seed in range(20)]

    assert all(0 < wait <= 15 for wait in waits)
    assert len(set(waits)) == 20
    assert waited(3) == waits[3]


@pytest.mark.trap("T39")
async def test_t39_the_new_agent_has_a_job_of_the_same_dispatch(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join("r", "alice")
    first = world.join_agent("r", "coach").identity
    world.crash("r", first)
    clock.advance(15)

    dispatches = await api.agent_dispatch.list_dispatch("r")

    [dispatch] = [d for d in dispatches if d.agent_name]
    assert [j.state.participant_identity for j in dispatch.state.jobs] == [first, *agents(world)]
    assert world.room("r").participants[agents(world)[0]].attributes["lk.agent_name"] == "coach"


def test_an_agent_that_came_without_a_dispatch_of_its_own_is_replaced_too(
    world: World, clock: VirtualClock
):
    world.join("r", "alice")
    world.join("r", "agent", kind="AGENT")

    world.crash("r", "agent")
    clock.advance(15)

    assert len(agents(world)) == 1


@pytest.mark.parametrize("how", ["leave", "plain server", "kindless", "avatar", "person"])
def test_nobody_else_is_dispatched_anew(clock: VirtualClock, how: str):
    world = World(clock, cloud=None if how == "plain server" else CloudFlavour())
    world.join("r", "alice")
    kind = {"kindless": {"agent": True}, "person": {}}.get(how, {"kind": "AGENT"})
    behalf = {"lk.publish_on_behalf": "agent"} if how == "avatar" else {}
    world.join("r", "x", **kind, attributes=behalf)

    (world.leave if how == "leave" else world.crash)("r", "x")
    clock.advance(HOUR)

    assert set(world.room("r").participants) == {"alice"}


@pytest.mark.parametrize("what", ["closed", "closed and made anew", "stranded", "dispatch deleted"])
def test_only_as_long_as_the_room_and_the_dispatch_stand(
    world: World, clock: VirtualClock, what: str
):
    world.join("r", "alice")
    agent = world.join_agent("r", "coach")
    [dispatch] = [d for d in world.dispatches(world.room("r")).values() if d.agent_name]
    world.crash("r", agent.identity)

    if what == "stranded":
        world.strand("r", Ghost.UNAVAILABLE)
    elif what == "dispatch deleted":
        world.delete_dispatch("r", dispatch.id)
    else:
        world.delete_room("r")
    if what == "closed and made anew":
        world.join("r", "alice")
    clock.advance(15)
    world.settle()

    assert [s.identity for s in world.ledger.stays() if s.role in AGENTS] == [agent.identity]


def test_a_crash_of_somebody_who_is_not_there_is_nothing(world: World, clock: VirtualClock):
    world.crash("r", "x")
    world.join("r", "alice")
    world.crash("r", "x")
    clock.advance(15)

    assert set(world.room("r").participants) == {"alice"}


# --- draining rooms ---------------------------------------------------------------------------------


async def test_who_joins_within_the_drain_gets_the_old_room_and_is_put_out_at_its_end(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join("r", "alice", departure_timeout=HOUR)
    old = world.room("r").sid
    begin = world.now()
    await delete(api)
    assert not (await api.room.list_rooms(ListRoomsRequest())).rooms

    clock.advance(10)
    world.join("r", "alice")
    [shown] = (await api.room.list_rooms(ListRoomsRequest())).rooms
    assert (shown.sid, shown.departure_timeout, shown.num_participants) == (old, HOUR, 1)

    clock.advance(17.9)
    assert "r" in world.rooms
    assert world.evicted == 0
    clock.advance(0.1)

    assert "r" not in world.rooms
    assert world.evicted == 1
    life = world.ledger.rooms[old]
    assert (life.ended_at, life.reason) == (begin + timedelta(seconds=28), DRAINED)
    assert life.gaps == (Span(begin, begin + timedelta(seconds=10)),)
    assert [(s.joined_at, s.left_at) for s in world.ledger.stays_of(old)] == [
        (begin, begin),
        (begin + timedelta(seconds=10), begin + timedelta(seconds=28)),
    ]


@pytest.mark.trap("T23")
async def test_t23_create_room_within_the_drain_returns_the_same_sid_after_it_a_new_one(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join("r", "alice", departure_timeout=HOUR)
    old = world.room("r").sid
    await delete(api)

    clock.advance(2)
    made = await api.room.create_room(CreateRoomRequest(name="r", departure_timeout=60))
    assert (made.sid, made.departure_timeout) == (old, HOUR)

    clock.advance(26)
    made = await api.room.create_room(CreateRoomRequest(name="r", departure_timeout=60))
    assert made.sid != old
    assert made.departure_timeout == 60
    clock.advance(100)
    assert "r" in world.rooms, "nothing is left of the drain"
    assert world.evicted == 0


async def test_only_persons_who_are_really_there_count_as_evicted(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join("r", "alice", departure_timeout=HOUR)
    await delete(api)
    world.join("r", "alice")
    world.join_agent("r", "coach")
    world.strand("r")
    world.join("r", "bruno")
    assert len(world.room("r").participants) == 3, "the dead node's entries stay listed"

    clock.advance(28)

    assert "r" not in world.rooms
    assert world.evicted == 1


async def test_a_lagging_count_does_not_remember_who_was_there_before_the_deletion(
    clock: VirtualClock,
):
    world = World(clock, count_lag=6, cloud=CloudFlavour())
    api = SimulatorApi(RoomServiceSimulator(world, {KEY: SECRET}), KEY, SECRET)
    world.join("r", "alice", departure_timeout=HOUR)
    clock.advance(60)
    await delete(api)
    clock.advance(1)

    await api.room.create_room(CreateRoomRequest(name="r"))

    assert world.room("r").info.num_participants == 0


@pytest.mark.parametrize("flavour", [None, CloudFlavour(drain=0)])
async def test_without_a_drain_the_name_is_free_at_once(
    clock: VirtualClock, flavour: CloudFlavour | None
):
    world = World(clock, cloud=flavour)
    world.join("r", "alice")
    old = world.room("r").sid
    await delete(SimulatorApi(RoomServiceSimulator(world, {KEY: SECRET}), KEY, SECRET))

    world.join("r", "alice")
    clock.advance(100)

    assert world.room("r").sid != old
    assert world.evicted == 0


async def test_a_second_deletion_within_the_drain_begins_it_anew(
    api: SimulatorApi, world: World, clock: VirtualClock
):
    world.join("r", "alice", departure_timeout=HOUR)
    old = world.room("r").sid
    await delete(api)
    clock.advance(10)
    world.join("r", "alice")
    await delete(api)
    clock.advance(10)
    world.join("r", "alice")

    clock.advance(17.9)
    assert world.room("r").sid == old
    clock.advance(0.1)
    assert "r" not in world.rooms
    assert world.evicted == 1
    assert len(world.ledger.rooms[old].gaps) == 2


async def test_a_room_made_anew_by_the_fault_has_a_new_sid_here_too_and_outlives_the_drain(
    api: SimulatorApi, simulator: RoomServiceSimulator, world: World, clock: VirtualClock
):
    world.join("r", "alice")
    old = world.room("r").sid
    simulator.faults.add(Fault(FaultKind.ROOM_MADE_ANEW))

    await delete(api)
    clock.advance(100)

    assert world.room("r").sid != old
    assert len(agents(world)) == 1


async def test_a_room_that_ends_otherwise_does_not_drain(world: World, clock: VirtualClock):
    world.join("r", "alice")
    old = world.room("r").sid
    world.close_room("r")

    world.join("r", "alice")
    clock.advance(100)

    assert world.room("r").sid != old


@pytest.mark.trap("T29")
async def test_t29_an_agent_cut_off_can_make_the_room_again_also_after_the_drain(
    clock: VirtualClock,
):
    world = World(clock, cloud=CloudFlavour(agents_return=5))
    api = SimulatorApi(RoomServiceSimulator(world, {KEY: SECRET}), KEY, SECRET)
    world.join("r", "alice", departure_timeout=HOUR)
    agent = world.join_agent("r", "coach").identity
    world.join("r", "avatar", kind="AGENT", attributes={"lk.publish_on_behalf": agent})
    world.leave("r", "alice")
    old = world.room("r").sid

    await delete(api)
    clock.advance(5)
    shown = await api.room.list_participants(ListParticipantsRequest(room="r"))
    assert [p.identity for p in shown.participants] == [agent]
    assert world.room("r").sid == old

    clock.advance(28)
    new = world.room("r")
    assert agents(world) == [agent]
    assert new.sid != old
    assert (new.empty_timeout, new.departure_timeout) == (300, 20)
    assert world.evicted == 0, "agents are no persons"

    clock.advance(300)
    assert "r" not in world.rooms, "nobody ever came: the server closes it"


async def test_on_a_plain_server_no_agent_returns(clock: VirtualClock):
    world = World(clock)
    world.join_agent("r", "coach")
    await delete(SimulatorApi(RoomServiceSimulator(world, {KEY: SECRET}), KEY, SECRET))

    clock.advance(HOUR)

    assert dict(world.rooms) == {}


# --- all of it at once ------------------------------------------------------------------------------

PEOPLE = ("alice", "bruno")
flavours = st.sampled_from(
    [
        None,
        CloudFlavour(),
        CloudFlavour(agents_return=5),
        CloudFlavour(redispatch_within=None, drain=0, agents_return=40),
    ]
)
kinds = st.sampled_from(
    [
        FaultKind.DELETE_NO_EFFECT,
        FaultKind.ROOM_MADE_ANEW,
        FaultKind.ERROR_503,
        FaultKind.LOST_ANSWER,
        FaultKind.NEVER_ANSWERED,
        FaultKind.HANG,
    ]
)
plans = st.lists(
    st.builds(Fault, kinds, method=st.just("DeleteRoom"), rate=st.sampled_from([0.3, 1.0]))
    | st.builds(
        Fault,
        st.just(FaultKind.DELAY),
        method=st.just("DeleteRoom"),
        rate=st.just(0.5),
        amount=st.sampled_from([3.0, 20.0]),
        after=st.sampled_from([0.0, 0.5, 1.0]),
    ),
    max_size=3,
)
doings = st.lists(
    st.tuples(
        st.sampled_from([0.5, 2.0, 7.0, 30.0]),
        st.sampled_from(
            ["join", "join", "agent", "leave", "crash", "delete", "delete", "create", "strand"]
        ),
        st.sampled_from(["r", "s"]),
        st.integers(0, 1),
    ),
    max_size=40,
)
Book = dict[tuple[str, datetime], set[str]]


async def act(world: World, api: SimulatorApi, what: str, room: str, who: int) -> None:
    """One thing happens."""
    if what == "join":
        world.join(room, PEOPLE[who], departure_timeout=HOUR)
    elif what == "agent":
        world.join_agent(room, "coach", departure_timeout=HOUR)
    elif what == "leave":
        world.leave(room, PEOPLE[who])
    elif what == "crash" and room in world.rooms:
        for identity in agents_of(world, room)[:1]:
            world.crash(room, identity)
    elif what == "strand" and room in world.rooms:
        world.strand(room)
    elif what == "create":
        await api.room.create_room(CreateRoomRequest(name=room, departure_timeout=HOUR))
    elif what == "delete":
        try:
            async with world.clock.timeout(5):
                await delete(api, room)
        except (ServerError, TimeoutError):
            return


def agents_of(world: World, room: str) -> list[str]:
    return [i for i, p in world.room(room).participants.items() if p.role in AGENTS]


async def live(world: World, simulator: RoomServiceSimulator, doings: list) -> Book:
    """All of it happens; the book says who was where, at moments between."""
    book: Book = {}
    api = SimulatorApi(simulator, KEY, SECRET)
    for wait, what, room, who in doings:
        world.clock.advance(wait)
        await act(world, api, what, room, who)
        world.clock.advance(0.25)
        for sid in world.ledger.rooms:
            book[sid, world.now()] = set()
        for listed in world.rooms.values():
            alive = {p.sid for p in listed.participants.values() if p.alive}
            book[listed.sid, world.now()] = alive
    world.clock.advance(40)
    world.settle()
    return book


@settings(max_examples=150, deadline=None)
@given(doings=doings, plan=plans, flavour=flavours, seed=st.integers(0, 5))
def test_the_ledger_and_the_deletions_stay_exact_whatever_happens(
    doings: list, plan: list[Fault], flavour: CloudFlavour | None, seed: int
):
    world = World(VirtualClock(), seed=seed, cloud=flavour)
    simulator = RoomServiceSimulator(world, {KEY: SECRET}, FaultPlan(plan, seed=seed))

    book = asyncio.run(live(world, simulator, doings))

    ledger = world.ledger
    for (sid, at), alive in book.items():
        assert {s.participant_sid for s in ledger.present(sid, at)} == alive
    for stay in ledger.stays():
        assert_within_its_room(world, stay)
    assert len(simulator.deletions) == [d[1] for d in doings].count("delete")
    for entry in simulator.deletions:
        if entry.effect_at is None:
            continue
        life = ledger.rooms[entry.sid]
        assert entry.effect_at in {life.ended_at, *(gap.start for gap in life.gaps)}
        # Whoever left at the very moment of the effect was put out by it.
        out = [s for s in ledger.stays_of(entry.sid) if s.left_at == entry.effect_at]
        persons = [s.identity for s in out if s.role is Role.PERSON]
        assert sorted(entry.persons) == sorted(persons)
        assert sorted(entry.agents) == sorted(s.identity for s in out if s.role in AGENTS)
    assert world.evicted == sum(
        s.role is Role.PERSON and s.left_at == ledger.rooms[s.room_sid].ended_at
        for s in ledger.stays()
        if ledger.rooms[s.room_sid].reason == DRAINED
    )
    nothing = sum(d.status == 200 and not d.effect for d in simulator.deletions)
    assert nothing <= simulator.faults.injected[FaultKind.DELETE_NO_EFFECT]


def assert_within_its_room(world: World, stay: Stay) -> None:
    """Nobody is in a room that is not there."""
    life = world.ledger.rooms[stay.room_sid]
    assert life.created_at <= stay.joined_at
    if life.ended_at is not None:
        assert stay.left_at is not None
        assert stay.left_at <= life.ended_at
    for gap in life.gaps:
        assert stay.joined_at >= gap.end or (stay.left_at or world.now()) <= gap.start
