"""What orphaned agents cost in a stretch of time: sums by whatever is asked for, and what lies behind them.

Pure. A `Tally` takes in one episode after the other and keeps sums only, so that a long history needs no
more memory than a short one; history that was rolled up by day goes in beside them.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from watchdog.core.alike import ClosedDay
from watchdog.core.days import DayCount, DayKey, DayLine
from watchdog.core.dearest import Dearest, Rank
from watchdog.core.ledger import LedgerLine
from watchdog.core.spend import Spend
from watchdog.reporting.causes import AgentCauses, CauseTally
from watchdog.reporting.entries import (
    Case,
    Entry,
    Estimate,
    counts_of,
    entries_of,
    rolled_counts,
    rolled_entries,
)
from watchdog.reporting.window import Window

TOP = 10
"""So many rooms are named."""
OPEN = "open"
"""What stands in place of a close reason while an episode is open."""
AGES: tuple[tuple[str, float], ...] = (
    ("< 1m", 60),
    ("1-5m", 300),
    ("5-15m", 900),
    ("15-30m", 1800),
    ("30-60m", 3600),
    ("1-2h", 7200),
    ("2-4h", 14_400),
    ("4-8h", 28_800),
    ("8-24h", 86_400),
    ("> 1d", float("inf")),
)
"""The classes of age, each with the seconds below which an age is in it."""
_BELOW = [below for _, below in AGES]


class By(StrEnum):
    """What sums can be grouped by."""

    PROJECT = "project"
    AGENT = "agent"
    POLICY = "policy"
    DAY = "day"
    CLOSE_REASON = "close_reason"

    def of(self, key: DayKey) -> str:
        """Its value as text."""
        match self:
            case By.PROJECT:
                return key.project
            case By.AGENT:
                return key.agent_name
            case By.POLICY:
                return key.policy
            case By.DAY:
                return key.day.isoformat()
            case By.CLOSE_REASON:
                return key.close_reason or OPEN


def is_quota(line: LedgerLine) -> bool:
    """Whether it uses up an allowance instead of costing money: plan Build sells nothing beyond it."""
    return line.price is None and line.plan == "build" and line.meter.startswith("lk.")


@dataclass(slots=True)
class Sums:
    """Money, time and how many episodes began.

    `unpriced` and `quota` are seconds, at most, of meters without a price: of the second kind an
    allowance is used up instead.
    """

    spend: Spend = field(default_factory=Spend)
    unpriced: Decimal = Decimal(0)
    quota: Decimal = Decimal(0)
    episodes: int = 0
    never_attended: int = 0
    orphaned_microseconds: int = 0
    """A whole number: a sum of it does not depend on the order."""

    @property
    def orphaned_seconds(self) -> float:
        """How long rooms were orphaned."""
        return self.orphaned_microseconds / 1e6

    def add(self, line: LedgerLine) -> None:
        """With a line's money, or its time where it has no price."""
        self.spend += line.spend
        if is_quota(line):
            self.quota += line.seconds
        elif line.price is None:
            self.unpriced += line.seconds

    def count(self, one: DayCount) -> None:
        """With the episodes of a day."""
        self.episodes += one.episodes
        self.never_attended += one.never_attended
        self.orphaned_microseconds += round(one.orphaned_seconds * 1e6)


@dataclass(slots=True)
class MeterSum:
    """What one meter adds up to under one plan. `seconds` are those of the high estimate.

    Without a price it is `priced` no, and `quota` where it uses up an allowance.
    """

    meter: str
    plan: str
    unit: str
    priced: bool
    quota: bool
    seconds: Decimal = Decimal(0)
    spend: Spend = field(default_factory=Spend)


