"""The orphaned rooms as the database has them: for commands that run beside the daemon."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from watchdog.core.model import Episode, VerdictState
from watchdog.core.names import UNNAMED
from watchdog.core.pricing import Tariff, episode_spend
from watchdog.core.records import Spend, TickRecord
from watchdog.core.report import OrphanView


def stored_orphans(
    episodes: Iterable[Episode],
    ticks: Mapping[str, TickRecord],
    tariffs: Mapping[str, Tariff],
) -> tuple[OrphanView, ...]:
    """Open episodes as of their project's newest tick, the oldest first.

    Spend needs the project's tariff: without it (a project that is no longer configured) it is zero
    and `unpriced` should say so.
    """
    views = [_view(e, ticks.get(e.project), tariffs.get(e.project)) for e in episodes if e.is_open]
    return tuple(sorted(views, key=lambda view: -view.age))


def _view(episode: Episode, tick: TickRecord | None, tariff: Tariff | None) -> OrphanView:
    present = episode.present_agents
    names = [span.agent_name for span in present or episode.agents]
    count = f"{len(present)} agent connection{'' if len(present) == 1 else 's'}, no person"
    return OrphanView(
        episode=episode,
        state=VerdictState.ORPHANED if present else VerdictState.EMPTY,
        reason=count if present else "the agents are gone",
        agent_name=names[0] if names else UNNAMED,
        age=watched_age(episode, tick),
        session_age=_seconds_since(episode.room_created_at, tick),
        num_participants=0,
        spend=stored_spend(episode, tick, tariff),
    )


def watched_age(episode: Episode, tick: TickRecord | None) -> float:
    """Watched seconds of an episode as of a tick (A9)."""
    return max(0.0, tick.watched_seconds - episode.watched_at_open) if tick else 0.0


def stored_spend(episode: Episode, tick: TickRecord | None, tariff: Tariff | None) -> Spend:
    """What an episode has cost until the newest tick, or its end."""
    if tariff is None:
        return Spend()
    upto = episode.bounds.first_gone_at or (
        tick.at if tick else episode.bounds.last_seen_orphaned_at
    )
    return sum(episode_spend(episode, tariff, upto=upto).values(), Spend())


def _seconds_since(at: datetime, tick: TickRecord | None) -> float:
    return max(0.0, (tick.at - at).total_seconds()) if tick else 0.0
