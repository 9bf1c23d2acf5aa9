"""Deleting on a real server, with a real agent worker: the room that was left, and no other."""

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from livekit.api import CreateRoomRequest, DeleteRoomRequest, ListRoomsRequest, LiveKitAPI

from tests.daemon.harness import TARIFFS, HeldLease
from tests.real.watcher import POLL, Watcher, room_with_agent, watching
from tests.realproxy import proxied
from tests.realserver import PersonProcess, RealServer, agent_worker, joining_person, person
from watchdog.clocks import SystemClock
from watchdog.core.budget import TokenBucket
from watchdog.core.deletion import AuditKind, Mode, Outcome
from watchdog.core.gates import Safeguards
from watchdog.core.model import CloseReason
from watchdog.core.policy import built_in_policies, ordered
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore

pytestmark = [pytest.mark.real_server, pytest.mark.timeout(400)]

GRACE = 40.0
LIVELY = """
[detection]
requests_per_minute = 2000
[[policies]]
name = "quick"
match = { rooms = ["%s-*"] }
grace = "40s"
respect_room_timeouts = false
"""
LONG = {"empty_timeout": 3600, "departure_timeout": 3600}


async def listed(api: LiveKitAPI, *names: str) -> dict[str, str]:
    """The SIDs of those of these rooms that are there, by name."""
    answer = await api.room.list_rooms(ListRoomsRequest(names=names))
    return {room.name: room.sid for room in answer.rooms}


async def until_gone(api: LiveKitAPI, room: str, watcher: Watcher) -> float:
    """Wait for the end of a room; returns when that was, on the monotonic clock."""

    async def gone():
        return room not in await listed(api, room)

    await watcher.until(gone, f"{room} gone", patience=150)
    return time.monotonic()


async def said_of(database: Path, room: str) -> list[tuple[AuditKind, Outcome | None]]:
    async with await open_for_reading(f"sqlite+aiosqlite:///{database}") as opened:
        entries = await AuditStore(opened).entries(room=room)
        return [(entry.kind, entry.outcome) for entry in entries]


@pytest.mark.slow
async def test_enforce_deletes_the_room_that_was_left_and_observe_and_no_neighbour(
    fresh_server: RealServer, tmp_path: Path
):
    server = fresh_server
    neighbours = ["del-plain", "del-hidden", "del-sip", "del-joining", "del-returns"]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        api = await enter(LiveKitAPI(server.url, server.key, server.secret))
        worker = await enter(agent_worker(server, tmp_path, "sales"))
        for room in ("del-left", "obs-left", *neighbours):
            await enter(room_with_agent(api, room, "sales"))
        await enter(person(server, "del-plain", "paula"))
        await enter(person(server, "del-hidden", "boss", hidden=True))
        await enter(person(server, "del-sip", "caller", kind="sip"))
        await enter(joining_person(server, "del-joining", "jo"))
        alice = await PersonProcess.join(server, "del-left", "alice")
        olga = await PersonProcess.join(server, "obs-left", "olga")
        rita = await PersonProcess.join(server, "del-returns", "rita")
        enforcing = stack.enter_context(
            watching(
                server,
                tmp_path,
                "enforce",
                database="enforce.db",
                configuration='mode = "enforce"\n' + LIVELY % "del",
            )
        )
        observing = stack.enter_context(
            watching(
                server, tmp_path, "observe", database="observe.db", configuration=LIVELY % "obs"
            )
        )
        await enforcing.ready()
        await observing.ready()
        sids = await listed(api, *neighbours)
        await asyncio.gather(alice.leave(), olga.leave(), rita.leave())
        left = time.monotonic()
        await enforcing.orphaned("del-returns")
        await enter(person(server, "del-returns", "rita"))

        gone = await until_gone(api, "del-left", enforcing)
        assert gone - left >= GRACE + 30 - 1, "not before its grace and thirty seconds of looks"
        assert gone - left <= GRACE + 30 + 6 * POLL + 15

        async def verified():
            said = await said_of(enforcing.database, "del-left")
            return said and said[-1] == (AuditKind.OUTCOME, Outcome.DELETED)

        await enforcing.until(verified, "the verification")
        assert await said_of(enforcing.database, "del-left") == [
            (AuditKind.INTENT, None),
            (AuditKind.ANSWER, Outcome.DELETED),
            (AuditKind.OUTCOME, Outcome.DELETED),
        ]
        async with await open_for_reading(f"sqlite+aiosqlite:///{enforcing.database}") as opened:
            [closed] = await EpisodeStore(opened).episodes_of_room("default", "del-left")
        assert closed.close_reason is CloseReason.DELETED
        deletions = await enforcing.metric("deletions_total", policy="quick")
        assert deletions == 1

        async def session_over():
            return {"closed del-left", "on_session_end del-left"} <= set(worker.diary)

        await enforcing.until(session_over, "the end of the agent's session")
        assert not [line for line in worker.diary if "del-left" not in line]

        # Whatever is still due has had its time: two more polls show that nobody else goes.
        await asyncio.sleep(3 * POLL)
        assert await listed(api, *neighbours) == sids
        for room in neighbours:
            assert await said_of(enforcing.database, room) == []

        async def told():
            return await said_of(observing.database, "obs-left")

        await observing.until(told, "what would be deleted")
        assert await told() == [(AuditKind.OUTCOME, Outcome.WOULD_DELETE)]
        due = (await observing.rooms())["obs-left"]
        assert due["due"]
        assert next(g["gate"] for g in due["gates"] if not g["passes"]) == "mode"
        assert "obs-left" in await listed(api, "obs-left")
        requests = await observing.metric("api_requests_total", method="DeleteRoom")
        assert requests is None


