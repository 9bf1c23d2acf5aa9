"""The whole program against a real server, a real agent worker and real people."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from livekit.api import CreateAgentDispatchRequest, CreateRoomRequest, LiveKitAPI

from tests.realserver import PersonProcess, RealServer, agent_worker, person
from watchdog.store.database import open_for_reading
from watchdog.store.episodes import EpisodeStore

pytestmark = pytest.mark.real_server

POLL = 2.0
WITHIN = 2 * POLL + 10
"""Seconds from a clean leave to the first look that says so."""
CONNECTION_LOSS = 25
"""Seconds more until the server itself believes that a killed client is gone."""
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

    async def until(self, condition, what: str):
        """Poll until `await condition()` is true; fails with the log after PATIENCE."""
        give_up = time.monotonic() + PATIENCE
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
def watching(server: RealServer, directory: Path, name: str = "run"):
    """The program, killed at the end; the database stays."""
    log = directory / f"{name}.log"
    database = directory / "watchdog.db"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "watchdog", "run"],
            env={
                **{
                    k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT", "WATCHDOG"))
                },
                "LIVEKIT_URL": server.ws_url,
                "LIVEKIT_API_KEY": server.key,
                "LIVEKIT_API_SECRET": server.secret,
                "WATCHDOG_POLL_INTERVAL": f"{POLL:g}s",
                "WATCHDOG_DATABASE": f"sqlite+aiosqlite:///{database}",
                "WATCHDOG_HTTP__LISTEN": "127.0.0.1:0",
                "WATCHDOG_PRICES__PROFILE": "self-hosted-on-cloud",
            },
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=directory,
        )
    try:
        yield Watcher(process, log, database)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=10)


async def history(database: Path, room: str):
    """Every stored episode of a room, the newest first."""
    async with await open_for_reading(f"sqlite+aiosqlite:///{database}") as opened:
        return await EpisodeStore(opened).episodes_of_room("default", room)


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


def seconds(later: str, earlier: datetime) -> float:
    return (datetime.fromisoformat(later) - earlier).total_seconds()


async def test_a_real_agent_left_alone_is_found_in_time_and_nobody_else_is(
    livekit_server: RealServer, tmp_path: Path
):
    server = livekit_server
    async with (
        LiveKitAPI(server.url, server.key, server.secret) as api,
        agent_worker(server, tmp_path, "support"),
        room_with_agent(api, "e2e-left", "support"),
        room_with_agent(api, "e2e-neighbour", "support"),
        person(server, "e2e-neighbour", "nora"),
    ):
        alice = await PersonProcess.join(server, "e2e-left", "alice")
        with watching(server, tmp_path) as watcher:
            await watcher.ready()

            async def both_attended():
                return await watcher.metric("rooms", project="default", verdict="attended") == 2

            await watcher.until(both_attended, "two attended rooms")
            await asyncio.sleep(2 * POLL)
            assert await watcher.rooms() == {}, "never before"

            leaving = datetime.now(UTC)
            await alice.leave()
            found = await watcher.orphaned("e2e-left")
            bounds = found["episode"]["bounds"]
            assert 0 <= seconds(bounds["first_orphaned_at"], leaving) <= WITHIN
            assert seconds(bounds["last_attended_at"], datetime.now(UTC)) < 0
            assert found["agent_name"] == "support"
            assert await watcher.metric("orphaned_agents", agent_name="support") == 1

            # SIGKILL in the middle loses neither the episode nor its bounds.
            watcher.process.send_signal(signal.SIGKILL)
            watcher.process.wait(timeout=10)
        with watching(server, tmp_path, "again") as watcher:
            await watcher.ready()
            resumed = await watcher.orphaned("e2e-left")
            assert resumed["episode"]["id"] == found["episode"]["id"]
            again = resumed["episode"]["bounds"]
            for bound in ("last_attended_at", "first_orphaned_at"):
                assert again[bound] == bounds[bound]
            assert again["last_seen_orphaned_at"] >= bounds["last_seen_orphaned_at"]

            # A person who returns closes the episode.
            async with person(server, "e2e-left", "alice"):
                await watcher.not_orphaned("e2e-left")
            [closed] = await history(watcher.database, "e2e-left")
            assert closed.close_reason == "person_returned"
            second = await watcher.orphaned("e2e-left")
            assert second["episode"]["id"] != closed.id
            assert await history(watcher.database, "e2e-neighbour") == ()

            watcher.process.send_signal(signal.SIGTERM)
            assert watcher.process.wait(timeout=10) == 0


async def test_a_killed_client_counts_as_gone_only_once_the_server_says_so(
    livekit_server: RealServer, tmp_path: Path
):
    server = livekit_server
    async with (
        LiveKitAPI(server.url, server.key, server.secret) as api,
        agent_worker(server, tmp_path, "desk"),
        room_with_agent(api, "e2e-killed", "desk"),
    ):
        victor = await PersonProcess.join(server, "e2e-killed", "victor")
        with watching(server, tmp_path) as watcher:
            await watcher.ready()

            async def attended():
                # Rooms of other tests on this server may be listed, too.
                return await watcher.metric("rooms", verdict="attended") and (
                    "e2e-killed" not in await watcher.rooms()
                )

            await watcher.until(attended, "an attended room")
            killed = datetime.now(UTC)
            await victor.kill()
            found = await watcher.orphaned("e2e-killed")
            waited = seconds(found["episode"]["bounds"]["first_orphaned_at"], killed)
            assert 0 <= waited <= WITHIN + CONNECTION_LOSS


async def test_a_standard_bot_with_the_agent_grant_is_found_as_fast(
    livekit_server: RealServer, tmp_path: Path
):
    server = livekit_server
    long = {"empty_timeout": 3600, "departure_timeout": 3600}
    async with (
        person(server, "e2e-bot", "pipecat", agent=True, **long),
        person(server, "e2e-bot-busy", "pipecat", agent=True, **long),
        person(server, "e2e-bot-busy", "hidden-boss", hidden=True),
    ):
        gina = await PersonProcess.join(server, "e2e-bot", "gina")
        with watching(server, tmp_path) as watcher:
            await watcher.ready()
            assert "e2e-bot" not in await watcher.rooms()
            leaving = datetime.now(UTC)
            await gina.leave()
            found = await watcher.orphaned("e2e-bot")
            assert 0 <= seconds(found["episode"]["bounds"]["first_orphaned_at"], leaving) <= WITHIN
            [agent] = found["episode"]["agents"]
            assert (agent["identity"], agent["kind"]) == ("pipecat", "STANDARD")
            assert await history(watcher.database, "e2e-bot-busy") == ()
