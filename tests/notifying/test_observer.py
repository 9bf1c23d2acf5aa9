"""What a project's reports make people hear of: once, until it is over, and without what is private."""

from dataclasses import replace

import pytest

from tests.expose.builders import NASTY, at, closed, failed, orphan, report, usd
from watchdog.core.deletion import AuditEntry, AuditKind, Outcome
from watchdog.core.gates import Word
from watchdog.core.model import CloseReason, TickResult
from watchdog.core.policy import Action
from watchdog.expose.labels import RoomNames
from watchdog.notifying.notices import Kind, Level
from watchdog.notifying.observer import Observer, Telling

OBSERVING = Word("mode", False, "mode observe deletes nothing")
ARMING = Word("armed", False, "1 looks of 2 since it became due, 0 s of 30 apart")


def told(*steps, **telling):
    """What one observer tells of these reports, each at its time in seconds."""
    observer = Observer(Telling(**telling))
    return [observer.take(one, now) for now, one in steps]


def lines(*steps, **telling):
    return [[n.line for n in notices] for notices in told(*steps, **telling)]


def due(number=1, *, held=OBSERVING, age=700.0, **more):
    view = orphan(number, age=age, policy="default", due_age=600, **more)
    return replace(view, words=(held,) if held else ())


def outcome(kind, number=1, *, room="call-1", actor="policy", why=""):
    return AuditEntry(
        at(0),
        "prod",
        AuditKind.OUTCOME,
        actor=actor,
        room_name=room,
        episode=f"ep-{number:05d}",
        policy="default",
        outcome=kind,
        why=why,
    )


def held_by(gate, why="so it is"):
    return report(holds=(Word(gate, False, why),))


# ---- rooms ------------------------------------------------------------------------------------------


def test_a_room_that_nothing_will_end_is_told_of_once_it_is_past_its_threshold():
    before = orphan(age=500, policy="default", due_age=600)
    [nothing, [notice], again] = told(
        (0, report(1, orphans=(before,))),
        (15, report(2, orphans=(due(spend=usd("0.0123", "0.02")),))),
        (30, report(3, orphans=(due(age=715),))),
    )
    assert (nothing, again) == ([], [])
    assert (notice.topic.kind, notice.topic.level) == (Kind.STRANDED, Level.WARNING)
    assert notice.topic.heading == (
        "rooms with agents alone, past their policy's threshold and not deleted"
    )
    assert notice.line == (
        "call-1: support alone for 11m 40s, estimated spend $0.0123 to $0.02, policy default, "
        "held by mode"
    )


def test_a_room_that_is_about_to_be_deleted_is_told_of_only_where_it_stays():
    armed = due(held=ARMING)
    [first, later, at_last] = told(
        (0, report(1, orphans=(armed,))),
        (285, report(2, orphans=(armed,))),
        (300, report(3, orphans=(armed,))),
    )
    assert (first, later) == ([], [])
    assert "held by armed" in at_last[0].line


def test_a_room_that_a_policy_keeps_is_nobodys_business():
    kept = orphan(age=99999, policy="vip", action=Action.KEEP)
    assert lines((0, report(orphans=(kept,))), (999, report(orphans=(kept,)))) == [[], []]


def test_a_room_whose_policy_warns_is_told_of():
    warned = replace(
        orphan(age=700, policy="transfer", action=Action.WARN),
        words=(Word("action", False, "policy transfer asks to warn"),),
    )
    [[line]] = lines((0, report(orphans=(warned,))))
    assert "policy transfer, held by action" in line


def test_the_same_room_in_another_episode_is_told_of_again():
    steps = [(0, report(1, orphans=(due(1),))), (15, report(2)), (30, report(3, orphans=(due(2),)))]
    assert [len(n) for n in lines(*steps)] == [1, 0, 1]


def test_what_lasts_is_told_again_where_that_is_wished():
    steps = [(now, report(orphans=(due(),))) for now in (0, 3585, 3600, 3615, 7200)]
    assert [len(n) for n in lines(*steps, repeat_after=3600.0)] == [1, 0, 1, 0, 1]


