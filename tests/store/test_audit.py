"""The audit, pauses and requests in the database."""

import asyncio
from datetime import timedelta

import pytest

from tests.store.builders import at, closed, episode, tick
from watchdog.core.deletion import (
    AuditEntry,
    AuditKind,
    AuditMemory,
    Control,
    DeletionRequest,
    Outcome,
    Pause,
)
from watchdog.core.errors import StoreError
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_beside, open_database
from watchdog.store.episodes import EpisodeStore

NASTY = "'; DROP TABLE audit; -- \x00 \ud800 \u202e"


@pytest.fixture
def audit(database: Database) -> AuditStore:
    return AuditStore(database)


@pytest.fixture
def controls(database: Database) -> ControlStore:
    return ControlStore(database)


def entry(kind: AuditKind, intent: str = "in_1", seconds: float = 0, **more) -> AuditEntry:
    values = {"room_name": "call-1", "room_sid": "RM_1", "episode": "E1", "policy": "quick"}
    return AuditEntry(at(seconds), "main", kind, intent=intent, **(values | more))


def request(key: str = "in_9", **more) -> DeletionRequest:
    values = {"room_name": "call-1", "room_sid": "RM_1", "actor": "ana", "reason": "why not"}
    return DeletionRequest(key, "main", **(values | more), asked_at=at(0))


async def test_a_line_comes_back_as_it_went_in_and_numbered(audit):
    first = entry(
        AuditKind.INTENT, details={"gates": {"due": "now"}, "age_seconds": 1.5, "n": None}
    )
    second = entry(AuditKind.OUTCOME, seconds=3, outcome=Outcome.DELETED, why="gone")
    await audit.append([first, second])
    found = await audit.entries()
    assert [(e.number, e.kind, e.outcome) for e in found] == [
        (1, AuditKind.INTENT, None),
        (2, AuditKind.OUTCOME, Outcome.DELETED),
    ]
    assert dict(found[0].details) == dict(first.details)
    assert found[0].at == first.at


async def test_strange_names_stay_in_their_place(audit):
    await audit.append([entry(AuditKind.INTENT, room_name=NASTY, why=NASTY, actor=NASTY)])
    [found] = await audit.entries()
    assert found.room_name.startswith("'; DROP TABLE audit; -- \ufffd")
    await audit.append([entry(AuditKind.OUTCOME, outcome=Outcome.FAILED)])
    assert len(await audit.entries()) == 2


async def test_lines_are_found_by_project_room_and_attempt_the_newest_of_them(audit):
    await audit.append([entry(AuditKind.INTENT, f"in_{n}", n) for n in range(10)])
    await audit.append([entry(AuditKind.INTENT, "in_x", room_name="other", room_sid="RM_x")])
    assert [e.intent for e in await audit.entries(limit=2)] == ["in_9", "in_x"]
    assert [e.intent for e in await audit.entries(room="RM_x")] == ["in_x"]
    assert [e.intent for e in await audit.entries(room="other")] == ["in_x"]
    assert [e.intent for e in await audit.entries(intent="in_3")] == ["in_3"]
    assert await audit.entries(project="another") == ()


async def test_what_was_left_open_is_remembered_with_its_answer(audit, store):
    await store.commit(tick(1), [episode("E1"), closed(episode("E2"), 5)], {})
    await audit.append(
        [
            entry(AuditKind.INTENT, "in_1"),
            entry(AuditKind.OUTCOME, "in_1", outcome=Outcome.ABORTED),
            entry(AuditKind.INTENT, "in_2"),
            entry(AuditKind.ANSWER, "in_2", outcome=Outcome.DELETED),
            entry(AuditKind.INTENT, "in_3"),
            entry(AuditKind.OUTCOME, "", outcome=Outcome.WOULD_DELETE),
            entry(AuditKind.OUTCOME, "", outcome=Outcome.WOULD_DELETE, episode="E2"),
        ]
    )
    memory = await audit.load("main", at(60))
    assert [(e.intent, answer) for e, answer in memory.open_intents] == [
        ("in_2", Outcome.DELETED),
        ("in_3", None),
    ]
    assert [(e.intent, e.outcome) for e in memory.deletions] == [
        ("in_1", Outcome.ABORTED),
        ("in_2", Outcome.DELETED),
    ]
    assert memory.told == {"E1"}, "of open episodes alone"
    assert await audit.load("another", at(60)) == AuditMemory()


