"""The simulated server's own behaviour: closing, counting, replacing, dying."""

from datetime import timedelta

import pytest

from watchdog.core.model import Role
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.rooms import Ghost, NoSuchRoomError
from watchdog.simulator.world import CONNECTION_LOSS, World


def ended(world: World, sid: str) -> float | None:
    """Seconds from the world's beginning to the room's end."""
    end = world.ledger.rooms[sid].ended_at
    return None if end is None else (end - world.ledger.rooms[sid].created_at).total_seconds()


# --- when the server itself closes a room -----------------------------------------------------------


def test_an_agent_left_alone_is_put_out_20_seconds_after_the_last_departure(
    world: World, clock: VirtualClock
):
    agent = world.join_agent("r", "coach")
    world.join("r", "alice")
    sid = world.room("r").sid
    clock.advance(100)
    world.leave("r", "alice")

    clock.advance(19.9)
    assert "r" in world.rooms
    clock.advance(0.1)

    assert "r" not in world.rooms
    assert ended(world, sid) == 120
    [stay] = [s for s in world.ledger.stays_of(sid) if s.participant_sid == agent.sid]
    assert stay.left_at == world.ledger.rooms[sid].ended_at


def test_closing_is_exact_however_late_it_is_noticed(world: World, clock: VirtualClock):
    world.join("r", "alice")
    sid = world.room("r").sid
    world.leave("r", "alice")

    clock.advance(86_400)
    world.settle()

    assert ended(world, sid) == 20


def test_the_server_counts_in_whole_seconds(world: World, clock: VirtualClock):
    world.join("r", "alice")
    sid = world.room("r").sid
    clock.advance(10.75)
    world.leave("r", "alice")

    clock.advance(100)
    world.settle()

    assert ended(world, sid) == 30


def test_the_departure_of_an_agent_starts_the_departure_timeout_anew(
    world: World, clock: VirtualClock
):
    world.join_agent("r", "coach")
    world.join("r", "alice")
    sid = world.room("r").sid
    world.leave("r", "alice")
    for _ in range(10):
        clock.advance(15)
        flapping = world.join_agent("r", "coach")
        world.leave("r", flapping.identity)

    assert ended(world, sid) is None
    clock.advance(20)
    world.settle()
    assert ended(world, sid) == 170


def test_the_arrival_of_an_agent_does_not(world: World, clock: VirtualClock):
    world.join("r", "alice")
    sid = world.room("r").sid
    world.leave("r", "alice")
    clock.advance(15)
    world.join_agent("r", "coach")

    clock.advance(10)
    world.settle()

    assert ended(world, sid) == 20


def test_a_person_who_comes_back_in_time_keeps_the_room(world: World, clock: VirtualClock):
    world.join("r", "alice")
    world.leave("r", "alice")
    clock.advance(19)
    world.join("r", "alice")

    clock.advance(10_000)

    assert "r" in world.rooms


def test_a_room_nobody_joined_closes_after_the_empty_timeout_from_its_creation(
    world: World, clock: VirtualClock
):
    sid = world.create_room("r").sid
    clock.advance(250)
    world.join_agent("r", "coach")

    clock.advance(100)
    world.settle()

    assert ended(world, sid) == 300


def test_an_agent_that_flaps_before_any_person_came_is_no_departure(
    world: World, clock: VirtualClock
):
    agent = world.join_agent("r", "coach")
    sid = world.room("r").sid
    clock.advance(1)
    world.leave("r", agent.identity)

    clock.advance(1000)
    world.settle()

    assert ended(world, sid) == 300


@pytest.mark.parametrize(
    "somebody", [{"hidden": True}, {"kind": "SIP"}, {"kind": 9}, {"state": "JOINING"}]
)
def test_whoever_is_not_dependent_keeps_a_room_open(
    world: World, clock: VirtualClock, somebody: dict
):
    world.join("r", "somebody", **somebody)

    clock.advance(100_000)

    assert "r" in world.rooms


@pytest.mark.parametrize(
    "somebody", [{"kind": "AGENT"}, {"agent": True}, {"kind": "EGRESS"}, {"recorder": True}]
)
def test_whoever_is_dependent_does_not(world: World, clock: VirtualClock, somebody: dict):
    world.join("r", "somebody", **somebody)

    clock.advance(300)

    assert "r" not in world.rooms


def test_a_later_room_of_the_same_name_is_not_closed_by_the_first_ones_timeout(
    world: World, clock: VirtualClock
):
    first = world.create_room("r").sid
    clock.advance(100)
    world.delete_room("r")
    second = world.create_room("r").sid

    clock.advance(250)
    assert world.room("r").sid == second
    clock.advance(50)
    assert "r" not in world.rooms
    assert (ended(world, first), ended(world, second)) == (100, 300)


# --- who is there -----------------------------------------------------------------------------------


@pytest.mark.trap("T16")
def test_t16_the_same_identity_replaces_the_first_without_a_gap(world: World, clock: VirtualClock):
    first = world.join("r", "alice")
    clock.advance(10)
    second = world.join("r", "alice")

    old, new = world.ledger.stays_of(world.room("r").sid)

    assert (old.participant_sid, new.participant_sid) == (first.sid, second.sid)
    assert old.left_at == new.joined_at
    assert world.room("r").info.num_participants == 1


def test_a_lost_connection_keeps_the_participant_until_the_server_gives_up(
    world: World, clock: VirtualClock
):
    world.join("r", "alice")
    world.lose_connection("r", "alice")

    clock.advance(CONNECTION_LOSS - 0.1)
    assert "alice" in world.room("r").participants
    clock.advance(0.1)
    assert "alice" not in world.room("r").participants


