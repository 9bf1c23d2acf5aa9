"""What one project's orphans have cost: closed episodes, open ones, and what was already exported."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from watchdog.core.ledger import Correction, fallen
from watchdog.core.model import LEG_KINDS, AgentSpan, Episode, Role
from watchdog.core.names import UNNAMED, NameLimit
from watchdog.core.pricing import RunningSpend, burn_per_hour, episode_spend, running_spend
from watchdog.core.profiles import Tariffs
from watchdog.core.spend import Spend
from watchdog.daemon.faults import MoneyFaults
from watchdog.daemon.turns import in_turns


@dataclass(frozen=True, slots=True)
class Bill:
    """Spend until `upto`: by open episode, and in all by agent name as it may be exported."""

    upto: datetime
    episodes: Mapping[str, Spend]
    exported: Mapping[str, Spend]


@dataclass(slots=True)
class _Reckoned:
    """An open episode as last reckoned, until `upto`. What becomes of an episode is another object."""

    episode: Episode
    running: RunningSpend | None
    upto: datetime
    spends: dict[str, Spend]
    whole: Spend


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is there now in an open episode: what it costs an hour, by label, and its agents' labels."""

    episode: Episode
    burn: dict[str, Spend]
    agents: tuple[str, ...]
    duplicates: int
    main: str


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
    _reckoned: dict[str, _Reckoned] = field(default_factory=dict)
    _standing: dict[str, _Standing] = field(default_factory=dict)
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
        self._reckoned.pop(episode.id, None)
        self._standing.pop(episode.id, None)

    def reopen(self, episode: Episode) -> None:
        """Take a booking back: the episode had not ended. It is billed as an open one again."""
        end = episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at
        for name, spend in self._spend(episode, end).items():
            self._book(name, Spend(-spend.low, -spend.high, -spend.unverified))

    def bill(self, episodes: Iterable[Episode], upto: datetime) -> Bill:
        """Everything until `upto`, the last moment that was really observed."""
        totals = {name: [s.low, s.high, s.unverified] for name, s in self.closed.items()}
        by_episode: dict[str, Spend] = {}
        for episode in episodes:
            known = self._known(episode, upto)
            for name, spend in known.spends.items():
                total = totals.get(name)
                if total is None:
                    total = totals[name] = [Decimal(0)] * 3
                total[0] += spend.low
                total[1] += spend.high
                total[2] += spend.unverified
            by_episode[episode.id] = known.whole
        exported = {
            name: _highest(Spend(*totals.get(name, ())), self.exported.get(name, Spend()))
            for name in {**self.exported, **totals}
        }
        return Bill(upto, by_episode, exported)

    async def reckon(self, episodes: Iterable[Episode], upto: datetime) -> None:
        """Reckon what a bill until `upto` needs; others have their turn meanwhile."""
        async for episode in in_turns(tuple(episodes)):
            self._known(episode, upto)

    def _known(self, episode: Episode, upto: datetime) -> _Reckoned:
        known = self._reckoned.get(episode.id)
        if known is None or known.episode is not episode or upto < known.upto:
            running = self._running(episode, upto)
            spends = self._reckon(episode, upto)
            known = self._reckoned[episode.id] = _Reckoned(
                episode, running, upto, spends, _sum(spends)
            )
        elif upto > known.upto:
            if known.running is None:
                known.running = self._running(episode, upto)
            if (running := known.running) is None:
                known.spends = self._reckon(episode, upto)
            else:
                # Time alone has passed: nothing can have fallen.
                same = known.spends
                known.spends = self.faults.do(lambda: self._by_label(running.at(upto)), same)
                self._billed[episode.id] = known.spends
            known.upto, known.whole = upto, _sum(known.spends)
        return known

    def _running(self, episode: Episode, upto: datetime) -> RunningSpend | None:
        return self.faults.do(lambda: running_spend(episode, self.tariffs, upto), None)

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
        spends = self.faults.do(lambda: episode_spend(episode, self.tariffs, upto=upto), None)
        if spends is None:  # what was last known is true, if not all of it
            return self._billed.get(episode.id, {})
        return self._by_label(spends)

    def _by_label(self, spends: Mapping[str, Spend]) -> dict[str, Spend]:
        sums: dict[str, Spend] = {}
        for name, spend in spends.items():
            label = self.names(name)
            sums[label] = sums[label] + spend if label in sums else spend
        return sums

    def _book(self, name: str, change: Spend) -> None:
        self.closed[name] = self.closed.get(name, Spend()) + change
        self._changed.add(name)

    # ---- as of now --------------------------------------------------------------------------------

    def burn(self, episodes: Iterable[Episode]) -> dict[str, Spend]:
        """USD an hour at this moment, by agent name."""
        burning: dict[str, list[Decimal]] = {}
        for episode in episodes:
            for label, rate in self._standing_of(episode).burn.items():
                total = burning.get(label)
                if total is None:
                    total = burning[label] = [Decimal(0)] * 3
                total[0] += rate.low
                total[1] += rate.high
                total[2] += rate.unverified
        return {label: Spend(*total) for label, total in burning.items()}

    def burn_of(self, episode: Episode) -> Spend:
        """USD an hour of one episode at this moment."""
        return sum(self._standing_of(episode).burn.values(), Spend())

    def _rates(self, episode: Episode) -> dict[str, Spend]:
        nothing: dict[str, Spend] = {}
        return self.faults.do(lambda: burn_per_hour(episode, self.tariffs), nothing)

    def count_agents(self, episodes: Iterable[Episode]) -> dict[str, int]:
        """How many agents are stranded now, by agent name; an avatar is none of its own, nor is a leg."""
        return dict(Counter(a for e in episodes for a in self._standing_of(e).agents))

    def count_duplicates(self, episodes: Iterable[Episode]) -> int:
        """How many agents are stranded beside another of the same name in the same room.

        Each is charged. An agent without a name is nobody's duplicate.
        """
        return sum(self._standing_of(episode).duplicates for episode in episodes)

    def main_agent(self, episode: Episode) -> str:
        """The first agent's name as a label value; while none is there, of the first there was."""
        return self._standing_of(episode).main

    def _standing_of(self, episode: Episode) -> _Standing:
        known = self._standing.get(episode.id)
        if known is None or known.episode is not episode:
            agents = [span.agent_name for span in _agents(episode)]
            named = Counter(name for name in agents if name != UNNAMED)
            known = self._standing[episode.id] = _Standing(
                episode,
                self._by_label(self._rates(episode)),
                tuple(map(self.names, agents)),
                sum(number - 1 for number in named.values()),
                self.names(_main_agent(episode)),
            )
        return known


def _sum(spends: Mapping[str, Spend]) -> Spend:
    first, *others = spends.values() or (Spend(),)
    return sum(others, first)


def _agents(episode: Episode) -> Iterator[AgentSpan]:
    return (
        span
        for span in episode.present_agents
        if span.role is Role.AGENT and span.kind not in LEG_KINDS
    )


def _highest(a: Spend, b: Spend) -> Spend:
    return Spend(max(a.low, b.low), max(a.high, b.high), max(a.unverified, b.unverified))


def _main_agent(episode: Episode) -> str:
    spans = episode.present_agents or episode.agents
    agents = [s for s in spans if s.role is Role.AGENT] or list(spans)
    return agents[0].agent_name if agents else UNNAMED
