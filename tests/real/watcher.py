"""The program as its user runs it, against a real server."""

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from livekit.api import CreateAgentDispatchRequest, CreateRoomRequest, LiveKitAPI

from tests.realserver import RealServer

POLL = 2.0
PATIENCE = 90.0


class Watcher:
    """`livekit-watchdog run` in a process of its own, as its user sees it: over HTTP."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path, database: Path) -> None:
        self.process = process
        self.log = log
        self.database = database
        self._url = ""

    async def rooms(self) -> dict[str, dict]:
        """The orphaned rooms by name, as of now."""
        answer = await asyncio.to_thread(self._get, "/api/v1/rooms")
        return {room["episode"]["room_name"]: room for room in json.loads(answer)}

    async def metric(self, name: str, **labels: str) -> float | None:
        """One sample of the scrape."""
        wanted = {f'{k}="{v}"' for k, v in labels.items()}
        for line in (await asyncio.to_thread(self._get, "/metrics")).splitlines():
            sample, _, value = line.rpartition(" ")
            head, _, rest = sample.partition("{")
            if head == f"livekit_watchdog_{name}" and wanted <= set(rest.rstrip("}").split(",")):
                return float(value)
        return None

    async def until(self, condition, what: str, *, patience: float = PATIENCE):
        """Poll until `await condition()` is true; fails with the log after so many seconds."""
        give_up = time.monotonic() + patience
        while time.monotonic() < give_up:
            with suppress(OSError):
                if found := await condition():
                    return found
            await asyncio.sleep(0.2)
        pytest.fail(f"not seen: {what}\n{self.log.read_text()[-3000:]}")

    async def ready(self) -> None:
        """Until every project's last tick is fresh."""
        await self.until(lambda: asyncio.to_thread(self._get, "/readyz"), "readiness")

    async def orphaned(self, room: str) -> dict:
        """Until this room is orphaned."""

        async def found():
            return (await self.rooms()).get(room)

        return await self.until(found, f"{room} orphaned")

    async def not_orphaned(self, room: str) -> None:
        """Until this room is not orphaned any more."""

        async def gone():
            return room not in await self.rooms()

        await self.until(gone, f"{room} not orphaned")

    def _get(self, path: str) -> str:
        if not self._url:
            self._url = self._address()
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            return answer.read().decode()

    def _address(self) -> str:
        for line in self.log.read_text().splitlines():
            with suppress(json.JSONDecodeError):
                if url := json.loads(line).get("http"):
                    return url
        raise OSError("not listening yet")


@contextmanager
def watching(
    server: RealServer,
    directory: Path,
    name: str = "run",
    *,
    database: str = "watchdog.db",
    configuration: str = "",
    url: str = "",
    port: int = 0,
):
    """The program, killed at the end; the database stays. `url`: another way to the server."""
    log = directory / f"{name}.log"
    stored = directory / database
    file = directory / f"{name}.toml"
    file.write_text(configuration)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "watchdog", "run", "--config", str(file)],
            env={
                **{
                    k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT", "WATCHDOG"))
                },
                "LIVEKIT_URL": url or server.ws_url,
                "LIVEKIT_API_KEY": server.key,
                "LIVEKIT_API_SECRET": server.secret,
                "WATCHDOG_POLL_INTERVAL": f"{POLL:g}s",
                "WATCHDOG_DATABASE": f"sqlite+aiosqlite:///{stored}",
                "WATCHDOG_HTTP__LISTEN": f"127.0.0.1:{port}",
                "WATCHDOG_PRICES__PROFILE": "self-hosted-on-cloud",
            },
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=directory,
        )
    try:
        yield Watcher(process, log, stored)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)


@asynccontextmanager
async def room_with_agent(api: LiveKitAPI, room: str, agent: str):
    """A room with long timeouts to which a real agent has been called."""
    await api.room.create_room(
        CreateRoomRequest(name=room, departure_timeout=3600, empty_timeout=3600)
    )
    await api.agent_dispatch.create_dispatch(
        CreateAgentDispatchRequest(room=room, agent_name=agent)
    )
    yield
    # The room is left to the server, which ends with the test session.
