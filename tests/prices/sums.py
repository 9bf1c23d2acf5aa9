"""What one connection, stretch or session costs in all: sums of what the product tells meter by meter."""

from decimal import Decimal

from watchdog.core.model import AgentSpan
from watchdog.core.pricebook import Meter
from watchdog.core.pricing import billed_seconds, cost, slice_seconds, span_charges
from watchdog.core.profiles import Tariff
from watchdog.core.spend import Spend


def span_cost(span: AgentSpan, tariff: Tariff, **known) -> Spend:
    """The sum of a connection's charges."""
    charges = span_charges(span, tariff.rates(span), **known)
    return sum((charge.spend for charge in charges), Spend())


def slice_cost(meter: Meter, *moments) -> Decimal:
    """What a stretch of a session costs."""
    return cost(meter, slice_seconds(meter, *moments))


def billed(meter: Meter, duration: Decimal) -> Decimal:
    """What a whole session of so many seconds costs."""
    return cost(meter, billed_seconds(meter, duration))
