"""How much is asked and written: counted, not timed (A3, A10 and section F of the rules)."""

from collections import Counter

import pytest
import sqlalchemy as sa

from tests.daemon.harness import LONG, FaultKind, lab, orphan
from watchdog.core.model import TickResult, VerdictState
from watchdog.core.report import ChangeKind
from watchdog.simulator.rooms import Ghost


async def test_a_steady_tick_with_10000_rooms_asks_once_and_sweeps_and_writes_one_row():
    async with lab(per_minute=100.0) as w:
        for i in range(9_500):
            w.world.create_room(f"call-{i}", empty_timeout=LONG, departure_timeout=LONG)
            w.world.join(f"call-{i}", "alice")
            w.world.join_agent(f"call-{i}", "support", identity=f"agent-{i}")
        for i in range(500):
            w.world.create_room(f"left-{i}", empty_timeout=LONG, departure_timeout=LONG)
            w.world.join_agent(f"left-{i}", "support", identity=f"agent-left-{i}")
        # Until all 500 have been found and probed, the tick is not steady.
        for _ in range(120):
            report = await w.ticks(1)
            steady = len(report.orphans) == 500 and set(report.requests) <= {
                "list",
                "again",
                "sweep",
            }
            if steady:
                break
        assert steady, f"{len(report.orphans)} orphans, {report.requests}"
        share = w.per_minute * w.poll / 60
        for _ in range(8):
            rows_before = await _row_changes(w)
            report = await w.ticks(1)
            methods = Counter(r.method for r in w.simulator.log)
            assert report.result is TickResult.OK
            assert methods["ListRooms"] == 1
            assert set(methods) <= {"ListRooms", "ListParticipants"}
            assert methods["ListParticipants"] <= share, "the sweep keeps to its share"
            assert report.requests["sweep"] >= 1
            assert report.requests["list"] == 1
            assert sum(report.requests.values()) == sum(methods.values())
            assert report.rows_written <= 1
            assert await _row_changes(w) - rows_before <= 1


async def _row_changes(w) -> int:
    """Rows that SQLite itself counts as written since the database was opened."""
    async with w.database.reading() as connection:
        return (await connection.execute(sa.text("SELECT total_changes()"))).scalar_one()


async def test_a_known_orphan_that_is_unchanged_is_not_asked_about_every_tick():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        asked = 0
        for _ in range(40):
            await w.ticks(1)
            asked += len(w.asked("ListParticipants"))
        assert asked == 10, "once a minute"


async def test_a_small_project_in_which_nothing_happens_is_left_in_peace():
    async with lab() as w:
        for i in range(5):
            w.call(f"r{i}")
        await w.ticks(2)
        total = 0
        for _ in range(40):
            await w.ticks(1)
            total += len(w.simulator.log)
        assert total == 40 + 5 * 4, "a list a tick, and each room once in two and a half minutes"


@pytest.mark.rule("F")
async def test_f_a_room_that_the_server_closes_itself_is_first_left_to_it():
    async with lab() as w:
        w.call("other")
        w.call("hung-up", timeout=20)
        await w.ticks(2)
        w.world.leave("hung-up", "alice")
        for _ in range(3):
            await w.ticks(1)
            assert "hung-up" not in w.asked("ListParticipants")
        assert "hung-up" not in w.world.rooms


@pytest.mark.rule("F")
async def test_f_a_room_the_server_should_have_closed_is_asked_about_15_s_later():
    async with lab() as w:
        w.call("other")
        w.call("flapping", timeout=20)
        await w.ticks(2)
        w.world.leave("flapping", "alice")
        asked_after = None
        for i in range(1, 8):
            # A flapping agent resets the server's clock each time.
            w.world.leave("flapping", "agent-flapping-0")
            w.world.join_agent("flapping", "support", identity="agent-flapping-0")
            report = await w.ticks(1)
            if asked_after is None and "flapping" in w.asked("ListParticipants"):
                asked_after = i * w.poll
        assert asked_after == 60, "seen at 15 s, and 20 + 15 s later"
        assert orphan(report, "flapping") is not None


@pytest.mark.rule("F")
async def test_f_rooms_whose_count_fell_come_before_looks_again_and_the_sweep():
    async with lab(per_minute=40.0) as w:
        for i in range(200):
            w.call(f"r{i}")
        await w.ticks(1)
        for i in range(10):
            w.world.leave(f"r{i}", "alice")
        report = await w.ticks(1)
        asked = w.asked("ListParticipants")
        assert sum(name in {f"r{i}" for i in range(10)} for name in asked) >= 8
        assert len(asked) <= 10
        report = await w.ticks(1)
        assert len(report.orphans) == 10


@pytest.mark.rule("F")
async def test_f_the_delay_that_the_budget_causes_is_told():
    async with lab(per_minute=20.0) as w:
        for i in range(100):
            w.call(f"r{i}")
        await w.ticks(10)
        for i in range(100):
            w.world.leave(f"r{i}", "alice")
        report = await w.ticks(4)
        assert report.budget_delay >= 30
        assert report.sweep_age > 0


