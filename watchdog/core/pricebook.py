"""Dated prices: what one metered thing costs under one plan, and since when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

UNIT_SECONDS: Mapping[str, int] = {
    "min": 60,
    "connection-min": 60,
    "h": 3600,
    "vCPU-h": 3600,
    "GB-h": 3600,
}
"""The units a span can be priced in, and their seconds; of vCPU-h and GB-h, for one vCPU and one GB."""

UNSEEN_UNITS = ("GB", "1M chars", "1M tokens")
"""The units whose number cannot be seen from outside: a price in one is shown, and in no estimate."""

LIST_PLAN = "list"
"""The plan of what is not bought from LiveKit: its prices hold whatever LiveKit plan one has."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One billed thing under one plan, at one price, for one stretch of days.

    `price` is in `currency` per `unit`; None is unpriced, which is not 0. `bills_when_idle` is None
    where nobody knows. A session is billed in steps of `increment_s` and as at least `minimum_s`.
    It ends by itself after `max_session_s`, and for good where that is `final`: nothing reopens it.
    `included` is how much of the unit the plan includes a month.
    It is valid from `effective_from` to the day before `effective_to` (None: still valid).
    """

    meter: str
    plan: str
    unit: str
    price: Decimal | None
    bills_when_idle: bool | None
    increment_s: int
    minimum_s: int
    effective_from: date
    source: str
    last_verified: date
    confidence: str
    max_session_s: int | None = None
    effective_to: date | None = None
    provider: str = "livekit"
    currency: str = "USD"
    basis: str = "connection_time"
    included: int | None = None
    notes: str = ""
    final: bool = False
    """Whether nothing reopens a session that has ended at `max_session_s`."""

    @property
    def is_timed(self) -> bool:
        """Whether it bills time, which can be seen from outside; tokens, characters and bytes cannot."""
        return self.unit in UNIT_SECONDS

    @property
    def hourly(self) -> Decimal:
        """What an hour of it costs; 0 where it is unpriced or bills no time: look at these first."""
        if self.price is None or not self.is_timed:
            return Decimal(0)
        return self.price * 3600 / UNIT_SECONDS[self.unit]

    def is_valid(self, on: date) -> bool:
        """Whether it holds on that day."""
        return self.effective_from <= on and (self.effective_to is None or on < self.effective_to)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """Dated prices. `content_hash` changes whenever anything in them does."""

    schema_version: int
    book_version: str
    currency: str
    meters: tuple[Meter, ...]
    content_hash: str
    stale_after: timedelta
    """How long after its verification a price counts as stale."""

    def find(self, meter: str, plan: str, on: date) -> Meter | None:
        """The entry that is valid on that day, or None: the meter is unpriced then.

        One under the plan itself goes before one under plan `list`.
        """
        for wanted in (plan, LIST_PLAN):
            for entry in self.meters:
                if (entry.meter, entry.plan) == (meter, wanted) and entry.is_valid(on):
                    return entry
        return None

    def under(self, plan: str, on: date) -> tuple[Meter, ...]:
        """What `find` gives for every meter under that plan on that day, by name."""
        names = sorted({entry.meter for entry in self.meters})
        found = (self.find(name, plan, on) for name in names)
        return tuple(entry for entry in found if entry is not None)

    def is_stale(self, entry: Meter, on: date) -> bool:
        """Whether its last verification is too long ago on that day."""
        return on - entry.last_verified >= self.stale_after
