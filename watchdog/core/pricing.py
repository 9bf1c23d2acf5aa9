"""What an orphaned span costs: a pure function of stored bounds and dated prices.

Money is `Decimal` USD and is never rounded here. Seconds come from our own observations. Only what
bills by connection or time can be seen from outside; tokens and characters cannot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from watchdog.core.model import AgentSpan, Episode
from watchdog.core.pricebook import UNIT_SECONDS, Meter
from watchdog.core.profiles import Rated, Rates, Tariff, Tariffs
from watchdog.core.spend import Spend

_NEVER = datetime.min.replace(tzinfo=UTC)


def seconds(duration: timedelta) -> Decimal:
    """A duration in seconds, exactly."""
    whole = duration.days * 86400 + duration.seconds
    return Decimal(whole) + Decimal(duration.microseconds).scaleb(-6)


def billed_seconds(meter: Meter, duration: Decimal) -> Decimal:
    """The seconds a session of `duration` seconds is billed as: none, or the minimum, or whole steps."""
    if duration <= 0:
        return Decimal(0)
    step = Decimal(meter.increment_s)
    counted = max(duration, Decimal(meter.minimum_s))
    steps, rest = divmod(counted, step)
    return (steps + bool(rest)) * step


_SECOND = timedelta(seconds=1)
_ZERO = Decimal(0)


def _billed(meter: Meter, duration: timedelta) -> int:
    """`billed_seconds` in whole numbers, which is all that it gives."""
    micros = (duration.days * 86400 + duration.seconds) * 1_000_000 + duration.microseconds
    if micros <= 0:
        return 0
    step = meter.increment_s
    return -(-max(micros, meter.minimum_s * 1_000_000) // (step * 1_000_000)) * step


def slice_seconds(
    meter: Meter, began: datetime, start: datetime, end: datetime, *, capped: bool = False
) -> Decimal:
    """The billed seconds that the stretch from `start` to `end` adds to a session that began at `began`.

    They are the session billed to the end less the session billed to the start, so that stretches add
    up to their whole and the minimum is never charged to a late stretch. `capped` ends the session
    at the meter's `max_session_s`.
    """
    if end <= start:
        return Decimal(0)
    before, after = start - began, end - began
    if capped and meter.max_session_s is not None:
        limit = meter.max_session_s * _SECOND
        before, after = min(before, limit), min(after, limit)
    return Decimal(_billed(meter, after) - _billed(meter, before))


def cost(meter: Meter, amount: Decimal) -> Decimal:
    """What so many seconds cost; nothing where the meter is unpriced."""
    return amount * meter.price / UNIT_SECONDS[meter.unit] if meter.price else Decimal(0)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one meter adds to the bill of one connection's orphaned span.

    `seconds` are those that `high` and `unverified` were reckoned with, times the quantity: all that is
    known of a meter without a price.
    """

    rated: Rated
    seconds: Decimal
    spend: Spend


def span_charges(
    span: AgentSpan,
    rates: Rates,
    *,
    upto: datetime,
    skew: float | None = None,
    verified_until: datetime | None = None,
    not_before: datetime | None = None,
) -> Iterator[Charge]:
    """What each meter of one orphaned connection cost until `upto`.

    low: certain meters from `first_orphaned_at` to `last_seen_orphaned_at`. high: the possible ones
    too, from `last_attended_at` (None: when the agent joined) to `first_gone_at` (`upto` while it is
    there). `skew` is the server's clock minus ours in seconds. What came after `verified_until`
    (None: all is verified) is counted apart, as high would be. `not_before` is when a person is
    known to have been there: high never reaches behind it.
    """
    bounds = span.bounds
    first = bounds.first_orphaned_at
    came = joined(span, skew)
    start = _high_start(span, came, not_before)
    end = min(bounds.first_gone_at or upto, upto)
    proven = end if verified_until is None else min(end, verified_until)
    last = min(bounds.last_seen_orphaned_at, proven)
    began = came or start
    for rated, certain in (
        *((r, True) for r in rates.certain),
        *((r, False) for r in (*rates.possible, *rates.unpriced)),
    ):
        meter, quantity = rated.meter, rated.quantity
        high = slice_seconds(meter, began, start, proven, capped=meter.final)
        unverified = slice_seconds(meter, began, max(start, proven), end, capped=meter.final)
        low = Decimal(0)
        if certain:
            # When it joined is not known: the minimum is taken as long used up, so that low stays low.
            low = slice_seconds(meter, _low_began(meter, came, first), first, last, capped=True)
        yield Charge(
            rated,
            (high + unverified) * quantity,
            Spend(*(cost(meter, s * quantity) for s in (low, high, unverified))),
        )


def _high_start(span: AgentSpan, came: datetime | None, not_before: datetime | None) -> datetime:
    first = span.bounds.first_orphaned_at
    start = span.bounds.last_attended_at or came or first
    return min(max(start, not_before or start), first)


def _low_began(meter: Meter, came: datetime | None, first: datetime) -> datetime:
    return came or first - timedelta(seconds=meter.minimum_s)


