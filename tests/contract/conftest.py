"""The two backends every contract test runs on, and the ordinary client to ask them with."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from livekit.api import (
    ListParticipantsRequest,
    ListRoomsRequest,
    LiveKitAPI,
    UpdateRoomMetadataRequest,
)
from livekit.protocol.models import ParticipantInfo, Room

from tests.contract.backends import Backend, RealBackend, SimulatorBackend, fresh_room
from watchdog.clocks import SystemClock
from watchdog.core.budget import TokenBucket
from watchdog.rooms.gateway import LiveKitGateway

LOOKS = 300


@pytest.fixture(params=["simulator", pytest.param("livekit-server", marks=pytest.mark.real_server)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """Each contract test runs once on the simulator and once on a real server."""
    # By name, so that only the real one starts a server.
    server = request.getfixturevalue("livekit_server") if request.param != "simulator" else None
    async with AsyncExitStack() as stack:
        if server is None:
            yield await SimulatorBackend(stack).start()
        else:
            yield RealBackend(stack, server)


@pytest.fixture
async def api(backend: Backend) -> AsyncIterator[LiveKitAPI]:
    """The ordinary livekit-api client, over HTTP."""
    async with LiveKitAPI(backend.url, backend.key, backend.secret) as client:
        yield client


@pytest.fixture
async def gateway(backend: Backend) -> AsyncIterator[LiveKitGateway]:
    """Our gateway, as the daemon makes it."""
    gateway = gateway_to(backend, backend.secret)
    yield gateway
    await gateway.aclose()


def gateway_to(backend: Backend, secret: str) -> LiveKitGateway:
    """A gateway with another secret than the right one, or with it."""
    bucket = TokenBucket(per_minute=100_000, burst=100_000)
    return LiveKitGateway.connect(
        backend.url, backend.key, secret, clock=SystemClock(), bucket=bucket
    )


@pytest.fixture
def room() -> str:
    """A room name of the test's own."""
    return fresh_room()


class Looking:
    """Ways to look at one server through the ordinary client."""

    def __init__(self, api: LiveKitAPI) -> None:
        self._api = api
        self._marks = 0

    async def listed(self, name: str) -> Room | None:
        """The room as ListRooms shows it now, if it does."""
        answer = await self._api.room.list_rooms(ListRoomsRequest(names=[name]))
        return answer.rooms[0] if answer.rooms else None

    async def present(self, name: str) -> dict[str, ParticipantInfo]:
        """Who is there now, by identity."""
        answer = await self._api.room.list_participants(ListParticipantsRequest(room=name))
        return {p.identity: p for p in answer.participants}

    async def count_now(self, name: str) -> int:
        """num_participants without its lag: setting the metadata makes a server recount at once."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        await self._api.room.update_room_metadata(
            UpdateRoomMetadataRequest(room=name, metadata=mark)
        )

        async def recounted() -> bool:
            return (await self.listed(name)).metadata == mark

        await until(recounted)
        return (await self.listed(name)).num_participants


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again; the test fails after a bounded number of times."""
    for _ in range(LOOKS):
        if await condition():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"not so after {LOOKS} looks: {condition.__qualname__}")


@pytest.fixture
def looking(api: LiveKitAPI) -> Looking:
    """Ways to look at the backend."""
    return Looking(api)
