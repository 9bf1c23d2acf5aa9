"""Episodes: one unbroken orphaned span of one room, with both bounds at each end (A5, A7).

Pure: each function takes an episode and one observation and returns the episode after it. Only
successful ListParticipants answers and webhooks move a bound; what an answer shows was true somewhere
between being asked and being answered, so a lower bound takes the first of these times and an upper
bound the second.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from watchdog.core.hooks import Moment
from watchdog.core.model import (
    LEG_KINDS,
    AgentSpan,
    Assessment,
    Bounds,
    CloseReason,
    Episode,
    Look,
    Role,
    RoomSnapshot,
    Verdict,
)
from watchdog.core.names import agent_name

NOBODY: Mapping[str, Moment] = {}
_NEVER = datetime.min.replace(tzinfo=UTC)
COUNT_LAG = timedelta(seconds=10)
"""How long before it was read a count may have been true (LIVEKIT.md, Rooms and their lists)."""


def open_episode(
    episode_id: str,
    project: str,
    room: RoomSnapshot,
    look: Look,
    verdict: Verdict,
    *,
    last_attended_at: datetime | None,
    person_seen: bool | None,
    watched: float,
    skew: float | None = None,
) -> Episode:
    """The episode that this ORPHANED look begins.

    `watched` is the project's watched clock now, `skew` the server's clock less ours where it is known.
    """
    # Clocks can be set back between two looks; a span that ends before it begins helps nobody.
    attended = None if last_attended_at is None else min(last_attended_at, look.answered_at)
    bounds = Bounds(attended, look.answered_at, look.asked_at)
    return Episode(
        id=episode_id,
        project=project,
        room_sid=room.sid,
        room_name=room.name,
        room_created_at=room.created_at,
        empty_timeout=room.empty_timeout,
        departure_timeout=room.departure_timeout,
        person_seen=person_seen,
        bounds=bounds,
        watched_at_open=watched,
        skew=skew,
        agents=tuple(_span(a, _name(a, verdict), bounds) for a in _agents(verdict)),
        recordings=tuple(_span(a, _name(a, verdict), bounds) for a in _recorders(verdict)),
    )


def seen_orphaned(
    episode: Episode, look: Look, verdict: Verdict, left: Mapping[str, Moment] = NOBODY
) -> tuple[Episode, bool]:
    """The episode after another ORPHANED look, and whether more than `last_seen_orphaned_at` moved.

    `left` is when participants left, as webhooks told.
    """
    agents, others = _followed(
        episode, episode.agents, _agents(verdict), look, verdict=verdict, left=left
    )
    recordings, more = _followed(
        episode, episode.recordings, _recorders(verdict), look, verdict=verdict, left=left
    )
    changed = others or more
    bounds = episode.bounds
    bounds = replace(bounds, last_seen_orphaned_at=max(bounds.last_seen_orphaned_at, look.asked_at))
    result = replace(episode, bounds=bounds, agents=agents, recordings=recordings)
    if changed:
        # The server reported a change by itself, so the room's node is alive (A10).
        result = replace(result, last_reachable_at=look.asked_at, stranded_since=None)
    return result, changed


def _followed(
    episode: Episode,
    known: tuple[AgentSpan, ...],
    seen: tuple[Assessment, ...],
    look: Look,
    *,
    verdict: Verdict,
    left: Mapping[str, Moment],
) -> tuple[tuple[AgentSpan, ...], bool]:
    """The connections after a look that `seen` these, and whether one came or left."""
    here = {a.participant.sid: a for a in seen}
    spans: list[AgentSpan] = []
    changed = False
    for span in known:
        was_here = span.bounds.first_gone_at is None
        if here.pop(span.participant_sid, None) is not None:
            spans.append(_seen(span, look))  # a SID that reappears had never left
            changed |= not was_here
        elif was_here:
            spans.append(_gone(span, look.answered_at, left, look.answered_at))
            changed = True
        else:
            spans.append(span)
    for newcomer in here.values():
        absent = episode.bounds.last_seen_orphaned_at
        bounds = Bounds(absent, look.answered_at, look.asked_at)
        spans.append(_span(newcomer, _name(newcomer, verdict), bounds))
        changed = True
    return tuple(spans), changed


def sharpen_opening(episode: Episode, departed: Moment, agents: frozenset[str]) -> Episode:
    """The episode once it is known when the last person left; `agents` were there with that person.

    The first bound rises to when they were there still. The second falls to when they were gone, where an
    agent was seen both before and after: then the agents were alone from that moment on. The age of the
    episode stays: a webhook makes no room due.
    """
    old = episode.bounds
    there = frozenset(
        span.participant_sid
        for span in episode.agents
        if span.participant_sid in agents and span.bounds.first_orphaned_at == old.first_orphaned_at
    )
    departed = departed.not_before(old.last_attended_at)
    first = min(old.first_orphaned_at, departed.latest) if there else old.first_orphaned_at
    attended = min(max(departed.earliest, old.last_attended_at or departed.earliest), first)

    def sharpened(span: AgentSpan) -> AgentSpan:
        if span.bounds.first_orphaned_at != old.first_orphaned_at:
            return span
        since = first if span.participant_sid in there else old.first_orphaned_at
        bounds = replace(span.bounds, last_attended_at=attended, first_orphaned_at=since)
        return replace(span, bounds=bounds)

    return replace(
        episode,
        bounds=replace(old, last_attended_at=attended, first_orphaned_at=first),
        agents=tuple(map(sharpened, episode.agents)),
        recordings=tuple(map(sharpened, episode.recordings)),
    )


def seen_empty(
    episode: Episode, since: datetime, left: Mapping[str, Moment] = NOBODY
) -> tuple[Episode, bool]:
    """The episode once no agent is there: what agents cost stops, age goes on (A7).

    `left` is when participants left, as webhooks told. A recording may be left alone: whether it still
    runs is not followed, so that it may cost until the end.
    """
    if not episode.present_agents:
        return episode, False
    return _with_last_seen(replace(episode, agents=_all_gone(episode.agents, since, left))), True


def still_there(episode: Episode, verdict: Verdict) -> Episode:
    """The episode when a look shows a person: agents that are there too had never left (A1)."""
    here = {a.participant.sid for a in _agents(verdict)}

    def resumed(span: AgentSpan) -> AgentSpan:
        if span.participant_sid not in here:
            return span
        return replace(span, bounds=replace(span.bounds, first_gone_at=None))

    return replace(episode, agents=tuple(map(resumed, episode.agents)))


def close_episode(
    episode: Episode,
    at: datetime,
    reason: CloseReason,
    left: Mapping[str, Moment] = NOBODY,
    alone_until: datetime | None = None,
) -> Episode:
    """The episode ended no later than `at`. `left` is when participants left, as webhooks told.

    Until `alone_until` no person was there (None: not known). An agent that left before was there, alone,
    until it left.
    """
    at = max(at, episode.bounds.last_seen_orphaned_at)
    alone = _NEVER if alone_until is None else alone_until
    closed = _with_last_seen(
        replace(
            episode,
            agents=_all_gone(episode.agents, at, left, alone),
            recordings=_all_gone(episode.recordings, at),
            close_reason=reason,
        )
    )
    return replace(closed, bounds=replace(closed.bounds, first_gone_at=at))


def person_seen_at(closed: Episode) -> datetime:
    """A moment no later than when the person was there who ended this episode.

    The look that saw them was asked up to its deadline before it was answered.
    """
    end = closed.bounds.first_gone_at or closed.bounds.last_seen_orphaned_at
    return max(end - COUNT_LAG, closed.bounds.last_seen_orphaned_at)


def reopen_episode(episode: Episode) -> Episode:
    """The episode of a room that was taken for gone and is listed again: it had never ended (A1)."""
    end = episode.bounds.first_gone_at

    def resumed(span: AgentSpan) -> AgentSpan:
        if span.bounds.first_gone_at != end:
            return span
        return replace(span, bounds=replace(span.bounds, first_gone_at=None))

    return replace(
        episode,
        bounds=replace(episode.bounds, first_gone_at=None),
        agents=tuple(map(resumed, episode.agents)),
        recordings=tuple(map(resumed, episode.recordings)),
        close_reason=None,
        watched_at_close=None,
        policy="",
    )


def shift_episode(episode: Episode, by: timedelta) -> Episode:
    """The same episode after our clock was set `by`: later than thought, and as long as before."""

    def moved(at: datetime | None) -> datetime | None:
        return None if at is None else at + by

    def shifted(bounds: Bounds) -> Bounds:
        return Bounds(
            moved(bounds.last_attended_at),
            bounds.first_orphaned_at + by,
            bounds.last_seen_orphaned_at + by,
            moved(bounds.first_gone_at),
        )

    return replace(
        episode,
        bounds=shifted(episode.bounds),
        agents=tuple(replace(s, bounds=shifted(s.bounds)) for s in episode.agents),
        recordings=tuple(replace(s, bounds=shifted(s.bounds)) for s in episode.recordings),
        last_reachable_at=moved(episode.last_reachable_at),
        last_probed_at=moved(episode.last_probed_at),
        stranded_since=moved(episode.stranded_since),
        skew=None if episode.skew is None else episode.skew - by.total_seconds(),
    )


def _all_gone(
    spans: tuple[AgentSpan, ...],
    at: datetime,
    left: Mapping[str, Moment] = NOBODY,
    alone_until: datetime | None = None,
) -> tuple[AgentSpan, ...]:
    return tuple(
        s if s.bounds.first_gone_at else _gone(s, at, left, alone_until or at) for s in spans
    )


def _with_last_seen(episode: Episode) -> Episode:
    """The episode, that lasted at least as long as its agents are known to have been there."""
    bounds = (episode.bounds, *(span.bounds for span in episode.agents))
    last = max(b.last_seen_orphaned_at for b in bounds)
    return replace(episode, bounds=replace(episode.bounds, last_seen_orphaned_at=last))


def _agents(verdict: Verdict) -> tuple[Assessment, ...]:
    return verdict.of_role(Role.AGENT, Role.AVATAR)


def _recorders(verdict: Verdict) -> tuple[Assessment, ...]:
    return verdict.of_role(Role.RECORDER)


def _name(assessment: Assessment, verdict: Verdict) -> str:
    """An agent's name; what has none of its own goes by the agent that it is there for, or else the first."""
    p = assessment.participant
    if p.agent_name or (assessment.role is Role.AGENT and p.kind not in LEG_KINDS):
        return agent_name(p)
    here = [a.participant for a in verdict.of_role(Role.AGENT)]
    agents = [agent for agent in here if agent.kind not in LEG_KINDS]
    served = [agent for agent in agents if agent.identity == p.on_behalf_of]
    return agent_name((served or agents or [p])[0])


def _span(assessment: Assessment, name: str, bounds: Bounds) -> AgentSpan:
    p = assessment.participant
    return AgentSpan(p.sid, p.identity, name, p.kind, assessment.role, p.joined_at, bounds)


def _seen(span: AgentSpan, look: Look) -> AgentSpan:
    seen = max(span.bounds.last_seen_orphaned_at, look.asked_at)
    bounds = replace(span.bounds, last_seen_orphaned_at=seen, first_gone_at=None)
    return replace(span, bounds=bounds)


def _gone(
    span: AgentSpan, at: datetime, left: Mapping[str, Moment], alone_until: datetime
) -> AgentSpan:
    """The connection, that had ended by `at`, or when a webhook told; no person came before `alone_until`."""
    seen = span.bounds.last_seen_orphaned_at
    if told := left.get(span.participant_sid):
        at = min(at, told.latest)
        seen = max(seen, min(told.earliest, at, alone_until))
    bounds = replace(span.bounds, last_seen_orphaned_at=seen, first_gone_at=max(at, seen))
    return replace(span, bounds=bounds)
