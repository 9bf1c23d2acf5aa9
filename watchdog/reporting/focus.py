"""The bill in the shape of FOCUS 1.2, the FinOps Open Cost and Usage Specification: for finance tools.

An estimate in the shape of a bill, and no bill: BilledCost is 0. ListCost is the low estimate, what would be
billed certainly; the high one stands beside it. What the columns are called is in `COLUMNS` alone.
"""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from watchdog.core.pricebook import UNIT_SECONDS
from watchdog.reporting.cells import harmless
from watchdog.reporting.entries import Entry
from watchdog.reporting.window import months

Value = str | Decimal | datetime | None
"""What a cell holds; None is an empty one."""

_QUANTITY = Decimal("1e-9")
_UNITS: Mapping[str, str] = {
    "min": "Minutes",
    "connection-min": "Connection-Minutes",
    "h": "Hours",
    "vCPU-h": "vCPU-Hours",
    "GB-h": "GB-Hours",
}
"""Our units as FOCUS writes them."""

_LIVEKIT, _AI, _MEDIA, _COMPUTE, _OTHER = (
    "LiveKit",
    "AI and Machine Learning",
    "Media",
    "Compute",
    "Other",
)
_PROVIDERS: Mapping[str, tuple[str, str]] = {
    "lk": (_LIVEKIT, _MEDIA),
    "anam": ("Anam", _AI),
    "assemblyai": ("AssemblyAI", _AI),
    "azure": ("Microsoft", _AI),
    "bithuman": ("bitHuman", _AI),
    "cartesia": ("Cartesia", _AI),
    "compute": ("AWS", _COMPUTE),
    "deepgram": ("Deepgram", _AI),
    "elevenlabs": ("ElevenLabs", _AI),
    "gemini": ("Google", _AI),
    "google": ("Google", _AI),
    "openai": ("OpenAI", _AI),
    "simli": ("Simli", _AI),
    "tavus": ("Tavus", _AI),
}
"""Who bills a meter and FOCUS's category of it, by the first part of the meter's name."""


class Sink(Protocol):
    """Where text goes."""

    def write(self, text: str, /) -> object:
        """Take in some text."""
        ...


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry as FOCUS asks about it. `private` makes of a room's name what may be shown."""

    entry: Entry
    private: Callable[[str], str]

    @property
    def low(self) -> Decimal | None:
        """The low estimate in USD; None, and not 0, where the meter has no price."""
        return None if self.entry.line.price is None else self.entry.line.spend.low

    @property
    def high(self) -> Decimal | None:
        """The high estimate in USD."""
        return None if self.entry.line.price is None else self.entry.line.spend.high

    @property
    def quantity(self) -> Decimal | None:
        """The units that the low estimate was reckoned with, so that times the price it is the cost."""
        price = self.entry.line.price
        if price is None:
            return None
        if not price:
            return self.high_quantity
        return (self.entry.line.spend.low / price).quantize(_QUANTITY)

    @property
    def high_quantity(self) -> Decimal:
        """The units that were seen, at most."""
        line = self.entry.line
        return (line.seconds / UNIT_SECONDS.get(line.unit, 1)).quantize(_QUANTITY)

    @property
    def consumed(self) -> Decimal:
        """The units that are priced; of a meter without a price, those that were seen at most."""
        found = self.quantity
        return self.high_quantity if found is None else found

    @property
    def unit(self) -> str:
        """The unit in FOCUS's words."""
        return _UNITS.get(self.entry.line.unit, self.entry.line.unit)

    @property
    def provider(self) -> str:
        """Who bills it."""
        first = self.entry.line.meter.partition(".")[0]
        return _PROVIDERS.get(first, (first, ""))[0]

    @property
    def service(self) -> str:
        """What is bought."""
        if not self.entry.line.meter.startswith("lk."):
            return self.provider
        return "LiveKit Inference" if self._is_inference else "LiveKit Cloud"

    @property
    def category(self) -> str:
        """One of FOCUS's service categories."""
        if self._is_inference:
            return _AI
        return _PROVIDERS.get(self.entry.line.meter.partition(".")[0], ("", _OTHER))[1]

    @property
    def _is_inference(self) -> bool:
        return self.entry.line.meter.startswith("lk.inference.")

    @property
    def room_name(self) -> str | None:
        """The room's name, as far as it may be shown; None once history is rolled up."""
        return None if self.entry.room is None else self.private(self.entry.room.name)

    @property
    def tags(self) -> str:
        """JSON: what has no column of its own, and names exactly as they are."""
        line = self.entry.line
        tags = {"agent_name": line.agent_name, "profile": line.profile, "plan": line.plan}
        if self.room_name is not None:
            tags["room_name"] = self.room_name
        return json.dumps(tags, ensure_ascii=True)

    @property
    def period(self) -> tuple[datetime, datetime]:
        """The stretch in whole seconds, the end not in it."""
        start, end = (moment.astimezone(UTC) for moment in self.entry.stretch)
        first = start.replace(microsecond=0)
        last = end.replace(microsecond=0)
        return first, max(
            last + timedelta(seconds=1) if end > last else last, first + timedelta(seconds=1)
        )

    @property
    def billing_period(self) -> tuple[datetime, datetime]:
        """The calendar month that the stretch begins in."""
        return months(self.period[0])