def test_a_failed_tick_ends_nothing_and_so_nothing_is_told_twice():
    steps = [
        (0, report(1, orphans=(due(),))),
        (15, failed(2)),
        (30, report(3, orphans=(due(),))),
    ]
    assert [len(n) for n in lines(*steps)] == [1, 0, 0]


def test_a_room_whose_node_does_not_answer_is_told_of_after_15_minutes():
    dead = due(stranded_since=at(0))
    [first, [notice]] = told((0, report(orphans=(dead,))), (900, report(orphans=(dead,))))
    assert first == []
    assert notice.topic.heading == "rooms that are listed, and whose node does not answer"
    assert "what it costs is unverified" in notice.line


def test_what_has_no_price_is_unpriced_and_never_nothing():
    view = due(spend=usd())
    [[line]] = lines((0, report(orphans=(view,))), unpriced=lambda *_: True)
    assert "estimated spend unpriced" in line
    assert "$0" not in line


# ---- privacy and hostile names ----------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["masked", "hashed"])
def test_a_private_room_name_stands_in_no_notice(policy):
    name = "call-_+4917612345678_x"
    labelled = RoomNames(policy).label(name)
    found = lines(
        (0, report(1, orphans=(due(room=name),))),
        (
            15,
            report(
                2,
                outcomes=(
                    outcome(Outcome.DELETED, 2, room=name),
                    outcome(Outcome.FAILED, 3, room=name, why=f"DeleteRoom: no {name} here"),
                ),
            ),
        ),
        room_names=RoomNames(policy),
    )
    assert [len(n) for n in found] == [1, 2]
    for line in found[0] + found[1]:
        assert name not in line
        assert "4917612345678" not in line
        assert labelled in line


@pytest.mark.parametrize("name", [*NASTY, "<!channel>", "@everyone", "http://evil.example/x"])
def test_a_hostile_name_is_one_harmless_line(name):
    view = due(room=name, agent=name)
    gone = outcome(Outcome.FAILED, room=name, actor=name or "policy", why=name)
    [found] = lines((0, report(orphans=(view,), outcomes=(gone,))))
    assert len(found) == 2
    for line in found:
        assert line.isprintable()
        assert len(line) <= 400
        assert not set("<>@`|[]") & set(line)
        assert "//" not in line
        assert line.encode()


def test_a_short_private_name_is_not_torn_out_of_words():
    entry = outcome(Outcome.FAILED, room="a", why="DeleteRoom: a: no answer at all")
    [[line]] = lines((0, report(outcomes=(entry,))), room_names=RoomNames("masked"))
    assert line == "***: failed, policy default: DeleteRoom: ***: no answer at all"


# ---- deletions --------------------------------------------------------------------------------------


def test_a_deletion_is_told_of_with_how_long_it_took_and_by_whose_will():
    [[by_policy, by_hand]] = told(
        (
            0,
            report(
                changes=(closed(1, lasted=250, reason=CloseReason.DELETED),),
                outcomes=(
                    outcome(Outcome.DELETED),
                    outcome(Outcome.DELETED, 2, room="call-2", actor="alice"),
                ),
            ),
        )
    )
    assert by_policy.line == "call-1 after 4m 10s, policy default"
    assert by_hand.line == "call-2, asked for by alice"
    assert by_policy.topic.level is Level.INFO


@pytest.mark.parametrize(
    "kind",
    [Outcome.FAILED, Outcome.UNKNOWN, Outcome.INEFFECTIVE, Outcome.STRANDED, Outcome.RESURRECTED],
)
def test_a_deletion_that_came_to_nothing_is_told_of_once_an_episode(kind):
    tried = report(1, orphans=(due(held=ARMING),), outcomes=(outcome(kind, why="the node sleeps"),))
    [[line], again] = lines((0, tried), (15, tried))
    assert line == f"call-1: {kind}, policy default: the node sleeps"
    assert again == []


@pytest.mark.parametrize(
    "kind",
    [
        Outcome.ALREADY_GONE,
        Outcome.REPLACED,
        Outcome.PERSON_RETURNED,
        Outcome.ABORTED,
        Outcome.WOULD_DELETE,
    ],
)
def test_what_went_as_it_should_is_not_told(kind):
    assert lines((0, report(outcomes=(outcome(kind),)))) == [[]]


