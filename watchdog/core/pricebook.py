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
"""The units a span can be priced in, and their seconds."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One billed thing under one plan, at one price, for one stretch of days.

    `price` is in `currency` per `unit`; None is unpriced, which is not 0. `bills_when_idle` is None
    where nobody knows. A session is billed in steps of `increment_s` and as at least `minimum_s`.
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
        """Whether it is billed by a time that can be seen from outside."""
        return self.unit in UNIT_SECONDS

    @property
    def hourly(self) -> Decimal:
        """What an hour of it costs; 0 where it is unpriced, so look at `price` first."""
        return (self.price or Decimal(0)) * 3600 / UNIT_SECONDS[self.unit]


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
        """The entry that is valid on that day, or None: the meter is unpriced then."""
        for entry in self.meters:
            if (
                (entry.meter, entry.plan) == (meter, plan)
                and entry.effective_from <= on
                and (entry.effective_to is None or on < entry.effective_to)
            ):
                return entry
        return None
