"""What every DeleteRoom met: the request log's part that proofs about deletion rest on."""

from dataclasses import dataclass, replace
from datetime import datetime

from watchdog.core.model import Role
from watchdog.simulator.ledger import AGENTS
from watchdog.simulator.world import World


@dataclass(frozen=True, slots=True)
class Deletion:
    """One DeleteRoom. Times are the world's, people identities, both by the exact ledger.

    `at`: when it was received. `found`: the persons in the room then. `effect_at`: when it ended the
    room `sid`; `persons` and `agents` are who was in it at that moment. Without an effect that is
    None, and the three tell of the room listed at `at` (`sid` None: there was none). `status` is 0
    while there is no answer, and for ever if the caller gave up first: the effect can still come.
    """

    at: datetime
    room: str
    found: tuple[str, ...]
    sid: str | None
    persons: tuple[str, ...]
    agents: tuple[str, ...]
    effect_at: datetime | None = None
    status: int = 0

    @property
    def effect(self) -> bool:
        """Whether it ended a room."""
        return self.effect_at is not None


class DeletionLog:
    """Writes the deletions of one world, in the order in which they were received."""

    def __init__(self, world: World) -> None:
        self.entries: list[Deletion] = []
        self._world = world

    def received(self, room: str) -> int:
        """A DeleteRoom came in; the number tells it from the others."""
        sid, persons, agents = self._look(room)
        self.entries.append(Deletion(self._world.now(), room, persons, sid, persons, agents))
        return len(self.entries) - 1

    def takes_effect(self, number: int) -> None:
        """It is about to end the room that is listed now."""
        entry = self.entries[number]
        sid, persons, agents = self._look(entry.room)
        self.entries[number] = replace(
            entry, sid=sid, persons=persons, agents=agents, effect_at=self._world.now()
        )

    def answered(self, number: int, status: int) -> None:
        """It was answered."""
        self.entries[number] = replace(self.entries[number], status=status)

    def _look(self, name: str) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
        room = self._world.rooms.get(name)
        if room is None:
            return None, (), ()
        present = self._world.ledger.present(room.sid, self._world.now())
        persons = tuple(s.identity for s in present if s.role is Role.PERSON)
        return room.sid, persons, tuple(s.identity for s in present if s.role in AGENTS)
