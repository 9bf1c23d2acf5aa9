"""Bounds: what one observation may and may not move (A5, A6, A7)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.classify import DetectionRules, classify
from watchdog.core.episodes import (
    close_episode,
    open_episode,
    seen_empty,
    seen_orphaned,
    shift_episode,
    still_there,
)
from watchdog.core.hooks import EventKind, Moment, RoomEvent, moment_of
from watchdog.core.model import CloseReason, Look, ParticipantSnapshot, RoomSnapshot

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROOM = RoomSnapshot("RM_1", "r", T0)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def look(asked: float, *sids: str, took: float = 1.0) -> Look:
    agents = tuple(ParticipantSnapshot(s, f"agent-{s}", kind="AGENT") for s in sids)
    return Look("RM_1", at(asked), at(asked + took), agents)


def opened(asked: float, *sids: str, attended: float | None = None):
    first = look(asked, *sids)
    return open_episode(
        "ep",
        "p",
        ROOM,
        first,
        classify(first.participants),
        last_attended_at=None if attended is None else at(attended),
        person_seen=None,
        watched=0.0,
    )


def left_at(seconds: float, *sids: str) -> dict[str, Moment]:
    return {sid: Moment(at(seconds), at(seconds + 1)) for sid in sids}


def seen(episode, asked: float, *sids: str):
    again = look(asked, *sids)
    return seen_orphaned(episode, again, classify(again.participants))


@pytest.mark.rule("A5")
def test_a5_a_lower_bound_takes_the_asking_and_an_upper_bound_the_answer():
    episode = opened(10, "PA_1", attended=0)
    assert episode.bounds.last_attended_at == at(0)
    assert episode.bounds.first_orphaned_at == at(11)
    assert episode.bounds.last_seen_orphaned_at == at(10)
    assert episode.bounds.first_gone_at is None


@pytest.mark.rule("A5")
def test_a5_another_look_moves_only_last_seen_and_calls_nothing_changed():
    episode, changed = seen(opened(10, "PA_1"), 70, "PA_1")
    assert not changed
    assert episode.bounds.first_orphaned_at == at(11)
    assert episode.bounds.last_seen_orphaned_at == at(70)
    assert episode.agents[0].bounds.last_seen_orphaned_at == at(70)


@pytest.mark.rule("A5")
def test_a5_an_agent_that_leaves_and_one_that_comes_have_bounds_of_their_own():
    episode, changed = seen(opened(10, "PA_1"), 70, "PA_2")
    assert changed
    gone, newcomer = episode.agents
    assert gone.bounds.first_gone_at == at(71)
    assert gone.bounds.last_seen_orphaned_at == at(10)
    assert newcomer.bounds.last_attended_at == at(10), "it was not there at the look before"
    assert newcomer.bounds.first_orphaned_at == at(71)


@pytest.mark.rule("A1")
def test_a1_an_agent_missing_from_one_answer_and_back_had_never_left():
    episode, _ = seen(opened(10, "PA_1", "PA_2"), 70, "PA_1")
    episode, changed = seen(episode, 130, "PA_1", "PA_2")
    assert changed
    assert [s.participant_sid for s in episode.agents] == ["PA_1", "PA_2"]
    assert all(s.bounds.first_gone_at is None for s in episode.agents)
    assert episode.agents[1].bounds.first_orphaned_at == at(11)


@pytest.mark.rule("A7")
def test_a7_empty_ends_the_agents_and_not_the_episode():
    episode, changed = seen_empty(opened(10, "PA_1"), at(80))
    assert changed
    assert episode.is_open
    assert episode.present_agents == ()
    assert seen_empty(episode, at(90)) == (episode, False)


@pytest.mark.rule("A7")
def test_a7_closing_closes_every_agent_that_was_still_there():
    episode, _ = seen(opened(10, "PA_1"), 70, "PA_2")
    closed = close_episode(episode, at(100), CloseReason.ROOM_GONE)
    assert not closed.is_open
    assert closed.bounds.first_gone_at == at(100)
    assert [s.bounds.first_gone_at for s in closed.agents] == [at(71), at(100)]


@pytest.mark.rule("A5")
def test_a5_an_end_never_lies_before_the_last_sight():
    closed = close_episode(opened(10, "PA_1"), at(-50), CloseReason.ROOM_GONE)
    assert closed.bounds.first_gone_at == closed.bounds.last_seen_orphaned_at


@given(st.floats(-90_000, 90_000))
def test_a_clock_that_was_set_changes_no_length(seconds):
    by = timedelta(seconds=seconds)
    episode, _ = seen(opened(10, "PA_1", attended=0), 70, "PA_2")
    moved = shift_episode(episode, by)
    assert moved.bounds.first_orphaned_at - episode.bounds.first_orphaned_at == by
    for before, after in zip(episode.agents, moved.agents, strict=True):
        assert after.bounds.first_orphaned_at - before.bounds.first_orphaned_at == by
        assert after.joined_at == before.joined_at, "the server's clock was not set"
    assert shift_episode(moved, -by) == episode


@pytest.mark.trap("T10")
def test_t10_an_avatar_goes_by_the_name_of_the_agent_it_publishes_for():
    agent = ParticipantSnapshot("PA_1", "agent-1", kind="AGENT", agent_name="coach")
    avatar = ParticipantSnapshot("PA_2", "tavus", kind="AGENT", on_behalf_of="agent-1")
    first = Look("RM_1", at(0), at(1), (avatar, agent))
    episode = open_episode(
        "ep",
        "p",
        ROOM,
        first,
        classify(first.participants),
        last_attended_at=None,
        person_seen=None,
        watched=0.0,
    )
    assert [(s.role, s.agent_name) for s in episode.agents] == [
        ("avatar", "coach"),
        ("agent", "coach"),
    ]


@pytest.mark.rule("A6")
def test_a6_a_webhooks_time_is_its_arrival_less_its_measured_delay():
    told = webhook(arrived_at=at(100), created_at=at(107))
    assert moment_of(told, skew=10.0) == Moment(at(97), at(98))
    assert moment_of(told, skew=0.0) == Moment(at(100), at(100))


@pytest.mark.rule("A6")
def test_a6_a_delay_that_cannot_be_measured_gives_no_time():
    assert moment_of(webhook(arrived_at=at(100), created_at=at(97)), skew=None) is None
    assert moment_of(webhook(arrived_at=at(100), created_at=None), skew=0.0) is None


@pytest.mark.rule("A6")
def test_a6_a_webhooks_time_is_never_before_the_last_look_that_showed_a_person():
    moment = Moment(at(70), at(100))
    assert moment.not_before(at(90)) == Moment(at(90), at(100))
    assert moment.not_before(at(60)) == moment
    assert moment.not_before(at(120)) == Moment(at(120), at(120))


def webhook(**times) -> RoomEvent:
    return RoomEvent("EV_1", EventKind.LEFT, "RM_1", "r", **times)


def test_a_recording_is_followed_beside_the_agents_and_goes_by_the_first_agents_name():
    def seen_with(episode, asked: float, *more: ParticipantSnapshot):
        agent = ParticipantSnapshot("PA_1", "agent-1", kind="AGENT", agent_name="support")
        again = Look("RM_1", at(asked), at(asked + 1), (*more, agent))
        return seen_orphaned(episode, again, classify(again.participants))

    recorder = ParticipantSnapshot("EG_1", "EG_x", kind="EGRESS")
    episode, changed = seen_with(opened(10, "PA_1"), 25, recorder)
    assert changed
    (recording,) = episode.recordings
    assert (recording.agent_name, recording.bounds.first_orphaned_at) == ("support", at(26))
    assert [agent.participant_sid for agent in episode.agents] == ["PA_1"]
    assert [c.participant_sid for c in episode.connections] == ["PA_1", "EG_1"]
    episode, changed = seen_with(episode, 40)
    assert changed
    assert episode.recordings[0].bounds.first_gone_at == at(41)
    closed = close_episode(seen_with(episode, 55, recorder)[0], at(70), CloseReason.ROOM_GONE)
    assert closed.recordings[0].bounds.first_gone_at == at(70)
    assert shift_episode(closed, timedelta(seconds=5)).recordings[0].bounds.first_gone_at == at(75)


def test_a_leg_that_is_no_person_goes_by_the_name_of_the_agent_beside_it():
    participants = (
        ParticipantSnapshot("PA_S", "sip_49", kind="SIP"),
        ParticipantSnapshot("PA_1", "agent-1", kind="AGENT", agent_name="support"),
    )
    first = Look("RM_1", at(0), at(1), participants)
    verdict = classify(participants, DetectionRules(not_persons=frozenset({"SIP"})))
    episode = open_episode(
        "ep", "p", ROOM, first, verdict, last_attended_at=None, person_seen=None, watched=0.0
    )
    assert [(a.kind, a.agent_name) for a in episode.agents] == [
        ("SIP", "support"),
        ("AGENT", "support"),
    ]


# ---- who left, as webhooks told --------------------------------------------------------------------


@pytest.mark.rule("A5")
def test_a5_an_agent_was_there_until_it_was_told_to_have_left():
    again = look(60, "PA_1")
    episode = opened(0, "PA_1", "PA_2")
    episode, _ = seen_orphaned(
        episode, again, classify(again.participants), left_at(40, "PA_1", "PA_2")
    )
    here, gone = (span.bounds for span in episode.agents)
    assert (here.last_seen_orphaned_at, here.first_gone_at) == (at(60), None)
    assert (gone.last_seen_orphaned_at, gone.first_gone_at) == (at(40), at(41))


@pytest.mark.rule("A5")
def test_a5_the_last_agent_that_left_dates_the_last_time_the_room_was_seen_orphaned():
    episode, _ = seen_empty(opened(0, "PA_1", "PA_2"), at(60), left_at(40, "PA_1"))
    told, untold = (span.bounds for span in episode.agents)
    assert (told.last_seen_orphaned_at, told.first_gone_at) == (at(40), at(41))
    assert (untold.last_seen_orphaned_at, untold.first_gone_at) == (at(0), at(60))
    assert episode.bounds.last_seen_orphaned_at == at(40)


@pytest.mark.rule("A5")
@pytest.mark.parametrize(("came", "last"), [(None, 0), (30, 30), (50, 40)])
def test_a5_an_agent_that_left_is_known_to_have_been_alone_until_a_person_came(came, last):
    until = None if came is None else at(came)
    closed = close_episode(
        opened(0, "PA_1"), at(60), CloseReason.PERSON_RETURNED, left_at(40, "PA_1"), until
    )
    assert closed.agents[0].bounds.last_seen_orphaned_at == at(last)
    assert closed.agents[0].bounds.first_gone_at == at(41)
    assert closed.bounds.last_seen_orphaned_at == at(last)
    assert closed.bounds.first_gone_at == at(60)


@pytest.mark.rule("A6")
def test_a6_a_departure_told_of_before_the_last_look_moves_nothing_back():
    closed = close_episode(
        opened(50, "PA_1"), at(60), CloseReason.ROOM_GONE, left_at(20, "PA_1"), at(60)
    )
    assert closed.agents[0].bounds.last_seen_orphaned_at == at(50)
    assert closed.agents[0].bounds.first_gone_at == at(50)


@pytest.mark.rule("A1")
def test_a1_an_agent_that_two_empty_answers_lacked_and_a_later_look_shows_had_never_left():
    episode, _ = seen_empty(opened(0, "PA_1", "PA_2"), at(60))
    closed = close_episode(
        still_there(episode, classify(look(90, "PA_1").participants)),
        at(91),
        CloseReason.PERSON_RETURNED,
    )
    here, gone = (span.bounds for span in closed.agents)
    assert (here.last_seen_orphaned_at, here.first_gone_at) == (at(0), at(91))
    assert gone.first_gone_at == at(60)
