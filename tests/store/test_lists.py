"""The allow-list and the protect list in the database, and what the audit keeps of them."""

from datetime import timedelta

import pytest

from tests.store.builders import at
from watchdog.core.deletion import AuditKind, Control
from watchdog.core.errors import StoreError
from watchdog.core.roomlists import ListEntry, ListName, Standing
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_beside, open_database
from watchdog.store.lists import ListStore, Removal

NASTY = "'; DROP TABLE room_lists; -- \u202e*"


@pytest.fixture
def lists(database: Database) -> ListStore:
    return ListStore(database)


@pytest.fixture
def controls(database: Database) -> ControlStore:
    return ControlStore(database)


@pytest.fixture
def audit(database: Database) -> AuditStore:
    return AuditStore(database)


def entry(key: str = "e1", seconds: float = 0, **more) -> ListEntry:
    values = {
        "list": ListName.PROTECT,
        "pattern": "call-*",
        "project": "main",
        "until": at(3600),
        "actor": "ana",
        "reason": "load test",
    }
    return ListEntry(key, since=at(seconds), **(values | more))


def removal(named: str, seconds: float = 60, **more) -> Removal:
    return Removal(ListName.PROTECT, named, at(seconds), "bo", **more)


async def test_an_entry_comes_back_as_it_went_in(lists, controls):
    given = [entry("e1"), entry("e2", 1, pattern=NASTY, project="", until=None, reason="")]
    for one in given:
        assert await lists.add(one) == ()
    assert await lists.entries(ListName.PROTECT) == tuple(given)
    assert await lists.entries(ListName.ALLOW) == ()
    assert await controls.read("main") == Control(entries=tuple(given))
    assert await controls.read("other") == Control(entries=(given[1],))


async def test_what_was_removed_is_no_control_and_stays_on_record(lists, controls):
    await lists.add(entry())
    assert await lists.remove(removal("call-*")) == (entry(),)
    assert (await controls.read("main")).entries == ()
    [gone] = await lists.entries(ListName.PROTECT)
    assert (gone.removed_at, gone.standing(at(61))) == (at(60), Standing.REMOVED)
    assert await lists.remove(removal("call-*")) == (), "there is none any more"


@pytest.mark.parametrize(
    ("wanted", "gone"),
    [
        (removal("e2"), ["e2"]),
        (removal("call-*"), ["e1", "e2"]),
        (removal("call-*", project="main"), ["e1"]),
        (removal("call-*", project="third"), []),
        (removal("call-1"), []),
        (removal("e2", seconds=3599), ["e2"]),
        (removal("e2", seconds=3600), []),
        (Removal(ListName.ALLOW, "e1", at(60), "bo"), []),
    ],
)
async def test_an_entry_is_found_by_its_pattern_or_id_while_it_is_in_force(lists, wanted, gone):
    await lists.add(entry("e1"))
    await lists.add(entry("e2", project="other"))
    assert [one.id for one in await lists.remove(wanted)] == gone


async def test_a_newer_entry_takes_the_place_of_one_with_its_list_pattern_and_project(
    lists, controls, audit
):
    others = [
        entry("e2", pattern="call-1"),
        entry("e3", project=""),
        entry("e4", list=ListName.ALLOW),
        entry("e5", 0, pattern="over", until=at(1)),
    ]
    for one in (entry("e1"), *others, entry("e6", 0, pattern="over", until=at(1))):
        await lists.add(one)
    newer = entry("e9", 30, until=at(60), actor="bo", reason="shorter")
    assert await lists.add(newer) == (entry("e1"),)
    in_force = {e.id for e in (await controls.read("main")).entries if e.in_force(at(30))}
    assert in_force == {"e2", "e3", "e4", "e9"}
    last = (await audit.entries())[-1]
    assert (last.kind, last.actor, last.details["replaces"]) == (AuditKind.LISTED, "bo", ["e1"])


async def test_one_that_has_expired_is_not_replaced_and_after_a_day_no_longer_read(lists, controls):
    await lists.add(entry("e1", until=at(10)))
    assert await lists.add(entry("e2", 10)) == ()
    assert [e.id for e in (await controls.read("main")).entries] == ["e1", "e2"]
    await lists.add(entry("e3", 86500, pattern="other", until=None))
    assert [e.id for e in (await controls.read("main")).entries] == ["e2", "e3"]
    first = (await lists.entries(ListName.PROTECT))[0]
    assert first.standing(at(86500)) is Standing.EXPIRED


async def test_every_change_stands_in_the_audit_with_what_it_was_about(lists, audit):
    await lists.add(entry(project="", until=at(3600) + timedelta(days=1)))
    await lists.remove(removal("e1", reason="it is over"))
    added, removed = await audit.entries()
    assert (added.kind, added.actor, added.project) == (AuditKind.LISTED, "ana", "")
    assert added.why == "protect list: 'call-*' until 2026-03-02 13:00 UTC: load test"
    assert (removed.kind, removed.actor, removed.at) == (AuditKind.UNLISTED, "bo", at(60))
    assert removed.why == "protect list: 'call-*' until 2026-03-02 13:00 UTC: it is over"
    about = {
        "id": "e1",
        "list": "protect",
        "pattern": "call-*",
        "project": "",
        "until": "2026-03-02T13:00:00.123456+00:00",
    }
    assert added.details == about | {"replaces": []}
    assert removed.details == about
    assert len(await audit.entries(project="main")) == 2, "every project is meant"


async def test_an_entry_that_cannot_be_told_is_not_made(url, database):
    async with database.writing() as connection:
        await connection.exec_driver_sql("DROP TABLE audit")
    with pytest.raises(StoreError):
        await ListStore(database).add(entry())
    assert await ListStore(database).entries(ListName.PROTECT) == ()


async def test_a_process_beside_the_run_is_heard_at_the_next_reading(url):
    async with await open_database(url) as mine, await open_beside(url, to_write=True) as beside:
        controls = ControlStore(mine)
        assert (await controls.read("main")).entries == ()
        await ListStore(beside).add(entry())
        assert (await controls.read("main")).entries == (entry(),)
        await ListStore(beside).remove(removal("e1"))
        assert (await controls.read("main")).entries == ()
