"""What a report adds up: by whatever is asked for, and only what lies in its window."""

from datetime import date
from decimal import Decimal
from itertools import combinations, pairwise

import pytest

from tests.expose.builders import at, episode
from tests.reporting.bills import LINE, case, count, line, rolled, still_open, unpriced
from tests.reporting.test_replay import PRICED, tick
from watchdog.core.model import CloseReason
from watchdog.core.policy import built_in_policies, ordered
from watchdog.core.spend import Spend
from watchdog.reporting.entries import Estimate, case_of
from watchdog.reporting.report import AGES, By, Sums, Tally
from watchdog.reporting.window import Window

before, after = built_in_policies(15.0)
POLICIES = ordered(before, (), after)
DAY = 86400
HISTORY = (
    case(1, [line("1"), line("2", agent_name="avatar")], agents=("support", "avatar")),
    case(2, [line("4")], project="other", policy="vip", began=DAY, gone=DAY + 60),
    case(3, [line("8", "9"), unpriced()], reason=CloseReason.DELETED, began=0, gone=2 * DAY),
    still_open(4, [line("16")], began=DAY, upto=DAY + 600, policy="default", person_seen=False),
)


def report(*cases, window: Window = Window(), by=(By.PROJECT, By.AGENT), **more):  # noqa: B008
    tally = Tally(window, by, **more)
    for one in cases:
        tally.case(one)
    return tally.report()


def low(sums: Sums) -> Decimal:
    return sums.spend.low


# ---- sums ------------------------------------------------------------------------------------------


def test_the_total_is_the_sum_of_all_lines():
    found = report(*HISTORY)
    assert found.totals.spend == Spend(Decimal(31), Decimal(32))
    assert (found.totals.episodes, found.totals.never_attended) == (4, 1)
    assert found.totals.orphaned_seconds == 100 + 60 + 2 * DAY + 600


@pytest.mark.parametrize("by", [set_ for n in (1, 2, 5) for set_ in combinations(By, n)])
def test_however_they_are_grouped_groups_add_up_to_the_total(by):
    found = report(*HISTORY, by=by)
    sums = list(found.groups.values())
    assert sum((s.spend for s in sums), Spend()) == found.totals.spend
    for field in ("episodes", "never_attended", "orphaned_seconds", "unpriced"):
        assert sum(getattr(s, field) for s in sums) == getattr(found.totals, field)
    assert all(len(key) == len(by) for key in found.groups)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (By.PROJECT, {"prod": 27, "other": 4}),
        (By.AGENT, {"support": 29, "avatar": 2}),
        (By.POLICY, {"default": 27, "vip": 4}),
        (By.DAY, {"2026-09-01": 5, "2026-09-02": 24, "2026-09-03": 2}),
        (By.CLOSE_REASON, {"open": 16, "deleted": 8, "person_returned": 7}),
    ],
)
def test_sums_are_grouped_by_what_is_asked_for(by, groups):
    found = report(*HISTORY, by=(by,))
    assert {key[0]: low(sums) for key, sums in found.groups.items()} == groups
    assert list(found.groups) == [
        (name,) for name in groups
    ]  # by day in order, else the dearest first


def test_days_are_in_order_whatever_else_is_asked_for():
    found = report(*HISTORY, by=(By.PROJECT, By.DAY))
    days = [day for _, day in found.groups]
    assert days == sorted(days)


def test_spend_by_day_is_there_for_the_picture():
    days = report(*HISTORY).days
    assert {day: spend.low for day, spend in days.items()} == {
        date(2026, 9, 1): 5,
        date(2026, 9, 2): 24,
        date(2026, 9, 3): 2,
    }


# ---- the window ------------------------------------------------------------------------------------


def test_an_episode_counts_with_the_share_of_its_time_in_the_window():
    found = report(HISTORY[2], window=Window(at(DAY), at(DAY + DAY / 4)))
    assert (found.totals.spend.low, found.totals.spend.high) == (1, Decimal("1.125"))
    assert found.totals.orphaned_seconds == DAY / 4
    assert found.totals.episodes == 0  # it began before


def test_windows_that_meet_share_everything():
    edges = (None, at(50), at(DAY), at(DAY + 30), at(3 * DAY), None)
    parts = [report(*HISTORY, window=Window(a, b)) for a, b in pairwise(edges)]
    whole = report(*HISTORY)
    assert sum((p.totals.spend for p in parts), Spend()) == whole.totals.spend
    assert sum(p.totals.unpriced for p in parts) == whole.totals.unpriced
    assert sum(p.totals.episodes for p in parts) == whole.totals.episodes


def test_what_lies_outside_leaves_no_trace():
    found = report(*HISTORY, window=Window(at(-200), at(-100)))
    assert (found.totals, found.groups, found.rooms, found.agents) == (Sums(), {}, (), ())
    assert not any(found.ages)


def test_an_open_episode_counts_until_the_newest_tick():
    found = report(HISTORY[3], window=Window(at(DAY + 300), at(DAY + 900)))
    assert low(found.totals) == 8


# ---- without a price -------------------------------------------------------------------------------


def test_what_has_no_price_is_listed_in_seconds_and_is_never_zero_dollars():
    found = report(case(1, [line("1"), unpriced(seconds=10800)]))
    assert found.totals.unpriced == 10800
    (meter,) = [m for m in found.meters if not m.priced]
    assert (meter.meter, meter.seconds, meter.quota) == ("lk.ingress", 10800, False)


def test_under_plan_build_an_allowance_is_used_up_instead():
    built = [
        unpriced("lk.agent_session", 600, plan="build"),
        line("0.5", meter="deepgram.nova-3", plan="list"),
        unpriced("simli.avatar", 60, plan="list"),
    ]
    found = report(case(1, built))
    assert (found.totals.quota, found.totals.unpriced, low(found.totals)) == (
        600,
        60,
        Decimal("0.5"),
    )
    assert {m.meter: m.quota for m in found.meters if not m.priced} == {
        "lk.agent_session": True,
        "simli.avatar": False,
    }


