"""The Room Service and Agent Dispatch Service of the simulated world, as livekit-server 1.13 answers.

Times, statuses and texts were read off a running server; see tests/contract.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from google.protobuf.message import DecodeError, Message
from livekit.api import TokenVerifier, VideoGrants
from livekit.protocol.agent_dispatch import (
    CreateAgentDispatchRequest,
    DeleteAgentDispatchRequest,
    ListAgentDispatchRequest,
    ListAgentDispatchResponse,
)
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    SendDataRequest,
    SendDataResponse,
    UpdateRoomMetadataRequest,
)

from watchdog.simulator.answers import (
    INSTEAD,
    LOST,
    PROTOBUF,
    TEXT,
    Answer,
    TwirpError,
    bad_route,
    twirp_error,
)
from watchdog.simulator.deletions import Deletion, DeletionLog
from watchdog.simulator.distort import distort_participants, distort_rooms
from watchdog.simulator.faults import (
    ROW_KINDS,
    Fault,
    FaultKind,
    FaultPlan,
)
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.world import World

NODE_TIMEOUT = 3.0
"""Seconds until the server gives up on a node that does not answer."""
MAX_ROOM_NAME = 256


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request. `at` is the world's time when it came in; `room` is "" where it names none."""

    at: datetime
    method: str
    room: str
    status: int


@dataclass(frozen=True, slots=True)
class DataMessage:
    """One data message as a participant who was there received it."""

    at: datetime
    room: str
    identity: str
    topic: str
    data: bytes


class _Call:
    """One request on its way: what it asks, the faults it meets, and what its token allows."""

    def __init__(
        self,
        service: str,
        method: str,
        message: Message | None,
        authorization: str | None,
        deletion: int | None,
    ) -> None:
        self.service, self.method = service, method
        self.message = message
        self.rooms = () if message is None else _rooms_of(message)
        self.authorization = authorization
        self.deletion = deletion
        self.faults: list[Fault] = []
        self.video = VideoGrants()

    def meets(self, *kinds: FaultKind) -> Fault | None:
        """The first fault of these kinds on its way."""
        return next((f for f in self.faults if f.kind in kinds), None)

    def need(self, allowed: bool | None) -> None:
        if not allowed:
            raise TwirpError(401, "unauthenticated", "permissions denied")

    def need_create(self) -> None:
        self.need(self.video.room_create)

    def need_list(self) -> None:
        self.need(self.video.room_list)

    def need_admin(self, room: str) -> None:
        self.need(self.video.room_admin and self.video.room == room)


