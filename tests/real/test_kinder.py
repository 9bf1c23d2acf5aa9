"""A warning and the end of a dispatch, on a real server with real agents: neither room has to be deleted."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from livekit.api import ListParticipantsRequest, LiveKitAPI

from tests.real.test_deletion import LIVELY, listed, said_of
from tests.real.watcher import POLL, room_with_agent, watching
from tests.realserver import PersonProcess, RealServer, agent_worker
from watchdog.core.deletion import AuditKind

pytestmark = [pytest.mark.real_server, pytest.mark.slow, pytest.mark.timeout(400)]

CONFIGURATION = (
    'mode = "enforce"\n' + LIVELY % "kind" + 'warn_before = "20s"\ndelete_dispatch = true\n'
)
HEEDED, UNHEEDED = "kind-heeded", "kind-unheeded"


async def test_an_agent_that_heeds_the_warning_leaves_and_the_other_loses_its_dispatch(
    fresh_server: RealServer, tmp_path: Path
):
    server = fresh_server
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        api = await enter(LiveKitAPI(server.url, server.key, server.secret))
        worker = await enter(agent_worker(server, tmp_path, "sales", heed=HEEDED))
        await enter(room_with_agent(api, HEEDED, "sales"))
        await enter(room_with_agent(api, UNHEEDED, "sales"))
        people = [await PersonProcess.join(server, room, "ann") for room in (HEEDED, UNHEEDED)]
        watcher = stack.enter_context(
            watching(server, tmp_path, "kinder", database="k.db", configuration=CONFIGURATION)
        )
        await watcher.ready()
        sids = await listed(api, HEEDED, UNHEEDED)

        async def present():
            requests = [ListParticipantsRequest(room=room) for room in (HEEDED, UNHEEDED)]
            answers = [await api.room.list_participants(request) for request in requests]
            return [len(answer.participants) for answer in answers]

        async def both_agents_came():
            return await present() == [2, 2]

        async def nobody_is_left():
            return await present() == [0, 0]

        await watcher.until(both_agents_came, "an agent beside each person")
        await asyncio.gather(*(person.leave() for person in people))
        await watcher.until(nobody_is_left, "both agents gone", patience=200)

        await asyncio.sleep(3 * POLL)
        kinds = [kind for kind, _ in await said_of(watcher.database, HEEDED)]
        assert kinds == [AuditKind.WARNED]
        kinds = [kind for kind, _ in await said_of(watcher.database, UNHEEDED)]
        assert kinds == [AuditKind.WARNED, AuditKind.ENDING, AuditKind.ENDED]
        said = sorted(line for line in worker.diary if line.startswith("warned"))
        expected = [f"warned room_will_be_deleted {room} 20.0" for room in (HEEDED, UNHEEDED)]
        assert said == expected
        assert await listed(api, HEEDED, UNHEEDED) == sids, "the server closes them in its time"
        assert await watcher.metric("api_requests_total", method="DeleteRoom") is None
