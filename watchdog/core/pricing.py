"""What an orphaned span costs: a pure function of stored bounds and dated prices.

Money is `Decimal` USD and is never rounded here. Seconds come from our own observations. Only what
bills by connection or time can be seen from outside; tokens and characters cannot.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from watchdog.core.model import AgentSpan, Episode, Role
from watchdog.core.records import Spend

AGENT_SESSION = "lk.agent_session"
WEBRTC_PARTICIPANT = "lk.webrtc_participant"

UNIT_SECONDS: Mapping[str, int] = {"min": 60, "connection-min": 60, "h": 3600}
"""The units a span can be priced in, and their seconds."""

_NEVER = datetime.min.replace(tzinfo=UTC)


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


@dataclass(frozen=True, slots=True)
class Profile:
    """Which meters one kind of agent runs.

    `meters` certainly run while its agent is connected, `unknown_meters` perhaps. `avatar_meters`
    run for an avatar's own connection.
    """

    name: str
    meters: tuple[str, ...] = ()
    unknown_meters: tuple[str, ...] = ()
    avatar_meters: tuple[str, ...] = ()


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        # Whether an agent deployed to Cloud pays WebRTC minutes besides its session is not stated.
        Profile("cloud-hosted", (AGENT_SESSION,), (WEBRTC_PARTICIPANT,), (WEBRTC_PARTICIPANT,)),
        Profile("self-hosted-on-cloud", (WEBRTC_PARTICIPANT,), (), (WEBRTC_PARTICIPANT,)),
        Profile("self-hosted-everything"),
    )
}


def default_profile(*, url_is_cloud: bool) -> Profile:
    """The profile of a project that names none: its own agents, on Cloud or on its own server."""
    return PROFILES["self-hosted-on-cloud" if url_is_cloud else "self-hosted-everything"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Priced meters: those that `certain`ly bill while idle, and those that `possibl`y do."""

    certain: tuple[Meter, ...] = ()
    possible: tuple[Meter, ...] = ()


_NOTHING = Rates()


@dataclass(frozen=True, slots=True)
class Tariff:
    """A profile's meters under one plan on one day. `unpriced` names those without a price.

    A spend that a tariff with `unpriced` meters gives is incomplete: show "unpriced" beside it.
    """

    profile: str
    plan: str
    agent: Rates
    avatar: Rates
    unpriced: tuple[str, ...]
    book_version: str
    book_hash: str
    last_verified: date | None = field(default=None)
    """The oldest verification among its prices; None where it has none."""
    stale_on: date | None = field(default=None)
    """The day from which that price counts as stale."""

    def rates(self, role: Role) -> Rates:
        """What a participant in this role runs."""
        return {Role.AGENT: self.agent, Role.AVATAR: self.avatar}.get(role, _NOTHING)


def resolve_tariff(book: PriceBook, profile: Profile, plan: str, on: date) -> Tariff:
    """The tariff of a profile under a plan, with the prices that are valid on that day."""
    unpriced: list[str] = []
    agent = _rates(
        book, profile.meters, profile.unknown_meters, plan=plan, on=on, unpriced=unpriced
    )
    avatar = _rates(book, profile.avatar_meters, (), plan=plan, on=on, unpriced=unpriced)
    used = (*agent.certain, *agent.possible, *avatar.certain, *avatar.possible)
    verified = min((m.last_verified for m in used), default=None)
    return Tariff(
        profile=profile.name,
        plan=plan,
        agent=agent,
        avatar=avatar,
        unpriced=tuple(dict.fromkeys(unpriced)),
        book_version=book.book_version,
        book_hash=book.content_hash,
        last_verified=verified,
        stale_on=None if verified is None else verified + book.stale_after,
    )


def _rates(
    book: PriceBook,
    certain: Iterable[str],
    unknown: Iterable[str],
    *,
    plan: str,
    on: date,
    unpriced: list[str],
) -> Rates:
    sure: list[Meter] = []
    perhaps: list[Meter] = []
    for name, runs in [*((n, True) for n in certain), *((n, False) for n in unknown)]:
        meter = book.find(name, plan, on)
        if meter is None or meter.price is None:
            unpriced.append(name)
        elif meter.bills_when_idle is not False:
            (sure if runs and meter.bills_when_idle else perhaps).append(meter)
    return Rates(tuple(sure), tuple(perhaps))


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


def billed(meter: Meter, duration: Decimal) -> Decimal:
    """What a whole session of `duration` seconds costs. An unpriced meter has no answer: ValueError."""
    return _charge(meter, billed_seconds(meter, duration))


