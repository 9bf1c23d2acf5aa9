"""Two replicas, one project: one acts, and whoever takes over begins with what the other left."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from tests.daemon.harness import Lab, orphan
from tests.daemon.test_enforce import QUICK, outcomes
from tests.postgres import PostgresServer
from tests.replicas.group import LEASE, Group, Member
from watchdog.core.deletion import Outcome
from watchdog.core.model import TickResult
from watchdog.daemon.tick import Project


class Pair:
    """A world with a room whose person has left, and two replicas of the watchdog that watches it."""

    def __init__(self, lab: Lab, group: Group, one: Member, two: Member) -> None:
        self.lab, self.group, self.one, self.two = lab, group, one, two

    def overtake(self) -> None:
        """Have the second replica take the project at this very moment, unseen by the first."""
        self.group.sql(
            "UPDATE leases SET holder = 'id-two', token = token + 1,"
            f" expires_at = now() + interval '{LEASE} s'"
        )

    def stop_for(self, seconds: float) -> None:
        """The first replica is stopped for so long (SIGSTOP), and the second takes the project meanwhile."""
        self.group.passes(seconds)
        self.overtake()

    async def ready(self) -> Project:
        """The first replica's project, at the moment of the tick that deletes the room."""
        await self.one.keeper.round()
        project = self.lab.project = self.lab.start(self.one.running["p"])
        for _ in range(80):
            await self.one.keeper.round()
            report = await self.lab.ticks(1)
            assert report.result is TickResult.OK, report.error
            if (found := orphan(report, "r")) and found.due:
                break
        for _ in range(2):
            await self.one.keeper.round()
            await self.lab.ticks(1)
        assert self.lab.deleted() == []
        await self.one.keeper.round()
        self.lab.pass_time(self.lab.poll)
        assert self.one.running["p"].held()
        return project

    async def taken_over(self) -> None:
        """The second replica runs the project from here on."""
        while "p" not in self.two.running:
            self.group.passes(LEASE / 3)
            await self.two.round()
        self.lab.project = self.lab.start(self.two.running["p"])

    async def ticks(self, count: int) -> list[Outcome]:
        """Ticks of the second replica; what they settled."""
        settled = []
        for _ in range(count):
            await self.two.keeper.round()
            settled += outcomes(await self.lab.ticks(1))
        return settled


@pytest.fixture
async def pair(postgres_server: PostgresServer, postgres_url: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        group = Group(postgres_server, postgres_url, stack)
        one, two = await group.joins("one", ("p",)), await group.joins("two", ("p",))
        await two.leases.round(())  # it lives, and has nothing to watch yet
        lab = Lab(one.database)
        group.clock = lab.clock
        for member in (one, two):
            member.keeper._clock = lab.clock
        lab.enforcing(QUICK)
        lab.call("busy")
        lab.strand("r")
        yield Pair(lab, group, one, two)


@pytest.mark.trap("T44")
async def test_t44_of_two_replicas_one_acts(pair: Pair) -> None:
    overtaken = await pair.ready()
    pair.group.passes(LEASE, here=False)
    await pair.two.round()  # the database gave it away, which the first does not know yet
    report = await overtaken.tick()
    assert report.result is TickResult.FAILED
    assert "the lease on project p is held by another replica (two)" in report.error
    assert pair.lab.deleted() == []
    await pair.taken_over()
    assert await pair.ticks(30) == [Outcome.DELETED]
    assert (await overtaken.tick()).result is TickResult.FAILED
    assert pair.lab.deleted() == ["r"]


LAST_LOOK = [("ListRooms", 1), ("ListParticipants", 2)]
"""The requests of the last look, by how many of the kind about the room there are in the tick by then."""


def at_request(pair: Pair, what: Callable[[], None], method: str, nth: int, phase: str) -> None:
    """Have `what` happen right before, or after, the server takes up the n-th such request about the room."""

    def later() -> None:
        if nth == 1:
            what()
        else:
            at_request(pair, what, method, nth - 1, phase)

    pair.lab.when(method, later, room="r", phase=phase)


@pytest.mark.trap("T44")
@pytest.mark.parametrize("phase", ["received", "answered"])
@pytest.mark.parametrize(("method", "nth"), [*LAST_LOOK, ("ListParticipants", 1)])
async def test_t44_a_replica_that_is_stopped_in_a_tick_finds_its_lease_lost_and_deletes_nothing(
    pair: Pair, method: str, nth: int, phase: str
) -> None:
    await pair.ready()
    at_request(pair, lambda: pair.stop_for(LEASE), method, nth, phase)
    report = await pair.lab.tick()
    assert report.result is TickResult.FAILED
    assert pair.lab.deleted() == []
    await pair.taken_over()
    settled = await pair.ticks(30)
    assert settled[-1] is Outcome.DELETED
    assert set(settled) <= {Outcome.DELETED, Outcome.ABORTED, Outcome.FAILED}
    assert pair.lab.deleted() == ["r"]


@pytest.mark.trap("T44")
@pytest.mark.parametrize("phase", ["received", "answered"])
async def test_t44_the_database_is_asked_once_more_before_the_last_look(
    pair: Pair, phase: str
) -> None:
    await pair.ready()
    at_request(pair, pair.overtake, "ListRooms", 1, phase)
    report = await pair.lab.tick()
    assert pair.one.running["p"].held() is False
    assert "held by another replica (two)" in report.error
    assert pair.lab.deleted() == []
    assert pair.lab.asked("ListParticipants") == ["r"], "the look that confirms, and no last one"


async def test_a_request_whose_answer_was_not_written_down_is_settled_by_the_successor(
    pair: Pair,
) -> None:
    await pair.ready()
    at_request(pair, pair.overtake, "DeleteRoom", 1, "received")
    report = await pair.lab.tick()
    assert report.result is TickResult.FAILED
    assert pair.lab.deleted() == ["r"]
    assert [kind for kind, _ in await pair.lab.audit("r")] == ["intent"]
    await pair.taken_over()
    assert await pair.ticks(10) == [Outcome.UNKNOWN], "gone, and nobody knows by whose doing"
    assert pair.lab.deleted() == ["r"], "it is not asked for again"