def test_a_deletion_settled_in_a_failed_tick_is_told_of():
    [[line]] = lines((0, failed(outcomes=(outcome(Outcome.DELETED),))))
    assert line.startswith("call-1")


def test_a_person_who_came_right_after_a_deletion_is_the_worst_news():
    odd = report(joined_after_deletion=2, result=TickResult.SUSPICIOUS)
    [[notice], later] = told((0, odd), (15, failed()))
    assert (notice.topic.kind, notice.topic.level, notice.count) == (Kind.JOINED, Level.BAD, 2)
    assert later == []


# ---- holds ------------------------------------------------------------------------------------------


def test_a_hold_is_told_of_after_a_minute_and_again_when_it_is_over():
    why = "11 rooms wait, 0 were deleted in the last hour, more than 10 in one tick"
    held = held_by("limits", why)
    found = told((0, held), (45, held), (60, held), (75, held), (90, report()), (105, report()))
    assert [len(n) for n in found] == [0, 0, 1, 0, 1, 0]
    assert found[2][0].line == f"by gate limits for 1m 00s: {why}"
    assert (found[4][0].line, found[4][0].topic.level) == (
        "by gate limits, after 1m 30s",
        Level.OVER,
    )


def test_a_hold_that_was_over_before_it_was_told_of_is_never_told_of():
    assert lines((0, held_by("limits")), (15, report()), (999, report())) == [[], [], []]


@pytest.mark.parametrize(
    ("gate", "patience"),
    [("sudden_change", 60), ("permitted", 900), ("lock", 900), ("durable", 900), ("paused", 43200)],
)
def test_other_gates_of_a_project_have_the_patience_of_their_alert(gate, patience):
    held = held_by(gate)
    found = lines((0, held), (patience - 1, held), (patience, held))
    assert [len(n) for n in found] == [0, 0, 1]


def test_a_clock_that_was_set_is_told_of_at_once():
    assert len(lines((0, held_by("clock_jump")))[0]) == 1


def test_in_mode_observe_a_pause_stops_nothing():
    held = report(holds=(OBSERVING, Word("paused", False, "paused by alice")))
    assert lines((0, held), (99999, held)) == [[], []]


# ---- sight ------------------------------------------------------------------------------------------


def test_blindness_is_told_of_once_it_has_lasted_and_when_it_is_over():
    found = told(
        (0, report(1)), (15, failed(2)), (285, failed(3)), (300, failed(4)), (600, report(5))
    )
    assert [len(n) for n in found] == [0, 0, 0, 1, 1]
    assert found[3][0].line == (
        "no good tick for 5m 00s, and nothing is deleted meanwhile: ListRooms: no answer within 10 s"
    )
    assert (found[3][0].topic.level, found[4][0].topic.level) == (Level.BAD, Level.OVER)
    assert found[4][0].line == "after 10m 00s"


def test_a_project_that_was_never_observed_is_told_of():
    assert [len(n) for n in lines((0, failed(1)), (300, failed(2)))] == [0, 1]


def test_a_list_that_stays_suspicious_is_blindness_too():
    odd = report(result=TickResult.SUSPICIOUS, error="ListRooms named 0 rooms where 9 were known")
    found = lines((0, report()), (15, odd), (300, odd))
    assert [len(n) for n in found] == [0, 0, 1]
    assert "named 0 rooms where 9 were known" in found[2][0]


def test_a_short_blindness_is_nobodys_business():
    steps = [(0, report()), (15, failed()), (30, report()), (310, failed()), (320, report())]
    assert lines(*steps) == [[]] * 5


# ---- what is wished for -----------------------------------------------------------------------------


def test_only_the_kinds_that_are_wished_for_are_told():
    everything = report(
        orphans=(due(),),
        outcomes=(outcome(Outcome.DELETED, 2), outcome(Outcome.FAILED, 3)),
        joined_after_deletion=1,
        holds=(Word("clock_jump", False, "it was set"),),
    )
    blind = [(0, failed()), (300, failed())]
    for kind in Kind:
        found = told(*blind, (315, everything), events={kind})
        kinds = {notice.topic.kind for notices in found for notice in notices}
        assert kinds == {kind}
