"""What a report reads beside the episodes: ledger lines, avoided spend, corrections, ticks."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.store.builders import LINE, at, closed, episode, tick
from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.ledger import Correction, Postings
from watchdog.core.model import TickResult
from watchdog.core.spend import Spend
from watchdog.store.database import Database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.report import ReportStore

INGRESS = replace(LINE, meter="lk.ingress", price=None, spend=Spend())


@pytest.fixture
def report(database: Database) -> ReportStore:
    return ReportStore(database)


def avoidance(key: str, began: float = 0, over: float = 3600) -> Avoidance:
    return Avoidance(
        key, f"call-{key}", "support", Basis.HORIZON, at(began), at(began + over), Decimal("1.25"),
        at(began), at(began), Decimal(0),
    )  # fmt: skip


async def test_lines_are_found_by_episode_however_many_are_asked_for(store, report):
    many = [closed(episode(f"E{n:04}"), 60) for n in range(1200)]
    lines = {one.id: (LINE, INGRESS) for one in many[:-1]}
    await store.commit(tick(1), many, {}, Postings(at(0), lines=lines))
    found = await report.lines([one.id for one in many])
    assert len(found) == 1199
    assert set(found["E0600"]) == {LINE, INGRESS}
    assert await report.lines([]) == {}


async def test_avoided_spend_comes_in_order_with_what_is_booked(store, report, monkeypatch):
    monkeypatch.setattr("watchdog.store.report._AVOIDED_AT_ONCE", 2)
    over = [avoidance(f"E{n}", began=n // 2, over=10) for n in range(5)]
    running = avoidance("E9", began=100)
    await store.commit(tick(10), [], {}, Postings(at(150), avoided=(*over, running)))
    other = avoidance("E7", began=50)
    await store.commit(tick(11, project="second"), [], {}, Postings(at(0), avoided=(other,)))
    found = [one async for one in report.avoided()]
    assert [one.episode for _, one, _ in found] == ["E0", "E1", "E2", "E3", "E4", "E7", "E9"]
    assert found[0] == ("main", over[0], over[0].booked(at(150)).quantize(Decimal("1e-9")))
    assert found[-1] == ("main", running, None)
    only = [one.episode async for _, one, _ in report.avoided("second")]
    assert only == ["E7"]
    early = [one.episode async for _, one, _ in report.avoided(until=at(2))]
    assert early == ["E0", "E1", "E2", "E3"]


async def test_corrections_are_added_up_in_a_stretch_of_time(store: EpisodeStore, report):
    def fell(seconds: float, usd: str) -> Correction:
        return Correction(at(seconds), "E1", "support", Spend(Decimal(usd), Decimal(usd)))

    await store.commit(tick(1), [], {}, Postings(at(0), corrections=(fell(15, "0.5"),)))
    await store.commit(tick(2), [], {}, Postings(at(0), corrections=(fell(30, "0.25"),)))
    await store.commit(
        tick(1, project="second"), [], {}, Postings(at(0), corrections=(fell(15, "4"),))
    )
    assert await report.corrected() == {
        "main": (2, Spend(Decimal("0.75"), Decimal("0.75"))),
        "second": (1, Spend(Decimal(4), Decimal(4))),
    }
    assert await report.corrected("main", at(20), at(30)) == {}
    assert await report.corrected("main", at(20), at(31)) == {
        "main": (1, Spend(Decimal("0.25"), Decimal("0.25")))
    }


async def test_the_ticks_around_a_stretch_of_time(store: EpisodeStore, report):
    for number in range(1, 6):
        result = TickResult.FAILED if number == 4 else TickResult.OK
        await store.commit(tick(number, result=result), [], {})
    found = await report.milestones("main", at(31), at(62))
    assert found is not None
    assert found.before is not None
    assert found.last is not None
    assert (found.before.number, found.oldest.number, found.last.number) == (2, 1, 4)
    assert found.last_good_at == at(45)
    whole = await report.milestones("main", None, None)
    assert whole is not None
    assert whole.last is not None
    assert (whole.before, whole.last.number) == (None, 5)
    early = await report.milestones("main", at(-5), at(-1))
    assert early is not None
    assert (early.before, early.last) == (None, None)
    assert await report.milestones("nobody", None, None) is None
