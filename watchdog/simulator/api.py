"""The SDK's own client code, talking to the simulator in this process instead of over a socket.

What it sends, how it decodes and which errors it raises are therefore the SDK's.
"""

import json
from collections.abc import Mapping
from typing import Any, Self, cast
from urllib.parse import urlparse

import aiohttp
from livekit.api.agent_dispatch_service import AgentDispatchService
from livekit.api.room_service import RoomService

from watchdog.simulator.answers import JSON
from watchdog.simulator.service import RoomServiceSimulator

URL = "http://simulator.invalid"


class SimulatorApi:
    """Stands in for the gateway's `Api`: `room`, `deleting`, `ending`, ….

    Waiting inside, for delays and hangs, is done on the world's clock. With a `.livekit.cloud` URL
    and `failover=True` the SDK repeats failed calls, as it does on LiveKit Cloud; `deleting` and
    `ending` are what deletions go through, and do not unless `deleting_failover` says so.
    """

    def __init__(
        self,
        simulator: RoomServiceSimulator,
        api_key: str,
        api_secret: str,
        *,
        url: str = URL,
        failover: bool = False,
        deleting_failover: bool = False,
    ) -> None:
        session = cast("aiohttp.ClientSession", _Session(simulator))
        self.room = RoomService(session, url, api_key, api_secret, failover=failover)
        self.deleting = RoomService(session, url, api_key, api_secret, failover=deleting_failover)
        self.agent_dispatch = AgentDispatchService(
            session, url, api_key, api_secret, failover=failover
        )

        self.ending = AgentDispatchService(
            session, url, api_key, api_secret, failover=deleting_failover
        )

    async def aclose(self) -> None:
        """Nothing to release."""


class _Session:
    """As much of aiohttp.ClientSession as the SDK's client touches."""

    timeout = None

    def __init__(self, simulator: RoomServiceSimulator) -> None:
        self._simulator = simulator

    def post(
        self, url: str, *, headers: Mapping[str, str], data: bytes, **_: object
    ) -> "_Exchange":
        return _Exchange(self._simulator, url, headers, data)

    def get(self, url: str, **_: object) -> "_Exchange":
        """The discovery of regions: there are none."""
        return _Exchange(self._simulator, url, {}, b"")


class _Exchange:
    """One request; entering it is waiting for the answer."""

    headers: Mapping[str, str] = {}

    def __init__(
        self, simulator: RoomServiceSimulator, url: str, headers: Mapping[str, str], data: bytes
    ) -> None:
        self._simulator = simulator
        self._path = urlparse(url).path
        self._authorization = headers.get("authorization")
        self._data = data
        self._body = b""
        self._content_type = ""
        self.status = 0

    async def __aenter__(self) -> Self:
        service, method = split_path(self._path) or ("", "")
        self.status, self._content_type, self._body = await self._simulator.handle(
            service, method, self._data, self._authorization
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def read(self) -> bytes:
        return self._body

    async def json(self) -> Any:
        if self._content_type != JSON:
            raise ValueError(f"not JSON but {self._content_type}")
        return json.loads(self._body)


def split_path(path: str) -> tuple[str, str] | None:
    """("RoomService", "ListRooms") of "/twirp/livekit.RoomService/ListRooms"; None if not like that."""
    parts = path.split("/")
    if len(parts) != 4 or parts[:2] != ["", "twirp"] or not parts[2].startswith("livekit."):
        return None
    return parts[2].removeprefix("livekit."), parts[3]
