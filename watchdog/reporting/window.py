"""The stretch of time that a report is about, and what of a bill falls into it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal

from watchdog.core.ledger import LedgerLine
from watchdog.core.pricing import seconds
from watchdog.core.spend import Spend

Stretch = tuple[datetime, datetime]
"""From when until when; the end is not in it."""

_NANO = Decimal("1e-9")
_NONE, _ALL = Decimal(0), Decimal(1)


@dataclass(frozen=True, slots=True)
class Window:
    """From `since` on, and before `until`; None is no limit."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, moment: datetime) -> bool:
        """Whether a moment lies in it."""
        return (self.since is None or self.since <= moment) and (
            self.until is None or moment < self.until
        )

    @property
    def days(self) -> tuple[date | None, date | None]:
        """The first UTC day that it touches, and the one after the last; None is no limit."""
        first = None if self.since is None else self.since.astimezone(UTC).date()
        if self.until is None:
            return first, None
        return first, (self.until.astimezone(UTC) - timedelta.resolution).date() + timedelta(days=1)

    @property
    def whole_days(self) -> tuple[date | None, date | None] | None:
        """The first UTC day that lies in it whole, and the one after the last; None where there is none."""
        first = until = None
        if self.since is not None:
            first = (self.since.astimezone(UTC) + timedelta(days=1) - timedelta.resolution).date()
        if self.until is not None:
            until = self.until.astimezone(UTC).date()
        if first is not None and until is not None and first >= until:
            return None
        return first, until

    def clip(self, stretch: Stretch) -> Stretch | None:
        """What of a stretch lies in it; None for nothing. A mere moment counts where it is."""
        start, end = stretch
        if start >= end:
            return stretch if self.holds(start) else None
        start = start if self.since is None else max(start, self.since)
        end = end if self.until is None else min(end, self.until)
        return (start, end) if start < end else None

    def cut(self, line: LedgerLine, stretch: Stretch) -> LedgerLine:
        """The share of a line, which covers a stretch evenly, that falls into the window.

        Windows that meet share a line without a rest: what lies before one end is always rounded alike.
        """
        before, upto = self._shares(stretch)
        if (before, upto) == (_NONE, _ALL):
            return line
        spend = line.spend
        return replace(
            line,
            seconds=_between(line.seconds, before, upto),
            spend=Spend(
                *(_between(a, before, upto) for a in (spend.low, spend.high, spend.unverified))
            ),
        )

    def share(self, stretch: Stretch) -> Decimal:
        """The share of a stretch that lies in it, from 0 to 1."""
        before, upto = self._shares(stretch)
        return upto - before

    def _shares(self, stretch: Stretch) -> tuple[Decimal, Decimal]:
        """The shares of a stretch that lie before the window begins, and before it ends."""
        start, end = stretch
        if start >= end:
            return _NONE, (_ALL if self.holds(start) else _NONE)
        if (self.since is None or self.since <= start) and (
            self.until is None or end <= self.until
        ):
            return _NONE, _ALL
        before = _NONE if self.since is None else _passed(stretch, self.since)
        upto = _ALL if self.until is None else _passed(stretch, self.until)
        return before, max(before, upto)


def day_of(day: date) -> Stretch:
    """A whole UTC day."""
    start = datetime.combine(day, time(), UTC)
    return start, start + timedelta(days=1)


def on_day(stretch: Stretch, day: date) -> Stretch:
    """What of a stretch lies on a day it touches."""
    midnight, next_midnight = day_of(day)
    return max(stretch[0], midnight), min(stretch[1], next_midnight)


def months(moment: datetime) -> Stretch:
    """The calendar month, in UTC, that a moment lies in."""
    start = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    later = start + timedelta(days=32)
    return start, datetime(later.year, later.month, 1, tzinfo=UTC)


def days_between(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _passed(stretch: Stretch, moment: datetime) -> Decimal:
    """How much of a stretch lies before a moment."""
    start, end = stretch
    return seconds(min(max(moment, start), end) - start) / seconds(end - start)


def _between(amount: Decimal, before: Decimal, upto: Decimal) -> Decimal:
    return _part(amount, upto) - _part(amount, before)


def _part(amount: Decimal, share: Decimal) -> Decimal:
    return amount if share == _ALL else (amount * share).quantize(_NANO, ROUND_DOWN)
