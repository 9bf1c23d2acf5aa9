"""An episode's bill by UTC day: the pieces that a report adds up, and that history keeps for ever."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, Decimal

from watchdog.core.ledger import LedgerLine
from watchdog.core.model import Episode
from watchdog.core.pricing import seconds
from watchdog.core.spend import Spend


@dataclass(frozen=True, slots=True)
class DayKey:
    """Whose day it is. `close_reason` is empty where the episode is still open, `policy` where none spoke."""

    project: str
    day: date
    agent_name: str
    policy: str
    close_reason: str


@dataclass(frozen=True, slots=True)
class DayLine:
    """What one meter cost on one day: a share of a ledger line, by the time that falls on the day."""

    key: DayKey
    line: LedgerLine


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many episodes began on a day, and how long rooms were orphaned on it.

    `never_attended` of them began in rooms where no person had ever been.
    """

    key: DayKey
    episodes: int
    never_attended: int
    orphaned_seconds: float


def day_lines(episode: Episode, lines: Sequence[LedgerLine], upto: datetime) -> Iterator[DayLine]:
    """The lines of an episode by day, in equal shares of time; their sum is exactly the whole.

    An episode counts from `first_orphaned_at` to its end, or to `upto` while it is open.
    """
    shares = list(_shares(episode, upto))
    for line in lines:
        left = line
        for number, (day, share) in enumerate(shares):
            # The last day takes what is left, so that nothing is lost in dividing.
            part = left if number == len(shares) - 1 else _part(line, share)
            left = _less(left, part)
            yield DayLine(_key(episode, line.agent_name, day), part)


def day_counts(episode: Episode, upto: datetime) -> Iterator[DayCount]:
    """How many and how long, by day, under the name of the episode's first agent."""
    name = episode.agents[0].agent_name if episode.agents else ""
    whole = max(0.0, (_end(episode, upto) - episode.bounds.first_orphaned_at).total_seconds())
    for number, (day, share) in enumerate(_shares(episode, upto)):
        began = number == 0
        yield DayCount(
            _key(episode, name, day),
            int(began),
            int(began and episode.person_seen is False),
            whole * float(share),
        )


def _key(episode: Episode, agent_name: str, day: date) -> DayKey:
    reason = episode.close_reason.value if episode.close_reason else ""
    return DayKey(episode.project, day, agent_name, episode.policy, reason)


def _end(episode: Episode, upto: datetime) -> datetime:
    return max(episode.bounds.first_gone_at or upto, episode.bounds.first_orphaned_at)


def _shares(episode: Episode, upto: datetime) -> Iterator[tuple[date, Decimal]]:
    """The days that an episode touches, each with its share of the whole."""
    start, end = episode.bounds.first_orphaned_at.astimezone(UTC), _end(episode, upto)
    whole = seconds(end - start)
    at = start
    while at == start or at < end:
        midnight = datetime.combine(at.date() + timedelta(days=1), time(), UTC)
        until = min(midnight, end)
        yield at.date(), seconds(until - at) / whole if whole else Decimal(1)
        at = midnight


def _part(line: LedgerLine, share: Decimal) -> LedgerLine:
    return replace(line, seconds=_rounded(line.seconds * share), spend=_times(line.spend, share))


def _less(line: LedgerLine, part: LedgerLine) -> LedgerLine:
    left, gone = line.spend, part.spend
    spend = Spend(left.low - gone.low, left.high - gone.high, left.unverified - gone.unverified)
    return replace(line, seconds=line.seconds - part.seconds, spend=spend)


def _times(spend: Spend, share: Decimal) -> Spend:
    return Spend(*(_rounded(a * share) for a in (spend.low, spend.high, spend.unverified)))


def _rounded(amount: Decimal) -> Decimal:
    """To what a database keeps: what is left over falls to the last day, to the last digit."""
    return amount.quantize(Decimal("1e-9"), ROUND_DOWN)
