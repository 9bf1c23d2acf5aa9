"""What a verified deletion avoids: the spend that would have gone on, booked as the time passes (T43).

Until the server itself would have closed the room, or for a stated horizon where it never would or should
have long ago. Low estimates alone, and nothing is avoided any more once a room of that name is back. Meters
of providers go on a while: an agent that lost its room winds down first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from watchdog.core.model import AgentSpan, Episode
from watchdog.core.pricing import joined, seconds
from watchdog.core.profiles import Rated, Tariffs

HORIZON = timedelta(hours=1)
"""For so long a room that nobody else would close is taken to have gone on."""
WIND_DOWN = timedelta(minutes=6.5)
"""For so long an agent can hold its providers' connections after its room is gone (PRICES.md)."""

TOGETHER = timedelta(seconds=10)
"""Agents of a deleted room leave within so long of each other; webhooks tell of each of them apart."""


class Basis(StrEnum):
    """Until when the room would have cost something."""

    ROOM_TIMEOUT = "room_timeout"
    HORIZON = "horizon"


@dataclass(frozen=True, slots=True)
class Avoidance:
    """What the deletion of one room avoids for its agents of one name.

    `rate` is USD an hour of LiveKit's meters, from `began` to `until`; `provider_rate` of all others,
    from `provider_from` to `provider_until`. `stopped_at` is when a room of the name was back.
    """

    episode: str
    room_name: str
    agent_name: str
    basis: Basis
    began: datetime
    until: datetime
    rate: Decimal
    provider_from: datetime
    provider_until: datetime
    provider_rate: Decimal
    stopped_at: datetime | None = None

    def booked(self, upto: datetime) -> Decimal:
        """What has been avoided until `upto`, in USD; never less than nothing."""
        if self.stopped_at is not None:
            upto = min(upto, self.stopped_at)
        own = _passed(self.began, min(upto, self.until)) * self.rate
        others = _passed(self.provider_from, min(upto, self.provider_until)) * self.provider_rate
        return (own + others) / 3600

    def is_over(self, upto: datetime) -> bool:
        """Whether nothing is to be added to it after `upto`."""
        end = max(self.until, self.provider_until)
        return upto >= (end if self.stopped_at is None else min(end, self.stopped_at))

    def stopped(self, at: datetime) -> "Avoidance":
        """It, once a room of the name was seen again."""
        return self if self.stopped_at is not None else replace(self, stopped_at=at)


def _passed(start: datetime, end: datetime) -> Decimal:
    """Seconds."""
    return max(Decimal(0), seconds(end - start))


def server_would_close(episode: Episode) -> datetime:
    """When the server itself would have closed the room, by our clock; the sooner where it is not known.

    Its departure timeout runs from when the last person left, its empty timeout from its creation.
    """
    left = episode.bounds.first_orphaned_at + timedelta(seconds=episode.departure_timeout)
    created = episode.room_created_at - timedelta(seconds=episode.skew or 0.0)
    never = created + timedelta(seconds=episode.empty_timeout)
    if episode.person_seen is None:
        return min(left, never)
    return left if episode.person_seen else never


def avoidances(
    episode: Episode, tariffs: Tariffs, *, horizon: timedelta = HORIZON
) -> Iterator[Avoidance]:
    """What the deletion that ended this episode avoids, by agent name; nothing where nothing was running."""
    began = episode.bounds.first_gone_at
    if began is None or episode.stranded_since is not None:
        return
    closing = server_would_close(episode)
    basis = Basis.ROOM_TIMEOUT if closing > began else Basis.HORIZON
    until = closing if basis is Basis.ROOM_TIMEOUT else began + horizon
    running: dict[str, list[tuple[AgentSpan, Rated]]] = {}
    last = episode.bounds.last_seen_orphaned_at
    for span in episode.connections:
        if span.bounds.last_seen_orphaned_at >= last - TOGETHER:
            rates = tariffs.of(episode.room_name, span.agent_name).rates(span)
            running.setdefault(span.agent_name, []).extend((span, r) for r in rates.certain)
    for name, rated in running.items():
        own = [(s, r) for s, r in rated if not r.by_provider]
        others = [(s, r) for s, r in rated if r.by_provider]
        if rated:
            yield Avoidance(
                episode=episode.id,
                room_name=episode.room_name,
                agent_name=name,
                basis=basis,
                began=began,
                until=_ended(own, until, episode.skew),
                rate=sum((r.hourly for _, r in own), Decimal(0)),
                provider_from=began + WIND_DOWN,
                provider_until=_ended(others, until, episode.skew),
                provider_rate=sum((r.hourly for _, r in others), Decimal(0)),
            )


def _ended(running: list[tuple[AgentSpan, Rated]], until: datetime, skew: float | None) -> datetime:
    """When the first of these sessions would have ended by itself, if before `until`."""
    for span, rated in running:
        longest = rated.meter.max_session_s
        if longest is not None:
            since = joined(span, skew) or span.bounds.first_orphaned_at
            until = min(until, since + timedelta(seconds=longest))
    return until
