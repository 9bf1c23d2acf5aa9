"""Other policies applied to the past: what they would have done, and to whom it would have been done.

Pure: episodes and ticks as the database has them go in. What the past cannot tell (holds, recordings,
limits, lists that changed meanwhile) is taken not to have held anything back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase

from watchdog.core.arming import ARMING_SECONDS
from watchdog.core.episodes import reopen_episode
from watchdog.core.facts import facts_of
from watchdog.core.model import CloseReason, Episode
from watchdog.core.policy import Action, Policy, RoomFacts, walk
from watchdog.core.pricing import Rates, Tariff, episode_spend
from watchdog.core.records import Spend, TickRecord

HURT_SECONDS = 300.0
"""A person who came back within this would have found the call ended."""
NO_TARIFF = Tariff("", "", Rates(), Rates(), ("all",), "", "")
_BY_A_PERSON = (CloseReason.PERSON_RETURNED, CloseReason.PERSON_JOINED)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One episode under the other policies.

    `at` is when it would have been acted on, None where it would not: it ended before, its policy keeps it,
    or `protected` is a glob that does. `watched` is how long it was watched, in seconds;
    `by_the_wall`: that is not stored, and the wall clock's time stands in. `after` is what it went on to
    cost from then on, None where a price is lacking. `returned` is how many seconds later a person was there.
    """

    episode: Episode
    policy: Policy
    due_age: float
    watched: float
    by_the_wall: bool
    at: datetime | None = None
    protected: str | None = None
    after: Spend | None = None
    returned: float | None = None

    @property
    def deleted(self) -> bool:
        """Whether the room would have been deleted."""
        return self.at is not None and self.policy.action is Action.DELETE

    @property
    def warned(self) -> bool:
        """Whether it would have been shown as due, and no more."""
        return self.at is not None and self.policy.action is Action.WARN

    @property
    def hurt(self) -> bool:
        """Whether a person came back so soon after a deletion that it would have hurt."""
        return self.deleted and self.returned is not None and self.returned <= HURT_SECONDS


@dataclass(frozen=True, slots=True)
class Blindness:
    """How long a project was watched, and how long not, in seconds, since its first tick."""

    watched: float
    blind: float

    @property
    def share(self) -> float:
        """The share of the time in which nothing was seen."""
        whole = self.watched + self.blind
        return self.blind / whole if whole > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Replay:
    """All episodes, the oldest first, and how much of the time was not seen at all, by project."""

    episodes: tuple[Replayed, ...]
    blindness: Mapping[str, Blindness]

    @property
    def deleted(self) -> tuple[Replayed, ...]:
        """Those that would have been deleted."""
        return tuple(one for one in self.episodes if one.deleted)

    @property
    def after(self) -> Spend:
        """What these went on to cost."""
        return sum((one.after for one in self.deleted if one.after is not None), Spend())


def replay(
    episodes: Iterable[Episode],
    policies: Sequence[Policy],
    *,
    ticks: Mapping[str, TickRecord],
    tariffs: Mapping[str, Tariff],
    protected: Sequence[str],
    poll: float,
) -> Replay:
    """Apply policies to episodes. `poll` is the poll interval in seconds, `protected` globs of rooms."""
    found = [
        _one(
            e,
            policies,
            ticks.get(e.project),
            tariffs.get(e.project),
            protected=protected,
            poll=poll,
        )
        for e in sorted(episodes, key=lambda e: e.bounds.first_orphaned_at)
    ]
    return Replay(
        tuple(found),
        {name: Blindness(t.watched_seconds, t.blind_seconds) for name, t in ticks.items()},
    )


def _one(
    episode: Episode,
    policies: Sequence[Policy],
    tick: TickRecord | None,
    tariff: Tariff | None,
    *,
    protected: Sequence[str],
    poll: float,
) -> Replayed:
    end = episode.bounds.first_gone_at or (
        tick.at if tick else episode.bounds.last_seen_orphaned_at
    )
    watched, by_the_wall = _watched(episode, tick, end)
    ruling = walk(policies, _facts(episode, tariff))
    # It must be confirmed by looks once it is due, and a tick must come.
    acted = ruling.due_age + ARMING_SECONDS + poll
    glob = next((g for g in protected if fnmatchcase(episode.room_name, g)), None)
    kept = ruling.policy.action is Action.KEEP or glob is not None
    if kept or watched < acted:
        return Replayed(
            episode, ruling.policy, ruling.due_age, watched, by_the_wall, protected=glob
        )
    at = episode.bounds.first_orphaned_at + timedelta(seconds=acted)
    at = min(at, end)
    back = episode.close_reason in _BY_A_PERSON
    return Replayed(
        episode,
        ruling.policy,
        ruling.due_age,
        watched,
        by_the_wall,
        at=at,
        after=_after(episode, tariff, at, end),
        returned=(end - at).total_seconds() if back else None,
    )


def _watched(episode: Episode, tick: TickRecord | None, end: datetime) -> tuple[float, bool]:
    """How long an episode was watched, and whether the wall clock had to stand in."""
    if episode.watched_at_close is not None:
        return max(0.0, episode.watched_at_close - episode.watched_at_open), False
    if episode.is_open and tick is not None:
        return max(0.0, tick.watched_seconds - episode.watched_at_open), False
    return max(0.0, (end - episode.bounds.first_orphaned_at).total_seconds()), True


def _facts(episode: Episode, tariff: Tariff | None) -> RoomFacts:
    """What was known of it, as of its first moment: its agents were all there still."""
    alive = episode if episode.is_open else reopen_episode(episode)
    return facts_of(
        alive, tariff or NO_TARIFF, spend=Spend(), watched=episode.watched_at_open, skew=0.0
    )


def _after(episode: Episode, tariff: Tariff | None, at: datetime, end: datetime) -> Spend | None:
    if tariff is None or tariff.unpriced:
        return None
    whole, before = (
        sum(episode_spend(episode, tariff, upto=upto).values(), Spend()) for upto in (end, at)
    )
    nothing = Decimal(0)
    return Spend(
        max(nothing, whole.low - before.low),
        max(nothing, whole.high - before.high),
        max(nothing, whole.unverified - before.unverified),
    )
