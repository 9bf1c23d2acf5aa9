"""The sweep: whoever waits longest first; rooms that no policy can act on yet come last (SAFETY F)."""

from datetime import UTC, datetime, timedelta

import pytest

from watchdog.core.budget import Purpose
from watchdog.core.model import RoomListing, RoomSnapshot
from watchdog.core.rooms import RoomBook
from watchdog.core.watch import Trust

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)


def listing(**ages: float) -> RoomListing:
    """Rooms by name with what they count in seconds, in this order."""
    rooms = {
        f"RM_{name}": RoomSnapshot(
            f"RM_{name}",
            name,
            NOW - timedelta(seconds=age),
            empty_timeout=300,
            departure_timeout=20,
            num_participants=1,
        )
        for name, age in ages.items()
    }
    return RoomListing(NOW, NOW, rooms)


def swept(book: RoomBook, at: float) -> list[str]:
    return [q.sid.removeprefix("RM_") for q in book.looks.questions(Purpose.SWEEP, at)]


@pytest.mark.rule("F")
def test_f_rooms_that_no_policy_can_act_on_yet_are_swept_after_all_others():
    book = RoomBook(15.0, least_grace=60.0)
    book.note_list(listing(young=20, old=60, ancient=9000), Trust.GOOD, 100.0)
    assert swept(book, 100.0) == ["old", "ancient", "young"]
    assert swept(book, 139.0) == ["old", "ancient", "young"]
    assert swept(book, 141.0) == ["young", "old", "ancient"], "it is as old as the grace by now"


@pytest.mark.rule("F")
def test_f_a_young_room_that_was_looked_at_waits_for_old_ones_that_were_not():
    book = RoomBook(15.0, least_grace=600.0)
    book.note_list(listing(young=0), Trust.GOOD, 0.0)
    book.looks.looked("RM_young", 0.0, orphaned=False)
    book.note_list(listing(young=0, old=3000), Trust.GOOD, 200.0)
    assert swept(book, 200.0) == ["old", "young"]
