"""What makes a suspect, at, below and above its limit."""

from datetime import UTC, datetime, timedelta

import pytest

from watchdog.core.classify import classify
from watchdog.core.model import Look, ParticipantSnapshot, RoomSnapshot, VerdictState
from watchdog.core.suspects import (
    DISAGREEMENTS,
    MOST_LISTED,
    UNKNOWN_SECONDS,
    SuspectRules,
    Suspects,
)

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
ROOM = RoomSnapshot("RM_1", "r", START)
FOUR_HOURS = SuspectRules().after


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def look(suspects: Suspects, seconds: float, *people: ParticipantSnapshot, attended: bool) -> bool:
    seen = Look("RM_1", at(seconds), at(seconds), people)
    verdict = classify(people)
    suspects.note_verdict("RM_1", verdict.state, seconds)
    return suspects.note_look(ROOM, seen, verdict, seconds, attended=attended, skew=0.0)


def person(identity: str = "alice", *, joined: float = 0.0, tracks: int = 0) -> ParticipantSnapshot:
    return ParticipantSnapshot(f"PA_{identity}", identity, joined_at=at(joined), tracks=tracks)


def reasons(suspects: Suspects, seconds: float) -> list[str]:
    return [s.reason for s in suspects.take(at(seconds), seconds, lambda _: "r").oldest]


@pytest.mark.parametrize(
    ("age", "found"),
    [(FOUR_HOURS - 1, []), (FOUR_HOURS, []), (FOUR_HOURS + 1, ["silent"])],
)
def test_for_more_than_four_hours(age, found):
    suspects = Suspects()
    look(suspects, age, person(), attended=False)
    assert reasons(suspects, age) == found


@pytest.mark.parametrize(
    ("seconds", "found"),
    [(UNKNOWN_SECONDS - 1, []), (UNKNOWN_SECONDS, []), (UNKNOWN_SECONDS + 1, ["unknown"])],
)
def test_unknown_for_more_than_ten_minutes(seconds, found):
    suspects = Suspects()
    suspects.note_verdict("RM_1", VerdictState.UNKNOWN, 0.0)
    assert reasons(suspects, seconds) == found


def test_a_bot_that_publishes_is_bot_like_and_a_silent_bot_is_listed_once_as_such():
    suspects = Suspects()
    look(suspects, FOUR_HOURS + 1, person("BOT-1", tracks=2), attended=False)
    assert reasons(suspects, FOUR_HOURS + 1) == ["bot_like"]
    look(suspects, FOUR_HOURS + 2, person("BOT-1"), attended=True)
    assert reasons(suspects, FOUR_HOURS + 2) == ["bot_like"]


def test_what_was_published_once_counts_for_the_whole_stretch():
    suspects = Suspects()
    attended = look(suspects, 10, person(tracks=1), attended=False)
    look(suspects, FOUR_HOURS * 2, person(), attended=attended)
    assert reasons(suspects, FOUR_HOURS * 2) == []


def test_no_room_is_suspected_for_longer_than_it_exists():
    suspects = Suspects()
    look(suspects, 60, person(joined=-10 * FOUR_HOURS), attended=False)
    assert reasons(suspects, 60) == []


def test_a_look_that_shows_nobody_ends_the_stretch():
    suspects = Suspects()
    look(suspects, FOUR_HOURS + 1, person(), attended=False)
    assert look(suspects, FOUR_HOURS + 2, attended=True) is False
    assert reasons(suspects, FOUR_HOURS + 2) == []


def test_a_count_disagrees_at_the_third_time_and_an_explained_one_ends_it():
    suspects = Suspects()
    told = [suspects.note_disagreement("RM_1", n) for n in range(DISAGREEMENTS)]
    assert told == [False] * (DISAGREEMENTS - 1) + [True]
    assert reasons(suspects, 10) == ["count_disagrees"]
    suspects.note_agreement("RM_1")
    assert reasons(suspects, 11) == []


def test_the_oldest_are_named_and_all_are_counted():
    suspects = Suspects()
    for n in range(MOST_LISTED + 50):
        suspects.note_verdict(f"RM_{n}", VerdictState.UNKNOWN, float(n))
    told = suspects.take(at(2000), 2000.0, lambda sid: sid)
    assert [s.room_sid for s in told.oldest] == [f"RM_{n}" for n in range(MOST_LISTED)]
    assert told.counts["unknown"] == MOST_LISTED + 50
    assert len(told.new) == MOST_LISTED
    assert suspects.take(at(2001), 2001.0, lambda sid: sid).new == ()
