"""The ledger's rows: written over, added to, and read back."""

from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa

from tests.store.builders import LINE, at, episode, tick
from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.ledger import Correction, Postings
from watchdog.core.spend import Spend
from watchdog.store.database import Database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.ledger import line_of
from watchdog.store.tables import corrections, ledger

INGRESS = replace(LINE, meter="lk.ingress", price=None, spend=Spend())
THIRD = replace(LINE, meter="third", spend=Spend(Decimal("0.000000001"), Decimal("2.5")))


def fell(amount: str) -> Correction:
    return Correction(at(60), "E1", "support", Spend(high=Decimal(amount)))


def avoidance(**more) -> Avoidance:
    values = {
        "episode": "E1",
        "room_name": "r",
        "agent_name": "support",
        "basis": Basis.HORIZON,
        "began": at(0),
        "until": at(3600),
        "rate": Decimal("0.6"),
        "provider_from": at(390),
        "provider_until": at(3600),
        "provider_rate": Decimal("0.288"),
    }
    return Avoidance(**(values | more))


async def all_of(database: Database, table: sa.Table) -> list:
    async with database.reading() as connection:
        return list((await connection.execute(sa.select(table))).mappings().all())


async def test_lines_replace_those_of_their_episode(database: Database, store: EpisodeStore):
    one = episode("E1")
    await store.commit(tick(1), [one], {}, Postings(at(60), {"E1": (LINE, INGRESS)}))
    assert {line_of(row) for row in await all_of(database, ledger)} == {
        LINE,
        INGRESS,
    }
    rows = await store.commit(tick(2), [], {}, Postings(at(60), {"E1": (THIRD,)}))
    assert rows == 4, "the record, two lines gone, one new"
    (left,) = await all_of(database, ledger)
    assert line_of(left) == THIRD


async def test_what_falls_twice_in_one_tick_is_one_correction(
    database: Database, store: EpisodeStore
):
    for number, amounts in ((1, ["0.5", "0.25"]), (1, ["1"]), (2, ["2"])):
        fallen = tuple(map(fell, amounts))
        await store.commit(tick(number), [], {}, Postings(at(60), corrections=fallen))
    found = await all_of(database, corrections)
    assert [(row["number"], row["high"]) for row in found] == [
        (1, Decimal("1.75")),
        (2, Decimal(2)),
    ]


async def test_what_is_avoided_comes_back_until_it_is_over_and_counts_once(store: EpisodeStore):
    running = avoidance()
    for number in (1, 2):
        await store.commit(
            replace(tick(number), at=at(60)), [], {}, Postings(at(60), avoided=(running,))
        )
    memory = await store.load("main")
    assert (memory.avoiding, memory.avoided, memory.accounted) == (
        (running,),
        {},
        frozenset({"E1"}),
    )
    await store.commit(
        replace(tick(3), at=at(7200)), [], {}, Postings(at(7200), avoided=(running,))
    )
    memory = await store.load("main")
    assert (memory.avoiding, memory.accounted) == ((), frozenset({"E1"}))
    ((key, amount),) = memory.avoided.items()
    assert key == ("support", "horizon")
    assert abs(amount - running.booked(at(7200))) < Decimal("1e-8")
