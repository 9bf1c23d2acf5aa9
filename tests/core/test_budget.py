"""The request budget of SAFETY F."""

from hypothesis import example, given
from hypothesis import strategies as st

from watchdog.core.budget import FLOORS, Allotment, Purpose, TokenBucket


def test_a_bucket_holds_its_burst_and_refills_by_the_minute():
    bucket = TokenBucket(per_minute=60, burst=40)
    assert bucket.available(0) == 40
    bucket.take(0, 40)
    assert bucket.available(0) == 0
    assert bucket.available(10) == 10
    assert bucket.available(1000) == 40


def test_all_of_a_raised_budget_can_be_used_at_any_poll_interval():
    assert TokenBucket.for_polls(100, 15).burst == 40
    for per_minute, poll in ((100, 60), (6000, 1), (6000, 15)):
        bucket = TokenBucket.for_polls(per_minute, poll)
        asked = 0.0
        for turn in range(10):
            now = bucket.available(turn * poll)
            bucket.take(turn * poll, int(now))
            asked += int(now)
        assert asked >= 9 * poll * per_minute / 60


def test_an_overdraft_is_paid_back_before_anything_else_is_asked():
    bucket = TokenBucket(per_minute=60, burst=2)
    bucket.take(0, 5)
    assert bucket.available(2) == -1
    assert Allotment().split(bucket.available(2), {Purpose.SWEEP: 3}) == {Purpose.SWEEP: 0}


def test_the_order_is_kept_when_there_is_not_enough():
    granted = Allotment().split(3, {Purpose.FALLEN: 10, Purpose.PROBE: 10})
    assert granted == {Purpose.FALLEN: 3, Purpose.PROBE: 0}


def test_floors_let_no_pile_starve_the_others():
    demand = {Purpose.ARM: 100, Purpose.FALLEN: 100, Purpose.AGAIN: 100, Purpose.SWEEP: 100}
    granted = Allotment().split(20, demand)
    assert granted == {Purpose.ARM: 12, Purpose.FALLEN: 4, Purpose.AGAIN: 2, Purpose.SWEEP: 2}


def test_what_a_floor_leaves_flows_down():
    granted = Allotment().split(20, {Purpose.FALLEN: 1, Purpose.SWEEP: 100})
    assert granted == {Purpose.FALLEN: 1, Purpose.SWEEP: 19}


def test_a_floor_smaller_than_one_request_is_saved_up():
    allotment = Allotment()
    demand = {Purpose.FALLEN: 10, Purpose.SWEEP: 10}
    swept = [allotment.split(2, demand)[Purpose.SWEEP] for _ in range(10)]
    assert sum(swept) == 2, "10 % of 2 requests a tick is one in five ticks"


@given(
    st.floats(-5, 60),
    st.dictionaries(st.sampled_from(list(Purpose)), st.integers(0, 80)),
)
def test_nobody_gets_more_than_it_asks_for_nor_all_together_more_than_there_is(available, demand):
    granted = Allotment().split(available, demand)
    assert all(0 <= n <= demand[p] for p, n in granted.items())
    assert sum(granted.values()) <= max(0, int(available))
    if sum(demand.values()) >= available > 0:
        assert sum(granted.values()) == int(available), "nothing that is there stays unused"


@given(st.lists(st.integers(0, 25), min_size=30, max_size=30))
@example([*[0] * 22, 9, 7, 25, 5, 9, 5, 9, 2])
def test_over_time_every_floor_is_served(available):
    allotment = Allotment()
    demand = dict.fromkeys([Purpose.ARM, *FLOORS], 1000)
    totals = dict.fromkeys(demand, 0)
    for n in available:
        for purpose, granted in allotment.split(n, demand).items():
            totals[purpose] += granted
    for purpose, share in FLOORS.items():
        assert totals[purpose] >= share * sum(available) - 2
