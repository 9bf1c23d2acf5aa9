"""What the agents of a simulated world truly cost: reckoned from its exact ledger, apart from the product.

The meters stand here in plain numbers, once as the product's tariffs and once for the reckoning, which has
its own arithmetic: what is billed for a whole session less what was billed until the stretch began.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from watchdog.core.model import Role
from watchdog.core.pricebook import Meter
from watchdog.core.profiles import Assignment, Part, Rated, Rates, Tariff, Tariffs
from watchdog.core.records import Spend
from watchdog.simulator.ledger import Ledger, Span, Stay

DAY = date(2026, 3, 1)
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Bill:
    """One meter: USD a minute, billed in whole `step` seconds and at least `least`, while the agent idles.

    `idle` None: nobody knows whether it is. The session ends after `most` seconds; `final`: for good.
    """

    name: str
    per_minute: str
    step: int = 1
    least: int = 0
    idle: bool | None = True
    most: int | None = None
    final: bool = False

    @property
    def rate(self) -> Decimal:
        """USD a second."""
        return Decimal(self.per_minute) / 60

    def of_session(self, lasted: timedelta, *, capped: bool) -> Decimal:
        """What a session that lasted so long is billed."""
        if lasted <= timedelta():
            return Decimal(0)
        if capped and self.most is not None:
            lasted = min(lasted, timedelta(seconds=self.most))
        lasted = max(lasted, timedelta(seconds=self.least))
        steps = math.ceil(Decimal(lasted // timedelta(microseconds=1)) / (self.step * 10**6))
        return steps * self.step * self.rate

    def meter(self) -> Meter:
        """The same for the product."""
        return Meter(
            meter=self.name,
            plan="ship",
            unit="min",
            price=Decimal(self.per_minute),
            bills_when_idle=self.idle,
            increment_s=self.step,
            minimum_s=self.least,
            effective_from=DAY,
            source="test",
            last_verified=DAY,
            confidence="high",
            max_session_s=self.most,
            final=self.final,
        )


WEBRTC = Bill("webrtc", "0.0005", least=10)
BILLS: dict[tuple[str, Role], tuple[Bill, ...]] = {
    ("support", Role.AGENT): (
        Bill("session", "0.01", least=10),
        Bill("stt", "0.0048"),
        replace(WEBRTC, idle=None),
    ),
    # Its recogniser ends an open socket after three hours, and the agent may open another.
    ("sales", Role.AGENT): (WEBRTC, Bill("stt-socket", "0.0025", most=10_800)),
    ("sales", Role.AVATAR): (WEBRTC, Bill("avatar", "0.37", most=3600, final=True)),
    # As it was until 2026: whole minutes, one at least; and a recogniser of which nobody knows.
    ("legacy", Role.AGENT): (
        Bill("session-old", "0.01", step=60, least=60),
        Bill("stt-unknown", "0.0166", step=15, idle=None),
    ),
}
_PARTS = {Role.AGENT: Part.AGENT, Role.AVATAR: Part.AVATAR}


def tariffs(*, only_certain: bool = False) -> Tariffs:
    """The product's tariffs of these bills, by agent name."""

    def rated(bills: Iterable[Bill], idle: bool | None) -> tuple[Rated, ...]:
        return tuple(Rated(bill.meter()) for bill in bills if bill.idle is idle)

    def tariff(name: str) -> Tariff:
        parts = {
            _PARTS[role]: Rates(rated(bills, True), () if only_certain else rated(bills, None))
            for (agent, role), bills in BILLS.items()
            if agent == name
        }
        return Tariff(name, "ship", parts, "test", "test")

    assigned = tuple(Assignment(tariff(name), agents=(name,)) for name in ("sales", "legacy"))
    return Tariffs(tariff("support"), assigned)


ATOM = Decimal("1e-12")
"""A price of so much a minute has no last digit by the second: sums of both kinds differ by less."""


@dataclass(frozen=True)
class Truth:
    """What was billed: `least` if nothing ran but what certainly does, `most` if all of it did."""

    least: Decimal = Decimal(0)
    most: Decimal = Decimal(0)

    def __add__(self, other: "Truth") -> "Truth":
        return Truth(self.least + other.least, self.most + other.most)

    def lies_in(self, spend: Spend) -> bool:
        """Whether the range of an estimate holds it; what is not verified may be, or not."""
        return spend.low <= self.least + ATOM and self.most <= spend.high + spend.unverified + ATOM


def true_cost(stay: Stay, bills: Iterable[Bill], alone: Iterable[Span]) -> Truth:
    """What one connection was billed for the stretches in which no person was there.

    The server tells when a connection began in whole milliseconds, cut off, and a step of a bill can lie
    between the two: then both are true of somebody's clock.
    """
    left = stay.left_at or FOREVER
    stamp = stay.joined_at - timedelta(microseconds=stay.joined_at.microsecond % 1000)
    least = most = Decimal(0)
    for bill in bills:
        amounts = {
            capped: _both_clocks(bill, (stamp, stay.joined_at), left, alone, capped=capped)
            for capped in (True, bill.final)
        }
        least += max(amounts[True]) if bill.idle else 0
        most += min(amounts[bill.final])
    return Truth(least, most)


def _both_clocks(
    bill: Bill,
    begins: Iterable[datetime],
    left: datetime,
    alone: Iterable[Span],
    *,
    capped: bool,
) -> list[Decimal]:
    return [
        sum(
            (
                bill.of_session(min(span.end or FOREVER, left) - began, capped=capped)
                - bill.of_session(min(span.start, left) - began, capped=capped)
                for span in alone
            ),
            Decimal(0),
        )
        for began in begins
    ]


def agents_of(ledger: Ledger, room_sid: str, spans: Iterable[Span]) -> list[Stay]:
    """The agents and avatars that were there in one of these spans."""
    spans = list(spans)
    return [
        stay
        for stay in ledger.stays_of(room_sid)
        if stay.role in _PARTS
        and any(
            stay.joined_at < (s.end or FOREVER) and (stay.left_at or FOREVER) > s.start
            for s in spans
        )
    ]
