"""What is written of the bill: lines by episode, agent and meter, and corrections downwards.

Open spend is a pure function of stored bounds and prices; a line is that function's value when the
episode's own row was last written, with the prices it was reckoned with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from watchdog.core.avoided import Avoidance
from watchdog.core.model import Episode
from watchdog.core.pricing import episode_charges
from watchdog.core.profiles import Tariffs
from watchdog.core.spend import Spend

_NANO = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What one meter adds to an episode's bill for the agents of one name.

    `price` is USD per `unit`, None where there is none; `seconds` are those that the high estimate was
    reckoned with, times the quantity that runs at a time.
    """

    agent_name: str
    meter: str
    profile: str
    plan: str
    unit: str
    price: Decimal | None
    seconds: Decimal
    spend: Spend
    book_version: str
    book_hash: str


def lines_of(episode: Episode, tariffs: Tariffs, *, upto: datetime) -> tuple[LedgerLine, ...]:
    """The lines of an episode as of `upto`, or its end: one for each agent name, profile and meter."""
    end = episode.bounds.first_gone_at
    lines: dict[tuple[str, str, str], LedgerLine] = {}
    for span, tariff, charge in episode_charges(
        episode, tariffs, upto=upto if end is None else end
    ):
        meter = charge.rated.meter
        key = (span.agent_name, tariff.profile, meter.meter)
        known = lines.get(key)
        lines[key] = LedgerLine(
            agent_name=span.agent_name,
            meter=meter.meter,
            profile=tariff.profile,
            plan=meter.plan,
            unit=meter.unit,
            price=meter.price,
            seconds=charge.seconds + (known.seconds if known else 0),
            spend=charge.spend + (known.spend if known else Spend()),
            book_version=tariff.book_version,
            book_hash=tariff.book_hash,
        )
    return tuple(lines.values())


def reckoned_lines(episode: Episode, tariffs: Tariffs, *, upto: datetime) -> tuple[LedgerLine, ...]:
    """`lines_of` as they would be written: to a nano-dollar, so that every sum of them is exact."""
    lines = lines_of(episode, tariffs, upto=upto)
    return tuple(replace(line, spend=_to_a_nano(line.spend)) for line in lines)


def _to_a_nano(spend: Spend) -> Spend:
    return Spend(*(a.quantize(_NANO) for a in (spend.low, spend.high, spend.unverified)))


@dataclass(frozen=True, slots=True)
class Correction:
    """How much less an episode turned out to have cost than was counted before, as of one tick.

    Exported counters do not fall: by this much they say more than the ledger.
    """

    at: datetime
    episode: str
    agent_name: str
    less: Spend


def fallen(before: Spend, now: Spend) -> Spend:
    """By how much each estimate fell."""
    nothing = Decimal(0)
    return Spend(
        max(nothing, before.low - now.low),
        max(nothing, before.high - now.high),
        max(nothing, before.unverified - now.unverified),
    )


@dataclass(frozen=True, slots=True)
class Postings:
    """What one tick writes into the ledger, beside the episodes it is about.

    `lines` replace those of their episode, `avoided` what stood for the same episode and agent: of these
    those are booked whole that are over at `upto`, until when all this was reckoned.
    """

    upto: datetime
    lines: Mapping[str, tuple[LedgerLine, ...]] = field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    avoided: tuple[Avoidance, ...] = ()
