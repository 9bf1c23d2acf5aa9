"""What one project's orphans have cost: closed episodes, open ones, and what was already exported."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from watchdog.core.ledger import Correction, fallen
from watchdog.core.model import LEG_KINDS, AgentSpan, Episode, Role
from watchdog.core.names import UNNAMED, NameLimit
from watchdog.core.pricing import burn_per_hour, episode_spend
from watchdog.core.profiles import Tariffs
from watchdog.core.spend import Spend
from watchdog.daemon.faults import MoneyFaults


@dataclass(frozen=True, slots=True)
class Bill:
    """Spend until `upto`: by open episode, and in all by agent name as it may be exported."""

    upto: datetime
    episodes: Mapping[str, Spend]
    exported: Mapping[str, Spend]


@dataclass(slots=True)
class Accounts:
    """Sums by bounded agent name. A counter that was exported never falls, whatever is recomputed."""

    tariffs: Tariffs
    names: NameLimit = field(default_factory=NameLimit)
    closed: dict[str, Spend] = field(default_factory=dict)
    exported: Mapping[str, Spend] = field(default_factory=dict)
    _changed: set[str] = field(default_factory=set)
    _billed: dict[str, dict[str, Spend]] = field(default_factory=dict)
    """The open episodes by id, as last reckoned, by agent name."""
    _corrections: list[Correction] = field(default_factory=list)
    faults: MoneyFaults = field(default_factory=MoneyFaults)

    @property
    def uncommitted(self) -> dict[str, Spend]:
        """What closed episodes have cost, of the names whose sum is not on disk yet."""
        return {name: self.closed[name] for name in self._changed}

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """By how much less open episodes turned out to have cost, as far as that is not on disk yet."""
        return tuple(self._corrections)

    def restore(self, closed: Mapping[str, Spend], exported: Mapping[str, Spend]) -> None:
        """Go on where an earlier run stopped."""
        self.closed, self.exported = dict(closed), dict(exported)
        self.names.keep([*exported, *closed])

    def close(self, episode: Episode) -> None:
        """Book an episode that has just ended."""
        end = episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at
        for name, spend in self._reckon(episode, end).items():
            self._book(name, spend)
        self._billed.pop(episode.id, None)

    def reopen(self, episode: Episode) -> None:
        """Take a booking back: the episode had not ended. It is billed as an open one again."""
        end = episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at
        for name, spend in self._spend(episode, end).items():
            self._book(name, Spend(-spend.low, -spend.high, -spend.unverified))

    def bill(self, episodes: Iterable[Episode], upto: datetime) -> Bill:
        """Everything until `upto`, the last moment that was really observed."""
        totals = dict(self.closed)
        by_episode: dict[str, Spend] = {}
        for episode in episodes:
            whole = Spend()
            for name, spend in self._reckon(episode, upto).items():
                totals[name] = totals.get(name, Spend()) + spend
                whole += spend
            by_episode[episode.id] = whole
        exported = {
            name: _highest(totals.get(name, Spend()), self.exported.get(name, Spend()))
            for name in {**self.exported, **totals}
        }
        return Bill(upto, by_episode, exported)

    def committed(self, bill: Bill) -> None:
        """The bill is on disk: from here on it may be seen."""
        self.exported = bill.exported
        self._changed.clear()
        self._corrections.clear()

    def _reckon(self, episode: Episode, upto: datetime) -> dict[str, Spend]:
        """What an episode has cost; where that is less than was reckoned before, a correction."""
        spends, before = self._spend(episode, upto), self._billed.get(episode.id, {})
        for name, spend in spends.items():
            less = fallen(before.get(name, Spend()), spend)
            if less != Spend():
                self._corrections.append(Correction(upto, episode.id, name, less))
        self._billed[episode.id] = spends
        return spends

    def _spend(self, episode: Episode, upto: datetime) -> dict[str, Spend]:
        sums: dict[str, Spend] = {}
        spends = self.faults.do(lambda: episode_spend(episode, self.tariffs, upto=upto), None)
        if spends is None:  # what was last known is true, if not all of it
            return self._billed.get(episode.id, {})
        for name, spend in spends.items():
            label = self.names(name)
            sums[label] = sums.get(label, Spend()) + spend
        return sums

    def _book(self, name: str, change: Spend) -> None:
        self.closed[name] = self.closed.get(name, Spend()) + change
        self._changed.add(name)

    # ---- as of now --------------------------------------------------------------------------------

    def burn(self, episodes: Iterable[Episode]) -> dict[str, Spend]:
        """USD an hour at this moment, by agent name."""
        burning: dict[str, Spend] = {}
        for episode in episodes:
            for name, rate in self._rates(episode).items():
                label = self.names(name)
                burning[label] = burning.get(label, Spend()) + rate
        return burning

    def burn_of(self, episode: Episode) -> Spend:
        """USD an hour of one episode at this moment."""
        return sum(self._rates(episode).values(), Spend())

    def _rates(self, episode: Episode) -> dict[str, Spend]:
        nothing: dict[str, Spend] = {}
        return self.faults.do(lambda: burn_per_hour(episode, self.tariffs), nothing)

    def count_agents(self, episodes: Iterable[Episode]) -> dict[str, int]:
        """How many agents are stranded now, by agent name; an avatar is none of its own, nor is a leg."""
        return dict(Counter(self.names(a.agent_name) for e in episodes for a in _agents(e)))

    def count_duplicates(self, episodes: Iterable[Episode]) -> int:
        """How many agents are stranded beside another of the same name in the same room.

        Each is charged. An agent without a name is nobody's duplicate.
        """
        extra = 0
        for episode in episodes:
            named = Counter(a.agent_name for a in _agents(episode) if a.agent_name != UNNAMED)
            extra += sum(number - 1 for number in named.values())
        return extra


def _agents(episode: Episode) -> Iterator[AgentSpan]:
    return (
        span
        for span in episode.present_agents
        if span.role is Role.AGENT and span.kind not in LEG_KINDS
    )


def _highest(a: Spend, b: Spend) -> Spend:
    return Spend(max(a.low, b.low), max(a.high, b.high), max(a.unverified, b.unverified))
