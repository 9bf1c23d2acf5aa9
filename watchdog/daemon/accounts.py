"""What one project's orphans have cost: closed episodes, open ones, and what was already exported."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from watchdog.core.model import Episode, Role
from watchdog.core.names import NameLimit
from watchdog.core.pricing import burn_per_hour, episode_spend
from watchdog.core.profiles import Tariffs
from watchdog.core.records import Spend


@dataclass(frozen=True, slots=True)
class Bill:
    """Spend at one moment: by open episode, and in all by agent name as it may be exported."""

    episodes: Mapping[str, Spend]
    exported: Mapping[str, Spend]


@dataclass(slots=True)
class Accounts:
    """Sums by bounded agent name. A counter that was exported never falls, whatever is recomputed."""

    names: NameLimit = field(default_factory=NameLimit)
    closed: dict[str, Spend] = field(default_factory=dict)
    exported: Mapping[str, Spend] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)

    @property
    def uncommitted(self) -> dict[str, Spend]:
        """What closed episodes have cost, of the names whose sum is not on disk yet."""
        return {name: self.closed[name] for name in self._changed}

    @classmethod
    def restored(cls, closed: Mapping[str, Spend], exported: Mapping[str, Spend]) -> "Accounts":
        """The accounts as an earlier run left them."""
        accounts = cls(closed=dict(closed), exported=dict(exported))
        accounts.names.keep([*exported, *closed])
        return accounts

    def close(self, episode: Episode, tariffs: Tariffs, skew: float) -> None:
        """Book an episode that has just ended."""
        self._book(episode, tariffs, skew, Decimal(1))

    def reopen(self, episode: Episode, tariffs: Tariffs, skew: float) -> None:
        """Take a booking back: the episode had not ended. It is billed as an open one again."""
        self._book(episode, tariffs, skew, Decimal(-1))

    def _book(self, episode: Episode, tariffs: Tariffs, skew: float, sign: Decimal) -> None:
        end = episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at
        for name, spend in episode_spend(episode, tariffs, upto=end, skew=skew).items():
            label = self.names(name)
            change = Spend(spend.low * sign, spend.high * sign, spend.unverified * sign)
            self.closed[label] = self.closed.get(label, Spend()) + change
            self._changed.add(label)

    def bill(
        self, episodes: Iterable[Episode], tariffs: Tariffs, upto: datetime, skew: float
    ) -> Bill:
        """Everything until `upto`, the last moment that was really observed."""
        totals = dict(self.closed)
        by_episode: dict[str, Spend] = {}
        for episode in episodes:
            whole = Spend()
            for name, spend in episode_spend(episode, tariffs, upto=upto, skew=skew).items():
                label = self.names(name)
                totals[label] = totals.get(label, Spend()) + spend
                whole += spend
            by_episode[episode.id] = whole
        exported = {
            name: _highest(totals.get(name, Spend()), self.exported.get(name, Spend()))
            for name in {**self.exported, **totals}
        }
        return Bill(by_episode, exported)

    def committed(self, bill: Bill) -> None:
        """The bill is on disk: from here on it may be seen."""
        self.exported = bill.exported
        self._changed = set()

    def burn(self, episodes: Iterable[Episode], tariffs: Tariffs) -> dict[str, Spend]:
        """USD an hour at this moment, by agent name."""
        burning: dict[str, Spend] = {}
        for episode in episodes:
            for name, rate in burn_per_hour(episode, tariffs).items():
                label = self.names(name)
                burning[label] = burning.get(label, Spend()) + rate
        return burning

    def count_agents(self, episodes: Iterable[Episode]) -> dict[str, int]:
        """How many agents are stranded now, by agent name. An avatar is no agent of its own."""
        counts: dict[str, int] = {}
        for episode in episodes:
            for span in episode.present_agents:
                if span.role is Role.AGENT:
                    label = self.names(span.agent_name)
                    counts[label] = counts.get(label, 0) + 1
        return counts


def _highest(a: Spend, b: Spend) -> Spend:
    return Spend(max(a.low, b.low), max(a.high, b.high), max(a.unverified, b.unverified))