COLUMNS: Mapping[str, Callable[[Charge], Value]] = {
    "BilledCost": lambda _: Decimal(0),
    "EffectiveCost": lambda c: c.low,
    "ListCost": lambda c: c.low,
    "ContractedCost": lambda c: c.low,
    "ListUnitPrice": lambda c: c.entry.line.price,
    "PricingQuantity": lambda c: c.quantity,
    "PricingUnit": lambda c: c.unit,
    "ConsumedQuantity": lambda c: c.consumed,
    "ConsumedUnit": lambda c: c.unit,
    "ChargePeriodStart": lambda c: c.period[0],
    "ChargePeriodEnd": lambda c: c.period[1],
    "BillingPeriodStart": lambda c: c.billing_period[0],
    "BillingPeriodEnd": lambda c: c.billing_period[1],
    "BillingCurrency": lambda _: "USD",
    "ChargeCategory": lambda _: "Usage",
    "ChargeDescription": lambda c: (
        f"Estimate: {c.entry.line.meter} while only agents were in the room"
    ),
    "ServiceName": lambda c: c.service,
    "ServiceCategory": lambda c: c.category,
    "ProviderName": lambda c: c.provider,
    "PublisherName": lambda c: c.provider,
    "InvoiceIssuerName": lambda c: c.provider,
    "SkuId": lambda c: c.entry.line.meter,
    "ResourceId": lambda c: c.entry.room.sid if c.entry.room else None,
    "ResourceName": lambda c: c.room_name,
    "ResourceType": lambda c: "Room" if c.entry.room else None,
    "SubAccountId": lambda c: c.entry.key.project,
    "SubAccountName": lambda c: c.entry.key.project,
    "Tags": lambda c: c.tags,
    "x_HighCost": lambda c: c.high,
    "x_HighQuantity": lambda c: c.high_quantity,
    "x_UnverifiedCost": lambda c: None if c.low is None else c.entry.line.spend.unverified,
    "x_Estimate": lambda c: c.entry.estimate.value,
    "x_PriceBookVersion": lambda c: c.entry.line.book_version,
    "x_Policy": lambda c: c.entry.key.policy or None,
    "x_CloseReason": lambda c: c.entry.key.close_reason or None,
}
"""What each column is called, and what stands in it; another version of FOCUS is another such table."""


def write_focus(
    entries: Iterable[Entry],
    sink: Sink,
    *,
    private: Callable[[str], str] = str,
    columns: Mapping[str, Callable[[Charge], Value]] = COLUMNS,
    head: bool = True,
) -> None:
    """Write entries as CSV, one row each, as they come; with the columns' names first where `head`."""
    writer = csv.writer(sink, lineterminator="\n")
    if head:
        writer.writerow(columns)
    for entry in entries:
        charge = Charge(entry, private)
        writer.writerow([_cell(value(charge)) for value in columns.values()])


def _cell(value: Value) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return f"{value:f}"
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return harmless(value)
