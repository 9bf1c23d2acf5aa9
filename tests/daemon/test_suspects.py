"""Suspects: rooms that look as if only machines were in them, or are not known for long. Never deleted."""

from datetime import timedelta

import pytest

from tests.daemon.harness import LONG, FaultKind, lab
from watchdog.core.policy import Policy
from watchdog.core.suspects import SuspectRules
from watchdog.store.episodes import EpisodeStore

QUICK = Policy("quick", grace=60.0, respect_room_timeouts=False)
HOUR = 3600.0
AFTER = 4 * HOUR


def attended(w, identity="alice", room="r"):
    w.world.create_room(room, empty_timeout=LONG, departure_timeout=LONG)
    w.world.join(room, identity)
    w.world.join_agent(room, "support")


def found(report):
    return [(s.room_name, s.reason) for s in report.suspects]


async def after(w, seconds):
    """Let so much time pass at the sweep's pace, and look once more."""
    # The sweep comes back within two and a half minutes.
    return await w.ticks(round(seconds / w.poll) + 11)


@pytest.mark.parametrize(
    ("identity", "reason"), [("alice", "silent"), ("Bot-7", "bot_like"), ("meet_BOT", "bot_like")]
)
async def test_a_room_that_only_machines_seem_to_attend_is_suspect_after_four_hours(
    identity, reason
):
    async with lab() as w:
        w.enforcing(QUICK)
        attended(w, identity)
        await w.ticks(2)
        w.clock.advance(AFTER - 300)
        report = await after(w, 0)
        assert found(report) == [], "not before"
        report = await after(w, 300)
        assert found(report) == [("r", reason)]
        assert report.suspect_counts[reason] == 1
        since = report.suspects[0].since
        assert abs((report.at - since) - timedelta(seconds=AFTER)) < timedelta(seconds=600)
        assert w.deleted() == []


async def test_a_person_who_has_published_once_is_no_suspect_when_they_stop():
    async with lab() as w:
        attended(w)
        w.world.publish("r", "alice")
        await w.ticks(2)
        w.world.unpublish("r", "alice")
        w.clock.advance(AFTER)
        assert found(await after(w, 300)) == []


async def test_somebody_else_who_joins_ends_the_suspicion_of_a_bot():
    async with lab() as w:
        attended(w, "bot-1")
        await w.ticks(2)
        w.clock.advance(AFTER)
        assert found(await after(w, 60)) == [("r", "bot_like")]
        w.world.join("r", "alice")
        w.world.publish("r", "alice")
        assert found(await after(w, 60)) == []


async def test_a_restart_does_not_make_it_younger():
    async with lab() as w:
        attended(w)
        await w.ticks(2)
        w.clock.advance(AFTER)
        w.restart(after=60.0)
        assert found(await after(w, 60)) == [("r", "silent")]


@pytest.mark.parametrize(("minutes", "suspect"), [(9.5, False), (10.6, True)])
async def test_a_room_that_is_not_known_for_ten_minutes_is_suspect(minutes, suspect):
    async with lab() as w:
        attended(w)
        w.fault(FaultKind.ERROR_500, "ListParticipants")
        await w.tick()
        report = await w.ticks(round(minutes * 60 / w.poll))
        assert found(report) == ([("r", "unknown")] if suspect else [])
        w.faults.clear()
        assert found(await after(w, 0)) == []


async def test_a_suspect_is_told_of_once_and_stored_with_the_tick():
    async with lab() as w:
        attended(w)
        w.fault(FaultKind.ERROR_500, "ListParticipants")
        reports = [await w.ticks(1) for _ in range(50)]
        assert [len(r.new_suspects) for r in reports].count(1) == 1
        assert sum(len(r.new_suspects) for r in reports) == 1
        stored = (await EpisodeStore(w.database).last_ticks())["p"].suspects
        assert [(s.room_name, s.reason) for s in stored] == [("r", "unknown")]


async def test_how_long_it_takes_and_whose_names_read_like_machines_is_configured():
    async with lab() as w:
        rules = SuspectRules(after=HOUR, identities=("robot-*",))
        w.project._book.suspects.rules = rules
        attended(w, "robot-1")
        w.world.publish("r", "robot-1")
        attended(w, "bot-1", "other")
        w.world.publish("other", "bot-1")
        await w.ticks(2)
        w.clock.advance(HOUR)
        assert found(await after(w, 60)) == [("r", "bot_like")]


async def test_a_room_that_is_gone_is_no_suspect():
    async with lab() as w:
        attended(w, "bot-1")
        await w.ticks(2)
        w.clock.advance(AFTER)
        assert found(await after(w, 60)) == [("r", "bot_like")]
        w.world.close_room("r")
        attended(w, "carol", "still-here")
        report = await w.ticks(4)
        assert found(report) == []
        assert report.suspect_counts["bot_like"] == 0
