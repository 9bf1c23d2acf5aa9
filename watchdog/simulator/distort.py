"""Falsifies good answers. Each function says whether it changed anything."""

import math
from datetime import timedelta

from livekit.protocol.room import ListParticipantsResponse, ListRoomsResponse

from watchdog.core.model import Role
from watchdog.simulator.faults import Fault, FaultKind
from watchdog.simulator.rooms import SimRoom
from watchdog.simulator.world import World


def distort_rooms(world: World, fault: Fault, answer: ListRoomsResponse) -> bool:
    """Apply one fault to a ListRooms answer."""
    if fault.kind is FaultKind.PARTIAL_LIST:
        kept = math.floor(len(answer.rooms) * fault.size)
        changed = kept < len(answer.rooms)
        del answer.rooms[kept:]
        return changed
    changed = False
    for row in answer.rooms:
        room = world.rooms.get(row.name)
        if room is None or fault.room not in (None, row.name):
            continue
        number = _count(world, fault, room, row.num_participants)
        if number != row.num_participants:
            row.num_participants = number
            changed = True
    return changed


def distort_participants(
    world: World, fault: Fault, room_name: str, answer: ListParticipantsResponse
) -> bool:
    """Apply one fault to a ListParticipants answer."""
    before = len(answer.participants)
    if fault.kind is FaultKind.PARTIAL_LIST:
        del answer.participants[math.floor(before * fault.size) :]
    elif fault.kind is FaultKind.HIDDEN_PERSON and room_name in world.rooms:
        hidden = _hidden(world.rooms[room_name], fault)
        shown = [p for p in answer.participants if p.identity not in hidden]
        del answer.participants[:]
        answer.participants.extend(shown)
    return len(answer.participants) < before


def _count(world: World, fault: Fault, room: SimRoom, shown: int) -> int:
    if fault.kind is FaultKind.WRONG_COUNT:
        return int(fault.size)
    if fault.kind is FaultKind.LAGGING_COUNT:
        return room.count_at(world.now() - timedelta(seconds=fault.size))
    people = room.participants.values()
    if fault.kind is FaultKind.COUNT_WITH_AGENTS:
        return sum(p.alive and (p.is_agent or not p.dependent) for p in people)
    if fault.kind is FaultKind.HIDDEN_PERSON:
        hidden = _hidden(room, fault)
        return max(0, shown - sum(p.identity in hidden and not p.dependent for p in people))
    return shown


def _hidden(room: SimRoom, fault: Fault) -> set[str]:
    # The same persons in the list and in the count, so that both can agree on a falsehood.
    persons = [p.identity for p in room.participants.values() if p.role is Role.PERSON]
    return set(persons[: int(fault.size)] if fault.size else persons)