async def test_who_was_warned_and_whose_dispatches_were_ended_is_remembered(audit, store):
    await store.commit(tick(1), [episode(f"E{n}") for n in range(1, 6)], {})
    await audit.append(
        [
            entry(AuditKind.WARNED, "", 1),
            entry(AuditKind.WARNED, "", 5),
            entry(AuditKind.WARNING_FAILED, "", 6, episode="E2"),
            entry(AuditKind.ENDING, "in_1", 7, episode="E2"),
            entry(AuditKind.ENDED, "in_1", 8, episode="E2"),
            entry(AuditKind.ENDING, "in_2", 9, episode="E3"),
            entry(AuditKind.ENDED, "in_2", 9, episode="E3", outcome=Outcome.ABORTED),
            entry(AuditKind.ENDING, "in_3", 9, episode="E4"),
            entry(AuditKind.ENDING, "in_4", 9, episode="E5"),
            entry(AuditKind.ENDED, "in_4", 9, episode="E5", outcome=Outcome.PERSON_RETURNED),
        ]
    )
    memory = await audit.load("main", at(60))
    assert memory.warned == {"E1": at(1)}
    assert memory.ended == {"E2": at(7), "E4": at(9)}, "where nothing was sent it was no try"
    assert memory.returned == {"E5"}
    assert memory.open_intents == memory.deletions == (), "none of these is a deletion"
    assert (await audit.load("main", at(0) + timedelta(days=30))).warned == {"E1": at(1)}
    assert await audit.load("another", at(60)) == AuditMemory()


async def test_what_was_done_in_an_episode_that_is_over_is_forgotten_a_while_later(audit, store):
    await store.commit(tick(1), [closed(episode("E1"), 5)], {})
    await audit.append([entry(AuditKind.WARNED, "", 1)])
    assert (await audit.load("main", at(60))).warned == {"E1": at(1)}, (
        "its room may be listed again"
    )
    assert (await audit.load("main", at(0) + timedelta(days=30))).warned == {}


async def test_old_deletions_are_forgotten_and_open_intents_never(audit):
    await audit.append(
        [
            entry(AuditKind.INTENT, "in_1"),
            entry(AuditKind.INTENT, "in_2"),
            entry(AuditKind.OUTCOME, "in_2", outcome=Outcome.DELETED),
        ]
    )
    memory = await audit.load("main", at(0) + timedelta(days=30))
    assert [e.intent for e, _ in memory.open_intents] == ["in_1"]
    assert memory.deletions == ()


async def test_a_pause_is_said_once_and_taken_back_once_and_stands_in_the_audit(audit, controls):
    assert await controls.read("main") == Control()
    pause = Pause(at(0), "ana", "deploying")
    assert await controls.pause("main", pause)
    assert not await controls.pause("main", Pause(at(5), "bo"))
    assert await controls.read("main") == Control(pause)
    assert await controls.read("other") == Control()
    assert await controls.resume("main", at(9), "bo")
    assert not await controls.resume("main", at(9), "bo")
    assert await controls.read("main") == Control()
    said = [(e.kind, e.actor, e.why) for e in await audit.entries()]
    assert said == [(AuditKind.PAUSED, "ana", "deploying"), (AuditKind.RESUMED, "bo", "")]


async def test_an_outcome_closes_the_request_of_its_intent(audit, controls):
    await controls.request(request("in_9"))
    await controls.request(request("in_8", room_sid="RM_2"))
    await audit.append([entry(AuditKind.INTENT, "in_9")])
    assert [r.id for r in (await controls.read("main")).requests] == ["in_8", "in_9"]
    await audit.append([entry(AuditKind.OUTCOME, "in_9", outcome=Outcome.DELETED)])
    assert (await controls.read("main")).requests == (request("in_8", room_sid="RM_2"),)
    assert not await controls.withdraw("in_9", at(9)), "it was answered already"
    assert await controls.withdraw("in_8", at(9))
    assert (await controls.read("main")).requests == ()


async def test_a_process_beside_the_run_writes_while_it_does(url):
    async with await open_database(url) as mine, await open_beside(url, to_write=True) as beside:
        ours, theirs = AuditStore(mine), AuditStore(beside)
        await asyncio.gather(
            *(ours.append([entry(AuditKind.INTENT, f"a{n}")]) for n in range(20)),
            *(theirs.append([entry(AuditKind.INTENT, f"b{n}")]) for n in range(20)),
        )
        numbers = [e.number for e in await ours.entries(limit=100)]
        assert numbers == list(range(1, 41))


async def test_what_is_opened_for_reading_changes_nothing(url):
    async with await open_database(url) as opened:
        await EpisodeStore(opened).commit(tick(1), [], {})
    async with await open_beside(url) as beside:
        with pytest.raises(StoreError, match="read-only"):
            await AuditStore(beside).append([entry(AuditKind.INTENT)])
