"""What a participant counts as, and what a room therefore is (SAFETY A2).

The order of the questions is the safe one: whatever nothing here calls an agent is a person.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from watchdog.core.model import (
    Assessment,
    ParticipantSnapshot,
    Role,
    Verdict,
    VerdictState,
)


@dataclass(frozen=True, slots=True)
class DetectionRules:
    """What the operator adds to LiveKit's own marks of an agent.

    `agent_identities` are globs; `not_persons` are participant kinds (SIP, INGRESS, CONNECTOR,
    BRIDGE) that do not count as a person.
    """

    agent_identities: tuple[str, ...] = ()
    not_persons: frozenset[str] = frozenset()


NO_RULES = DetectionRules()


def assess(participant: ParticipantSnapshot, rules: DetectionRules = NO_RULES) -> Assessment:
    """What one participant counts as, and why."""
    p = participant
    # The server's count leaves out what it calls dependent participants: by kind or by grant.
    counted = not (p.kind in {"AGENT", "EGRESS"} or p.agent_grant or p.recorder_grant)
    if p.kind == "EGRESS":
        return Assessment(p, Role.RECORDER, "kind EGRESS: a recording", counted)
    why = _why_agent(p, rules)
    if why is None:
        marks = ", ".join(
            mark
            for mark, is_set in (("hidden", p.hidden), (p.state, p.state != "ACTIVE"))
            if is_set
        )
        return Assessment(
            p, Role.PERSON, f"kind {p.kind}" + (f", {marks}" if marks else ""), counted
        )
    if p.state == "DISCONNECTED":
        return Assessment(p, Role.LEFT, f"{why}, already disconnected", counted)
    if p.on_behalf_of:
        return Assessment(
            p, Role.AVATAR, f"{why}, publishing on behalf of {p.on_behalf_of}", counted
        )
    return Assessment(p, Role.AGENT, why, counted)


def _why_agent(p: ParticipantSnapshot, rules: DetectionRules) -> str | None:
    if p.kind == "AGENT":
        return "kind AGENT"
    if p.agent_grant:
        return f"kind {p.kind} with the agent grant"
    if p.kind in rules.not_persons:
        return f"kind {p.kind} is configured not to count as a person"
    for pattern in rules.agent_identities:
        if fnmatchcase(p.identity, pattern):
            return f"identity matches {pattern!r} of detection.agent_identities"
    return None


def classify(
    participants: Iterable[ParticipantSnapshot], rules: DetectionRules = NO_RULES
) -> Verdict:
    """The verdict of one ListParticipants answer. Never ORPHANED without an agent (A2, T05)."""
    assessed = tuple(assess(p, rules) for p in participants)
    persons = sum(a.role is Role.PERSON for a in assessed)
    agents = sum(a.role is Role.AGENT for a in assessed)
    avatars = sum(a.role is Role.AVATAR for a in assessed)
    recorded = any(a.role is Role.RECORDER for a in assessed)
    if persons:
        first = next(a for a in assessed if a.role is Role.PERSON)
        reason = f"{_several(persons, 'person')} ({first.why})"
        return Verdict(VerdictState.ATTENDED, reason, assessed)
    if agents or avatars:
        reason = alone(agents, avatars) + (", being recorded" if recorded else "")
        return Verdict(VerdictState.ORPHANED, reason, assessed)
    return Verdict(
        VerdictState.EMPTY, "only a recording is left" if recorded else "nobody is there", assessed
    )


def alone(agents: int, avatars: int) -> str:
    """`1 agent and 2 avatars, no person`."""
    parts = [_several(n, w) for n, w in ((agents, "agent"), (avatars, "avatar")) if n]
    return f"{' and '.join(parts)}, no person"


def _several(count: int, word: str) -> str:
    return f"{count} {word}" + ("" if count == 1 else "s")
