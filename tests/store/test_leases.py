"""Leases on a real Postgres: one replica has a project, and whoever lost it writes nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from tests.postgres import PostgresServer
from tests.replicas.group import LEASE, PROJECTS, Group
from tests.store.builders import at, closed, episode, seen_at, tick
from watchdog.core.deletion import AuditEntry, AuditKind
from watchdog.core.errors import StoreError
from watchdog.store.audit import AuditStore
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore
from watchdog.store.keeper import margin_of
from watchdog.store.leases import Grant, read_holders


@pytest.fixture
async def group(postgres_server: PostgresServer, postgres_url: str) -> AsyncIterator[Group]:
    async with AsyncExitStack() as stack:
        yield Group(postgres_server, postgres_url, stack)


# ---- who has what ---------------------------------------------------------------------------------


async def test_a_replica_alone_has_every_project_from_its_first_round_on(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    assert one.held == PROJECTS == tuple(sorted(one.running))
    await group.rounds(one, count=9)
    assert one.held == PROJECTS
    assert {lease.grant.token for lease in one.running.values()} == {1}, "renewed, not taken anew"


async def test_a_newcomer_gets_its_share_and_nobody_has_a_project_twice(group: Group) -> None:
    one, two, three = [await group.joins(name) for name in ("one", "two", "three")]
    await one.round()
    for _ in range(6):
        await group.rounds(one, two, three, count=1)
        held = [*one.held, *two.held, *three.held]
        assert len(held) == len(set(held))
    assert sorted(map(len, (one.held, two.held, three.held))) == [2, 3, 3]
    assert one.lost == two.lost == three.lost == [], "all was given back in good order"


async def test_what_is_let_go_is_written_to_the_end_and_only_then_taken(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    await one.round()
    ends = asyncio.Event()
    one.at_stop = lambda project: ends.wait()  # its tick is under way
    await two.round()
    await one.keeper.round()
    for _ in range(5):  # longer than a lease
        group.passes(LEASE / 3)
        await one.keeper.round()
        await two.round()
    assert two.held == ()
    for lease in one.running.values():
        store = EpisodeStore(one.database, lease)
        assert await store.commit(tick(1, project=lease.project), [], {}) == 1
    ends.set()
    await one.round()
    await two.round()
    assert len(one.held) == len(two.held) == 4


async def test_what_a_silent_replica_had_is_taken_over_within_two_leases(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    await group.rounds(one, two)
    taken_over = list(one.held)
    passed = 0.0
    while len(two.held) < len(PROJECTS):
        await group.rounds(two, count=1)
        passed += LEASE / 3
    assert LEASE <= passed < 2 * LEASE
    assert {two.running[p].grant.token for p in taken_over} <= {2, 3}


async def test_who_ends_in_good_order_is_followed_at_once(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    await group.rounds(one, two)
    await one.keeper.close()
    assert one.running == {}
    await two.round()
    assert two.held == PROJECTS


async def test_a_project_that_is_configured_no_more_is_given_back(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    one.projects = PROJECTS[1:]
    await one.round()
    assert one.held == PROJECTS[1:]
    async with one.database.reading() as connection:
        assert PROJECTS[0] not in await read_holders(connection)


async def test_two_that_take_at_the_same_moment_never_both_take_one(group: Group) -> None:
    members = [await group.joins(f"m{n}") for n in range(4)]
    for _ in range(8):
        await asyncio.gather(*(member.round() for member in members))
        held = [p for member in members for p in member.held]
        assert len(held) == len(set(held))
    assert sorted(held) == list(PROJECTS)


async def test_an_answer_that_was_lost_leaves_no_project_alone(group: Group) -> None:
    one = await group.joins("one")
    await one.leases.round(PROJECTS)  # it never learns what it has taken
    await one.round()
    await one.round()
    assert one.held == PROJECTS
    assert {lease.grant.token for lease in one.running.values()} == {2}


async def test_what_cannot_be_started_is_given_back(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    one.running["p00"] = None  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="one runs already"):
        await one.round()
    assert "p00" not in one.held
    await two.round()
    assert "p00" in two.held


# ---- by its own clock -----------------------------------------------------------------------------


async def test_a_lease_is_lost_by_the_replicas_own_clock_before_the_database_gives_it_away(
    group: Group,
) -> None:
    one = await group.joins("one")
    await one.round()
    lease = one.running["p00"]
    group.clock.advance(LEASE - margin_of(LEASE) - 0.1)
    assert lease.held()
    group.clock.advance(0.1)
    assert not lease.held()
    assert await lease.confirmed() == "the lease on project p00 has run out"


async def test_a_lease_counts_from_before_its_renewal_was_asked_for(group: Group) -> None:
    one = await group.joins("one")

    async def slow(*args: object, **more: object):
        done = await round_of(*args, **more)
        group.clock.advance(9.0)
        return done

    round_of, one.leases.round = one.leases.round, slow  # type: ignore[method-assign]
    await one.round()
    group.clock.advance(LEASE - margin_of(LEASE) - 9.0)
    assert one.held == ()


async def test_a_replica_that_was_stopped_finds_its_leases_lost_and_takes_them_anew(
    group: Group,
) -> None:
    one = await group.joins("one")
    await one.round()
    before = one.running["p00"]
    group.passes(LEASE + 5)  # SIGSTOP, SIGCONT
    assert one.held == ()
    await one.round()
    assert sorted(one.lost) == list(PROJECTS)
    await one.round()
    assert one.held == PROJECTS
    assert one.running["p00"].grant.token == 2
    assert not before.held()


async def test_a_database_that_does_not_answer_costs_the_leases_and_then_the_projects(
    group: Group,
) -> None:
    one = await group.joins("one")
    await one.round()

    async def fails(*args: object, **more: object):
        raise StoreError("gone")

    works, one.leases.round = one.leases.round, fails  # type: ignore[method-assign]
    failures: list[Exception | None] = []
    going = asyncio.create_task(one.keeper.run(failures.append))
    while one.running:
        await asyncio.sleep(0)
        assert group.clock.monotonic() < 2 * LEASE
    going.cancel()
    assert len(failures) > 5, "it is tried again sooner than after a good round"
    one.leases.round = works  # type: ignore[method-assign]
    group.passes(LEASE, here=False)
    await one.round()
    assert one.held == PROJECTS


# ---- fencing --------------------------------------------------------------------------------------


def line(project: str) -> AuditEntry:
    return AuditEntry(at(0), project, AuditKind.INTENT, intent="in_1")


@pytest.mark.trap("T44")
async def test_t44_whoever_was_overtaken_writes_nothing(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    await one.round()
    lease = one.running["p00"]
    store, audit = EpisodeStore(one.database, lease), AuditStore(one.database, lease)
    history = HistoryStore(one.database, lambda name: lease if name == "p00" else None)
    ended = closed(seen_at(episode("E1", project="p00"), 60), 60)
    await store.commit(tick(1, project="p00"), [ended], {})
    await audit.append([line("p00")])
    group.passes(LEASE, here=False)
    await two.round()
    assert lease.held(), "it does not know yet"
    refused = r"the lease on project p00 is held by another replica \(two\); nothing was written"
    with pytest.raises(StoreError, match=refused):
        await store.commit(tick(2, project="p00"), [episode("E2", project="p00")], {})
    assert not lease.held(), "now it does"
    with pytest.raises(StoreError, match=refused):
        await audit.append([line("p00")])
    with pytest.raises(StoreError, match=refused):
        await history.roll_up(at(10**7), 10)
    assert "is held by another replica (two)" in await lease._store.still(
        lease.grant, least=timedelta(0)
    )
    after = EpisodeStore(two.database)
    assert (await after.load("p00")).last == tick(1, project="p00")
    assert len(await after.episodes_since("p00")) == 1
    assert len(await AuditStore(two.database).entries()) == 1


async def test_a_lease_that_ran_out_fences_before_anybody_took_it(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    store = EpisodeStore(one.database, one.running["p00"])
    group.passes(LEASE, here=False)
    with pytest.raises(StoreError, match="the lease on project p00 has run out; nothing was"):
        await store.commit(tick(1, project="p00"), [], {})


async def test_an_older_taking_by_the_same_replica_is_fenced_as_well(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    before = one.running["p00"]
    group.passes(LEASE)
    await group.rounds(one, count=2)
    before.renewed(group.clock.monotonic())  # whatever it believes
    with pytest.raises(StoreError, match="nothing was written"):
        await EpisodeStore(one.database, before).commit(tick(1, project="p00"), [], {})
    assert await EpisodeStore(one.database, one.running["p00"]).commit(
        tick(1, project="p00"), [], {}
    )


async def test_a_lease_is_good_for_its_own_project_alone(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    with pytest.raises(StoreError, match="p00 is none on project p01"):
        await EpisodeStore(one.database, one.running["p00"]).commit(tick(1, project="p01"), [], {})


async def test_a_taking_waits_for_the_transaction_that_was_begun_before_it(group: Group) -> None:
    one, two = await group.joins("one"), await group.joins("two")
    await one.round()
    async with one.database.writing() as connection:
        await one.running["p00"].check(connection, "p00")
        group.passes(LEASE)
        await two.round()
        assert two.held == PROJECTS[1:]
    await two.round()
    assert two.held == PROJECTS


async def test_a_renewal_does_not_wait_for_a_transaction_of_its_own(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    async with one.database.writing() as connection:
        await one.running["p00"].check(connection, "p00")
        group.clock.advance(LEASE / 3)
        await asyncio.wait_for(one.keeper.round(), 5)
    group.clock.advance(LEASE * 2 / 3)
    assert "p00" not in one.held or one.running["p00"].held()


async def test_the_last_question_wants_more_than_a_moment(group: Group) -> None:
    one = await group.joins("one")
    await one.round()
    lease = one.running["p00"]
    assert await lease.confirmed() == ""
    group.passes(LEASE - margin_of(LEASE) + 1, here=False)
    assert await lease.confirmed() == "the lease on project p00 has run out"
    stranger = Grant("p00", "id-x", 7)
    assert "held by another replica (one)" in await one.leases.still(stranger, least=timedelta(0))


async def test_no_replicas_clock_says_when_a_lease_ends(group: Group) -> None:
    one = await group.joins("one")
    group.clock.jump_wall(-86400 * 365)
    await one.round()
    [(seconds,)] = group.sql("SELECT extract(epoch FROM max(expires_at) - now())::int FROM leases")
    assert 25 <= int(seconds) <= 30
