"""What operators put on the two lists counts at once, and at the last look too (SAFETY D)."""

import itertools
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.daemon.harness import orphan
from tests.daemon.test_by_hand import KEEP, ask
from tests.daemon.test_enforce import (
    QUICK,
    WhenAsked,
    about_to_delete,
    at_the_last_look,
    due,
    left_alone,
    outcomes,
)
from watchdog.core.deletion import Mode, Outcome
from watchdog.core.errors import StoreError
from watchdog.core.roomlists import ListEntry, ListName
from watchdog.store.lists import ListStore, Removal

_ids = itertools.count(1)


async def put(w, name: ListName, pattern: str = "r", *, project: str = "", lasting=None) -> None:
    """Ann puts it on the list, now, for so many seconds."""
    now = w.clock.now()
    until = None if lasting is None else now + timedelta(seconds=lasting)
    await ListStore(w.database).add(
        ListEntry(f"e{next(_ids)}", name, pattern, project, now, until, "ann", "load test")
    )


async def take_off(w, name: ListName, pattern: str = "r") -> None:
    removed = await ListStore(w.database).remove(Removal(name, pattern, w.clock.now(), "ann"))
    assert len(removed) == 1


@asynccontextmanager
async def allowed(**entry):
    """A room that only a stored entry of the allow-list names, when the next tick deletes it."""
    async with left_alone(QUICK, mode=Mode.ALLOWLIST) as w:
        await put(w, ListName.ALLOW, **entry)
        await due(w)
        await w.ticks(2)
        assert w.deleted() == []
        yield w


async def test_a_protect_entry_counts_from_the_next_tick_until_it_is_removed():
    async with left_alone() as w:
        await put(w, ListName.PROTECT, "r*")
        report = await w.ticks(60)
        [word] = [word for word in orphan(report, "r").holding if word.gate == "protected"]
        assert word.why == "'r*' is on the protect list (added by ann: load test)"
        assert w.deleted() == []
        await take_off(w, ListName.PROTECT, "r*")
        await w.until_deleted("r")


async def test_a_protect_entry_that_expires_protects_until_then():
    async with left_alone() as w:
        until = w.clock.now() + timedelta(minutes=20)
        await put(w, ListName.PROTECT, lasting=1200)
        await w.until_deleted("r", most=200)
        assert w.clock.now() >= until


async def test_lists_outlive_a_restart():
    async with about_to_delete() as w:
        await put(w, ListName.PROTECT)
        w.restart()
        await w.ticks(60)
        assert w.deleted() == []


async def test_an_entry_for_another_project_is_none_here():
    async with left_alone() as w:
        await put(w, ListName.PROTECT, project="q")
        await w.until_deleted("r")
    async with left_alone(QUICK, mode=Mode.ALLOWLIST) as w:
        await put(w, ListName.ALLOW, project="q")
        await w.ticks(60)
        assert w.deleted() == []
        await put(w, ListName.ALLOW, project="p")
        await w.until_deleted("r")


@pytest.mark.parametrize("read", [2, 3])
async def test_a_protect_entry_that_is_added_during_the_last_look_stops_the_request(read):
    """Read 2 is before the attempt, read 3 between the last list and the last look."""
    async with about_to_delete() as w:
        WhenAsked(w, read, lambda: put(w, ListName.PROTECT))
        [aborted] = (await w.ticks(1)).outcomes
        assert aborted.outcome is Outcome.ABORTED
        assert aborted.why == "protected: 'r' is on the protect list (added by ann: load test)"
        await w.ticks(40)
        assert w.deleted() == []


@pytest.mark.parametrize("read", [2, 3])
async def test_an_allow_entry_that_is_removed_during_the_last_look_stops_the_request(read):
    async with allowed() as w:
        WhenAsked(w, read, lambda: take_off(w, ListName.ALLOW))
        [aborted] = (await w.ticks(1)).outcomes
        assert aborted.why == "allow_list: not on the deletion allow-list"
        await w.ticks(40)
        assert w.deleted() == []


async def test_an_allow_entry_in_force_lets_the_room_go():
    async with allowed() as w:
        await w.until_deleted("r")


async def test_an_allow_entry_that_expires_lets_nothing_go_any_more():
    async with left_alone(QUICK, mode=Mode.ALLOWLIST) as w:
        await put(w, ListName.ALLOW, lasting=120)
        await w.ticks(60)
        assert w.deleted() == []


async def test_an_allow_entry_that_expires_between_the_last_list_and_the_answer_stops_it():
    async with allowed() as w:
        # The next tick is a poll away; the answer to its last look comes half a second after that.
        await put(w, ListName.ALLOW, lasting=w.poll + 0.25)
        at_the_last_look(w, lambda: w.clock.advance(0.5))
        [aborted] = (await w.ticks(1)).outcomes
        assert aborted.why == "allow_list: not on the deletion allow-list"
        await w.ticks(40)
        assert w.deleted() == []


async def test_by_hand_the_allow_list_is_waived_and_protection_is_not():
    async with left_alone(KEEP, mode=Mode.ALLOWLIST) as w:
        await w.until_orphaned("r")
        await ask(w)
        await w.until_deleted("r")
    async with left_alone(KEEP, mode=Mode.ALLOWLIST) as w:
        await w.until_orphaned("r")
        await put(w, ListName.PROTECT)
        await ask(w)
        said = [entry for _ in range(8) for entry in (await w.ticks(1)).outcomes]
        assert [e.why for e in said] == [
            "protected: 'r' is on the protect list (added by ann: load test)"
        ]
        assert w.deleted() == []


async def test_by_hand_a_protect_entry_that_is_added_during_the_last_look_stops_the_request():
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w)

        def protect_when_attempted() -> None:
            # The next reading is the one between this list and the last look.
            WhenAsked(w, 1, lambda: put(w, ListName.PROTECT))

        w.when("ListRooms", protect_when_attempted, room="r")
        said = [o for _ in range(8) for o in outcomes(await w.ticks(1))]
        assert said == [Outcome.ABORTED]
        assert w.deleted() == []


async def test_lists_that_cannot_be_read_hold_and_lose_no_request():
    async with left_alone(KEEP) as w:
        await w.until_orphaned("r")
        await ask(w)

        async def unreadable() -> None:
            raise StoreError("the disk is gone")

        WhenAsked(w, 2, unreadable)
        said = [o for _ in range(2) for o in outcomes(await w.ticks(1))]
        assert said == []
        await w.until_deleted("r")
