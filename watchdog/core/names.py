"""What an agent is called, and how many such names a metric may have."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from watchdog.core.model import ParticipantSnapshot

UNNAMED = "_unnamed"
OTHER = "_other"


def agent_name(participant: ParticipantSnapshot) -> str:
    """LiveKit's attribute first; else `agent` for the default identity `agent-<job id>` (T41)."""
    if participant.agent_name:
        # NUL cannot be stored everywhere; a name must not change over a restart (T45).
        return participant.agent_name.replace("\0", "\ufffd")
    return "agent" if participant.identity.startswith("agent-") else UNNAMED


@dataclass(slots=True)
class NameLimit:
    """The first `limit` names seen keep theirs; whatever comes later is `_other`."""

    limit: int = 50
    _kept: dict[str, None] = field(default_factory=dict)

    def keep(self, names: Iterable[str]) -> None:
        """Remember names that an earlier run had kept."""
        for name in names:
            self(name)

    def __call__(self, name: str) -> str:
        """The name as a label value."""
        if name in self._kept or name in {OTHER, UNNAMED}:
            return name
        if len(self._kept) >= self.limit:
            return OTHER
        self._kept[name] = None
        return name