def test_a_lost_connection_does_not_put_out_the_one_who_came_back(
    world: World, clock: VirtualClock
):
    world.join("r", "alice")
    world.lose_connection("r", "alice")
    clock.advance(5)
    world.join("r", "alice")

    clock.advance(100)

    assert "alice" in world.room("r").participants


@pytest.mark.parametrize(
    ("somebody", "role"),
    [
        ({}, Role.PERSON),
        ({"kind": "SIP"}, Role.PERSON),
        ({"kind": 9}, Role.PERSON),
        ({"hidden": True}, Role.PERSON),
        ({"recorder": True}, Role.PERSON),
        ({"kind": "AGENT"}, Role.AGENT),
        ({"agent": True}, Role.AGENT),
        ({"kind": "AGENT", "attributes": {"lk.publish_on_behalf": "a"}}, Role.AVATAR),
        ({"kind": "EGRESS"}, Role.RECORDER),
        ({"role": Role.AGENT}, Role.AGENT),
    ],
)
def test_the_ledger_knows_what_everybody_is(world: World, somebody: dict, role: Role):
    assert world.join("r", "x", **somebody).role is role


def test_dispatch_deleted_means_its_agent_leaves_a_moment_later(world: World, clock: VirtualClock):
    world.join("r", "alice")
    agent = world.join_agent("r", "coach")
    [dispatch] = [d for d in world.dispatches(world.room("r")).values() if d.agent_name]

    world.delete_dispatch("r", dispatch.id)

    assert agent.identity in world.room("r").participants
    clock.advance(3)
    assert set(world.room("r").participants) == {"alice"}


# --- the count --------------------------------------------------------------------------------------


def shown(world: World) -> int:
    """num_participants as ListRooms would show it."""
    return world.room("r").info.num_participants


@pytest.mark.trap("T06")
def test_t06_a_lagging_count_is_late_in_both_directions(clock: VirtualClock):
    world = World(clock, count_lag=6)
    world.join("r", "alice")
    assert shown(world) == 0
    clock.advance(6)
    assert shown(world) == 1
    world.leave("r", "alice")
    assert shown(world) == 1
    clock.advance(5.9)
    assert shown(world) == 1
    clock.advance(0.1)
    assert shown(world) == 0


@pytest.mark.trap("T51")
def test_t51_a_count_can_include_agents_but_never_recorders(clock: VirtualClock):
    world = World(clock, counts_include_agents=True)
    world.join("r", "alice")
    world.join_agent("r", "coach")
    world.join("r", "bot", agent=True)
    world.join("r", "EG_1", kind="EGRESS")

    assert shown(world) == 3


# --- death of a node --------------------------------------------------------------------------------


def test_a_dead_node_leaves_its_rooms_listed_for_ever_with_nothing_running(
    world: World, clock: VirtualClock
):
    world.create_room("elsewhere", node="ND_2")
    world.join("r", "alice")
    world.join_agent("r", "coach")
    room = world.room("r")
    clock.advance(60)

    world.kill_node("ND_main", Ghost.NO_OBJECT)

    died = world.now()
    clock.advance(1_000_000)
    assert set(world.rooms) == {"r"}, "the room of the living node closed by itself"
    assert len(room.participants) == 2
    assert {s.left_at for s in world.ledger.stays_of(room.sid)} == {died}


def test_whoever_joins_a_stranded_room_brings_it_back_under_its_sid(
    world: World, clock: VirtualClock
):
    world.join_agent("r", "coach")
    sid = world.room("r").sid
    world.strand("r")
    clock.advance(1000)

    world.join("r", "alice")

    assert (world.room("r").sid, world.room("r").ghost) == (sid, None)
    assert len(world.room("r").participants) == 2, "the store remembers the agent that is no more"
    assert [s.identity for s in world.ledger.present(sid, world.now())] == ["alice"]
    clock.advance(1000)
    assert "r" in world.rooms


# --- events -----------------------------------------------------------------------------------------


def test_events_are_played_in_order_each_at_its_own_time(world: World, clock: VirtualClock):
    begin = world.now()
    played = []

    def note(name: str) -> None:
        played.append((name, (world.now() - begin).total_seconds()))

    world.after(20, lambda: note("second"))
    world.after(10, lambda: (note("first"), world.after(5, lambda: note("between"))))
    world.after(40, lambda: note("not yet"))
    clock.advance(30)
    world.settle()

    assert played == [("first", 10), ("between", 15), ("second", 20)]
    assert world.now() == begin + timedelta(seconds=30)


def test_an_event_and_the_servers_own_closing_meet_in_the_right_order(
    world: World, clock: VirtualClock
):
    world.join("r", "alice")
    sid = world.room("r").sid
    world.after(10, lambda: world.leave("r", "alice"))
    world.after(25, lambda: world.join("r", "alice"))
    world.after(50, lambda: world.leave("r", "alice"))
    clock.advance(1000)
    world.settle()

    assert ended(world, sid) == 70


def test_the_watchers_wall_clock_does_not_move_the_world(world: World, clock: VirtualClock):
    before = world.now()

    clock.jump_wall(86_400)

    assert world.now() == before


def test_what_is_not_there_cannot_be_deleted(world: World):
    with pytest.raises(NoSuchRoomError):
        world.delete_room("r")
    world.leave("r", "alice")
    assert dict(world.rooms) == {}
