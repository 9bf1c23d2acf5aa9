"""What is done once in an episode: which agents were warned, and whose dispatches were ended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.cooldown import FORGOTTEN, HOUR
from watchdog.core.deletion import AuditMemory


@dataclass(slots=True)
class Marks:
    """Times are monotonic seconds, by episode."""

    warned: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    _counted: dict[str, float] = field(default_factory=dict)

    def load(self, memory: AuditMemory, now: datetime, mono: float) -> None:
        """Take up what an earlier run wrote down. A time to come is of a clock that was set since."""

        def own(times: Mapping[str, datetime]) -> dict[str, float]:
            return {key: mono - max(0.0, (now - at).total_seconds()) for key, at in times.items()}

        self.warned, self.ended = own(memory.warned), own(memory.ended)
        deleted = {entry.episode for entry in memory.deletions}
        self._counted = {key: at for key, at in self.ended.items() if key not in deleted}

    def warned_for(self, episode: str, mono: float) -> float | None:
        """Seconds since its agents were warned; None: they were not."""
        at = self.warned.get(episode)
        return None if at is None else mono - at

    def note_ended(self, episode: str, mono: float, *, counts: bool) -> None:
        """Its dispatches were ended, or that was tried; `counts`: toward the hourly limit."""
        self.ended[episode] = mono
        if counts:
            self._counted[episode] = mono

    def note_deleted(self, episode: str) -> None:
        """The deletion counts now, in place of what was ended first."""
        self._counted.pop(episode, None)

    def ended_in_the_last_hour(self, mono: float) -> int:
        """How many rooms lost their agents this way alone."""
        return sum(mono - at < HOUR for at in self._counted.values())

    def forget(self, still_open: Iterable[str], mono: float) -> None:
        """Drop what is over, not at once: a room that lists lacked resumes its episode."""
        kept = set(still_open)
        for times in (self.warned, self.ended, self._counted):
            for key in [k for k, at in times.items() if k not in kept and mono - at > FORGOTTEN]:
                del times[key]