def slice_cost(
    meter: Meter, began: datetime, start: datetime, end: datetime, *, capped: bool = False
) -> Decimal:
    """What the stretch from `start` to `end` adds to a session that began at `began`.

    It is the session billed to the end less the session billed to the start, so that stretches add
    up to their whole and the minimum is never charged to a late stretch. `capped` ends the session
    at the meter's `max_session_s`.
    """
    if end <= start:
        return Decimal(0)
    before, after = seconds(start - began), seconds(end - began)
    if capped and meter.max_session_s is not None:
        limit = Decimal(meter.max_session_s)
        before, after = min(before, limit), min(after, limit)
    return _charge(meter, billed_seconds(meter, after) - billed_seconds(meter, before))


def _charge(meter: Meter, amount: Decimal) -> Decimal:
    if meter.price is None:
        raise ValueError(f"{meter.meter} is unpriced under plan {meter.plan}")
    return amount * meter.price / UNIT_SECONDS[meter.unit]


def span_cost(
    span: AgentSpan,
    tariff: Tariff,
    *,
    upto: datetime,
    skew: float | None = None,
    verified_until: datetime | None = None,
    not_before: datetime | None = None,
) -> Spend:
    """What one agent's orphaned connection cost until `upto`.

    low: certain meters from `first_orphaned_at` to `last_seen_orphaned_at`. high: the possible ones
    too, from `last_attended_at` (None: when the agent joined) to `first_gone_at` (`upto` while it is
    there). `skew` is the server's clock minus ours in seconds. What came after `verified_until`
    (None: all is verified) is counted apart, as high would be. `not_before` is when a person is
    known to have been there: high never reaches behind it.
    """
    bounds, rates = span.bounds, tariff.rates(span.role)
    first = bounds.first_orphaned_at
    joined = _joined(span, skew)
    start = bounds.last_attended_at or joined or first
    start = min(max(start, not_before or start), first)
    end = min(bounds.first_gone_at or upto, upto)
    proven = end if verified_until is None else min(end, verified_until)
    last = min(bounds.last_seen_orphaned_at, proven)

    low = high = unverified = Decimal(0)
    for meter in rates.certain:
        # When it joined is not known: the minimum is taken as long used up, so that low stays low.
        began = joined or first - timedelta(seconds=meter.minimum_s)
        low += slice_cost(meter, began, first, last, capped=True)
    for meter in (*rates.certain, *rates.possible):
        began = joined or start
        high += slice_cost(meter, began, start, proven)
        unverified += slice_cost(meter, began, max(start, proven), end)
    return Spend(low, high, unverified)


def _joined(span: AgentSpan, skew: float | None) -> datetime | None:
    """When the agent joined, by our clock; never after we first saw it there."""
    if span.joined_at is None:
        return None
    return min(span.joined_at - timedelta(seconds=skew or 0.0), span.bounds.first_orphaned_at)


def episode_spend(
    episode: Episode, tariff: Tariff, *, upto: datetime, skew: float | None = None
) -> dict[str, Spend]:
    """What an episode has cost until `upto`, by agent name as the server gave it.

    Once the room is stranded, what came after it last answered is unverified (A10).
    """
    gone = episode.bounds.first_gone_at
    spent: dict[str, Spend] = {}
    for span in episode.agents:
        cost = span_cost(
            span,
            tariff,
            upto=upto if gone is None else min(upto, gone),
            skew=skew,
            verified_until=_verified_until(episode),
            not_before=episode.bounds.last_attended_at,
        )
        spent[span.agent_name] = spent.get(span.agent_name, Spend()) + cost
    return spent


def _verified_until(episode: Episode) -> datetime | None:
    if episode.stranded_since is None:
        return None
    return episode.last_reachable_at or _NEVER


def burn_per_hour(episode: Episode, tariff: Tariff) -> dict[str, Spend]:
    """What the agents that are there now cost an hour, by agent name; nothing once the episode is over."""
    burn: dict[str, Spend] = {}
    for span in episode.present_agents if episode.is_open else ():
        rates = tariff.rates(span.role)
        low = sum((m.hourly for m in rates.certain), Decimal(0))
        high = low + sum((m.hourly for m in rates.possible), Decimal(0))
        stranded = episode.stranded_since is not None
        rate = Spend(unverified=high) if stranded else Spend(low, high)
        burn[span.agent_name] = burn.get(span.agent_name, Spend()) + rate
    return burn
