"""What a server's count means is learned, and one counter-example ends it (A4)."""

import pytest

from watchdog.core.counts import ROOMS_TO_LEARN, CountLearner
from watchdog.core.model import CountMeaning

pytestmark = pytest.mark.rule("A4")


def teach(learner: CountLearner, rooms: int, *, includes: bool, agents=lambda i: 1 + i % 2) -> None:
    for i in range(rooms):
        n = agents(i)
        learner.sample(f"RM_{i}", agents=n, others=1, count=1 + (n if includes else 0))


@pytest.mark.parametrize(
    ("includes", "meaning"),
    [(True, CountMeaning.INCLUDES_AGENTS), (False, CountMeaning.EXCLUDES_AGENTS)],
)
def test_a4_twenty_rooms_with_different_numbers_of_agents_teach_it(includes, meaning):
    learner = CountLearner()
    teach(learner, ROOMS_TO_LEARN - 1, includes=includes)
    assert learner.meaning is CountMeaning.UNLEARNED
    teach(learner, ROOMS_TO_LEARN, includes=includes)
    assert learner.meaning is meaning


def test_a4_the_same_room_again_teaches_nothing_new():
    learner = CountLearner()
    for _ in range(100):
        learner.sample("RM_1", agents=1, others=1, count=2)
        learner.sample("RM_2", agents=2, others=1, count=3)
    assert learner.meaning is CountMeaning.UNLEARNED


def test_a4_rooms_that_all_hold_as_many_agents_teach_nothing():
    learner = CountLearner()
    teach(learner, 100, includes=True, agents=lambda _: 1)
    assert learner.meaning is CountMeaning.UNLEARNED


def test_a4_one_counter_example_revokes_what_was_learned():
    learner = CountLearner()
    teach(learner, 40, includes=True)
    assert learner.meaning is CountMeaning.INCLUDES_AGENTS
    learner.sample("RM_x", agents=1, others=2, count=2)
    assert learner.meaning is CountMeaning.UNLEARNED
