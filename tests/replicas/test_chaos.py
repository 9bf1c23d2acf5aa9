"""Three replicas, killed and stopped at random, share twenty projects: nothing is deleted twice or wrongly.

Real processes, a real Postgres, real time. `CHAOS_SECONDS` says for how long they are disturbed and
`CHAOS_SEED` how; then they are left alone until every room that was left behind is gone.
"""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.program import Running
from tests.postgres import PostgresServer
from tests.replicas.processes import Farm, a_farm, send
from watchdog.simulator.deletions import Deletion

PROJECTS = 20
REPLICAS = 3
LEASE = 8.0
POLL = 2.0
DISTURBED = float(os.environ.get("CHAOS_SECONDS", "300"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
TAIL = 240.0
"""Warm-up, looks 30 s apart, and the verification, on a machine that does much else."""


@dataclass
class Calls:
    """What happens to the rooms: people leave for good, or come back in time."""

    farm: Farm
    chance: random.Random
    left: dict[str, str] = field(default_factory=dict)
    """The rooms that only agents are in for good, and their projects."""
    away: dict[str, tuple[str, float]] = field(default_factory=dict)
    number: int = 0

    def go_on(self) -> None:
        """Something happens."""
        project = self.chance.choice(sorted(self.farm.servers))
        self.number += 1
        room = f"{project}-{self.number}"
        server = self.farm.servers[project]
        server.call(room, person=True)
        server.leave(room)
        if self.chance.random() < 0.5:
            self.left[room] = project
        else:
            self.away[room] = (project, time.monotonic() + self.chance.uniform(2, 15))
        self.come_back(time.monotonic())

    def come_back(self, now: float) -> None:
        """Those whose time has come are in their room again."""
        for room, (project, at) in list(self.away.items()):
            if now >= at:
                self.farm.servers[project].do(lambda world, room=room: world.join(room, "alice"))
                del self.away[room]

    def remaining(self) -> list[str]:
        """The rooms that are still there though everybody left them."""
        there = {
            name
            for server in self.farm.servers.values()
            for name in server.do(lambda world: list(world.rooms))
        }
        return sorted(self.left.keys() & there)


class Replicas:
    """The replicas, as they are killed, started again, stopped and let go on."""

    def __init__(self, farm: Farm, chance: random.Random, stack: ExitStack) -> None:
        self._farm, self._chance, self._stack = farm, chance, stack
        self._running: list[Running] = []
        self._stopped: dict[int, float] = {}
        self.kills = self.stops = 0
        for number in range(REPLICAS):
            self._running.append(self._start(number))

    def _start(self, number: int) -> Running:
        program = self._farm.program(f"replica-{number}")
        return self._stack.enter_context(program.started("run"))

    def disturb(self, now: float) -> None:
        """Kill one that goes on and start it anew, or stop one for longer than a lease."""
        going = [number for number in range(REPLICAS) if number not in self._stopped]
        number = self._chance.choice(going or [0])
        if number in self._stopped:
            return
        if self._chance.random() < 0.5:
            self._running[number].kill()
            self._running[number] = self._start(number)
            self.kills += 1
        else:
            send(self._running[number], signal.SIGSTOP)
            self._stopped[number] = now + LEASE * self._chance.uniform(1.1, 2.0)
            self.stops += 1

    def go_on(self, now: float) -> None:
        """Those that were stopped for long enough go on where they were."""
        for number, until in list(self._stopped.items()):
            if now >= until:
                send(self._running[number], signal.SIGCONT)
                del self._stopped[number]

    def all_alive(self) -> bool:
        return all(replica.process.poll() is None for replica in self._running)


@pytest.fixture
def farm(postgres_server: PostgresServer, postgres_url: str, tmp_path: Path) -> Iterator[Farm]:
    with a_farm(postgres_server, postgres_url, tmp_path, PROJECTS, LEASE, POLL) as farm:
        yield farm


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


@pytest.mark.slow
@pytest.mark.timeout(DISTURBED + TAIL + 300)
def test_nothing_is_deleted_twice_or_wrongly_nothing_is_missed_and_the_spend_is_true(
    farm: Farm, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    for name, server in farm.servers.items():
        server.call(f"{name}-busy")
    alone = farm.config.replace('mode = "enforce"', 'mode = "observe"').replace(
        farm.url, f"sqlite+aiosqlite:///{tmp_path}/alone.db"
    )
    with ExitStack() as stack:
        single = stack.enter_context(farm.program("alone", alone).started("run"))
        replicas, calls = Replicas(farm, chance, stack), Calls(farm, chance)
        end = time.monotonic() + DISTURBED
        disturbed_at = time.monotonic() + 2 * LEASE
        while (now := time.monotonic()) < end:
            calls.go_on()
            replicas.go_on(now)
            if now >= disturbed_at:
                replicas.disturb(now)
                disturbed_at = now + chance.uniform(5, 15)
            sleep_until(now + 1.0)
        quiet = time.monotonic()
        while time.monotonic() < quiet + TAIL and (calls.remaining() or calls.away):
            replicas.go_on(time.monotonic())
            calls.come_back(time.monotonic())
            time.sleep(1.0)
        assert calls.remaining() == [], "left behind"
        time.sleep(4 * POLL)  # the last end is verified, and written
        assert replicas.all_alive()
        assert single.stop().code == 0
    takeovers = int(farm.sql("SELECT sum(token) FROM leases")[0][0]) - PROJECTS
    deletions = [d for server in farm.servers.values() for d in server.simulator.deletions]
    print(
        f"{replicas.kills} kills, {replicas.stops} stops, {takeovers} takeovers,"
        f" {len(calls.left)} rooms left, {len(deletions)} deletions"
    )
    assert takeovers > replicas.kills + replicas.stops
    assert_deletions_are_right(deletions, calls)
    assert_audit_is_whole(farm)
    assert_spend_is_that_of_one(farm, tmp_path / "alone.db", takeovers)


def assert_deletions_are_right(deletions: list[Deletion], calls: Calls) -> None:
    assert {d.room for d in deletions} <= calls.left.keys(), "wrong"
    assert [d for d in deletions if d.persons or d.found] == [], "with a person"
    assert [room for room, count in Counter(d.room for d in deletions).items() if count > 1] == []
    assert all(d.effect for d in deletions)


def assert_audit_is_whole(farm: Farm) -> None:
    """Each intent has exactly one outcome."""
    intents = [key for (key,) in farm.sql("SELECT intent FROM audit WHERE kind = 'intent'")]
    settled = [key for (key,) in farm.sql("SELECT intent FROM audit WHERE kind = 'outcome'")]
    assert len(set(intents)) == len(intents)
    assert sorted(settled) == sorted(intents)
    assert farm.sql("SELECT count(*) FROM audit")[0] == farm.sql("SELECT max(number) FROM audit")[0]


def assert_spend_is_that_of_one(farm: Farm, alone: Path, takeovers: int) -> None:
    """High within what two polls cost at each takeover: no agent-second is lost or counted twice.

    Low reaches to the last look, and who is about to delete looks more often than who only watches.
    """
    query = "SELECT sum(low), sum(high), max(high / seconds) FROM ledger WHERE seconds > 1"
    [(low, high, rate)] = [tuple(map(float, row)) for row in farm.sql(query)]
    with closing(sqlite3.connect(alone)) as connection:
        [(single_low, single, _)] = connection.execute(query).fetchall()
    allowed = 2 * POLL * rate * takeovers
    print(f"spend {high / 1e9:.6f}, of one {single / 1e9:.6f}, allowed +-{allowed / 1e9:.6f} USD")
    assert abs(high - single) <= allowed
    assert single_low - allowed <= low <= high
