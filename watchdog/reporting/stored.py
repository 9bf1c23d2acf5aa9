"""The orphaned rooms as the database has them: for commands that run beside the daemon."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from watchdog.core.classify import alone
from watchdog.core.facts import facts_of
from watchdog.core.gates import Word
from watchdog.core.model import Episode, Role, RoomSnapshot, Verdict, VerdictState
from watchdog.core.names import UNNAMED
from watchdog.core.policy import Policy, Ruling, walk
from watchdog.core.pricing import episode_spend, whole_burn_per_hour
from watchdog.core.profiles import Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.report import OrphanView
from watchdog.core.spend import Spend
from watchdog.reporting.steering import Steering, stored_words


def stored_orphans(
    episodes: Iterable[Episode],
    ticks: Mapping[str, TickRecord],
    tariffs: Mapping[str, Tariffs],
    *,
    policies: Mapping[str, Sequence[Policy]],
    steering: Mapping[str, Steering],
    now: datetime,
) -> tuple[OrphanView, ...]:
    """Open episodes as of their project's newest tick, the oldest first.

    Spend needs the project's tariffs: without it (a project that is no longer configured) it is zero
    and `unpriced` should say so.
    """
    views = [
        _with_words(
            _view(e, ticks.get(e.project), tariffs.get(e.project), policies.get(e.project, ())),
            ticks.get(e.project),
            steering.get(e.project),
            now,
        )
        for e in episodes
        if e.is_open
    ]
    return tuple(sorted(views, key=lambda view: -view.age))


def stored_ruling(
    episode: Episode, tick: TickRecord | None, tariffs: Tariffs | None, policies: Sequence[Policy]
) -> Ruling | None:
    """What the policies say of an open episode, as far as the database knows its history."""
    if tick is None or tariffs is None or not episode.is_open:
        return None
    spend = stored_spend(episode, tick, tariffs)
    burn = whole_burn_per_hour(episode, tariffs)
    facts = facts_of(episode, spend=spend, burn=burn, watched=tick.watched_seconds, skew=0.0)
    return walk(policies, facts)


def _view(
    episode: Episode, tick: TickRecord | None, tariffs: Tariffs | None, policies: Sequence[Policy]
) -> OrphanView:
    present = episode.present_agents
    names = [span.agent_name for span in present or episode.agents]
    agents = sum(span.role is Role.AGENT for span in present)
    return OrphanView(
        episode=episode,
        state=VerdictState.ORPHANED if present else VerdictState.EMPTY,
        reason=alone(agents, len(present) - agents) if present else "the agents are gone",
        agent_name=names[0] if names else UNNAMED,
        age=watched_age(episode, tick),
        session_age=_seconds_since(episode.room_created_at, tick),
        num_participants=0,
        spend=stored_spend(episode, tick, tariffs),
        ruling=stored_ruling(episode, tick, tariffs, policies),
    )


def _with_words(
    view: OrphanView, tick: TickRecord | None, steering: Steering | None, now: datetime
) -> OrphanView:
    if not view.due or steering is None or tick is None:
        return view
    said = stored_words(view.episode, tick, view.ruling, steering, age=view.age, now=now)
    return replace(view, words=said)


def watched_age(episode: Episode, tick: TickRecord | None) -> float:
    """Watched seconds of an episode as of a tick (A9)."""
    return max(0.0, tick.watched_seconds - episode.watched_at_open) if tick else 0.0


def stored_spend(episode: Episode, tick: TickRecord | None, tariffs: Tariffs | None) -> Spend:
    """What an episode has cost until the newest tick, or its end."""
    if tariffs is None:
        return Spend()
    upto = episode.bounds.first_gone_at or (
        tick.at if tick else episode.bounds.last_seen_orphaned_at
    )
    return sum(episode_spend(episode, tariffs, upto=upto).values(), Spend())


def _seconds_since(at: datetime, tick: TickRecord | None) -> float:
    return max(0.0, (tick.at - at).total_seconds()) if tick else 0.0


def lacks_price(episode: Episode, tariffs: Tariffs) -> bool:
    """Whether an agent in it runs a meter without a price."""
    return any(tariffs.of(episode.room_name, s.agent_name).unpriced for s in episode.agents)


@dataclass(frozen=True, slots=True)
class History:
    """What the database has of one room: its episodes, the newest first, as of the newest tick.

    `problem` says why it could not be read.
    """

    episodes: tuple[Episode, ...] = ()
    tick: TickRecord | None = None
    tariffs: Tariffs | None = None
    policies: tuple[Policy, ...] = ()
    steering: Steering | None = None
    problem: str = ""

    def age(self, episode: Episode) -> float | None:
        """Watched seconds of an open episode."""
        return watched_age(episode, self.tick) if episode.is_open and self.tick else None

    def spend(self, episode: Episode) -> Spend | None:
        """What it has cost; None where a price is lacking."""
        if self.tariffs is None or lacks_price(episode, self.tariffs):
            return None
        return stored_spend(episode, self.tick, self.tariffs)

    def words(
        self,
        episode: Episode,
        now: datetime,
        room: RoomSnapshot | None = None,
        verdict: Verdict | None = None,
    ) -> tuple[Word, ...]:
        """What the gates say of an open episode; a room and verdict asked of the server say more."""
        if not episode.is_open or self.tick is None or self.steering is None:
            return ()
        if room is not None and room.sid != episode.room_sid:
            room = verdict = None
        return stored_words(
            episode,
            self.tick,
            self.ruling(episode),
            self.steering,
            age=self.age(episode) or 0.0,
            now=now,
            room=room,
            verdict=verdict,
        )

    def ruling(self, episode: Episode) -> Ruling | None:
        """What the policies say of an open episode."""
        return stored_ruling(episode, self.tick, self.tariffs, self.policies)
