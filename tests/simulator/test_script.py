"""The story that `demo` and `simulate` tell."""

from collections import Counter

import pytest

from watchdog.core.model import Role
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.ledger import Ledger
from watchdog.simulator.script import LONG_TIMEOUT, Storyteller
from watchdog.simulator.world import World


def told(seed: int, minutes: int, step: float = 5.0, rooms: int = 12) -> World:
    clock = VirtualClock()
    world = World(clock, seed=seed)
    story = Storyteller(world, rooms, seed)
    for _ in range(int(minutes * 60 / step)):
        clock.advance(step)
        story.step()
    return world


def history(ledger: Ledger) -> list[tuple]:
    return [(s.room_name, s.identity, s.joined_at, s.left_at) for s in ledger.stays()]


def test_the_same_seed_tells_the_same_story_however_often_it_is_asked():
    assert history(told(7, 10, step=1).ledger) == history(told(7, 10, step=60).ledger)
    assert history(told(7, 10).ledger) != history(told(8, 10).ledger)


@pytest.mark.parametrize("seed", range(3))
def test_within_two_minutes_somebody_is_left_behind_and_stays_so(seed: int):
    world = told(seed, 2)

    assert any(
        span.end is None and room.departure_timeout == LONG_TIMEOUT
        for room in world.rooms.values()
        for span in world.ledger.orphaned_spans(room.sid)
    )


def test_calls_come_and_go_and_the_world_stays_about_as_full_as_asked_for():
    world = told(1, 90)

    assert 6 <= len(world.rooms) <= 12
    reasons = Counter(room.reason for room in world.ledger.rooms.values())
    assert reasons["idle"] > 50
    assert reasons["application"] > 5
    roles = Counter(stay.role for stay in world.ledger.stays())
    assert {Role.PERSON, Role.AGENT, Role.AVATAR} <= set(roles)


def test_no_room_with_default_timeouts_strands_its_agent_for_longer_than_the_server_lets_it():
    world = told(2, 90)

    long_spans = 0
    for room in world.ledger.rooms.values():
        stays = world.ledger.stays_of(room.sid)
        attended = any(s.role is Role.PERSON for s in stays)
        for span in world.ledger.orphaned_spans(room.sid):
            seconds = ((span.end or world.now()) - span.start).total_seconds()
            if attended and room.reason == "idle":
                assert seconds <= 40
            long_spans += seconds > 600
    assert long_spans, "and some agents were stranded for long"


def test_many_rooms_can_be_had_at_once():
    world = World(VirtualClock())

    Storyteller(world, 2000, seed=3).populate()

    assert len(world.rooms) == 2000
