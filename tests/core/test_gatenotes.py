"""What a tick's record says of the gates is the same after it was stored."""

import json

import pytest

from watchdog.core.arming import Arming
from watchdog.core.deletion import Mode
from watchdog.core.gatenotes import GateNotes
from watchdog.core.gates import ProjectState, Safeguards


@pytest.mark.parametrize("mode", list(Mode))
def test_notes_survive_as_json_with_the_mode(mode):
    state = ProjectState(Safeguards(mode), good_ticks=3, since_jump=float("inf"))
    notes = GateNotes.of(state, {"ep_1": Arming(0.0, 2, 1.0, 31.0)}, ("ep_2",))
    again = GateNotes.of_json(json.loads(json.dumps(notes.as_json())))
    assert again == notes
    assert again.known_mode is mode


@pytest.mark.parametrize("values", [{}, {"mode": None}, {"mode": "another version's"}])
def test_a_mode_that_is_not_noted_or_not_known_is_none(values):
    assert GateNotes.of_json(values).known_mode is None
