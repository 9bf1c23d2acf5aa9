"""Who is in which room and when: a world that behaves as livekit-server 1.13 does.

A jump of the watcher's wall clock does not move its time. `skew` is how far the server's own clock
is off. With a `CloudFlavour` it behaves as LiveKit Cloud is said to.
"""

import random
import string
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

from livekit.protocol.agent import JobStatus
from livekit.protocol.agent_dispatch import AgentDispatch, AgentDispatchState
from livekit.protocol.models import Room, TrackInfo, TrackType

from watchdog.core.clock import Clock
from watchdog.core.model import Role
from watchdog.simulator.cloud import Cloud, CloudFlavour
from watchdog.simulator.ledger import Ledger, Stay
from watchdog.simulator.rooms import (
    KINDS,
    STATES,
    Ghost,
    NoSuchRoomError,
    SimParticipant,
    SimRoom,
    role_of,
)
from watchdog.simulator.timeline import Timeline

EMPTY_TIMEOUT = 300
DEPARTURE_TIMEOUT = 20
COUNTS_KEPT = timedelta(seconds=120)
CONNECTION_LOSS = 22.0
"""Seconds a participant whose network is gone stays listed as ACTIVE."""
DISPATCH_END = 1.0
"""Seconds an agent takes to leave once its dispatch was deleted (the server allows 3)."""

Tell = Callable[[str, SimRoom, SimParticipant | None, str], None]

_ALPHABET = string.ascii_letters + string.digits


