"""What a bill comes to where some of a plan's allowance is left, as the operator says."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from watchdog.core.pricebook import UNIT_SECONDS
from watchdog.core.spend import Spend
from watchdog.reporting.report import MeterSum


def effective(total: Spend, meters: Iterable[MeterSum], left: Mapping[str, Decimal]) -> Spend:
    """The total less what is covered: `left` is by meter, in the meter's own unit.

    An allowance is used up before anything costs, so it covers the low and the high estimate alike; what is
    unverified stays as it is.
    """
    low, high = total.low, total.high
    for meter in meters:
        allowed = left.get(meter.meter)
        if allowed is None or not meter.priced or not meter.seconds:
            continue
        rate = (meter.spend.high + meter.spend.unverified) / meter.seconds
        covered = allowed * UNIT_SECONDS[meter.unit] * rate
        low -= min(meter.spend.low, covered)
        high -= min(meter.spend.high, covered)
    return Spend(low, max(low, high), total.unverified)
