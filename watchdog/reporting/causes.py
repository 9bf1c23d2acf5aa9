"""Why agents were left alone, as far as it can be told from outside, and what ends it: by agent name.

Likely, not certain: the watchdog sees who is in a room and how the room is set up, never an agent's code.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from watchdog.core.alike import Alike, Circumstances, circumstances_of
from watchdog.core.model import LEG_KINDS, AgentSpan, CloseReason, Episode, Role
from watchdog.core.names import OTHER, UNNAMED, NameLimit
from watchdog.core.spend import Spend

MOST_NAMES = 500
"""So many agent names are told apart; what comes later counts as `_other`."""
USUAL_DEPARTURE, USUAL_EMPTY = 20, 300
"""A livekit-server's own defaults, in seconds."""
FLAPS = 3
"""So many connections of one name, one after the other, are of an agent that comes and goes."""


class Cause(StrEnum):
    """What left an agent alone, or kept it so."""

    NO_AWAY_HANDLER = "no_away_handler"
    LOST_CONNECTION = "lost_connection"
    LONG_DEPARTURE_TIMEOUT = "long_departure_timeout"
    NEVER_ATTENDED = "never_attended"
    LONG_EMPTY_TIMEOUT = "long_empty_timeout"
    TOO_EARLY = "too_early"
    PERSON_RETURNED = "person_returned"
    DUPLICATES = "duplicates"
    FLAPPING = "flapping"
    DEAD_NODE = "dead_node"


WHY: Mapping[Cause, tuple[str, str]] = {
    Cause.NO_AWAY_HANDLER: (
        "the agent stays after the person has left",
        "end the session on participant_disconnected or after user_away_timeout, or use close_on_disconnect",
    ),
    Cause.LOST_CONNECTION: (
        "the person's connection was lost, and nobody came back",
        "end the session a while after participant_disconnected; close_on_disconnect ignores lost ones",
    ),
    Cause.LONG_DEPARTURE_TIMEOUT: (
        "departure_timeout keeps the room",
        "lower the room's departure_timeout: up to {longest} seen, 20s is the server's default",
    ),
    Cause.NEVER_ATTENDED: (
        "no person ever came",
        "let the agent shut down where nobody joins in time, or dispatch it once somebody has",
    ),
    Cause.LONG_EMPTY_TIMEOUT: (
        "empty_timeout keeps a room that nobody joined",
        "lower the room's empty_timeout: up to {longest} seen, 5m is the server's default",
    ),
    Cause.TOO_EARLY: (
        "the agent waits before the first person joins",
        "dispatch the agent once a person has joined",
    ),
    Cause.PERSON_RETURNED: (
        "the person came back: what staying is for",
        "none needed",
    ),
    Cause.DUPLICATES: (
        "several agents of this name in one room at a time, each billed",
        "dispatch it once: by name, or by the token's or room's configuration, not by both",
    ),
    Cause.FLAPPING: (
        "the agent comes and goes, and each departure starts the server's clock anew",
        "see in its log why it ends, and let it not rejoin a room without a person",
    ),
    Cause.DEAD_NODE: (
        "the room is listed, but its node does not answer: most likely nothing runs there",
        "bring the node back, or remove the room from the server's redis",
    ),
}
"""What is likely, and what ends it."""


@dataclass(slots=True)
class Finding:
    """How often a cause was likely, and what those episodes cost. `longest` is a timeout in seconds."""

    cause: Cause
    episodes: int = 0
    spend: Spend = field(default_factory=Spend)
    longest: int = 0


@dataclass(slots=True)
class AgentCauses:
    """The likely causes of one agent name, the dearest first. They overlap: an episode can have several."""

    project: str
    agent_name: str
    episodes: int = 0
    spend: Spend = field(default_factory=Spend)
    findings: dict[Cause, Finding] = field(default_factory=dict)

    def in_order(self) -> tuple[Finding, ...]:
        """The dearest first; the one that is no fault last."""
        return tuple(
            sorted(
                self.findings.values(),
                key=lambda f: (
                    f.cause is Cause.PERSON_RETURNED,
                    -f.spend.high - f.spend.unverified,
                    -f.episodes,
                    list(Cause).index(f.cause),
                ),
            )
        )


