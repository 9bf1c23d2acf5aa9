"""Cases, lines and days as the tests of reports need them: a cent a second, unless said otherwise."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from tests.expose.builders import at, episode
from tests.store.builders import LINE as STORED
from watchdog.core.days import DayCount, DayKey, DayLine
from watchdog.core.ledger import LedgerLine
from watchdog.core.spend import Spend
from watchdog.reporting.entries import Case, Estimate

LINE = replace(
    STORED,
    price=Decimal("0.60"),
    seconds=Decimal(100),
    spend=Spend(Decimal("1.00"), Decimal("1.50"), Decimal("0.25")),
)


def line(low: str = "1.00", high: str | None = None, **more: Any) -> LedgerLine:
    """A line of so much money; `seconds` are those of the high estimate."""
    spend = Spend(Decimal(low), Decimal(high if high is not None else low))
    seconds = more.pop("seconds", spend.high * 100)
    return replace(LINE, spend=spend, seconds=Decimal(seconds), **more)


def unpriced(meter: str = "lk.ingress", seconds: int = 60, **more: Any) -> LedgerLine:
    """A line of a meter without a price."""
    return replace(line("0", seconds=seconds), meter=meter, price=None, **more)


def case(
    number: int = 1,
    lines: Sequence[LedgerLine] = (LINE,),
    *,
    upto: float = 0,
    estimate: Estimate = Estimate.BOOKED,
    **more: Any,
) -> Case:
    """An episode with these lines; `began` and `gone` are seconds after noon of 2026-09-01."""
    one = episode(number, **({"gone": 100, "policy": "default"} | more))
    return Case(one, tuple(lines), one.bounds.first_gone_at or at(upto), estimate)


def still_open(number: int = 1, lines: Sequence[LedgerLine] = (LINE,), **more: Any) -> Case:
    return case(number, lines, **({"gone": None, "estimate": Estimate.RUNNING} | more))


def rolled(day: str, one: LedgerLine = LINE, **more: Any) -> DayLine:
    return DayLine(key(day, **more), one)


def count(day: str, episodes: int, seconds: float, never: int = 0, **more: Any) -> DayCount:
    return DayCount(key(day, **more), episodes, never, seconds)


def key(day: str, **more: Any) -> DayKey:
    values = {"project": "prod", "agent_name": "support", "policy": "default"} | more
    return DayKey(day=date.fromisoformat(day), **({"close_reason": "room_gone"} | values))
