"""livekit-api on one side, our frozen types on the other.

Every call has a deadline, is drawn from the project's request budget, and is measured. The SDK's
errors become the handful in `watchdog.core.errors`, each with a hint for the operator.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from google.protobuf.message import DecodeError
from livekit.api import LiveKitAPI, ServerError
from livekit.protocol.models import DataPacket, ParticipantInfo, Room
from livekit.protocol.room import (
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListRoomsRequest,
    SendDataRequest,
)

from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.clock import Clock
from watchdog.core.errors import (
    BadAnswer,
    CredentialsRejected,
    NotSent,
    PermissionMissing,
    RateLimited,
    RequestRejected,
    RequestTimedOut,
    RoomNotFound,
    RoomServiceError,
    RoomUnreachable,
    ServerUnavailable,
    WrongEndpoint,
)
from watchdog.core.hold import held_until
from watchdog.core.model import (
    AgentDispatch,
    Look,
    ParticipantSnapshot,
    RoomListing,
    RoomSnapshot,
)
from watchdog.rooms.address import is_cloud
from watchdog.rooms.calls import Api, DeleteCalls, DispatchCalls, EndCalls, RoomCalls
from watchdog.rooms.lists import Answer, ListReader, as_it_comes

# The enum's own `Name()` raises for a kind that is newer than the SDK (T11).
KIND_NAMES: Mapping[int, str] = {n: name for name, n in ParticipantInfo.Kind.items()}
STATE_NAMES: Mapping[int, str] = {n: name for name, n in ParticipantInfo.State.items()}

LIST_DEADLINE = 10.0
LOOK_DEADLINE = 5.0
PROBE_DEADLINE = 8.0
DELETE_DEADLINE = 5.0
WARN_DEADLINE = 5.0
TOPIC = "lk.watchdog"
"""Of the data messages to a room's agents."""
HOLD_KEY = "watchdog.hold"
EPOCH = datetime.fromtimestamp(0, UTC)
LAST_SECOND = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
# For *.livekit.cloud the SDK itself tries up to three regions (T35).
CLOUD_FACTOR = 2.0


RequestObserver = Callable[[str, str, Purpose, float], None]
"""Called after every request: LiveKit's method name, our code, the purpose, the seconds."""


class KnowsSkew(Protocol):
    """Tells how many seconds the server's clock is ahead of ours; None: not known."""

    @property
    def skew(self) -> float | None:
        """As of the last answer."""
        ...