@pytest.mark.rule("F")
async def test_f_over_any_minute_the_budget_is_kept():
    async with lab(per_minute=60.0) as w:
        for i in range(500):
            w.strand(f"r{i}")
        stamps = []
        for _ in range(60):
            await w.ticks(1)
            stamps += [r.at for r in w.simulator.log]
        for i, start in enumerate(stamps):
            within = sum((s - start).total_seconds() < 60 for s in stamps[i:])
            assert within <= 60 + 40, "what a minute refills, and one burst"


@pytest.mark.rule("A3")
async def test_a3_rooms_the_count_calls_attended_are_swept_oldest_first():
    async with lab() as w:
        for i in range(60):
            w.call(f"r{i}")
        seen: Counter[str] = Counter()
        for _ in range(8):
            await w.ticks(1)
            seen.update(w.asked("ListParticipants"))
        assert len(seen) == 60
        assert max(seen.values()) == 1, "nobody twice before everybody once"


@pytest.mark.rule("A10")
async def test_a10_an_orphan_is_probed_when_its_episode_opens_and_hourly():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(1)
        assert w.asked("ListDispatch") == ["r"]
        probes = 0
        for _ in range(4 * 60 * 3):
            report = await w.ticks(1)
            probes += len(w.asked("ListDispatch"))
        assert probes == 3
        assert orphan(report, "r").episode.last_reachable_at is not None
        assert report.stranded == 0


@pytest.mark.rule("A10")
@pytest.mark.parametrize("how", list(Ghost))
async def test_a10_a_room_whose_node_died_is_stranded_and_its_spend_unverified(how):
    async with lab() as w:
        w.call("neighbour")
        w.strand("r")
        await w.until_orphaned("r")
        await w.ticks(4)
        w.world.strand("r", how)
        report = await w.ticks(4 * 60)
        found = orphan(report, "r")
        assert report.stranded == 1
        assert found.episode.stranded_since is not None
        assert found.spend.unverified > 0
        low_then = report.spend["support"].low
        tries = 0
        for _ in range(4 * 60):
            report = await w.ticks(1)
            tries += len(w.asked("ListDispatch"))
        assert tries <= 6, "at most every ten minutes"
        assert report.spend["support"].low == low_then, "nothing runs there: no verified spend"
        w.restart()
        report = await w.ticks(2)
        assert report.stranded == 1


@pytest.mark.rule("A10")
async def test_a10_a_probe_without_an_answer_strands_nothing():
    async with lab() as w:
        w.strand("r")
        w.fault(FaultKind.HANG, "ListDispatch")
        await w.until_orphaned("r")
        report = await w.ticks(8)
        assert report.stranded == 0
        assert report.result is TickResult.OK


@pytest.mark.rule("A10")
async def test_a10_a_room_that_closes_between_list_and_probe_is_not_stranded():
    async with lab() as w:
        w.call("neighbour")
        w.strand("r")
        await w.until_orphaned("r")

        def close_it(phase, method, room):
            if (phase, method, room) == ("received", "ListDispatch", "r") and "r" in w.world.rooms:
                w.world.delete_room("r")

        w.simulator.watch = close_it
        kinds = []
        for _ in range(4):
            report = await w.ticks(1)
            kinds += [c.kind for c in report.changes]
        assert ("ListDispatch", "unavailable") in w.outcomes or ChangeKind.CLOSED in kinds
        assert ChangeKind.STRANDED not in kinds
        assert report.orphans == ()


@pytest.mark.rule("A10")
async def test_a10_a_node_that_answers_again_ends_the_stranding():
    async with lab() as w:
        w.strand("r")
        await w.until_orphaned("r")
        w.fault(FaultKind.ERROR_503, "ListDispatch")
        report = await w.ticks(1)
        assert report.stranded == 0, "one such answer is also what a room gives that just closed"
        report = await w.ticks(1)
        assert report.stranded == 1
        w.faults.clear()
        kinds = []
        for _ in range(45):
            report = await w.ticks(1)
            kinds += [c.kind for c in report.changes]
        assert kinds == [ChangeKind.REACHABLE]
        assert report.stranded == 0


async def test_rooms_that_come_and_go_leave_nothing_behind_in_memory():
    async with lab() as w:
        for i in range(40):
            w.call(f"r{i}")
            if i % 2:
                w.world.leave(f"r{i}", "alice")
        await w.ticks(6)
        for name in list(w.world.rooms):
            w.world.delete_room(name)
        w.call("last")
        report = await w.ticks(6)
        assert sum(report.rooms.values()) == 1
        assert report.rooms[VerdictState.ATTENDED] == 1
        book = w.project._book
        assert set(book.rooms) == set(book.snapshots)
        queues = book.looks
        for queue in (queues._asking, queues._orphans, queues._probe_due):
            assert not queue
        assert len(queues._looked) + len(queues._unlooked) == 1
