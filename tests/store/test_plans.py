"""What the daemon asks at its start and on each tick is found by an index, however long history is."""

import re

import pytest
from sqlalchemy import event

from tests.store.builders import at, closed, episode, tick
from tests.store.test_history import LATER, avoidance, ended, line
from watchdog.core.dearest import Dearest
from watchdog.core.ledger import Postings
from watchdog.core.spend import Spend
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore
from watchdog.store.quick import QuickStore

SQLITE = pytest.mark.parametrize("kind", ["sqlite"])
"""Of a handful of rows Postgres does not say which index it would take of a million."""
GROWS = "episodes|episode_agents|ledger|avoided|corrections|audit|daily_spend|daily_counts|daily_avoided"


class Said:
    """Every statement that a database was told, each once, with the parameters of its first time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.statements: dict[str, tuple[object, ...]] = {}
        engine = database._engine.sync_engine
        event.listen(engine, "before_cursor_execute", self._note)

    def _note(self, _connection, _cursor, statement, parameters, _context, many) -> None:
        if statement.startswith(("SELECT", "UPDATE", "DELETE")):
            self.statements.setdefault(statement, tuple(parameters[0] if many else parameters))

    async def plans(self) -> dict[str, list[str]]:
        sqlite, plans = self._database.place.is_sqlite, {}
        async with self._database.reading() as connection:
            if not sqlite:  # of the few rows of a test it would read all
                await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            for statement, parameters in list(self.statements.items()):
                explain = f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {statement}"
                rows = (await connection.exec_driver_sql(explain, parameters)).all()
                plans[statement] = [row[3] if sqlite else row[0] for row in rows]
        return plans


async def live_a_while(database: Database) -> None:
    """A start, ticks of every kind, and a roll-up."""
    store, history = EpisodeStore(database), HistoryStore(database)
    one, two = ended("E1", 0, 60), episode("E2")
    postings = Postings(at(0), lines={"E1": (line(),)}, avoided=(avoidance("E1", 0),))
    await store.load("main")
    await AuditStore(database).load("main", at(0))
    await store.commit(tick(1), [one, two], {"support": Spend()}, postings)
    await store.commit(tick(64, seen={"E2": 30}), [], {"support": Spend()})
    await store.commit(tick(65), [closed(two, 40)], {})
    await store.load("main")
    await ControlStore(database).read("main")
    await store.open_episodes("main")
    await store.episodes_of_room("main", "call-E1")
    while await history.roll_up(LATER, 10):
        pass
    await history.daily("main")


async def test_nothing_reads_a_whole_table_that_grows(database: Database) -> None:
    said = Said(database)
    await live_a_while(database)
    plans = await said.plans()
    assert len(plans) > 25
    whole = re.compile(rf"SCAN ({GROWS})\b|.*Seq Scan on ({GROWS})\b")
    assert {s: plan for s, plan in plans.items() if any(map(whole.match, plan))} == {}


@SQLITE
async def test_no_closed_episode_but_those_asked_for_is_read(database: Database) -> None:
    said = Said(database)
    await live_a_while(database)
    found = set()
    for plan in (await said.plans()).values():
        found |= {step for step in plan if re.match(r"SEARCH episodes\b", step)}
    assert {re.search(r"\((.*)\)", step)[1] for step in found} == {
        "id=?",
        "project=? AND close_reason=?",  # the open ones
        "project=? AND first_gone_at<?",  # the oldest
        "project=?",  # the newest, see below
        "project=? AND room_name=?",
        "project=? AND room_sid=?",
        "project>?",  # which projects there are
    }


@SQLITE
async def test_the_newest_closed_episodes_are_read_in_order_and_no_others(
    database: Database,
) -> None:
    said = Said(database)
    await live_a_while(database)
    (plan,) = [
        plan
        for s, plan in (await said.plans()).items()
        if "first_gone_at DESC" in s and "LIMIT" in s
    ]
    assert "ix_episodes_project_first_gone_at" in plan[0]
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan  # but for those that ended at one moment


@SQLITE
@pytest.mark.parametrize("project", ["main", None])
async def test_a_report_reads_of_each_day_what_began_on_it(
    database: Database, project: str | None
) -> None:
    await live_a_while(database)
    await EpisodeStore(database).commit(tick(66), [ended("E3", 0, 60)], {})
    said = Said(database)
    await HistoryStore(database).closed(project)
    read = [step for plan in (await said.plans()).values() for step in plan if " episodes" in step]
    assert len(read) == 5
    assert (
        len([step for step in read if "(first_orphaned_at>? AND first_orphaned_at<?)" in step]) == 3
    )
    # The others are the first and the last of all.
    assert (
        len([step for step in read if "COVERING INDEX ix_episodes_first_orphaned_at" in step]) == 2
    )


@SQLITE
@pytest.mark.parametrize("project", ["main", None])
async def test_a_report_by_day_reads_of_each_day_what_began_on_it(
    database: Database, project: str | None
) -> None:
    await live_a_while(database)
    one = ended("E3", 0, 60)
    await EpisodeStore(database).commit(
        tick(66), [one], {}, Postings(at(0), lines={"E3": (line(),)})
    )
    said, quick = Said(database), QuickStore(database)
    day = await quick.next_day(None)
    assert day is not None
    await quick.closed(project, day, Dearest(10))
    await quick.rest(project, day)
    await quick.rest(project, day, one)
    plans = [plan for s, plan in (await said.plans()).items() if "FROM episodes" in s]
    assert len(plans) == 6
    for plan in plans:
        first, *others = [
            step for step in plan if re.match(r"(SEARCH|SCAN) (episode|ledger)", step)
        ]
        assert re.match(
            r"SEARCH episodes USING (COVERING )?INDEX ix_episodes_first_orphaned_at", first
        )
        assert all("(episode_id=?" in step for step in others), plan
