"""The audit's lines about one room, put together out of what was decided."""

from datetime import datetime

from watchdog.core.deletion import BY_POLICY, AuditEntry, AuditKind, Outcome
from watchdog.core.gates import ALWAYS
from watchdog.daemon.plan import Target


def entry_about(
    project: str,
    target: Target,
    kind: AuditKind,
    at: datetime,
    *,
    intent: str = "",
    outcome: Outcome | None = None,
    drained: bool = False,
) -> AuditEntry:
    """What is decided of a target, and why. `drained`: it counts toward no limit."""
    episode, ruling, request = target.episode, target.ruling, target.request
    return AuditEntry(
        at=at,
        project=project,
        kind=kind,
        actor=request.actor if request else BY_POLICY,
        room_name=episode.room_name,
        room_sid=episode.room_sid,
        episode=episode.id,
        policy=ruling.policy.name if ruling else "",
        intent=intent,
        outcome=outcome,
        why=request.reason if request else (ruling.why_due if ruling else ""),
        details={
            "age_seconds": round(target.age, 3),
            "due_age_seconds": _finite(ruling.due_age) if ruling else None,
            "person_seen": episode.person_seen,
            "drained": drained,
            "first_orphaned_at": episode.bounds.first_orphaned_at.isoformat(),
            "agents": [span.agent_name for span in episode.present_agents],
            "gates": {word.gate: word.why for word in target.words},
            "waived": [word.gate for word in target.words if word.waived],
        },
    )


def _finite(seconds: float) -> float | None:
    return None if seconds == ALWAYS else round(seconds, 3)
