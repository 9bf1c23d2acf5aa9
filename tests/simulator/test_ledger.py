"""The ledger is exact: it always agrees with a second book, kept second by second."""

from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog.core.model import Role
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.ledger import AGENTS, Span
from watchdog.simulator.world import World

SECONDS = 120
KINDS = ({}, {"kind": "AGENT"}, {"agent": True}, {"kind": "EGRESS"}, {"hidden": True}, {"kind": 9})

steps = st.lists(
    st.tuples(
        st.integers(0, SECONDS - 1),
        st.sampled_from(["join", "join", "join", "leave", "leave", "delete", "strand"]),
        st.sampled_from(["r", "s"]),
        st.integers(0, len(KINDS) - 1),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, departure_timeout=st.sampled_from([3, 20, 1000]))
def test_every_span_of_the_ledger_is_what_a_book_kept_each_second_says(
    steps: list, departure_timeout: int
):
    clock = VirtualClock()
    world = World(clock)
    begin = world.now()
    book: dict[str, list[bool]] = {}
    for second in range(SECONDS):
        clock.advance(0.5 if second else 0)
        for _, what, name, who in [s for s in steps if s[0] == second]:
            identity = f"p{who}"
            if what == "join":
                world.join(name, identity, departure_timeout=departure_timeout, **KINDS[who])
            elif what == "leave":
                world.leave(name, identity)
            elif name in world.rooms:
                (world.delete_room if what == "delete" else world.strand)(name)
        # What holds in the open interval up to the next second.
        clock.advance(0.5)
        for room in world.rooms.values():
            roles = {p.role for p in room.participants.values() if p.alive}
            line = book.setdefault(room.sid, [False] * SECONDS)
            line[second] = bool(roles & AGENTS) and Role.PERSON not in roles

    for sid, line in book.items():
        assert world.ledger.orphaned_spans(sid) == spans_of(line, begin)
    for stay in world.ledger.stays():
        end = world.ledger.rooms[stay.room_sid].ended_at
        assert stay.left_at is None or stay.joined_at <= stay.left_at
        assert end is None or (stay.left_at is not None and stay.left_at <= end)


def spans_of(line: list[bool], begin: datetime) -> list[Span]:
    """The runs of True, as spans; one that lasts to the end of the book is still going on."""
    spans: list[Span] = []
    for second, orphaned in enumerate(line):
        if orphaned and (second == 0 or not line[second - 1]):
            spans.append(Span(begin + timedelta(seconds=second), None))
        elif not orphaned and second and line[second - 1]:
            spans[-1] = Span(spans[-1].start, begin + timedelta(seconds=second))
    return spans


def test_persons_and_presence_are_told_for_any_instant():
    clock = VirtualClock()
    world = World(clock)
    world.join_agent("r", "coach")
    sid = world.room("r").sid
    clock.advance(10)
    world.join("r", "alice")
    came = world.now()
    clock.advance(10)
    world.leave("r", "alice")
    went = world.now()

    ledger = world.ledger
    just_before = timedelta(microseconds=1)
    assert [s.identity for s in ledger.persons(sid, came)] == ["alice"]
    assert ledger.persons(sid, came - just_before) == []
    assert [s.identity for s in ledger.persons(sid, went - just_before)] == ["alice"]
    assert ledger.persons(sid, went) == []
    assert len(ledger.present(sid, came)) == 2
    assert ledger.orphaned_spans(sid) == [
        Span(came - timedelta(seconds=10), came),
        Span(went, None),
    ]
