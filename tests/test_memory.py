"""After a first tick memory is given back, and what many rooms left is walked no more."""

import ctypes
import gc

import pytest

from watchdog.memory import MANY_ROOMS, settle, unsettle


@pytest.fixture(autouse=True)
def thawed():
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_few_rooms_are_walked_as_ever():
    settle(MANY_ROOMS - 1)
    assert gc.get_freeze_count() == 0


def test_many_rooms_are_walked_no_more_until_a_project_is_given_up():
    settle(MANY_ROOMS)
    assert gc.get_freeze_count() > 0
    unsettle()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_without_glibc_nothing_is_given_back_and_nothing_fails(monkeypatch, error):
    def none(_):
        raise error

    monkeypatch.setattr(ctypes, "CDLL", none)
    settle(0)