@dataclass(frozen=True, slots=True)
class TopRoom:
    """One orphaned span of one room, and what of it falls into the window."""

    case: Case
    spend: Spend
    unpriced: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The whole. `groups` are by the values of `by`, in its order, the dearest first; by day in order."""

    window: Window
    by: tuple[By, ...]
    totals: Sums
    groups: Mapping[tuple[str, ...], Sums]
    meters: tuple[MeterSum, ...]
    days: Mapping[date, Spend]
    rooms: tuple[TopRoom, ...]
    agents: tuple[AgentCauses, ...]
    ages: tuple[int, ...]
    """How many episodes there are of each class of `AGES`."""
    estimates: Mapping[Estimate, int]
    """How many episodes were reckoned in which way."""


class Tally:
    """Takes in a history, and says what it adds up to."""

    def __init__(
        self, window: Window, by: Sequence[By] = (By.PROJECT, By.AGENT), top: int = TOP
    ) -> None:
        """Of this window, grouped so, with the `top` dearest rooms."""
        self.window = window
        self.by = tuple(by)
        self._totals = Sums()
        self._groups: dict[tuple[str, ...], Sums] = {}
        self._meters: dict[tuple[str, str, str, bool], MeterSum] = {}
        self._days: dict[date, Spend] = {}
        self._rooms = Dearest[TopRoom](top)
        self._causes = CauseTally()
        self._ages = [0] * len(AGES)
        self._estimates: dict[Estimate, int] = {}

    def case(self, case: Case) -> None:
        """Take in one episode, as far as it lies in the window."""
        if self.window.clip(case.stretch) is None:
            return
        spends: dict[str, Spend] = {}
        unpriced = False
        for entry in entries_of(case, self.window):
            self._entry(entry)
            name = entry.line.agent_name
            spends[name] = spends.get(name, Spend()) + entry.line.spend
            unpriced |= entry.line.price is None
        for one in counts_of(case, self.window):
            self._count(one)
        self._estimates[case.estimate] = self._estimates.get(case.estimate, 0) + 1
        self._age(case.age)
        self._causes.add(case.episode, spends)
        self._room(TopRoom(case, sum(spends.values(), Spend()), unpriced))

    def day(self, day: ClosedDay) -> None:
        """Take in the closed episodes of a day that lies in the window, but for the rooms they were in."""
        self.rolled(day.lines, day.counts)
        if day.lasted:
            known = self._estimates.get(Estimate.BOOKED, 0)
            self._estimates[Estimate.BOOKED] = known + len(day.lasted)
        for age in day.lasted:
            self._age(age)
        for alike in day.alike:
            self._causes.add_alike(alike)
        for episode, name, spend in day.apart:
            self._causes.add_one(episode, name, spend)

    def room(self, case: Case) -> None:
        """Take in the room of an episode that `day` has counted, as one of the dearest."""
        lines = [entry.line for entry in entries_of(case, self.window)]
        spend = sum((line.spend for line in lines), Spend())
        self._room(TopRoom(case, spend, any(line.price is None for line in lines)))

    @property
    def names_ran_out(self) -> bool:
        """Whether there were too many agent names: then it matters in which order episodes were taken in."""
        return self._causes.names_ran_out

    def rolled(self, lines: Iterable[DayLine], counts: Iterable[DayCount]) -> None:
        """Take in history that was rolled up by day: of its rooms and their ages nothing is known."""
        for entry in rolled_entries(lines, self.window):
            self._entry(entry)
        for one in rolled_counts(counts, self.window):
            self._count(one)

    def report(self) -> Report:
        """What it adds up to."""
        return Report(
            window=self.window,
            by=self.by,
            totals=self._totals,
            groups=dict(sorted(self._groups.items(), key=self._order)),
            meters=tuple(sorted(self._meters.values(), key=_meter_order)),
            days=dict(sorted(self._days.items())),
            rooms=self._rooms.found(),
            agents=self._causes.found(),
            ages=tuple(self._ages),
            estimates={how: n for how in Estimate if (n := self._estimates.get(how))},
        )

    def _order(
        self, item: tuple[tuple[str, ...], Sums]
    ) -> tuple[str, Decimal, Decimal, tuple[str, ...]]:
        key, sums = item
        day = key[self.by.index(By.DAY)] if By.DAY in self.by else ""
        return day, -sums.spend.low, -sums.spend.high, key

    def _entry(self, entry: Entry) -> None:
        line, key = entry.line, entry.key
        self._totals.add(line)
        self._group(key).add(line)
        self._days[key.day] = self._days.get(key.day, Spend()) + line.spend
        which = (line.meter, line.plan, line.unit, line.price is not None)
        known = self._meters.get(which)
        if known is None:
            known = self._meters[which] = MeterSum(*which, quota=is_quota(line))
        known.seconds += line.seconds
        known.spend += line.spend

    def _count(self, one: DayCount) -> None:
        self._totals.count(one)
        self._group(one.key).count(one)
        self._days.setdefault(one.key.day, Spend())

    def _group(self, key: DayKey) -> Sums:
        return self._groups.setdefault(tuple(by.of(key) for by in self.by), Sums())

    def _age(self, age: float) -> None:
        self._ages[bisect_right(_BELOW, age)] += 1

    def _room(self, room: TopRoom) -> None:
        case, spend = room.case, room.spend
        rank = Rank(spend.low, spend.high, case.age, case.stretch[0], case.episode.id)
        self._rooms.add(rank, room)


def _meter_order(one: MeterSum) -> tuple[Decimal, str, str, str, bool]:
    return -one.spend.high, one.meter, one.plan, one.unit, one.priced