# ---- rooms and ages --------------------------------------------------------------------------------


def test_only_the_dearest_rooms_are_kept_the_dearest_first():
    many = [case(n, [line(str(n % 7))], room=f"call-{n}") for n in range(1, 50)]
    found = report(*many, top=3)
    assert [room.spend.low for room in found.rooms] == [6, 6, 6]
    assert [r.case.episode.room_name for r in found.rooms] == ["call-6", "call-13", "call-20"]
    assert report(*many, top=0).rooms == ()


def test_a_room_counts_with_what_it_cost_in_the_window():
    long, short = case(1, [line("10")], gone=1000), case(2, [line("2")], began=900, gone=1000)
    rooms = report(long, short, window=Window(at(900))).rooms
    assert [(r.case.episode.id, r.spend.low) for r in rooms] == [("ep-00002", 2), ("ep-00001", 1)]


def test_ages_are_counted_in_classes():
    ages = (0, 59, 60, 299, 3600, 90_000)
    found = report(*(case(n, gone=age) for n, age in enumerate(ages, start=1)))
    counted = {name: n for (name, _), n in zip(AGES, found.ages, strict=True) if n}
    assert counted == {"< 1m": 2, "1-5m": 2, "1-2h": 1, "> 1d": 1}


# ---- history that was rolled up --------------------------------------------------------------------


def test_history_rolled_up_by_day_goes_in_beside_episodes():
    tally = Tally(Window())
    tally.case(case(1, [line("1")]))
    tally.rolled([rolled("2026-08-01", line("2"))], [count("2026-08-01", 5, 900, never=2)])
    found = tally.report()
    assert low(found.totals) == 3
    assert (found.totals.episodes, found.totals.never_attended) == (6, 2)
    assert found.totals.orphaned_seconds == 1000
    assert (len(found.rooms), sum(found.ages)) == (1, 1)


def test_a_day_that_is_cut_counts_pro_rata_once_it_is_rolled_up():
    def half(window: Window) -> Sums:
        tally = Tally(window)
        tally.rolled([rolled("2026-09-01", line("2"))], [count("2026-09-01", 5, 900)])
        return tally.report().totals

    morning, evening = half(Window(None, at(0))), half(Window(at(0)))
    assert (low(morning), low(evening)) == (1, 1)
    assert (morning.orphaned_seconds, evening.orphaned_seconds) == (450, 450)
    assert (morning.episodes, evening.episodes) == (5, 0)  # counted where the midnight lies


# ---- with which prices -----------------------------------------------------------------------------


def test_a_closed_episode_keeps_the_prices_of_then():
    one = episode(gone=100, policy="default")
    made = case_of(one, (LINE,), tick(1000), PRICED, POLICIES)
    assert (made.lines, made.estimate, made.upto) == ((LINE,), Estimate.BOOKED, at(100))


def test_an_open_one_is_reckoned_until_the_newest_tick_and_asks_the_policies():
    one = episode(seen=100)
    made = case_of(one, (LINE,), tick(160), PRICED, POLICIES)
    (found,) = made.lines
    assert (found.spend.low, found.spend.high) == (1, Decimal("1.6"))  # last seen at 100 s
    assert (made.estimate, made.upto, made.episode.policy) == (Estimate.RUNNING, at(160), "default")


def test_a_closed_one_ends_where_it_was_last_seen_if_nothing_else_is_known():
    one = episode(seen=100, reason=CloseReason.ROOM_GONE, policy="default")
    assert case_of(one, (LINE,), tick(9000), PRICED, POLICIES).stretch == (at(0), at(100))


def test_one_that_is_older_than_the_ledger_is_reckoned_with_todays_prices():
    made = case_of(episode(gone=100), (), tick(1000), PRICED, POLICIES)
    assert (made.lines[0].spend.low, made.estimate) == (1, Estimate.TODAYS_PRICES)


def test_one_that_cost_nothing_when_it_closed_is_not_reckoned_anew():
    free = episode(gone=100, policy="default")
    made = case_of(free, (), tick(1000), PRICED, POLICIES)
    assert (made.lines, made.estimate) == ((), Estimate.BOOKED)


def test_of_a_project_that_is_not_configured_only_what_is_written_counts():
    over, running = episode(gone=100), episode(seen=100)
    assert case_of(over, (LINE,), None, None, POLICIES).estimate is Estimate.BOOKED
    assert case_of(over, (), None, None, POLICIES).estimate is Estimate.NOT_RECKONED
    assert case_of(running, (), None, None, POLICIES).estimate is Estimate.NOT_RECKONED
    written = case_of(running, (LINE,), None, None, POLICIES)
    assert (written.estimate, written.lines, written.upto) == (Estimate.RUNNING, (LINE,), at(100))


def test_a_report_counts_how_its_episodes_were_reckoned():
    made = [case(1), case(2), still_open(3), case(4, estimate=Estimate.TODAYS_PRICES)]
    assert report(*made).estimates == {
        Estimate.BOOKED: 2,
        Estimate.RUNNING: 1,
        Estimate.TODAYS_PRICES: 1,
    }


def test_memory_does_not_grow_with_the_history():
    tally = Tally(Window(), (By.PROJECT, By.AGENT), top=5)
    for n in range(3000):
        tally.case(case(n, [line("1")], room=f"call-{n}"))
    found = tally.report()
    assert (len(found.groups), len(found.rooms), len(found.days)) == (1, 5, 1)
    assert found.totals.spend.low == 3000
