"""The dearest of many are the same, in whatever order they come."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.builders import at
from watchdog.core.dearest import Dearest, Rank

FEW = st.integers(0, 2)  # so that many are equal in all but their id
VALUES = st.lists(st.tuples(FEW, FEW, FEW, FEW), max_size=20)


@given(VALUES, st.integers(0, 5), st.randoms())
def test_order_of_arrival_does_not_matter(values, most, rng):
    ranks = [
        Rank(Decimal(low), Decimal(high), float(age), at(began), f"E{n:02}")
        for n, (low, high, age, began) in enumerate(values)
    ]
    wanted = sorted(ranks, key=lambda r: (-r.low, -r.high, -r.age, r.began, r.episode))
    rng.shuffle(ranks)
    kept = Dearest[str](most)
    for rank in ranks:
        kept.add(rank, rank.episode)
    assert list(kept.found()) == [rank.episode for rank in wanted[:most]]


@pytest.mark.parametrize(("most", "floors"), [(2, [None, 1, 3]), (0, ["Infinity"] * 3)])
def test_what_is_below_the_floor_cannot_be_among_them(most, floors):
    kept = Dearest[str](most)
    found = []
    for n, low in enumerate((3, 1, 5)):
        kept.add(Rank(Decimal(low), Decimal(low), 0.0, at(0), f"E{n}"), "")
        found.append(kept.floor)
    assert found == [None if floor is None else Decimal(floor) for floor in floors]
