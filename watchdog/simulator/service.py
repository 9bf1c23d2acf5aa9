"""The Room Service and Agent Dispatch Service of the simulated world, as livekit-server 1.13 answers.

Times, statuses and texts were read off a running server; see tests/contract.
"""

import json
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
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
    UpdateRoomMetadataRequest,
)

from watchdog.simulator.distort import distort_participants, distort_rooms
from watchdog.simulator.faults import ROW_KINDS, Fault, FaultKind, FaultPlan
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.world import World

PROTOBUF, JSON, TEXT = "application/protobuf", "application/json", "text/plain; charset=utf-8"
NODE_TIMEOUT = 3.0
"""Seconds until the server gives up on a node that does not answer."""
MAX_ROOM_NAME = 256
GARBAGE = b"<html><body>502 Bad Gateway</body></html>"

Answer = tuple[int, str, bytes]
"""HTTP status, content type, body."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request. `at` is the world's time when it came in; `room` is "" where it names none."""

    at: datetime
    method: str
    room: str
    status: int


class _TwirpError(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = twirp_error(status, code, message)


class _Grants:
    """What the request's token allows; nothing where there was none."""

    def __init__(self, video: VideoGrants | None) -> None:
        self._video = video or VideoGrants()

    def need(self, allowed: bool | None) -> None:
        if not allowed:
            raise _TwirpError(401, "unauthenticated", "permissions denied")

    def need_create(self) -> None:
        self.need(self._video.room_create)

    def need_list(self) -> None:
        self.need(self._video.room_list)

    def need_admin(self, room: str) -> None:
        self.need(self._video.room_admin and self._video.room == room)


class RoomServiceSimulator:
    """Answers requests out of a world, through a plan of faults.

    `keys` maps API keys to secrets. `log` holds the last `log_size` requests. `watch`, if given, is
    called with "received" or "answered", the method and the room, before and after every answer.
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
        self.watch = watch
        self._methods: dict[str, tuple[type[Any], Callable[..., Awaitable[bytes]]]] = {
            "RoomService/ListRooms": (ListRoomsRequest, self._list_rooms),
            "RoomService/ListParticipants": (ListParticipantsRequest, self._list_participants),
            "RoomService/CreateRoom": (CreateRoomRequest, self._create_room),
            "RoomService/DeleteRoom": (DeleteRoomRequest, self._delete_room),
            "RoomService/UpdateRoomMetadata": (UpdateRoomMetadataRequest, self._update_metadata),
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

    async def handle(
        self, service: str, method: str, request: bytes, authorization: str | None
    ) -> Answer:
        """Answer one request, e.g. service "RoomService", method "ListRooms"; logs it."""
        world = self.world
        world.settle()
        at = world.now()
        message, rooms = self._parse(service, method, request)
        self._tell("received", method, rooms)
        try:
            status, content_type, body = await self._with_faults(
                service, method, message, rooms, authorization
            )
        except BaseException:
            # Status 0: the caller gave up before an answer.
            self.log.append(LoggedRequest(at, method, ",".join(rooms), 0))
            raise
        world.settle()
        self.log.append(LoggedRequest(at, method, ",".join(rooms), status))
        self._tell("answered", method, rooms)
        return status, content_type, body

    def _parse(
        self, service: str, method: str, request: bytes
    ) -> tuple[Message | None, tuple[str, ...]]:
        known = self._methods.get(f"{service}/{method}")
        if known is None:
            return None, ()
        try:
            message = known[0].FromString(request)
        except DecodeError:
            return None, ()
        return message, _rooms_of(message)

    def _tell(self, phase: str, method: str, rooms: tuple[str, ...]) -> None:
        if self.watch is not None:
            self.watch(phase, method, ",".join(rooms))

    async def _with_faults(
        self,
        service: str,
        method: str,
        message: Message | None,
        rooms: tuple[str, ...],
        authorization: str | None,
    ) -> Answer:
        clock = self.world.clock
        faults = self.faults.for_call(method, rooms, self.world.now())
        delays = [f for f in faults if f.kind is FaultKind.DELAY]
        for fault in delays:
            self.faults.count(fault)
            await clock.sleep(fault.size / 2)
        for fault in faults:
            if fault.kind is FaultKind.HANG:
                self.faults.count(fault)
                await clock.sleep(math.inf)
            elif fault.kind in _INSTEAD:
                self.faults.count(fault)
                return _INSTEAD[fault.kind]
        answer = await self._answer(service, method, message, authorization)
        for fault in faults:
            answer = self._distort(fault, method, rooms, answer)
        for fault in delays:
            await clock.sleep(fault.size / 2)
        return answer

    async def _answer(
        self, service: str, method: str, message: Message | None, authorization: str | None
    ) -> Answer:
        # The order of a real server: the token, the route, the body, and only then the grants.
        try:
            grants = _Grants(self._verify(authorization))
        except _BadTokenError as error:
            return 401, TEXT, str(error).encode()
        if not any(known.startswith(f"{service}/") for known in self._methods):
            return 404, TEXT, b"404 page not found\n"
        known = self._methods.get(f"{service}/{method}")
        if known is None:
            path = f"/twirp/livekit.{service}/{method}"
            return bad_route(f'no handler for path "{path}"', f"POST {path}")
        if message is None:
            return twirp_error(400, "malformed", "the protobuf request could not be decoded")
        try:
            return 200, PROTOBUF, await known[1](message, grants)
        except _TwirpError as error:
            return error.answer

    def _distort(self, fault: Fault, method: str, rooms: tuple[str, ...], answer: Answer) -> Answer:
        if fault.kind is FaultKind.LOST_ANSWER:
            self.faults.count(fault)
            return twirp_error(503, "unavailable", "the answer was lost")
        if answer[0] != 200 or fault.kind not in ROW_KINDS:
            return answer
        if method == "ListRooms":
            listed = ListRoomsResponse.FromString(answer[2])
            changed, message = distort_rooms(self.world, fault, listed), listed.SerializeToString()
        elif method == "ListParticipants":
            shown = ListParticipantsResponse.FromString(answer[2])
            changed = distort_participants(self.world, fault, rooms[0], shown)
            message = shown.SerializeToString()
        else:
            return answer
        if changed:
            self.faults.count(fault)
        return 200, PROTOBUF, message

    def _verify(self, authorization: str | None) -> VideoGrants | None:
        """The token's grants, None without a token. Unlike a real server it wants an `exp`."""
        if not authorization:
            return None
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
            return TokenVerifier(key, self.keys[key]).verify(token).video
        except jwt.PyJWTError as error:
            raise _BadTokenError(f"invalid token, error: {error}") from None

    # --- the methods ----------------------------------------------------------------------------

    async def _list_rooms(self, request: ListRoomsRequest, grants: _Grants) -> bytes:
        grants.need_list()
        self.world.settle()
        frames = self.world.frames
        if not request.names:
            return b"".join(frames.values())
        return b"".join(frames[name] for name in dict.fromkeys(request.names) if name in frames)

    async def _list_participants(self, request: ListParticipantsRequest, grants: _Grants) -> bytes:
        grants.need_admin(request.room)
        room = self.world.rooms.get(request.room)
        if room is None:
            return b""
        people = [p.info(self.world.skew) for p in room.participants.values()]
        return ListParticipantsResponse(participants=people).SerializeToString()

    async def _create_room(self, request: CreateRoomRequest, grants: _Grants) -> bytes:
        grants.need_create()
        if len(request.name.encode()) > MAX_ROOM_NAME:
            message = "twirp error unknown: room name length exceeds limits: max length 256"
            raise _TwirpError(400, "invalid_argument", message)
        self._take_over(request.name)
        room = self.world.create_room(
            request.name,
            empty_timeout=request.empty_timeout,
            departure_timeout=request.departure_timeout,
            metadata=request.metadata,
        )
        return room.info.SerializeToString()

    async def _delete_room(self, request: DeleteRoomRequest, grants: _Grants) -> bytes:
        grants.need_create()
        await self._reach(request.room)
        self.world.delete_room(request.room)
        return DeleteRoomResponse().SerializeToString()

    async def _update_metadata(self, request: UpdateRoomMetadataRequest, grants: _Grants) -> bytes:
        grants.need_admin(request.room)
        await self._reach(request.room)
        room = self.world.set_metadata(request.room, request.metadata)
        return room.info.SerializeToString()

    async def _list_dispatch(self, request: ListAgentDispatchRequest, grants: _Grants) -> bytes:
        grants.need_admin(request.room)
        await self._reach_dispatch(request.room)
        dispatches = self.world.dispatches(self.world.room(request.room))
        asked = request.dispatch_id
        found = [d for d in dispatches.values() if asked in ("", d.id)]
        return ListAgentDispatchResponse(agent_dispatches=found).SerializeToString()

    async def _create_dispatch(self, request: CreateAgentDispatchRequest, grants: _Grants) -> bytes:
        grants.need_admin(request.room)
        self._take_over(request.room)
        room = self.world.create_room(request.room)
        made = self.world.dispatch(room.name, request.agent_name, request.metadata)
        return made.SerializeToString()

    async def _delete_dispatch(self, request: DeleteAgentDispatchRequest, grants: _Grants) -> bytes:
        grants.need_admin(request.room)
        await self._reach_dispatch(request.room)
        gone = self.world.delete_dispatch(request.room, request.dispatch_id)
        if gone is None:
            raise _TwirpError(404, "not_found", "twirp error unknown: dispatch ID not found")
        return gone.SerializeToString()

    async def _reach(self, name: str) -> None:
        """Pass where the room's node answers; otherwise what the server says, when it says it."""
        room = self.world.rooms.get(name)
        if room is None:
            message = "twirp error unknown: requested room does not exist"
            raise _TwirpError(404, "not_found", message)
        if room.ghost is Ghost.NO_OBJECT:
            raise _TwirpError(500, "unknown", "twirp error unknown: could not find object")
        if room.ghost is Ghost.UNAVAILABLE:
            await self._no_response()

    def _take_over(self, name: str) -> None:
        # Whatever makes a room may move it to another node, and so brings a stranded one back.
        if name in self.world.rooms:
            self.world.revive(name)

    async def _reach_dispatch(self, name: str) -> None:
        # No node listens for a room that is not there: the same words as for a dead one.
        if name not in self.world.rooms:
            await self._no_response()
        await self._reach(name)

    async def _no_response(self) -> None:
        await self.world.clock.sleep(NODE_TIMEOUT)
        message = "twirp error unknown: no response from servers"
        raise _TwirpError(503, "unavailable", message)


class _BadTokenError(Exception):
    pass


def twirp_error(
    status: int, code: str, message: str, meta: Mapping[str, str] | None = None
) -> Answer:
    """An error as Twirp puts it."""
    body: dict[str, object] = {"code": code, "msg": message}
    if meta:
        body["meta"] = dict(meta)
    return status, JSON, json.dumps(body).encode()


def bad_route(message: str, route: str) -> Answer:
    """404 for a path, method or content type nobody serves."""
    return twirp_error(404, "bad_route", message, {"twirp_invalid_route": route})


def _rooms_of(message: Any) -> tuple[str, ...]:
    if isinstance(message, ListRoomsRequest):
        return tuple(message.names)
    if isinstance(message, CreateRoomRequest):
        return (message.name,)
    return (message.room,)


_INSTEAD: Mapping[FaultKind, Answer] = {
    FaultKind.ERROR_500: twirp_error(500, "internal", "something broke"),
    FaultKind.ERROR_503: twirp_error(503, "unavailable", "overloaded"),
    FaultKind.TIMEOUT_408: twirp_error(408, "deadline_exceeded", "request timed out"),
    FaultKind.RATE_LIMIT_429: twirp_error(429, "resource_exhausted", "too many requests"),
    FaultKind.UNAUTHORIZED_401: (401, TEXT, b"invalid token, error: token is expired"),
    FaultKind.GARBAGE: (200, PROTOBUF, GARBAGE),
    FaultKind.EMPTY_BODY: (200, PROTOBUF, b""),
}
"""What is answered instead of asking the world at all."""
