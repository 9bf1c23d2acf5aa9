"""From an episode to what the walk of the policies asks (SAFETY B, C)."""

from watchdog.core.model import Episode
from watchdog.core.policy import RoomFacts
from watchdog.core.spend import Spend


def facts_of(
    episode: Episode, *, spend: Spend, burn: Spend, watched: float, skew: float
) -> RoomFacts:
    """What is known of an episode's room. `watched` is the watched clock, `skew` the server's less ours.

    `spend` is what it has cost so far, `burn` what it now costs an hour.
    """
    return RoomFacts(
        room=episode.room_name,
        agents=tuple(span.agent_name for span in episode.present_agents),
        age=max(0.0, watched - episode.watched_at_open),
        departure_timeout=float(episode.departure_timeout),
        empty_left=empty_left_of(episode, skew),
        person_seen=episode.person_seen,
        person_kinds=episode.person_kinds,
        hung_up=episode.hung_up,
        spend_low=spend.low,
        burn_low=burn.low,
    )


def empty_left_of(episode: Episode, skew: float) -> float:
    """What the room's empty_timeout still left when the episode began, in seconds."""
    created = episode.room_created_at.timestamp() - skew
    lived = episode.bounds.first_orphaned_at.timestamp() - created
    return max(0.0, episode.empty_timeout - max(0.0, lived))