def joined(span: AgentSpan, skew: float | None) -> datetime | None:
    """When the agent joined, by our clock; never after we first saw it there."""
    if span.joined_at is None:
        return None
    return min(span.joined_at - timedelta(seconds=skew or 0.0), span.bounds.first_orphaned_at)


def episode_charges(
    episode: Episode, tariffs: Tariffs, *, upto: datetime
) -> Iterator[tuple[AgentSpan, Tariff, Charge]]:
    """Every charge of an episode until `upto`, with whose it is and by which tariff.

    Once the room is stranded, what came after it last answered is unverified (A10).
    """
    gone = episode.bounds.first_gone_at
    upto = upto if gone is None else min(upto, gone)
    verified_until = _verified_until(episode)
    for span in episode.connections:
        tariff = tariffs.of(episode.room_name, span.agent_name)
        for charge in span_charges(
            span,
            tariff.rates(span),
            upto=upto,
            skew=episode.skew,
            verified_until=verified_until,
            not_before=episode.bounds.last_attended_at,
        ):
            yield span, tariff, charge


def episode_spend(episode: Episode, tariffs: Tariffs, *, upto: datetime) -> dict[str, Spend]:
    """What an episode has cost until `upto`, by agent name as the server gave it."""
    spent = {span.agent_name: Spend() for span in episode.connections}
    for span, _, charge in episode_charges(episode, tariffs, upto=upto):
        spent[span.agent_name] += charge.spend
    return spent


@dataclass(frozen=True, slots=True)
class _Run:
    """One meter of a connection that is still there: all of its high estimate but for its end."""

    meter: Meter
    quantity: Decimal
    began: datetime
    start: datetime
    most: timedelta | None
    before: int

    def high(self, upto: datetime) -> Decimal:
        """As `span_charges` has it."""
        if upto <= self.start:
            return cost(self.meter, Decimal(0) * self.quantity)
        after = upto - self.began
        if self.most is not None:
            after = min(after, self.most)
        return cost(self.meter, Decimal(_billed(self.meter, after) - self.before) * self.quantity)


@dataclass(frozen=True, slots=True)
class RunningSpend:
    """What an open episode costs as time goes on: reckoned once, but for what time alone moves.

    From `since` on `at` gives what `episode_spend` would.
    """

    since: datetime
    spent: Mapping[str, tuple[Decimal, tuple[_Run | Decimal, ...], Decimal]]
    """By agent name: low, what makes up high in its order, and unverified."""

    def at(self, upto: datetime) -> dict[str, Spend]:
        """The spend until `upto`, by agent name."""
        return {
            name: Spend(
                low,
                sum((h if isinstance(h, Decimal) else h.high(upto) for h in highs), _ZERO),
                rest,
            )
            for name, (low, highs, rest) in self.spent.items()
        }


def running_spend(episode: Episode, tariffs: Tariffs, upto: datetime) -> RunningSpend | None:
    """An open episode's, from `upto` on; None where more than the end of the high estimate may move."""
    spans = episode.connections
    ends = [s.bounds.first_gone_at or s.bounds.last_seen_orphaned_at for s in spans]
    gone = episode.bounds.first_gone_at
    if episode.stranded_since is not None or gone is not None or any(end > upto for end in ends):
        return None
    lows = {span.agent_name: _ZERO for span in spans}
    rests = dict(lows)
    highs: dict[str, list[_Run | Decimal]] = {name: [] for name in lows}
    for span, _, charge in episode_charges(episode, tariffs, upto=upto):
        name, rated = span.agent_name, charge.rated
        lows[name] += charge.spend.low
        rests[name] += charge.spend.unverified
        if span.bounds.first_gone_at is not None:
            highs[name].append(charge.spend.high)
        else:
            came = joined(span, episode.skew)
            start = _high_start(span, came, episode.bounds.last_attended_at)
            highs[name].append(_run(rated, came or start, start))
    return RunningSpend(upto, {n: (lows[n], tuple(highs[n]), rests[n]) for n in lows})


def _run(rated: Rated, began: datetime, start: datetime) -> _Run:
    meter, before = rated.meter, start - began
    most = (
        meter.max_session_s * _SECOND if meter.final and meter.max_session_s is not None else None
    )
    if most is not None:
        before = min(before, most)
    return _Run(meter, rated.quantity, began, start, most, _billed(meter, before))


def _verified_until(episode: Episode) -> datetime | None:
    if episode.stranded_since is None:
        return None
    return episode.last_reachable_at or _NEVER


def whole_burn_per_hour(episode: Episode, tariffs: Tariffs) -> Spend:
    """What all that is there now costs an hour."""
    return sum(burn_per_hour(episode, tariffs).values(), Spend())


def burn_per_hour(episode: Episode, tariffs: Tariffs) -> dict[str, Spend]:
    """What is there now costs an hour, by agent name; nothing once the episode is over."""
    burn: dict[str, Spend] = {}
    for span in episode.connections if episode.is_open else ():
        if span.bounds.first_gone_at is not None:
            continue
        rates = tariffs.of(episode.room_name, span.agent_name).rates(span)
        rate = rates.hourly
        if episode.stranded_since is not None:
            rate = Spend(unverified=rate.high)
        burn[span.agent_name] = burn.get(span.agent_name, Spend()) + rate
    return burn
