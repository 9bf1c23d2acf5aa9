"""Watched time (A9) and lists that can be believed (A1)."""

from datetime import UTC, datetime, timedelta

import pytest

from watchdog.core.watch import ListTrust, Trust, Watch

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT = 30.0  # two polls of 15 s


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def test_time_between_good_ticks_is_watched():
    watch = Watch()
    for t in (0, 15, 30, 45):
        watch = watch.good(t, at(t), LIMIT)
    assert (watch.watched, watch.blind) == (45, 0)


@pytest.mark.rule("A9")
def test_a9_a_stretch_of_more_than_two_polls_without_a_good_tick_is_not_watched():
    watch = Watch().good(0, at(0), LIMIT).good(30, at(30), LIMIT).good(60.1, at(60.1), LIMIT)
    assert watch.watched == 30
    assert watch.blind == pytest.approx(30.1)


@pytest.mark.trap("T36")
@pytest.mark.parametrize("jump", [-86400, -60, 60, 86400])
def test_t36_a_jump_of_the_wall_clock_moves_no_age(jump):
    watch = Watch().good(0, at(0), LIMIT).good(15, at(15 + jump), LIMIT)
    assert (watch.watched, watch.blind) == (15, 0)


@pytest.mark.trap("T37")
def test_t37_downtime_is_blind_and_not_watched():
    restarted = Watch(watched=600, blind=5, good_wall=T0).good(2, at(3600), LIMIT)
    assert (restarted.watched, restarted.blind) == (600, 3605)


@pytest.mark.trap("T37")
def test_t37_a_restart_within_two_polls_is_watched():
    restarted = Watch(watched=600, blind=0, good_wall=T0).good(2, at(20), LIMIT)
    assert (restarted.watched, restarted.blind) == (620, 0)


@pytest.mark.trap("T37")
def test_t37_a_clock_set_back_over_a_restart_counts_for_nothing():
    restarted = Watch(watched=600, blind=0, good_wall=T0).good(2, at(-500), LIMIT)
    assert (restarted.watched, restarted.blind) == (600, 0)


@pytest.mark.rule("A1")
def test_a1_suspicious_lists_that_are_agreed_with_were_good_ones():
    watch = Watch().good(0, at(0), LIMIT).suspicious(15, LIMIT).suspicious(30, LIMIT)
    assert watch.watched == 0
    agreed = watch.good(45, at(45), LIMIT, agreed=True)
    assert (agreed.watched, agreed.blind) == (45, 0)


@pytest.mark.rule("A1")
def test_a1_suspicious_lists_that_are_not_agreed_with_were_no_watching():
    watch = Watch().good(0, at(0), LIMIT).suspicious(15, LIMIT).suspicious(30, LIMIT)
    refuted = watch.good(45, at(45), LIMIT)
    assert (refuted.watched, refuted.blind) == (0, 45)


def test_failed_ticks_between_agreeing_lists_stay_blind():
    watch = Watch().good(0, at(0), LIMIT).suspicious(15, LIMIT).suspicious(100, LIMIT)
    agreed = watch.good(115, at(115), LIMIT, agreed=True)
    assert (agreed.watched, agreed.blind) == (30, 85)


@pytest.mark.rule("A1")
@pytest.mark.trap("T02")
def test_t02_a1_an_empty_list_is_believed_only_when_two_later_ones_agree():
    trust = ListTrust()
    verdicts = [trust.judge(n) for n in (8, 0, 0, 0, 0)]
    assert verdicts == [
        Trust.GOOD,
        Trust.SUSPICIOUS,
        Trust.SUSPICIOUS,
        Trust.AGREED,
        Trust.GOOD,
    ]


@pytest.mark.rule("A1")
@pytest.mark.parametrize(
    ("length", "expected"), [(51, Trust.GOOD), (50, Trust.GOOD), (49, Trust.SUSPICIOUS)]
)
def test_a1_a_list_that_fell_by_more_than_max_drop_is_suspicious(length, expected):
    trust = ListTrust(max_drop=0.5)
    trust.judge(100)
    assert trust.judge(length) is expected


@pytest.mark.rule("A1")
def test_a1_a_list_that_comes_back_ends_the_suspicion():
    trust = ListTrust()
    assert [trust.judge(n) for n in (10, 0, 10, 0, 0, 0)][1:] == [
        Trust.SUSPICIOUS,
        Trust.GOOD,
        Trust.SUSPICIOUS,
        Trust.SUSPICIOUS,
        Trust.AGREED,
    ]


@pytest.mark.rule("A1")
def test_a1_lists_that_go_on_falling_do_not_agree_with_each_other():
    trust = ListTrust()
    verdicts = [trust.judge(n) for n in (100, 40, 15, 5, 5, 5)]
    assert verdicts[1:] == [Trust.SUSPICIOUS] * 4 + [Trust.AGREED]


def test_a_project_that_never_had_a_room_is_not_suspicious():
    trust = ListTrust()
    assert [trust.judge(0) for _ in range(3)] == [Trust.GOOD] * 3
