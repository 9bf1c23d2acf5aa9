"""What policies would have done to the stored history: to whom, when, what it would have saved or hurt.

Pure. Ages are watched seconds (A9). Where the watchdog was blind during an episode it is not known when an
age was reached: the moment then has two bounds, and what is counted leans to the safe side of them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from watchdog.core.arming import ARMING_SECONDS
from watchdog.core.avoided import avoidances
from watchdog.core.facts import facts_of
from watchdog.core.model import CloseReason, Episode
from watchdog.core.policy import Action, Policy, RoomFacts, Ruling, walk
from watchdog.core.pricing import episode_spend, whole_burn_per_hour
from watchdog.core.profiles import Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.roomlists import matching
from watchdog.core.spend import Spend

HURT_SECONDS = 300.0
"""A person who came back so soon after the moment would have found the agent gone: that hurts."""
CANNOT_TELL = (
    "The history cannot tell of holds, recordings, the allow-list, pauses, limits and cooldowns: each of "
    "them could have kept a room that is counted here."
)
_LEAST_STEP = 1.0
"""An episode is followed in steps of a second or more."""
_RETURNED = frozenset({CloseReason.PERSON_RETURNED, CloseReason.PERSON_JOINED})


class Fate(StrEnum):
    """What would have become of an episode."""

    ACTED_ON = "acted_on"  # due, confirmed, and still there: it would have been deleted
    WARNED = "warned"
    KEPT = "kept"
    PROTECTED = "protected"
    UNREACHABLE = "unreachable"  # its node did not answer: such a room is not deleted
    LEFT_ALONE = "left_alone"  # over before it was due and confirmed, or not due yet


@dataclass(frozen=True, slots=True)
class Rules:
    """What is applied: policies in the order of the walk, and what is never deleted. `poll` is seconds."""

    policies: tuple[Policy, ...]
    tariffs: Tariffs
    poll: float
    protected: tuple[str, ...] = ()
    simulations: bool = True


@dataclass(frozen=True, slots=True)
class Replayed:
    """One episode under the rules.

    `moment` is when it would have been acted on, or warned of, at the earliest, `moment_latest` at the
    latest: they differ by what was not watched of the episode. `further` is what it went on to cost from then
    to `until`: low from the latest moment on, high from the earliest. It leaves out what has no price, so it
    says nothing by itself where `is_priced` is false. `seconds_left` is from the latest moment to its end.
    `by_wall_clock`: how much of it was watched is not stored, so all of it is taken as watched.
    """

    episode: Episode
    fate: Fate
    ruling: Ruling
    until: datetime
    due_age: float | None = None
    moment: datetime | None = None
    moment_latest: datetime | None = None
    further: Spend = field(default_factory=Spend)
    avoided: Mapping[str, Decimal] = field(default_factory=dict)
    """What a deletion at the latest moment would have been counted as having avoided, in USD by basis."""
    is_priced: bool = True
    seconds_left: float = 0.0
    would_have_hurt: bool = False
    by_wall_clock: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """How much of the time since a project's first tick was watched, as of its newest one."""

    as_of: datetime
    watched_seconds: float
    blind_seconds: float

    @property
    def blind_share(self) -> float | None:
        """From 0 to 1; None where no time has passed yet."""
        total = self.watched_seconds + self.blind_seconds
        return self.blind_seconds / total if total > 0 else None


@dataclass(frozen=True, slots=True)
class Replay:
    """What the rules would have done in one project. `rows` are the episodes that were not left alone."""

    project: str
    considered: int = 0
    rows: tuple[Replayed, ...] = ()
    sight: Sight | None = None
    by_wall_clock: int = 0
    """How many of those considered are from before the watched clock was stored at the end of an episode."""

    def __add__(self, other: "Replay") -> "Replay":
        """With the next episodes of the same project."""
        return replace(
            self,
            considered=self.considered + other.considered,
            rows=(*self.rows, *other.rows),
            by_wall_clock=self.by_wall_clock + other.by_wall_clock,
        )

    def of(self, fate: Fate) -> tuple[Replayed, ...]:
        """The episodes of that fate, in the order of the history."""
        return tuple(row for row in self.rows if row.fate is fate)

    @property
    def by_policy(self) -> dict[str, int]:
        """How many episodes each policy would have acted on."""
        return dict(Counter(row.ruling.policy.name for row in self.of(Fate.ACTED_ON)))

    @property
    def hurt(self) -> int:
        """How many of those acted on a person came back to soon after."""
        return sum(row.would_have_hurt for row in self.of(Fate.ACTED_ON))

    @property
    def further(self) -> Spend:
        """What those acted on went on to cost, as far as it has a price."""
        return sum((row.further for row in self.of(Fate.ACTED_ON)), Spend())

    @property
    def avoided(self) -> dict[str, Decimal]:
        """What their deletion would have been counted as having avoided, in USD by basis."""
        sums: dict[str, Decimal] = {}
        for row in self.of(Fate.ACTED_ON):
            for basis, amount in row.avoided.items():
                sums[basis] = sums.get(basis, Decimal(0)) + amount
        return sums

    @property
    def is_priced(self) -> bool:
        """Whether everything in `further` has a price."""
        return all(row.is_priced for row in self.of(Fate.ACTED_ON))


