"""A day of closed episodes that nobody has looked at one by one: sums, and what is alike counted together."""

from collections.abc import Sequence
from dataclasses import dataclass

from watchdog.core.days import DayCount, DayLine
from watchdog.core.model import CloseReason, Episode
from watchdog.core.spend import Spend


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of an episode beside the connections in it; timeouts are in seconds."""

    stranded: bool
    close_reason: CloseReason | None
    person_seen: bool | None
    hung_up: bool | None
    departure_timeout: int
    empty_timeout: int


@dataclass(frozen=True, slots=True)
class Alike:
    """So many episodes with one connection of this agent name each, and what the agents of the name cost."""

    project: str
    agent_name: str
    circumstances: Circumstances
    episodes: int
    spend: Spend


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """The closed episodes that began and ended on one UTC day, but for the rooms they were in.

    `lasted` has the age of each, in seconds; of the agent names with several connections in one episode
    `apart` has each with its spend, `alike` has all others.
    """

    lines: Sequence[DayLine]
    counts: Sequence[DayCount]
    lasted: Sequence[float]
    alike: Sequence[Alike]
    apart: Sequence[tuple[Episode, str, Spend]]


def circumstances_of(episode: Episode) -> Circumstances:
    """Those of one episode."""
    return Circumstances(
        stranded=episode.stranded_since is not None,
        close_reason=episode.close_reason,
        person_seen=episode.person_seen,
        hung_up=episode.hung_up,
        departure_timeout=episode.departure_timeout,
        empty_timeout=episode.empty_timeout,
    )
