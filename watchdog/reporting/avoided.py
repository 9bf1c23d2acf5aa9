"""What deletions avoided within a stretch of time, by the assumption it rests on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.spend import Spend
from watchdog.reporting.window import Window, day_of


@dataclass(frozen=True, slots=True)
class StoredAvoidance:
    """What one deletion avoids; `booked` is the whole, in USD, once nothing is added any more."""

    project: str
    avoidance: Avoidance
    booked: Decimal | None


@dataclass(frozen=True, slots=True)
class Corrected:
    """How often, and by how much in all, a project's spend turned out to be less than was exported."""

    project: str
    times: int
    less: Spend


@dataclass(slots=True)
class AvoidedSums:
    """USD by project and basis."""

    usd: dict[tuple[str, Basis], Decimal] = field(default_factory=dict)

    def add(self, found: Iterable[StoredAvoidance], window: Window, upto: datetime) -> None:
        """Take in what falls into the window; what is not over yet counts until `upto`."""
        for one in found:
            if amount := avoided_within(one, window, upto):
                key = one.project, one.avoidance.basis
                self.usd[key] = self.usd.get(key, Decimal(0)) + amount

    def add_days(self, found: Mapping[tuple[str, date, str, str], Decimal], window: Window) -> None:
        """Take in what was rolled up, in USD by project, day, agent name and basis: a cut day pro rata."""
        for (project, day, _, basis), amount in found.items():
            if share := amount * window.share(day_of(day)):
                key = project, Basis(basis)
                self.usd[key] = self.usd.get(key, Decimal(0)) + share


def avoided_within(one: StoredAvoidance, window: Window, upto: datetime) -> Decimal:
    """What one deletion avoided in the window, as the time passed; never below 0."""
    whole, end = one.avoidance, upto if window.until is None else min(upto, window.until)
    over = one.booked is not None and whole.is_over(end)
    amount = one.booked if over and one.booked is not None else whole.booked(end)
    if window.since is None:
        return amount
    # What is booked is rounded: of what was over before the window no rest is to be left.
    before = amount if whole.is_over(window.since) else whole.booked(window.since)
    return max(Decimal(0), amount - before)