def sight_of(tick: TickRecord | None) -> Sight | None:
    """How much was watched, by a project's newest tick."""
    return Sight(tick.at, tick.watched_seconds, tick.blind_seconds) if tick else None


def replay(
    project: str, episodes: Iterable[Episode], rules: Rules, tick: TickRecord | None
) -> Replay:
    """Apply the rules to a project's episodes; an open one counts until `tick`, the newest."""
    done = [replay_one(episode, rules, tick) for episode in episodes]
    return Replay(
        project,
        considered=len(done),
        rows=tuple(row for row in done if row.fate is not Fate.LEFT_ALONE),
        sight=sight_of(tick),
        by_wall_clock=sum(row.by_wall_clock for row in done),
    )


def replay_one(episode: Episode, rules: Rules, tick: TickRecord | None) -> Replayed:
    """What the rules would have done about one episode."""
    span = _Span.of(episode, tick)
    ruling, due = _due(episode, span.lived, rules)
    left_alone = Replayed(
        episode, Fate.LEFT_ALONE, ruling, span.until, due, by_wall_clock=span.by_wall_clock
    )
    if due is None:
        return left_alone
    deletes = ruling.policy.action is Action.DELETE
    at_age = due + (ARMING_SECONDS + rules.poll if deletes else 0.0)
    if not span.reaches(at_age):
        return left_alone
    moment = span.start + timedelta(seconds=at_age)
    latest = min(moment + timedelta(seconds=span.unwatched), span.until)
    fate, why = _fate(episode, ruling, moment, rules)
    left = (span.until - latest).total_seconds()
    return replace(
        left_alone,
        fate=fate,
        why=why,
        moment=moment,
        moment_latest=latest,
        further=_further(episode, rules.tariffs, (moment, latest), span.until),
        avoided=_avoided(episode, rules.tariffs, latest) if fate is Fate.ACTED_ON else {},
        is_priced=not any(
            rules.tariffs.of(episode.room_name, span.agent_name).unpriced for span in episode.agents
        ),
        seconds_left=left,
        would_have_hurt=fate is Fate.ACTED_ON
        and episode.close_reason in _RETURNED
        and left <= HURT_SECONDS,
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """How long an episode lasted: `lived` is watched seconds, `unwatched` what the wall clock says more."""

    start: datetime
    until: datetime
    lived: float
    unwatched: float
    is_over: bool
    by_wall_clock: bool

    @classmethod
    def of(cls, episode: Episode, tick: TickRecord | None) -> "_Span":
        start, gone = episode.bounds.first_orphaned_at, episode.bounds.first_gone_at
        over = not episode.is_open and gone is not None
        clock = episode.watched_at_close
        if over and gone is not None:
            until = max(start, gone)
        else:
            until = max(start, tick.at if tick else episode.bounds.last_seen_orphaned_at)
            clock = tick.watched_seconds if tick else None
        wall = (until - start).total_seconds()
        lived = wall if clock is None else max(0.0, clock - episode.watched_at_open)
        return cls(start, until, lived, max(0.0, wall - lived), over, by_wall_clock=clock is None)

    def reaches(self, age: float) -> bool:
        """Whether it was still going on at that age; one that ended just then needed no help."""
        return age < self.lived if self.is_over else age <= self.lived


def _due(episode: Episode, lived: float, rules: Rules) -> tuple[Ruling, float | None]:
    """The ruling that decided, and the age at which it was due with an agent there; None: never.

    Followed from one age to the next at which something can be different: an agent came or left, the room
    became due, or its spend reached what was reckoned with.
    """
    changes = _changes(episode)
    age = 0.0
    while True:
        at = episode.bounds.first_orphaned_at + timedelta(seconds=age)
        then = _as_it_was(episode, at)
        ruling = walk(rules.policies, _facts(then, rules.tariffs, at, age))
        if ruling.is_due(age) and then.present_agents:
            return ruling, age
        coming = [change for change in changes if change > age]
        if not ruling.is_due(age):
            coming.append(max(ruling.due_age, age + _LEAST_STEP))
        if not coming or min(coming) > lived:
            return ruling, None
        age = min(coming)


def _facts(then: Episode, tariffs: Tariffs, at: datetime, age: float) -> RoomFacts:
    spend = _spend(then, tariffs, at)
    return facts_of(
        then,
        spend=spend,
        burn=whole_burn_per_hour(then, tariffs),
        watched=then.watched_at_open + age,
        skew=0.0,
    )


def _changes(episode: Episode) -> list[float]:
    """The seconds after its beginning at which an agent came or left."""
    start = episode.bounds.first_orphaned_at
    times = [
        t for a in episode.agents for t in (a.bounds.first_orphaned_at, a.bounds.first_gone_at)
    ]
    return sorted({(t - start).total_seconds() for t in times if t is not None})


def _as_it_was(episode: Episode, at: datetime) -> Episode:
    """The episode as it stood at a moment before its end: open, with the agents of that moment."""
    agents = tuple(
        replace(
            span, bounds=replace(span.bounds, first_gone_at=_by_then(span.bounds.first_gone_at, at))
        )
        for span in episode.agents
        if span.bounds.first_orphaned_at <= at
    )
    return replace(
        episode,
        agents=agents,
        bounds=replace(episode.bounds, first_gone_at=None),
        stranded_since=_by_then(episode.stranded_since, at),
        close_reason=None,
        watched_at_close=None,
    )


def _by_then(time: datetime | None, at: datetime) -> datetime | None:
    return time if time is not None and time <= at else None


def _fate(episode: Episode, ruling: Ruling, moment: datetime, rules: Rules) -> tuple[Fate, str]:
    if ruling.policy.action is Action.KEEP:
        return Fate.KEPT, f"policy {ruling.policy.name} keeps it"
    if ruling.policy.action is Action.WARN:
        return Fate.WARNED, ruling.why_due
    glob = matching(rules.protected, episode.room_name)
    if glob is not None:
        return Fate.PROTECTED, f"{glob!r} is on the protect list"
    if rules.simulations and episode.simulated:
        return Fate.PROTECTED, "a simulated participant is, or was, in it"
    if _by_then(episode.stranded_since, moment) is not None:
        return Fate.UNREACHABLE, "its node did not answer"
    return Fate.ACTED_ON, ruling.why_due


def _avoided(episode: Episode, tariffs: Tariffs, moment: datetime) -> dict[str, Decimal]:
    """As a running daemon would come to count it, once the time has passed."""
    then = _as_it_was(episode, moment)
    ended = replace(
        then,
        bounds=replace(then.bounds, first_gone_at=moment),
        agents=tuple(
            replace(span, bounds=replace(span.bounds, first_gone_at=moment))
            for span in then.present_agents
        ),
        recordings=(),  # whether one was still running then is not followed here
    )
    sums: dict[str, Decimal] = {}
    for one in avoidances(ended, tariffs):
        whole = one.booked(max(one.until, one.provider_until))
        sums[one.basis] = sums.get(one.basis, Decimal(0)) + whole
    return sums


def _spend(episode: Episode, tariffs: Tariffs, upto: datetime) -> Spend:
    return sum(episode_spend(episode, tariffs, upto=upto).values(), Spend())


def _further(
    episode: Episode, tariffs: Tariffs, moments: Sequence[datetime], until: datetime
) -> Spend:
    """What it cost from the moments, the earliest and the latest, to its end."""
    whole = _spend(episode, tariffs, until)
    first, last = (_spend(episode, tariffs, moment) for moment in moments)
    low = max(Decimal(0), whole.low - last.low)
    # Both are billed in whole steps, but not from the same second: low must not pass high for that.
    high = max(low, whole.high - first.high)
    return Spend(low, high, max(Decimal(0), whole.unverified - first.unverified))