class RoomServiceSimulator:
    """Answers requests out of a world, through a plan of faults.

    `keys` maps API keys to secrets. `log` holds the last `log_size` requests, `messages` as many data
    messages that were delivered. `watch`, if given, is
    called with "received" or "answered", the method and the room, before and after every answer. A
    DeleteRoom is carried out once it came in, even if its caller does not wait for it.
    """

    def __init__(
        self,
        world: World,
        keys: Mapping[str, str],
        faults: FaultPlan | None = None,
        *,
        log_size: int = 10_000,
        watch: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self.world = world
        self.keys = dict(keys)
        self.faults = faults or FaultPlan()
        self.log: deque[LoggedRequest] = deque(maxlen=log_size)
        self.messages: deque[DataMessage] = deque(maxlen=log_size)
        self.watch = watch
        self._deletions = DeletionLog(world)
        self._methods: dict[str, tuple[type[Any], Callable[..., Awaitable[bytes]]]] = {
            "RoomService/ListRooms": (ListRoomsRequest, self._list_rooms),
            "RoomService/ListParticipants": (ListParticipantsRequest, self._list_participants),
            "RoomService/CreateRoom": (CreateRoomRequest, self._create_room),
            "RoomService/DeleteRoom": (DeleteRoomRequest, self._delete_room),
            "RoomService/UpdateRoomMetadata": (UpdateRoomMetadataRequest, self._update_metadata),
            "RoomService/SendData": (SendDataRequest, self._send_data),
            "AgentDispatchService/ListDispatch": (ListAgentDispatchRequest, self._list_dispatch),
            "AgentDispatchService/CreateDispatch": (
                CreateAgentDispatchRequest,
                self._create_dispatch,
            ),
            "AgentDispatchService/DeleteDispatch": (
                DeleteAgentDispatchRequest,
                self._delete_dispatch,
            ),
        }

    @property
    def deletions(self) -> Sequence[Deletion]:
        """Every DeleteRoom so far, in the order in which they came in; played up to now."""
        self.world.settle()
        return tuple(self._deletions.entries)

    async def handle(
        self, service: str, method: str, request: bytes, authorization: str | None
    ) -> Answer:
        """Answer one request, e.g. service "RoomService", method "ListRooms"; logs it."""
        world = self.world
        world.settle()
        at = world.now()
        message = self._parse(service, method, request)
        deletion = None
        if isinstance(message, DeleteRoomRequest):
            deletion = self._deletions.received(message.room)
        call = _Call(service, method, message, authorization, deletion)
        self._tell("received", call)
        try:
            status, content_type, body = await self._with_faults(call)
        except BaseException:
            # Status 0: the caller gave up before an answer.
            self.log.append(LoggedRequest(at, method, ",".join(call.rooms), 0))
            raise
        world.settle()
        self.log.append(LoggedRequest(at, method, ",".join(call.rooms), status))
        if deletion is not None:
            self._deletions.answered(deletion, status)
        self._tell("answered", call)
        return status, content_type, body

    def _parse(self, service: str, method: str, request: bytes) -> Message | None:
        known = self._methods.get(f"{service}/{method}")
        if known is None:
            return None
        try:
            message: Message = known[0].FromString(request)
        except DecodeError:
            return None
        return message

    def _tell(self, phase: str, call: _Call) -> None:
        if self.watch is not None:
            self.watch(phase, call.method, ",".join(call.rooms))

    async def _with_faults(self, call: _Call) -> Answer:
        clock = self.world.clock
        faults = call.faults = self.faults.for_call(call.method, call.rooms, self.world.now())
        delays = [f for f in faults if f.kind is FaultKind.DELAY]
        for fault in delays:
            self.faults.count(fault)
        await self._wait_for_effect(call, sum(f.size * (1 - f.after) for f in delays))
        instead = call.meets(*_WITHOUT_EFFECT)
        if instead is not None:
            self.faults.count(instead)
            if instead.kind is FaultKind.HANG:
                await clock.sleep(math.inf)
            return INSTEAD[instead.kind]
        answer = await self._answer(call)
        for fault in faults:
            answer = self._distort(fault, call, answer)
        late = sum(f.size * f.after for f in delays)
        if late:
            await clock.sleep(late)
        silent = call.meets(FaultKind.NEVER_ANSWERED)
        if silent is not None:
            self.faults.count(silent)
            await clock.sleep(math.inf)
        return answer

    async def _wait_for_effect(self, call: _Call, seconds: float) -> None:
        if not seconds:
            return
        due = self.world.now() + timedelta(seconds=seconds)
        try:
            await self.world.clock.sleep(seconds)
        except asyncio.CancelledError:
            if call.deletion is not None and call.meets(*_WITHOUT_EFFECT) is None:
                self.world.at(due, lambda: self._delete_unheard(call))
            raise

    def _delete_unheard(self, call: _Call) -> None:
        """Carry out a DeleteRoom whose caller has given up; a refusal has nobody to hear it."""
        name = call.rooms[0]
        try:
            call.video = self._verify(call.authorization)
        except _BadTokenError:
            return
        room = self.world.rooms.get(name)
        if call.video.room_create and room is not None and room.ghost is None:
            self._delete(name, call)

    async def _answer(self, call: _Call) -> Answer:
        # The order of a real server: the token, the route, the body, and only then the grants.
        try:
            call.video = self._verify(call.authorization)
        except _BadTokenError as error:
            return 401, TEXT, str(error).encode()
        if not any(known.startswith(f"{call.service}/") for known in self._methods):
            return 404, TEXT, b"404 page not found\n"
        known = self._methods.get(f"{call.service}/{call.method}")
        if known is None:
            path = f"/twirp/livekit.{call.service}/{call.method}"
            return bad_route(f'no handler for path "{path}"', f"POST {path}")
        if call.message is None:
            return twirp_error(400, "malformed", "the protobuf request could not be decoded")
        try:
            return 200, PROTOBUF, await known[1](call.message, call)
        except TwirpError as error:
            return error.answer

    def _distort(self, fault: Fault, call: _Call, answer: Answer) -> Answer:
        if fault.kind is FaultKind.LOST_ANSWER:
            self.faults.count(fault)
            return LOST[int(fault.size)]
        if answer[0] != 200 or fault.kind not in ROW_KINDS:
            return answer
        if call.method == "ListRooms":
            listed = ListRoomsResponse.FromString(answer[2])
            changed, message = distort_rooms(self.world, fault, listed), listed.SerializeToString()
        elif call.method == "ListParticipants":
            shown = ListParticipantsResponse.FromString(answer[2])
            changed = distort_participants(self.world, fault, call.rooms[0], shown)
            message = shown.SerializeToString()
        else:
            return answer
        if changed:
            self.faults.count(fault)
        return 200, PROTOBUF, message

    def _verify(self, authorization: str | None) -> VideoGrants:
        """The token's grants, none without a token. Unlike a real server it wants an `exp`."""
        if not authorization:
            return VideoGrants()
        token = authorization.removeprefix("Bearer ")
        if token == authorization or not token:
            raise _BadTokenError("invalid authorization header. Must start with Bearer ")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise _BadTokenError("invalid authorization token") from None
        key = str(claims.get("iss", ""))
        if key not in self.keys:
            raise _BadTokenError(f"invalid API key: {key}")
        try:
            return TokenVerifier(key, self.keys[key]).verify(token).video or VideoGrants()
        except jwt.PyJWTError as error:
            raise _BadTokenError(f"invalid token, error: {error}") from None

    # --- the methods ----------------------------------------------------------------------------

    async def _list_rooms(self, request: ListRoomsRequest, call: _Call) -> bytes:
        call.need_list()
        self.world.settle()
        frames = self.world.frames
        if not request.names:
            return b"".join(frames.values())
        return b"".join(frames[name] for name in dict.fromkeys(request.names) if name in frames)

    async def _list_participants(self, request: ListParticipantsRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        room = self.world.rooms.get(request.room)
        if room is None:
            return b""
        people = [p.info(self.world.skew) for p in room.participants.values()]
        return ListParticipantsResponse(participants=people).SerializeToString()

    async def _create_room(self, request: CreateRoomRequest, call: _Call) -> bytes:
        call.need_create()
        if len(request.name.encode()) > MAX_ROOM_NAME:
            message = "twirp error unknown: room name length exceeds limits: max length 256"
            raise TwirpError(400, "invalid_argument", message)
        self._take_over(request.name)
        room = self.world.create_room(
            request.name,
            empty_timeout=request.empty_timeout,
            departure_timeout=request.departure_timeout,
            metadata=request.metadata,
        )
        return room.wire()

    async def _delete_room(self, request: DeleteRoomRequest, call: _Call) -> bytes:
        call.need_create()
        await self._reach(request.room)
        self._delete(request.room, call)
        return DeleteRoomResponse().SerializeToString()

    def _delete(self, name: str, call: _Call) -> None:
        """Without a pause: what the log says of the room is true at the instant of its end."""
        idle = call.meets(FaultKind.DELETE_NO_EFFECT)
        if idle is not None:
            self.faults.count(idle)
            return
        if call.deletion is not None:
            self._deletions.takes_effect(call.deletion)
        anew = call.meets(FaultKind.ROOM_MADE_ANEW)
        if anew is None:
            self.world.delete_room(name)
            return
        self.faults.count(anew)
        # The first dispatch is the room's own, without a name.
        names = [d.agent_name for d in self.world.dispatches(self.world.room(name)).values()]
        self.world.delete_room(name)
        self.world.make_anew(name, names[-1] if names else "")

    async def _update_metadata(self, request: UpdateRoomMetadataRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        await self._reach(request.room)
        room = self.world.set_metadata(request.room, request.metadata)
        return room.wire()

    async def _send_data(self, request: SendDataRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        await self._reach_node(request.room)
        wanted = set(request.destination_identities)
        for participant in self.world.room(request.room).participants.values():
            # Nobody named is everybody; whom it names and is not there makes no difference.
            if participant.alive and (not wanted or participant.identity in wanted):
                message = DataMessage(
                    self.world.now(),
                    request.room,
                    participant.identity,
                    request.topic,
                    request.data,
                )
                self.messages.append(message)
        return SendDataResponse().SerializeToString()

    async def _list_dispatch(self, request: ListAgentDispatchRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        await self._reach_node(request.room)
        dispatches = self.world.dispatches(self.world.room(request.room))
        asked = request.dispatch_id
        found = [d for d in dispatches.values() if asked in ("", d.id)]
        return ListAgentDispatchResponse(agent_dispatches=found).SerializeToString()

    async def _create_dispatch(self, request: CreateAgentDispatchRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        self._take_over(request.room)
        room = self.world.create_room(request.room)
        made = self.world.dispatch(room.name, request.agent_name, request.metadata)
        return made.SerializeToString()

    async def _delete_dispatch(self, request: DeleteAgentDispatchRequest, call: _Call) -> bytes:
        call.need_admin(request.room)
        await self._reach_node(request.room)
        gone = self.world.delete_dispatch(request.room, request.dispatch_id)
        if gone is None:
            raise TwirpError(404, "not_found", "twirp error unknown: dispatch ID not found")
        return gone.SerializeToString()

    async def _reach(self, name: str) -> None:
        """Pass where the room's node answers; otherwise what the server says, when it says it."""
        room = self.world.rooms.get(name)
        if room is None:
            message = "twirp error unknown: requested room does not exist"
            raise TwirpError(404, "not_found", message)
        if room.ghost is Ghost.NO_OBJECT:
            raise TwirpError(500, "unknown", "twirp error unknown: could not find object")
        if room.ghost is Ghost.UNAVAILABLE:
            await self._no_response()

    def _take_over(self, name: str) -> None:
        # Whatever makes a room may move it to another node, and so brings a stranded one back.
        if name in self.world.rooms:
            self.world.revive(name)

    async def _reach_node(self, name: str) -> None:
        # No node listens for a room that is not there: the same words as for a dead one.
        if name not in self.world.rooms:
            await self._no_response()
        await self._reach(name)

    async def _no_response(self) -> None:
        await self.world.clock.sleep(NODE_TIMEOUT)
        message = "twirp error unknown: no response from servers"
        raise TwirpError(503, "unavailable", message)


class _BadTokenError(Exception):
    pass


def _rooms_of(message: Any) -> tuple[str, ...]:
    if isinstance(message, ListRoomsRequest):
        return tuple(message.names)
    if isinstance(message, CreateRoomRequest):
        return (message.name,)
    return (message.room,)


_WITHOUT_EFFECT = (FaultKind.HANG, *INSTEAD)
"""Kinds with which nothing is done at all."""
