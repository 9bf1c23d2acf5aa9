"""A real server's own webhooks: verified, and sharper than looks alone."""

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest
from livekit.api import LiveKitAPI

from tests.conftest import server_binary
from tests.contract.backends import RealBackend
from tests.real.watcher import POLL, watching
from tests.realserver import free_port, person, running_server

pytestmark = [pytest.mark.real_server, pytest.mark.timeout(180)]
LONG = 3600


def width(found: dict) -> float:
    """Seconds between the bounds of an episode's beginning."""
    bounds = found["episode"]["bounds"]
    earliest = datetime.fromisoformat(bounds["last_attended_at"])
    return (datetime.fromisoformat(bounds["first_orphaned_at"]) - earliest).total_seconds()


@pytest.mark.trap("T42")
async def test_t42_a_real_servers_webhooks_are_verified_and_shorten_the_bounds(tmp_path: Path):
    port = free_port()
    address = f"http://127.0.0.1:{port}/webhooks/livekit/default"
    async with AsyncExitStack() as stack:
        binary = server_binary()
        server = stack.enter_context(running_server(binary, tmp_path, webhooks=(address,)))
        await stack.enter_async_context(LiveKitAPI(server.url, server.key, server.secret))
        told = stack.enter_context(
            watching(server, tmp_path, "told", database="told.db", port=port)
        )
        plain = stack.enter_context(watching(server, tmp_path, "plain", database="plain.db"))
        await told.ready()
        await plain.ready()
        backend = RealBackend(stack, server)
        timeouts = {"empty_timeout": LONG, "departure_timeout": LONG}
        async with person(server, "hooked", "alice", **timeouts):
            await backend.join("hooked", "agent", kind="agent", agent=True)

            async def attended():
                return await told.metric("rooms", project="default", verdict="attended") == 1

            await told.until(attended, "an attended room")
            await asyncio.sleep(3 * POLL)
        with_them, without = await told.orphaned("hooked"), await plain.orphaned("hooked")
        print(f"bounds {width(with_them):.2f} s wide with webhooks, {width(without):.2f} s without")
        assert width(with_them) <= 1.5
        assert width(with_them) < width(without)

        async with person(server, "hooked", "bob"):
            await told.not_orphaned("hooked")
        assert await told.metric("webhook_events_total", result="accepted") >= 4
        for result in ("forged", "malformed", "stale", "dropped", "oversized"):
            assert await told.metric("webhook_events_total", result=result) is None
        assert await plain.metric("webhook_events_total") is None
