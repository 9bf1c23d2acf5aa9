"""Memory is given back after a first tick, and what many rooms left is walked no more."""

import ctypes
import gc
import weakref
from types import SimpleNamespace

import pytest

from watchdog.memory import MANY_ROOMS, Memory


@pytest.fixture(autouse=True)
def thawed():
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.fixture
def memory():
    return Memory()


def frozen_by(memory, rooms):
    """Whether a good tick with so many rooms leaves the collector less to walk."""
    before = gc.get_freeze_count()
    more = [[] for _ in range(100)]  # what came since
    memory.follow("main", rooms)
    return bool(more) and gc.get_freeze_count() > before


def test_few_rooms_are_walked_as_ever(memory):
    assert not frozen_by(memory, MANY_ROOMS - 1)


def test_many_rooms_are_walked_no_more_until_a_project_is_given_up(memory):
    assert frozen_by(memory, MANY_ROOMS)
    memory.forget("main")
    assert gc.get_freeze_count() == 0
    assert frozen_by(memory, MANY_ROOMS)


def test_the_others_are_walked_no_more_once_what_a_project_left_is_collected(memory):
    class Left:
        pass

    left = Left()
    left.itself = left
    there = weakref.ref(left)
    assert frozen_by(memory, MANY_ROOMS)
    memory.forget("small")
    del left
    assert frozen_by(memory, MANY_ROOMS)
    assert there() is None


def test_half_as_many_more_are_needed_before_the_next_time(memory):
    grown = MANY_ROOMS + MANY_ROOMS // 2
    found = [frozen_by(memory, n) for n in (MANY_ROOMS, MANY_ROOMS, grown - 1, grown, grown)]
    assert found == [True, False, False, True, False]


def test_in_the_first_tick_of_a_project_nothing_is_walked(memory):
    with memory.tick("main"):
        assert not gc.isenabled()
        with memory.tick("other"):
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with memory.tick("main"):
        assert gc.isenabled()


def test_a_first_tick_that_fails_has_the_collector_go_on(memory):
    with pytest.raises(RuntimeError), memory.tick("main"):
        raise RuntimeError
    assert gc.isenabled()


def test_a_project_that_began_with_few_rooms_is_followed_as_it_grows(memory):
    assert [frozen_by(memory, n) for n in (0, 4000, MANY_ROOMS)] == [False, False, True]


def test_memory_is_given_back_once(monkeypatch, memory):
    trimmed = []
    library = SimpleNamespace(malloc_trim=trimmed.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    for _ in range(3):
        memory.follow("main", 10)
    assert trimmed == [0]


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_without_glibc_nothing_is_given_back_and_nothing_fails(monkeypatch, memory, error):
    def none(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    memory.follow("main", 0)
