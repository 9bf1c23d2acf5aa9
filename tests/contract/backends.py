"""The same few things to do, on the simulator's world and on a real server with real participants."""

import itertools
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
from livekit import rtc
from livekit.api import CreateAgentDispatchRequest, LiveKitAPI

from tests.realserver import AgentWorker, PersonProcess, RealServer, agent_worker
from watchdog.clocks import SystemClock
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import SimParticipant, World

_names = itertools.count()


@dataclass
class Member:
    """Somebody who joined through a backend."""

    room: str
    identity: str
    inner: SimParticipant | rtc.Room | aiohttp.ClientWebSocketResponse = field(repr=False)


class Backend(Protocol):
    """What a contract test can do to the world, besides asking it through the client."""

    name: str
    url: str
    key: str
    secret: str

    async def join(
        self,
        room: str,
        identity: str,
        *,
        kind: str = "standard",
        agent: bool = False,
        recorder: bool = False,
        hidden: bool = False,
        attributes: dict[str, str] | None = None,
        empty_timeout: int = 0,
        departure_timeout: int = 0,
    ) -> Member:
        """Somebody joins and is ACTIVE; the timeouts apply if that makes the room."""
        ...

    async def join_halfway(self, room: str, identity: str) -> Member:
        """Somebody whose signalling is up and whose media are not yet."""
        ...

    async def leave(self, member: Member) -> None:
        """They leave; returns when the server has told the others in the room, if there are any."""
        ...

    async def join_to_lose(self, room: str, identity: str) -> Callable[[], Awaitable[None]]:
        """Somebody joins; what is returned cuts their network."""
        ...

    async def sdk_agent(self, room: str, agent_name: str) -> None:
        """A worker of the agents SDK starts; its agent is dispatched into the room by name."""
        ...

    async def kill_sdk_agent(self, room: str) -> None:
        """The worker and its agent are killed without a goodbye."""
        ...

    def in_room(self, member: Member) -> bool:
        """Whether their own side thinks that they are in a room."""
        ...

    def heard(self, member: Member) -> list[tuple[str | None, bytes]]:
        """The topics and bytes of the data messages that reached them."""
        ...


class SimulatorBackend:
    """The embedded Room Service over HTTP, on the machine's clock, with a count that lags."""

    name = "simulator"
    key, secret = "devkey", "a-secret-of-the-tests-0123456789abcdef"

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.world = World(SystemClock(), count_lag=1.0)
        self.simulator = RoomServiceSimulator(self.world, {self.key: self.secret})
        self.url = ""

    async def start(self) -> "SimulatorBackend":
        self.url = await self._stack.enter_async_context(serve(self.simulator))
        return self

    async def join(self, room: str, identity: str, *, kind: str = "standard", **options) -> Member:
        inner = self.world.join(room, identity, kind=kind.upper(), **options)
        return Member(room, identity, inner)

    async def join_halfway(self, room: str, identity: str) -> Member:
        return Member(room, identity, self.world.join(room, identity, state="JOINED"))

    async def leave(self, member: Member) -> None:
        self.world.leave(member.room, member.identity)

    async def join_to_lose(self, room: str, identity: str) -> Callable[[], Awaitable[None]]:
        await self.join(room, identity)

        async def lose() -> None:
            self.world.lose_connection(room, identity)

        return lose

    async def sdk_agent(self, room: str, agent_name: str) -> None:
        self.world.join_agent(room, agent_name)

    async def kill_sdk_agent(self, room: str) -> None:
        for identity in [i for i, p in self.world.room(room).participants.items() if p.is_agent]:
            self.world.leave(room, identity)

    def in_room(self, member: Member) -> bool:
        return member.inner.alive

    def heard(self, member: Member) -> list[tuple[str | None, bytes]]:
        ours = (member.room, member.identity)
        return [(m.topic, m.data) for m in self.simulator.messages if (m.room, m.identity) == ours]


class RealBackend:
    """A real livekit-server, joined with the `livekit` RTC SDK and the agents SDK."""

    name = "livekit-server"

    def __init__(self, stack: AsyncExitStack, server: RealServer) -> None:
        self._stack = stack
        self._server = server
        self._workers: dict[str, AgentWorker] = {}
        self._heard: dict[tuple[str, str], list[tuple[str | None, bytes]]] = {}
        self.url, self.key, self.secret = server.url, server.key, server.secret

    async def join(self, room: str, identity: str, **options) -> Member:
        connection = rtc.Room()
        heard = self._heard[room, identity] = []
        connection.on("data_received", lambda packet: heard.append((packet.topic, packet.data)))
        await connection.connect(self._server.ws_url, self._server.token(room, identity, **options))
        self._stack.push_async_callback(connection.disconnect)
        return Member(room, identity, connection)

    async def join_halfway(self, room: str, identity: str) -> Member:
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        token = self._server.token(room, identity)
        socket = await session.ws_connect(
            f"{self._server.url}/rtc?auto_subscribe=1&protocol=15&sdk=python&access_token={token}"
        )
        self._stack.push_async_callback(socket.close)
        await socket.receive()  # the JoinResponse
        return Member(room, identity, socket)

    async def leave(self, member: Member) -> None:
        await member.inner.disconnect()

    async def join_to_lose(self, room: str, identity: str) -> Callable[[], Awaitable[None]]:
        process = await PersonProcess.join(self._server, room, identity)
        self._stack.push_async_callback(process.kill)

        async def lose() -> None:
            process.freeze()

        return lose

    async def sdk_agent(self, room: str, agent_name: str) -> None:
        directory = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        )
        self._workers[room] = await self._stack.enter_async_context(
            agent_worker(self._server, directory, agent_name)
        )
        async with LiveKitAPI(self.url, self.key, self.secret) as api:
            await api.agent_dispatch.create_dispatch(
                CreateAgentDispatchRequest(room=room, agent_name=agent_name)
            )

    async def kill_sdk_agent(self, room: str) -> None:
        self._workers[room].kill()

    def in_room(self, member: Member) -> bool:
        return member.inner.isconnected()

    def heard(self, member: Member) -> list[tuple[str | None, bytes]]:
        return self._heard[member.room, member.identity]


def fresh_room() -> str:
    """A room name no other test uses."""
    return f"contract-{next(_names)}"
