"""Several replicas divide the projects: each is had by one, in equal shares, and then all is quiet."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchdog.core.shares import divide, share

names = st.sampled_from([f"p{n:02}" for n in range(12)])
replicas = st.dictionaries(
    st.sampled_from("ABCDE"), st.frozensets(names, min_size=1), min_size=1, max_size=5
)


def settled(watchers, holders, order, rounds=40):
    """The projects by holder once nothing moves any more; each replica decides with what the others left."""
    for _ in range(rounds):
        before = dict(holders)
        for me in order:
            division = divide(watchers, holders, me)
            assert not holders.keys() & set(division.take)
            holders |= dict.fromkeys(division.take, me)
            for project in division.let_go:
                del holders[project]
        if holders == before:
            return holders
    raise AssertionError("it never comes to rest")


@pytest.mark.parametrize(
    ("projects", "many", "most"), [(20, 3, 7), (3, 3, 1), (2, 5, 1), (7, 2, 4)]
)
def test_each_has_its_share_and_every_project_is_had(projects, many, most):
    all_of_them = frozenset(f"p{n}" for n in range(projects))
    watchers = dict.fromkeys("ABCDE"[:many], all_of_them)
    holders = settled(watchers, {}, list(watchers))
    assert holders.keys() == all_of_them
    assert max(Counter(holders.values()).values()) == most


def test_a_newcomer_gets_its_share_and_no_more_is_moved_than_that():
    watchers = dict.fromkeys("AB", frozenset(f"p{n:02}" for n in range(20)))
    before = settled(watchers, {}, "AB")
    after = settled(dict.fromkeys("ABC", watchers["A"]), dict(before), "ABC")
    assert sorted(Counter(after.values()).values()) == [6, 7, 7]
    assert sum(after[p] != before[p] for p in after) == 6


def test_what_a_replica_that_died_had_goes_to_the_others():
    projects = frozenset(f"p{n:02}" for n in range(20))
    before = settled(dict.fromkeys("ABC", projects), {}, "ABC")
    left = {p: holder for p, holder in before.items() if holder != "C"}
    after = settled(dict.fromkeys("AB", projects), dict(left), "AB")
    assert Counter(after.values()) == {"A": 10, "B": 10}
    assert all(after[p] == holder for p, holder in left.items()), "nobody else's were moved"


def test_a_project_that_only_one_watches_counts_whole_for_it():
    watchers = {"A": frozenset({"p1", "p2", "p3"}), "B": frozenset({"p1"})}
    assert (share(watchers, "A"), share(watchers, "B")) == (3, 1)
    assert settled(watchers, {"p1": "A", "p2": "A", "p3": "A"}, "AB").keys() == {"p1", "p2", "p3"}


def test_what_only_one_watches_is_not_left_because_it_has_its_fill_of_others():
    watchers = {"A": frozenset({"p1", "p2", "p3"}), "B": frozenset({"p1", "p2"})}
    after = settled(watchers, {"p1": "A", "p2": "A"}, "AB")
    assert after["p3"] == "A"
    assert Counter(after.values()) == {"A": 2, "B": 1}


def test_what_goes_already_is_not_let_go_twice():
    watchers = dict.fromkeys("AB", frozenset({"p1", "p2", "p3", "p4"}))
    holders = dict.fromkeys(watchers["A"], "A")
    assert divide(watchers, holders, "A").let_go == ("p1", "p2")
    assert divide(watchers, holders, "A", going={"p1"}).let_go == ("p2",)
    assert divide(watchers, holders, "A", going={"p1", "p2"}).let_go == ()


@given(replicas, st.permutations("ABCDE"), st.data())
def test_from_any_beginning_it_comes_to_rest_and_every_project_is_had(watchers, order, data):
    order = [me for me in order if me in watchers]
    everything = sorted(frozenset().union(*watchers.values()))
    holders = {
        p: data.draw(st.sampled_from([r for r in order if p in watchers[r]]))
        for p in everything
        if data.draw(st.booleans())
    }
    after = settled(watchers, holders, order)
    assert sorted(after) == everything
    assert all(project in watchers[holder] for project, holder in after.items())
    if len(set(watchers.values())) == 1:
        assert max(Counter(after.values()).values()) <= share(watchers, order[0])
