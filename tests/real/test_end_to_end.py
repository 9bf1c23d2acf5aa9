"""The whole program against a real server, a real agent worker and real people."""

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest
from livekit.api import LiveKitAPI

from tests.real.watcher import POLL, room_with_agent, watching
from tests.realserver import PersonProcess, RealServer, agent_worker, person
from watchdog.store.database import open_for_reading
from watchdog.store.episodes import EpisodeStore

pytestmark = pytest.mark.real_server

WITHIN = 2 * POLL + 10
"""Seconds from a clean leave to the first look that says so."""
CONNECTION_LOSS = 25
"""Seconds more until the server itself believes that a killed client is gone."""


async def history(database: Path, room: str):
    """Every stored episode of a room, the newest first."""
    async with await open_for_reading(f"sqlite+aiosqlite:///{database}") as opened:
        return await EpisodeStore(opened).episodes_of_room("default", room)


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


@pytest.mark.slow
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