class SkewMeter:
    """Learns the server's clock from the `Date` header of its answers (whole seconds)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.skew: float | None = None

    def trace(self) -> aiohttp.TraceConfig:
        """An aiohttp trace that feeds this meter."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._start)
        config.on_request_end.append(self._end)
        return config

    async def _start(self, _: Any, context: SimpleNamespace, __: Any) -> None:
        context.started = self._clock.now()

    async def _end(
        self, _: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        try:
            date = parsedate_to_datetime(params.response.headers["Date"])
        except (KeyError, ValueError):
            return
        ended = self._clock.now()
        # The header cuts the fraction off: on average the server's clock is half a second further.
        middle = context.started + (ended - context.started) / 2
        self.skew = (date - middle).total_seconds() + 0.5


_send_before: ContextVar[tuple[str, float] | None] = ContextVar("send_before", default=None)
"""The request that is being made, and until when it may be sent, in monotonic seconds; None: at any time."""


@contextmanager
def _sent_before(method: str, until: float) -> Iterator[None]:
    token = _send_before.set((method, until))
    try:
        yield
    finally:
        _send_before.reset(token)


class SendGuard:
    """Lets no request go that is too late: connecting can take seconds, and they count (SAFETY D)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def trace(self) -> aiohttp.TraceConfig:
        """An aiohttp trace that is asked when there is a connection, and nothing was sent on it yet."""
        config = aiohttp.TraceConfig()
        config.on_connection_create_end.append(self._connected)
        config.on_connection_reuseconn.append(self._connected)
        return config

    async def _connected(self, *_: Any) -> None:
        method, until = _send_before.get() or ("", float("inf"))
        if (late := self._clock.monotonic() - until) > 0:
            raise NotSent(method, f"the connection came {late:.1f} s too late; not sent")


class LiveKitGateway:
    """One project's Room Service. All methods raise `RoomServiceError` and nothing else."""

    def __init__(
        self,
        api: Api,
        *,
        clock: Clock,
        bucket: TokenBucket,
        observe: RequestObserver = lambda *_: None,
        cloud: bool = False,
        skew_meter: KnowsSkew | None = None,
        hold_key: str = HOLD_KEY,
    ) -> None:
        self._api = api
        self._clock = clock
        self._bucket = bucket
        self._observe = observe
        self._factor = CLOUD_FACTOR if cloud else 1.0
        self._skew_meter = skew_meter
        self._hold_key = hold_key
        self._lists = ListReader(self._snapshot)

    @classmethod
    def connect(
        cls,
        url: str,
        api_key: str,
        api_secret: str,
        *,
        clock: Clock,
        bucket: TokenBucket,
        observe: RequestObserver = lambda *_: None,
        hold_key: str = HOLD_KEY,
    ) -> "LiveKitGateway":
        """A gateway over the real SDK. Must be called inside a running event loop.

        The credentials are passed on explicitly, so that an ambient LIVEKIT_TOKEN cannot win (T33).
        Deletions go through a client of their own without the SDK's fail-over: a request that it repeated
        seconds later could end a call that a person has joined meanwhile (T46).
        """
        meter = SkewMeter(clock)
        session = aiohttp.ClientSession(
            trace_configs=[meter.trace(), SendGuard(clock).trace()], response_class=Answer
        )
        api = _OwnedSessionApi(
            LiveKitAPI(url, api_key, api_secret, session=session),
            LiveKitAPI(url, api_key, api_secret, session=session, failover=False),
            session,
        )
        return cls(
            api,
            clock=clock,
            bucket=bucket,
            observe=observe,
            cloud=is_cloud(url),
            skew_meter=meter,
            hold_key=hold_key,
        )

    @property
    def list_deadline(self) -> float:
        """Seconds a ListRooms may take, the SDK's fail-over included."""
        return LIST_DEADLINE * self._factor

    @property
    def look_deadline(self) -> float:
        """Seconds a ListParticipants may take, the SDK's fail-over included."""
        return LOOK_DEADLINE * self._factor

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    async def list_rooms(
        self,
        known: Mapping[str, RoomSnapshot] | None = None,
        names: tuple[str, ...] = (),
        purpose: Purpose = Purpose.LIST,
    ) -> RoomListing:
        """All rooms of the project, or those of the given names that exist.

        `known` lends its snapshots for rooms that have not changed, so that a steady list makes no
        new objects. Where that is the last list's rooms, only what changed since is decoded.
        """
        asked_at = self._clock.now()
        known = {} if known is None else known
        reader = ListReader(self._snapshot) if names else self._lists
        async with self._request("ListRooms", self.list_deadline, purpose):
            with as_it_comes(lambda: reader.begin(known)) as asked:
                answer = await self._api.room.list_rooms(ListRoomsRequest(names=list(names)))
                answered_at = self._clock.now()
                reading = asked.taken()
            if reading is None:  # it did not come through our session
                reading = reader.begin(known)
                reading.feed(answer.SerializeToString())
        # Decoded after the deadline: a slow machine must not keep on giving up what the server did answer.
        try:
            rooms, changed = await reader.finish(reading)
        except DecodeError as error:
            raise translate("ListRooms", error, self.list_deadline) from error
        skew = self._skew_meter.skew if self._skew_meter else None
        if changed is None:
            return RoomListing(asked_at, answered_at, rooms, skew)
        return RoomListing(asked_at, answered_at, rooms, skew, since=known, changed=changed)

    def _snapshot(self, room: Room, known: RoomSnapshot | None) -> RoomSnapshot:
        return _room(room, known, self._hold_key)

    async def look(self, room: RoomSnapshot, purpose: Purpose) -> Look:
        """Who is in the room. An empty answer does not prove that the room exists (T05)."""
        asked_at = self._clock.now()
        async with self._request("ListParticipants", self.look_deadline, purpose):
            answer = await self._api.room.list_participants(ListParticipantsRequest(room=room.name))
        people = tuple(participant_of(p) for p in answer.participants)
        return Look(room.sid, asked_at, self._clock.now(), people)

    async def probe(self, room_name: str) -> None:
        """Ask the room's own node for something. Returns where it answers (A10).

        Raises RoomUnreachable where it does not: 503, or 500 'could not find object'.
        """
        async with self._request("ListDispatch", PROBE_DEADLINE, Purpose.PROBE):
            await self._api.agent_dispatch.list_dispatch(room_name)

    async def delete(self, room_name: str, *, within: float) -> None:
        """Delete the room that has this name when the request arrives: one request, never repeated.

        Returns where the server said that it was done; RoomNotFound where there was none, NotSent where
        there was no connection to send it on within so many seconds.
        """
        async with self._request("DeleteRoom", DELETE_DEADLINE, Purpose.RECHECK):
            with _sent_before("DeleteRoom", self._clock.monotonic() + within):
                await self._api.deleting.delete_room(DeleteRoomRequest(room=room_name))

    async def warn(self, room_name: str, identities: Sequence[str], payload: bytes) -> None:
        """Send a data message to these participants, once; the server does not say who received it."""
        if not identities:
            # LiveKit takes no identity at all for everybody.
            raise NotSent("SendData", "nobody is there to be told; not sent")
        message = SendDataRequest(
            room=room_name,
            data=payload,
            kind=DataPacket.RELIABLE,
            destination_identities=list(identities),
            topic=TOPIC,
        )
        async with self._request("SendData", WARN_DEADLINE, Purpose.RECHECK):
            await self._api.deleting.send_data(message)

    async def dispatches(self, room_name: str) -> tuple[AgentDispatch, ...]:
        """The room's agent dispatches, each with the identities of its jobs' participants."""
        async with self._request("ListDispatch", LOOK_DEADLINE, Purpose.RECHECK):
            found = await self._api.agent_dispatch.list_dispatch(room_name)
        return tuple(map(_dispatch, found))

    async def end_dispatch(self, room_name: str, dispatch_id: str, *, within: float) -> None:
        """Delete a dispatch, once: the server asks its agents to leave, and then removes them.

        Raises NotSent where there was no connection to send it on within so many seconds.
        """
        async with self._request("DeleteDispatch", DELETE_DEADLINE, Purpose.RECHECK):
            with _sent_before("DeleteDispatch", self._clock.monotonic() + within):
                await self._api.ending.delete_dispatch(dispatch_id, room_name)

    @asynccontextmanager
    async def _request(self, method: str, deadline: float, purpose: Purpose) -> AsyncIterator[None]:
        started = self._clock.monotonic()
        self._bucket.take(started)
        code = "other"
        try:
            try:
                async with self._clock.timeout(deadline):
                    yield
            except Exception as error:
                raise translate(method, error, deadline) from error
            code = "ok"
        except RoomServiceError as error:
            code = error.code
            raise
        finally:
            self._observe(method, code, purpose, self._clock.monotonic() - started)


class _OwnedSessionApi:
    """The SDK leaves a session that it was given open; this closes both."""

    def __init__(
        self, api: LiveKitAPI, deleting: LiveKitAPI, session: aiohttp.ClientSession
    ) -> None:
        self._session = session
        self.room: RoomCalls = api.room
        self.deleting: DeleteCalls = deleting.room
        self.agent_dispatch: DispatchCalls = api.agent_dispatch
        self.ending: EndCalls = deleting.agent_dispatch

    async def aclose(self) -> None:
        await self._session.close()


def translate(method: str, error: Exception, deadline: float) -> RoomServiceError:
    """The SDK's or transport's error as one of ours, with a hint. Never carries a secret."""
    if isinstance(error, RoomServiceError):
        return error
    if isinstance(error, ServerError):
        return _translate_status(method, error)
    if isinstance(error, DecodeError):
        return BadAnswer(
            method,
            "the answer is not LiveKit's protocol",
            "does the URL point at LiveKit itself, or at a proxy or web page in front of it?",
        )
    if isinstance(error, asyncio.TimeoutError):
        return RequestTimedOut(
            method,
            f"no answer within {deadline:g} s",
            "is the server reachable and healthy from this machine?",
        )
    if isinstance(error, aiohttp.InvalidURL):
        return WrongEndpoint(
            method, "the URL is not valid", "give it as wss://host or http://host:port"
        )
    if isinstance(error, (aiohttp.ClientError, OSError)):
        return ServerUnavailable(
            method,
            f"cannot reach the server: {_reason(error)}",
            "check the URL, DNS and firewall, and that the server runs",
        )
    return BadAnswer(method, f"unexpected {type(error).__name__}", "please report this")


def _reason(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror:
        return f"{error.host}:{error.port}: {error.os_error.strerror}"
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


def _translate_status(method: str, error: ServerError) -> RoomServiceError:
    status, code = error.status, error.code
    said = " ".join(error.message.split())[:200]
    detail = f"the server answered {status} {code}" + (f": {said}" if said else "")
    if status == 401 and code == "unauthenticated":
        return PermissionMissing(
            method, detail, "the key's token lacks the grant this call needs; see README, Grants"
        )
    if status == 401:
        return CredentialsRejected(
            method,
            detail,
            "the key or secret is not valid for this project, or this machine's clock is off",
        )
    if status == 403:
        return PermissionMissing(method, detail, "the key may not do this; see README, Grants")
    if status == 404 and code == "not_found":
        return RoomNotFound(method, detail)
    if status == 404:
        return WrongEndpoint(
            method, detail, "this URL serves no LiveKit Room Service; check host and path"
        )
    if status == 408:
        return RequestTimedOut(method, detail, "the server timed out by itself; it is tried again")
    if status == 429:
        return RateLimited(
            method, detail, "LiveKit's rate limit; lower detection.requests_per_minute"
        )
    if status == 503 or (status == 500 and "could not find object" in said):
        return RoomUnreachable(method, detail, "the node that holds it does not answer")
    if status >= 500:
        return ServerUnavailable(method, detail, "the server has a fault; it is tried again")
    return RequestRejected(method, detail)


def _room(room: Room, known: RoomSnapshot | None, hold_key: str) -> RoomSnapshot:
    held = held_until(room.metadata, hold_key) if room.metadata else None
    if (
        known is not None
        and known.num_participants == room.num_participants
        and known.active_recording == room.active_recording
        and known.departure_timeout == room.departure_timeout
        and known.empty_timeout == room.empty_timeout
        and known.held_until == held
    ):
        return known
    return RoomSnapshot(
        sid=room.sid,
        name=room.name,
        created_at=_time(room.creation_time_ms, room.creation_time)
        or datetime.fromtimestamp(0, UTC),
        num_participants=room.num_participants,
        empty_timeout=_one(room.empty_timeout),
        departure_timeout=_one(room.departure_timeout),
        active_recording=room.active_recording,
        held_until=held,
    )


@lru_cache(maxsize=256)
def _one(number: int) -> int:
    """The same object for the same number: rooms differ little in their timeouts, and there are many."""
    return number


def participant_of(info: ParticipantInfo) -> ParticipantSnapshot:
    """A participant in our words."""
    attributes = info.attributes
    return ParticipantSnapshot(
        sid=info.sid,
        identity=info.identity,
        kind=KIND_NAMES.get(info.kind, f"KIND_{info.kind}"),
        state=STATE_NAMES.get(info.state, f"STATE_{info.state}"),
        joined_at=_time(info.joined_at_ms, info.joined_at),
        hidden=info.permission.hidden,
        agent_grant=info.permission.agent,
        recorder_grant=info.permission.recorder,
        # .get() and not []: reading a missing key of a protobuf map would insert it.
        agent_name=attributes.get("lk.agent_name") or attributes.get("lk.agent.name") or "",
        on_behalf_of=attributes.get("lk.publish_on_behalf") or "",
        simulated="lk.simulator" in attributes
        or ParticipantInfo.KindDetail.SIMULATION in info.kind_details,
        tracks=len(info.tracks),
    )


def _dispatch(info: Any) -> AgentDispatch:
    jobs = (job.state.participant_identity for job in info.state.jobs)
    return AgentDispatch(info.id, frozenset(identity for identity in jobs if identity))


def _time(milliseconds: int, seconds: int) -> datetime | None:
    """LiveKit's millisecond field, or its older whole-second one; 0 in both means not told.

    A time in another century is treated as not told: one strange room must not end the tick.
    """
    stamp = milliseconds / 1000 if milliseconds else float(seconds)
    return datetime.fromtimestamp(stamp, UTC) if 0 < stamp < LAST_SECOND else None
