"""What one project's deletions avoid: followed from the verified deletion until nothing is added any more."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from watchdog.core.avoided import Avoidance, avoidances
from watchdog.core.model import Episode
from watchdog.core.profiles import Tariffs
from watchdog.core.records import ProjectMemory, TickRecord

Sums = dict[tuple[str, str], Decimal]
"""USD by agent name and basis."""


@dataclass(slots=True)
class AvoidedSpend:
    """Sums by agent name (`names` bounds them) and basis. What was exported never falls."""

    names: Callable[[str], str]
    running: dict[tuple[str, str], Avoidance] = field(default_factory=dict)
    done: Sums = field(default_factory=dict)
    exported: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    _accounted: set[str] = field(default_factory=set)
    _unwritten: dict[tuple[str, str], Avoidance] = field(default_factory=dict)
    _upto: datetime | None = None

    def restore(self, memory: ProjectMemory, last: TickRecord | None) -> None:
        """Go on where an earlier run stopped."""
        self.running = {_key(one): one for one in memory.avoiding}
        self.done = {}
        for (name, basis), amount in memory.avoided.items():
            self._add(self.done, name, basis, amount)
        self._accounted = {*memory.accounted, *(one.episode for one in memory.avoiding)}
        self.exported = last.avoided if last is not None else {}
        self._upto = memory.last_good_at

    def deleted(self, episode: Episode, tariffs: Tariffs) -> None:
        """The deletion of this episode's room was verified; told again, it counts once."""
        if episode.id in self._accounted:
            return
        self._accounted.add(episode.id)
        for one in avoidances(episode, tariffs):
            self.running[_key(one)] = self._unwritten[_key(one)] = one

    def seen(self, names: Iterable[str]) -> None:
        """Rooms of these names exist: from when that was last looked at, nothing more is avoided."""
        running = {one.room_name for one in self.running.values() if one.stopped_at is None}
        if not running:
            return
        back = running.intersection(names)
        for key, one in self.running.items():
            if one.room_name in back and one.stopped_at is None:
                stopped = one.stopped(max(one.began, self._upto or one.began))
                self.running[key] = self._unwritten[key] = stopped

    def shift(self, by: timedelta) -> None:
        """Our clock was set: what runs goes on for as long as before."""
        if self._upto is not None:
            self._upto += by
        for key, one in self.running.items():
            moved = replace(
                one,
                began=one.began + by,
                until=one.until + by,
                provider_from=one.provider_from + by,
                provider_until=one.provider_until + by,
                stopped_at=None if one.stopped_at is None else one.stopped_at + by,
            )
            self.running[key] = self._unwritten[key] = moved

    def bill(self, upto: datetime) -> Sums:
        """All that was avoided until `upto`, as it may be exported once it is on disk."""
        self._upto = upto
        totals = dict(self.done)
        for key, one in list(self.running.items()):
            self._add(totals, one.agent_name, one.basis, one.booked(upto))
            if one.is_over(upto):
                self._add(self.done, one.agent_name, one.basis, one.booked(upto))
                del self.running[key]
                self._unwritten[key] = one
        return {
            key: max(totals.get(key, Decimal(0)), self.exported.get(key, Decimal(0)))
            for key in {**self.exported, **totals}
        }

    @property
    def uncommitted(self) -> tuple[Avoidance, ...]:
        """What is not on disk as it now stands."""
        return tuple(self._unwritten.values())

    def committed(self, exported: Mapping[tuple[str, str], Decimal]) -> None:
        """All of it is on disk, and may be seen."""
        self.exported = exported
        self._unwritten.clear()

    def _add(self, sums: Sums, name: str, basis: str, amount: Decimal) -> None:
        key = (self.names(name), basis)
        sums[key] = sums.get(key, Decimal(0)) + amount


def _key(one: Avoidance) -> tuple[str, str]:
    return one.episode, one.agent_name