class World(Timeline):
    """Rooms and participants, the server's own closing of rooms, and the exact ledger.

    `counts_include_agents`: as LiveKit Cloud may count. `count_lag`: seconds until a change shows in
    `num_participants` (a real server: up to 10; 6 is common). Events given to `at` and `after`, and
    the server's own closing, are played in order, each at its exact time, whenever anything is asked.
    `cloud`: what LiveKit Cloud does besides; None is a plain livekit-server.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        counts_include_agents: bool = False,
        count_lag: float = 0.0,
        seed: int = 0,
        cloud: CloudFlavour | None = None,
    ) -> None:
        super().__init__(clock)
        self.ledger = Ledger()
        self.counts_include_agents = counts_include_agents
        self.frames: dict[str, bytes] = {}
        """Each listed room as it stands in a ListRooms answer, by name, ready to be joined."""
        self.tell: Tell | None = None
        """Is told of rooms and participants as they come and go: LiveKit's name of the event, and why."""
        self._count_lag = timedelta(seconds=count_lag)
        self._random = random.Random(seed)
        self._rooms: dict[str, SimRoom] = {}
        self._cloud = Cloud(self, cloud, seed) if cloud else None

    # --- looking --------------------------------------------------------------------------------

    @property
    def rooms(self) -> Mapping[str, SimRoom]:
        """The listed rooms by name, as of now."""
        self.settle()
        return self._rooms

    def room(self, name: str) -> SimRoom:
        """The listed room of that name; NoSuchRoomError if there is none."""
        self.settle()
        try:
            return self._rooms[name]
        except KeyError:
            raise NoSuchRoomError(name) from None

    @property
    def evicted(self) -> int:
        """Persons put out so far because the room they had joined was still draining."""
        self.settle()
        return self._cloud.evicted if self._cloud else 0

    # --- what happens in it ---------------------------------------------------------------------

    def create_room(
        self,
        name: str,
        *,
        empty_timeout: int = 0,
        departure_timeout: int = 0,
        metadata: str = "",
        active_recording: bool = False,
        node: str = "ND_main",
    ) -> SimRoom:
        """Make a room, or return the one that is there, or drains, unchanged.

        Timeouts in seconds; 0: default.
        """
        self.settle()
        if name in self._rooms:
            return self._rooms[name]
        draining = self._cloud.draining(name) if self._cloud else None
        if draining is not None:
            return self._reopen(draining)
        now = self.now()
        stamp = (now + self.skew).timestamp()
        sid = self.new_id("RM_")
        info = Room(
            sid=sid,
            name=name,
            empty_timeout=empty_timeout or EMPTY_TIMEOUT,
            departure_timeout=departure_timeout or DEPARTURE_TIMEOUT,
            creation_time=int(stamp),
            creation_time_ms=int(stamp * 1000),
            metadata=metadata,
            active_recording=active_recording,
            turn_password=sha256(sid.encode()).hexdigest()[:43],
        )
        room = SimRoom(
            sid, name, now, info.empty_timeout, info.departure_timeout, node, info, active_recording
        )
        self._rooms[name] = room
        self.ledger.opened(sid, name, now)
        self._changed(room)
        self._told("room_started", room)
        return room

    def join(
        self,
        room_name: str,
        identity: str,
        *,
        kind: str | int = "STANDARD",
        agent: bool = False,
        recorder: bool = False,
        hidden: bool = False,
        attributes: Mapping[str, str] | None = None,
        kind_details: tuple[int, ...] = (),
        state: str = "ACTIVE",
        role: Role | None = None,
        empty_timeout: int = 0,
        departure_timeout: int = 0,
    ) -> SimParticipant:
        """Somebody joins; the room is made if need be (then with the timeouts given).

        `kind` is LiveKit's word or any number. `role` overrides what the ledger takes it for. An
        identity that is there already is replaced (DUPLICATE_IDENTITY).
        """
        room = self.create_room(
            room_name, empty_timeout=empty_timeout, departure_timeout=departure_timeout
        )
        self.revive(room_name)
        if identity in room.participants:
            self._remove(room, room.participants[identity], "DUPLICATE_IDENTITY")
        number = KINDS[kind] if isinstance(kind, str) else kind
        newcomer = SimParticipant(
            self.new_id("PA_"),
            identity,
            number,
            STATES[state],
            self.now(),
            hidden,
            agent,
            recorder,
            dict(attributes or {}),
            kind_details,
            Role.PERSON,
        )
        newcomer.role = role or role_of(newcomer)
        room.participants[identity] = newcomer
        if room.first_person_at is None and not newcomer.dependent:
            room.first_person_at = self.now()
        self.ledger.joined(
            Stay(room.sid, room.name, newcomer.sid, identity, newcomer.role, newcomer.joined_at)
        )
        self._changed(room)
        self._told("participant_joined", room, newcomer)
        return newcomer

    def join_agent(
        self,
        room_name: str,
        agent_name: str,
        *,
        identity: str = "",
        empty_timeout: int = 0,
        departure_timeout: int = 0,
    ) -> SimParticipant:
        """An agent of the agents SDK takes a job of its dispatch and joins."""
        room = self.create_room(
            room_name, empty_timeout=empty_timeout, departure_timeout=departure_timeout
        )
        return self.take_job(room, self.dispatch(room.name, agent_name), identity)

    def take_job(
        self, room: SimRoom, dispatch: AgentDispatch, identity: str = ""
    ) -> SimParticipant:
        """An agent takes a new job of a dispatch of that room, and joins."""
        job, agent_name = self.new_id("AJ_"), dispatch.agent_name
        identity = identity or f"agent-{job}"
        attributes = {"lk.agent_name": agent_name, "lk.agent.state": "listening"}
        entry = dispatch.state.jobs.add(id=job, dispatch_id=dispatch.id, agent_name=agent_name)
        entry.state.status = JobStatus.JS_RUNNING
        entry.state.participant_identity = identity
        entry.state.started_at = int(self.server_time().timestamp() * 1e9)
        return self.join(room.name, identity, kind="AGENT", agent=True, attributes=attributes)

    def dispatch(self, room_name: str, agent_name: str, metadata: str = "") -> AgentDispatch:
        """A new agent dispatch, still without a job. NoSuchRoomError without the room."""
        room = self.room(room_name)
        dispatch = AgentDispatch(
            id=self.new_id("AD_"),
            agent_name=agent_name,
            room=room_name,
            metadata=metadata,
            state=AgentDispatchState(created_at=int(self.server_time().timestamp() * 1e9)),
        )
        self.dispatches(room)[dispatch.id] = dispatch
        return dispatch

    def dispatches(self, room: SimRoom) -> dict[str, AgentDispatch]:
        """The room's agent dispatches by id. Every room has one of its own, without a name."""
        if room.dispatches is None:
            created = int((room.created_at + self.skew).timestamp() * 1e9)
            first = AgentDispatch(
                id=self.new_id("AD_"),
                room=room.name,
                state=AgentDispatchState(created_at=created),
            )
            room.dispatches = {first.id: first}
        return room.dispatches

    def delete_dispatch(self, room_name: str, dispatch_id: str) -> AgentDispatch | None:
        """Take a dispatch back: its agents leave a moment later. None if there is none such."""
        room = self.room(room_name)
        dispatch = self.dispatches(room).pop(dispatch_id, None)
        if dispatch is not None:
            for job in dispatch.state.jobs:
                gone = room.participants.get(job.state.participant_identity)
                if gone is not None:
                    self.after(DISPATCH_END, partial(self._remove_if_there, room, gone))
        return dispatch

    def leave(self, room_name: str, identity: str, reason: str = "CLIENT_INITIATED") -> None:
        """Somebody leaves; no effect if not there. `reason` is LiveKit's word for a webhook.

        The job of an agent stays RUNNING in its dispatch, as on a real server.
        """
        self._go(room_name, identity, reason)

    def crash(self, room_name: str, identity: str) -> None:
        """An agent's process is killed: it leaves, and the cloud flavour dispatches another."""
        agent = self._go(room_name, identity, "SIGNAL_CLOSE")
        if agent is not None and self._cloud:
            self._cloud.crashed(self._rooms[room_name], agent)

    def lose_connection(self, room_name: str, identity: str) -> None:
        """Somebody's network is gone: still listed as ACTIVE until the server gives up on it."""
        room = self.room(room_name)
        lost = room.participants[identity]
        self.after(CONNECTION_LOSS, lambda: self._remove_if_there(room, lost, "CONNECTION_TIMEOUT"))

    def set_state(self, room_name: str, identity: str, state: str) -> None:
        """Show a participant as JOINING, JOINED, ACTIVE or DISCONNECTED."""
        self.room(room_name).participants[identity].state = STATES[state]

    def publish(
        self, room_name: str, identity: str, kind: TrackType = TrackType.AUDIO
    ) -> TrackInfo:
        """A participant publishes one more track."""
        publisher = self.room(room_name).participants[identity]
        # Not a random SID: it would change what a seeded world does next.
        sid = f"TR_{publisher.sid.removeprefix('PA_')}_{len(publisher.tracks) + 1}"
        track = TrackInfo(sid=sid, type=kind)
        publisher.tracks += (track,)
        return track

    def unpublish(self, room_name: str, identity: str) -> None:
        """A participant takes all its tracks back."""
        self.room(room_name).participants[identity].tracks = ()

    def set_metadata(self, room_name: str, metadata: str) -> SimRoom:
        """Overwrite the room's metadata. As on a real server, that makes the count current too."""
        room = self.room(room_name)
        room.info.metadata = metadata
        room.fresh_at = self.now()
        self._show(room)
        return room

    def set_recording(self, room_name: str, active: bool) -> None:
        """Start or stop a recording that has no participant of its own."""
        room = self.room(room_name)
        room.recording = active
        self._changed(room)

    def delete_room(self, name: str) -> None:
        """What DeleteRoom does: by name, everyone is out. NoSuchRoomError if there is none."""
        room = self.room(name)
        present = [p for p in room.participants.values() if p.alive]
        self._close(room, "deleted")
        if self._cloud:
            self._cloud.deleted(room, present)

    def make_anew(self, name: str, agent_name: str = "") -> SimRoom:
        """At once a new room of a deleted one's name: new SID, default timeouts, one agent in it."""
        if self._cloud:
            self._cloud.free(name)
        room = self.create_room(name)
        self.join_agent(name, agent_name)
        return room

    def close_room(self, name: str, reason: str = "closed") -> None:
        """The room ends, by whatever else can end it."""
        self._close(self.room(name), reason)

    def strand(self, name: str, how: Ghost = Ghost.UNAVAILABLE) -> None:
        """The room's node dies: nothing runs there any more, and everything stays listed."""
        room = self.room(name)
        if room.ghost is None:
            for participant in room.participants.values():
                if participant.alive:
                    participant.alive = False
                    self.ledger.left(participant.sid, self.now())
        room.ghost = how
        room.close_due = None

    def kill_node(self, node: str, how: Ghost = Ghost.UNAVAILABLE) -> None:
        """Strand every room of one node."""
        for name in [r.name for r in self.rooms.values() if r.node == node]:
            self.strand(name, how)

    def revive(self, name: str) -> None:
        """Another node takes a stranded room over: same SID, empty; old entries stay listed.

        No effect on a room that is not stranded.
        """
        room = self.room(name)
        if room.ghost is not None:
            room.ghost = None
            room.first_person_at = room.last_left_at = None
            self._changed(room)

    def new_id(self, prefix: str) -> str:
        """A fresh identifier in LiveKit's form."""
        return prefix + "".join(self._random.choices(_ALPHABET, k=12))

    # --- inside ---------------------------------------------------------------------------------

    def _go(self, room_name: str, identity: str, reason: str) -> SimParticipant | None:
        self.settle()
        room = self._rooms.get(room_name)
        if room is None or room.ghost is not None or identity not in room.participants:
            return None
        gone = room.participants[identity]
        self._remove(room, gone, reason)
        self._changed(room)
        return gone

    def _reopen(self, room: SimRoom) -> SimRoom:
        # The same object, as livekit#4558 has it: timeouts, metadata and creation time stay.
        self._rooms[room.name] = room
        room.dispatches, room.recording = None, False
        room.counts.clear()
        self.ledger.reopened(room.sid, self.now())
        self._changed(room)
        self._told("room_started", room)
        return room

    def _told(
        self,
        kind: str,
        room: SimRoom,
        participant: SimParticipant | None = None,
        reason: str = "",
    ) -> None:
        if self.tell is not None:
            self.tell(kind, room, participant, reason)

    def _remove(self, room: SimRoom, participant: SimParticipant, reason: str) -> None:
        del room.participants[participant.identity]
        if participant.alive:
            participant.alive = False
            room.last_left_at = self.now()
            self.ledger.left(participant.sid, self.now())
            self._told("participant_left", room, participant, reason)

    def _remove_if_there(
        self, room: SimRoom, participant: SimParticipant, reason: str = "SERVER_SHUTDOWN"
    ) -> None:
        if participant.alive and room.participants.get(participant.identity) is participant:
            self._remove(room, participant, reason)
            self._changed(room)

    def _close(self, room: SimRoom, reason: str) -> None:
        for participant in list(room.participants.values()):
            self._remove(
                room, participant, "ROOM_DELETED" if reason == "deleted" else "ROOM_CLOSED"
            )
        room.close_due = None
        del self._rooms[room.name]
        del self.frames[room.name]
        self.ledger.closed(room.sid, self.now(), reason)
        self._told("room_finished", room)

    def _changed(self, room: SimRoom) -> None:
        """After a change of who is there: the server's closing time, the recording, the count."""
        alive = [p for p in room.participants.values() if p.alive]
        self._plan_closing(room, alive)
        room.info.active_recording = room.recording or any(p.records for p in alive)
        number = sum(not p.dependent or (self.counts_include_agents and p.is_agent) for p in alive)
        now = self.now()
        while len(room.counts) > 1 and room.counts[1][0] < now - COUNTS_KEPT:
            del room.counts[0]
        room.counts.append((now, number))
        self._show(room)
        if self._count_lag:
            self.at(now + self._count_lag, lambda: self._show_if_listed(room))

    def _plan_closing(self, room: SimRoom, alive: list[SimParticipant]) -> None:
        # pkg/rtc/room.go, CloseIfEmpty: whole seconds; departures of agents count as well.
        if any(not p.dependent for p in alive):
            room.close_due = None
            return
        if room.first_person_at is not None and room.last_left_at is not None:
            since, timeout = room.last_left_at, room.departure_timeout
        else:
            since, timeout = room.created_at, room.empty_timeout
        due = since.replace(microsecond=0) + timedelta(seconds=timeout)
        if due != room.close_due:
            room.close_due = due
            self.at(due, lambda: self._close_if_due(room, due))

    def _close_if_due(self, room: SimRoom, due: datetime) -> None:
        if room.close_due == due:
            self._close(room, "idle")

    def _show_if_listed(self, room: SimRoom) -> None:
        if self._rooms.get(room.name) is room:
            self._show(room)

    def _show(self, room: SimRoom) -> None:
        known = self.now() - self._count_lag
        room.info.num_participants = room.count_at(max(known, room.fresh_at or known))
        self.frames[room.name] = room.frame()