@pytest.mark.slow
async def test_at_the_last_moment_a_person_or_another_room_is_never_cut_off(
    fresh_server: RealServer, tmp_path: Path
):
    server = fresh_server
    rooms = ("rush-person", "rush-hidden", "rush-renamed", "rush-left")
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        api = await enter(LiveKitAPI(server.url, server.key, server.secret))
        proxy = await enter(proxied(server))
        for room in rooms:
            await enter(person(server, room, f"bot-of-{room}", agent=True, **LONG))

        async def joins(room: str, **how) -> None:
            await enter(person(server, room, f"late-{room}", **how))

        async def renamed() -> None:
            await api.room.delete_room(DeleteRoomRequest(room="rush-renamed"))
            await api.room.create_room(CreateRoomRequest(name="rush-renamed", **LONG))
            await enter(person(server, "rush-renamed", "new-here"))

        proxy.before_last_look["rush-person"] = lambda: joins("rush-person")
        proxy.before_last_look["rush-hidden"] = lambda: joins("rush-hidden", hidden=True)
        proxy.before_last_list["rush-renamed"] = renamed
        watcher = stack.enter_context(
            watching(
                server,
                tmp_path,
                "rush",
                configuration='mode = "enforce"\n' + LIVELY % "rush",
                url=proxy.url,
            )
        )
        await watcher.ready()
        await until_gone(api, "rush-left", watcher)

        async def all_tried():
            said = [await said_of(watcher.database, room) for room in rooms]
            return all(s and s[-1][0] is AuditKind.OUTCOME for s in said)

        await watcher.until(all_tried, "an outcome for each room")
        outcomes = {room: (await said_of(watcher.database, room))[-1][1] for room in rooms}
        assert outcomes == {
            "rush-person": Outcome.PERSON_RETURNED,
            "rush-hidden": Outcome.PERSON_RETURNED,
            "rush-renamed": Outcome.REPLACED,
            "rush-left": Outcome.DELETED,
        }
        assert proxy.deleted == ["rush-left"]
        assert set(await listed(api, *rooms)) == {"rush-person", "rush-hidden", "rush-renamed"}


@pytest.mark.slow
@pytest.mark.rule("C")
async def test_c_under_the_built_in_default_a_room_is_deleted_at_the_hard_limit(
    fresh_server: RealServer, tmp_path: Path
):
    """The built-in policy as it is, but for its times: nobody waits four hours for a test."""
    server = fresh_server
    clock = SteadyClock(SystemClock())
    bucket = TokenBucket(6000)
    before, after = built_in_policies(POLL)
    shortened = [
        replace(p, grace=45.0, hard_limit=75.0) if p.name == "default" else p for p in after
    ]
    day = {"empty_timeout": 86400, "departure_timeout": 86400}
    async with (
        LiveKitAPI(server.url, server.key, server.secret) as api,
        await open_database(f"sqlite+aiosqlite:///{tmp_path}/limit.db") as database,
        person(server, "limit-left", "pipecat", agent=True, **day),
        person(server, "limit-busy", "pipecat", agent=True, **day),
        person(server, "limit-busy", "paula"),
    ):
        leaver = await PersonProcess.join(server, "limit-left", "leo")
        gateway = LiveKitGateway.connect(
            server.url, server.key, server.secret, clock=clock, bucket=bucket
        )
        ids = iter(range(10_000))
        project = Project(
            ProjectConfig(
                "p",
                POLL,
                TARIFFS,
                policies=ordered(before, (), shortened),
                safeguards=Safeguards(mode=Mode.ENFORCE),
            ),
            rooms=gateway,
            store=EpisodeStore(database),
            clock=clock,
            bucket=bucket,
            powers=Powers(
                AuditStore(database),
                ControlStore(database),
                HeldLease(),
                lambda: f"in_{next(ids)}",
            ),
            new_id=lambda: f"ep_{next(ids)}",
        )
        await project.tick()
        await leaver.leave()
        orphaned = gone = None
        while gone is None:
            await asyncio.sleep(POLL)
            report = await project.tick()
            view = next((v for v in report.orphans if v.episode.room_name == "limit-left"), None)
            if view is not None:
                orphaned = orphaned or time.monotonic()
                assert view.policy == "default"
                assert view.ruling.due_age == 75.0
                assert time.monotonic() - orphaned < 75 + 30 + 30
            for entry in report.outcomes:
                assert entry.room_name == "limit-left"
                assert entry.outcome is Outcome.DELETED
                gone = time.monotonic()
        assert orphaned is not None
        assert gone - orphaned >= 75 + 30
        assert set(await listed(api, "limit-left", "limit-busy")) == {"limit-busy"}
        with suppress(Exception):
            await gateway.aclose()
