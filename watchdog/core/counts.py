"""What a server's `num_participants` means (A3, A4).

livekit-server leaves agents out of it; other servers may count them. Neither is taken for granted:
the meaning is learned from rooms that two looks showed unchanged, and one counter-example ends it.
"""

from dataclasses import dataclass, field

from watchdog.core.model import CountMeaning

ROOMS_TO_LEARN = 20
STABLE_SECONDS = 15.0


@dataclass(slots=True)
class _Hypothesis:
    rooms: dict[str, int] = field(default_factory=dict)

    def weigh(self, room_sid: str, agents: int, *, holds: bool) -> None:
        if not holds:
            self.rooms.clear()
        elif len(self.rooms) < 4 * ROOMS_TO_LEARN or room_sid in self.rooms:
            self.rooms[room_sid] = agents

    @property
    def learned(self) -> bool:
        # Rooms that all hold the same number of agents cannot tell agents from a constant error.
        return len(self.rooms) >= ROOMS_TO_LEARN and len(set(self.rooms.values())) > 1


@dataclass(slots=True)
class CountLearner:
    """Learns, for one project, whether the count includes agents."""

    _includes: _Hypothesis = field(default_factory=_Hypothesis)
    _excludes: _Hypothesis = field(default_factory=_Hypothesis)

    def sample(self, room_sid: str, *, agents: int, others: int, count: int) -> None:
        """One room that two looks at least STABLE_SECONDS apart showed unchanged, count included.

        `agents` are the participants whose counting is in question; `others` those that every
        server counts: persons, and agents known only by a configured rule.
        """
        self._includes.weigh(room_sid, agents, holds=count == others + agents)
        self._excludes.weigh(room_sid, agents, holds=count == others)

    @property
    def meaning(self) -> CountMeaning:
        """What is known now."""
        if self._includes.learned:
            return CountMeaning.INCLUDES_AGENTS
        if self._excludes.learned:
            return CountMeaning.EXCLUDES_AGENTS
        return CountMeaning.UNLEARNED
