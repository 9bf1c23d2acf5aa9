"""What was spent in the present day and month (UTC), against a project's budgets.

Pure. The counters that are exported never fall, and neither does what is told here within a period.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from watchdog.core.spend import Spend


class Period(StrEnum):
    """How long a budget is for; both begin at midnight UTC."""

    DAY = "day"
    MONTH = "month"

    def of(self, at: datetime) -> str:
        """The period in which a moment lies: `2026-11-25` or `2026-11`."""
        return at.astimezone(UTC).strftime("%Y-%m-%d" if self is Period.DAY else "%Y-%m")


@dataclass(frozen=True, slots=True)
class Since:
    """A period, and what a project's counters said when it began."""

    period: str
    spend: Spend


@dataclass(frozen=True, slots=True)
class Tally:
    """When the present periods began, and with what.

    `total` is the sum of the counters when they were last told. What was spent while the watchdog did not
    run falls to the period in which it comes back.
    """

    total: Spend = field(default_factory=Spend)
    began: Mapping[Period, Since] = field(default_factory=dict)

    def at(self, now: datetime, exported: Mapping[str, Spend]) -> "Tally":
        """The tally once the counters say this; `exported` is by agent name."""
        began = {
            period: since
            if (since := self.began.get(period)) is not None and since.period == period.of(now)
            else Since(period.of(now), self.total)
            for period in Period
        }
        return Tally(sum(exported.values(), Spend()), began)

    def spent(self, period: Period) -> Spend:
        """What was spent in the present period, as both estimates."""
        since = self.began.get(period, Since("", self.total)).spend
        return Spend(self.total.low - since.low, self.total.high - since.high)


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One budget: how much it is, in USD, and what of it is spent."""

    limit: Decimal
    spent: Spend