class CauseTally:
    """Counts causes by project and agent name."""

    def __init__(self) -> None:
        self._agents: dict[tuple[str, str], AgentCauses] = {}
        self._names = NameLimit(MOST_NAMES)
        self.names_ran_out = False
        """Whether names count as `_other`: then it matters in which order episodes came."""

    def add(self, episode: Episode, spends: Mapping[str, Spend]) -> None:
        """Take in an episode, and what its agents cost, by name."""
        for name in dict.fromkeys(span.agent_name for span in episode.agents):
            self.add_one(episode, name, spends.get(name, Spend()))

    def add_one(self, episode: Episode, name: str, spend: Spend) -> None:
        """Take in the agents of one name in an episode, and what they cost."""
        self._add(episode.project, name, 1, spend, likely_causes(episode, name))

    def add_alike(self, alike: Alike) -> None:
        """Take in many at once; each of their causes counts with all that they cost."""
        causes = causes_of(alike.circumstances)
        self._add(alike.project, alike.agent_name, alike.episodes, alike.spend, causes)

    def _add(
        self,
        project: str,
        name: str,
        episodes: int,
        spend: Spend,
        causes: Iterable[tuple[Cause, int]],
    ) -> None:
        key = (project, self._names(name))
        self.names_ran_out |= key[1] == OTHER != name
        agent = self._agents.setdefault(key, AgentCauses(*key))
        agent.episodes += episodes
        agent.spend += spend
        for cause, longest in causes:
            found = agent.findings.setdefault(cause, Finding(cause))
            found.episodes += episodes
            found.spend += spend
            found.longest = max(found.longest, longest)

    def found(self) -> tuple[AgentCauses, ...]:
        """By agent, the dearest first."""
        return tuple(
            sorted(
                self._agents.values(),
                key=lambda a: (-a.spend.high, -a.episodes, a.project, a.agent_name),
            )
        )


def likely_causes(episode: Episode, name: str) -> Iterator[tuple[Cause, int]]:
    """What is likely of the agents of one name in an episode, with the timeout in seconds that is meant."""
    yield from causes_of(circumstances_of(episode))
    if episode.stranded_since is not None:
        return
    spans = [
        span
        for span in episode.agents
        if span.agent_name == name and span.role is Role.AGENT and span.kind not in LEG_KINDS
    ]
    at_once = _at_once(spans)
    if at_once > 1 and name != UNNAMED:
        yield Cause.DUPLICATES, 0
    if len(spans) - at_once + 1 >= FLAPS:
        yield Cause.FLAPPING, 0


def causes_of(known: Circumstances) -> Iterator[tuple[Cause, int]]:
    """The same, as far as it does not depend on the agents: one connection of a name shows nothing more."""
    if known.stranded:
        yield Cause.DEAD_NODE, 0
        return
    match known.close_reason:
        case CloseReason.PERSON_RETURNED:
            yield Cause.PERSON_RETURNED, 0
        case CloseReason.PERSON_JOINED:
            yield Cause.TOO_EARLY, 0
        case _:
            yield from _of_the_room(known)


def _of_the_room(known: Circumstances) -> Iterator[tuple[Cause, int]]:
    """Where it is not known whether a person was ever there, either timeout can be what keeps the room."""
    if known.person_seen is not False and known.departure_timeout > USUAL_DEPARTURE:
        yield Cause.LONG_DEPARTURE_TIMEOUT, known.departure_timeout
    if known.person_seen is False:
        yield Cause.NEVER_ATTENDED, 0
    if not known.person_seen and known.empty_timeout > USUAL_EMPTY:
        yield Cause.LONG_EMPTY_TIMEOUT, known.empty_timeout
    if known.person_seen:
        lost = known.hung_up is False
        yield (Cause.LOST_CONNECTION if lost else Cause.NO_AWAY_HANDLER), 0


def _at_once(spans: list[AgentSpan]) -> int:
    """How many of these were certainly there at the same time, at the most."""
    steps: list[tuple[datetime, int]] = []
    for span in spans:
        steps.append((span.bounds.first_orphaned_at, -1))  # sorted before those that end then:
        steps.append((span.bounds.last_seen_orphaned_at, 1))  # one look has shown both
    there = most = 0
    for _, step in sorted(steps):
        there -= step
        most = max(most, there)
    return most
