"""How money, time and our own types read: in tables and sentences, and as JSON."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from watchdog.core.deletion import AuditEntry
from watchdog.core.gates import Word
from watchdog.core.model import AgentSpan, Bounds, Episode
from watchdog.core.policy import Action, Ruling
from watchdog.core.records import Suspect
from watchdog.core.report import Backlog, OrphanView
from watchdog.core.roomlists import ListEntry, ListName
from watchdog.core.spend import Spend
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable

UNPRICED = "unpriced"
BACKLOG_NAMED = 20
"""So many rooms of a backlog are named; the rest is counted."""

Unpriced = Callable[[str, str], bool]
"""Whether the tariff of a project's agents of this name lacks a price."""


def all_priced(_project: str, _agent_name: str) -> bool:
    """Every tariff has all its prices."""
    return False


def money(amount: Decimal) -> str:
    """USD with 2 to 4 places: `$12.30`, `$0.0123`; `<$0.0001` for less, as that is more than nothing."""
    if 0 < amount < Decimal("0.0001"):
        return "<$0.0001"
    if amount >= 1:
        return f"${amount:,.2f}"
    text = f"{amount:.4f}"
    return f"${text.removesuffix('0').removesuffix('0')}"


def money_range(low: Decimal, high: Decimal) -> str:
    """Both estimates, or one where they read the same."""
    first, second = money(low), money(high)
    return first if first == second else f"{first} to {second}"


def spend_text(spend: Spend, *, unpriced: bool = False) -> str:
    """Both estimates, and what is unverified. Where a meter is `unpriced` it says so, and never $0."""
    if unpriced and spend == Spend():
        return UNPRICED
    text = money_range(spend.low, spend.high)
    if spend.unverified:
        text += f" + {money(spend.unverified)} unverified"
    return f"{text} + {UNPRICED}" if unpriced else text


def percent(share: float) -> str:
    """A share from 0 to 1; never 0 % for something, nor 100 % for less than all."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{min(share * 100, 99.9) if share < 1 else 100:.1f} %"


def counted(count: int, what: str, several: str = "") -> str:
    """`1 episode`, `2 episodes`; `several` where an s does not do."""
    return f"{count} {what if count == 1 else several or what + 's'}"


def duration(seconds: float) -> str:
    """The two largest units: `45s`, `3m 20s`, `2h 05m`, `1d 03h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def due_text(view: OrphanView) -> str:
    """When a room is due, under which policy, and what holds it: `in 3m 20s (default)`, `kept (vip)`."""
    if view.ruling is None:
        return ""
    policy = printable(view.ruling.policy.name, MAX_LABEL)
    if view.ruling.policy.action is Action.KEEP:
        return f"kept ({policy})"
    if view.due:
        no = [word for word in view.holding if word.passes is False] or view.holding
        return f"now, held by {no[0].gate} ({policy})" if no else f"now ({policy})"
    return f"in {duration(view.ruling.due_age - view.age)} ({policy})"


def backlog_count(backlog: Backlog) -> str:
    """`3 rooms are past their threshold`."""
    count = len(backlog.rooms)
    return (
        "1 room is past its threshold" if count == 1 else f"{count} rooms are past their threshold"
    )


def backlog_rooms(backlog: Backlog, room_names: RoomNames | None = None) -> str:
    """The oldest rooms of a backlog by name, with age and policy, and how many more there are."""
    names = room_names or RoomNames()
    said = [
        f"{names.label(view.episode.room_name)} (alone for {duration(view.age)}, "
        f"policy {printable(view.policy, MAX_LABEL)})"
        for view in backlog.rooms[:BACKLOG_NAMED]
    ]
    if more := len(backlog.rooms) - len(said):
        said.append(f"and {more} more")
    return ", ".join(said)


def backlog_json(backlog: Backlog, room_names: RoomNames | None = None) -> dict[str, Any]:
    """A backlog with every room of it."""
    names = room_names or RoomNames()
    return {
        "mode_before": backlog.before.value,
        "mode": backlog.now.value,
        "rooms": [
            {
                "room_name": _text(names.private(view.episode.room_name)),
                "room_sid": _text(view.episode.room_sid),
                "episode": view.episode.id,
                "age_seconds": round(view.age, 3),
                "policy": _text(view.policy),
            }
            for view in backlog.rooms
        ],
    }


def ruling_json(ruling: Ruling, age: float) -> dict[str, Any]:
    """What the policies say of an episode of that age in watched seconds, and the whole walk."""
    return {
        "policy": _text(ruling.policy.name),
        "action": ruling.policy.action.value,
        "due": ruling.policy.action is not Action.KEEP and ruling.is_due(age),
        "due_age_seconds": round(ruling.due_age, 3),
        "why_due": ruling.why_due,
        "walk": [
            {"policy": _text(step.policy.name), "matches": step.fit.value, "why": _text(step.why)}
            for step in ruling.walk
        ],
    }


def words_json(words: Iterable[Word]) -> list[dict[str, Any]]:
    """What the gates say; `passes` is null where whoever says it cannot know."""
    return [
        {"gate": w.gate, "passes": w.passes, "why": _text(w.why), "waived": w.waived} for w in words
    ]


def audit_json(entry: AuditEntry) -> dict[str, Any]:
    """One line of the audit as JSON values."""
    return {
        "number": entry.number,
        "at": iso(entry.at),
        "project": _text(entry.project),
        "kind": entry.kind.value,
        "outcome": entry.outcome.value if entry.outcome else None,
        "actor": _text(entry.actor),
        "room_name": _text(entry.room_name),
        "room_sid": _text(entry.room_sid),
        "episode": entry.episode,
        "policy": _text(entry.policy),
        "intent": entry.intent,
        "why": _text(entry.why),
        "details": dict(entry.details),
    }


def listing_json(
    name: ListName, configured: Sequence[str], stored: Sequence[ListEntry], now: datetime
) -> list[dict[str, Any]]:
    """What is on a list, that of the configuration first; `project` is null for every project."""
    nobody = dict.fromkeys(("id", "project", "actor", "reason", "since", "until", "removed_at"))
    from_file = [
        {"list": name.value, "origin": "config", "pattern": _text(glob), "standing": "in force"}
        | nobody
        for glob in configured
    ]
    return from_file + [_entry_json(entry, now) for entry in stored]


def _entry_json(entry: ListEntry, now: datetime) -> dict[str, Any]:
    return {
        "list": entry.list.value,
        "origin": "stored",
        "pattern": _text(entry.pattern),
        "standing": entry.standing(now).value,
        "id": entry.id,
        "project": _text(entry.project) or None,
        "actor": _text(entry.actor),
        "reason": _text(entry.reason),
        "since": iso(entry.since),
        "until": iso(entry.until),
        "removed_at": iso(entry.removed_at),
    }


def suspect_json(
    project: str, suspect: Suspect, room_names: RoomNames | None = None
) -> dict[str, Any]:
    """A room that is suspect, why, and since when."""
    return {
        "project": _text(project),
        "room_name": _text((room_names or RoomNames()).private(suspect.room_name)),
        "room_sid": _text(suspect.room_sid),
        "reason": suspect.reason,
        "since": iso(suspect.since),
    }


def wall_seconds(episode: Episode) -> float:
    """How long an episode lasted by the wall clock, from first_orphaned_at to first_gone_at."""
    end = episode.bounds.first_gone_at or episode.bounds.last_seen_orphaned_at
    # The wall clock can be set back in between.
    return max(0.0, (end - episode.bounds.first_orphaned_at).total_seconds())


def iso(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds and a `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def agent_names(episode: Episode) -> tuple[str, ...]:
    """The names of the agents that are there, or that were at the end of a closed episode."""
    spans = episode.present_agents or episode.agents
    return tuple(dict.fromkeys(span.agent_name for span in spans))


def lacks_price(episode: Episode, unpriced: Unpriced) -> bool:
    """Whether what the episode's agents cost is not wholly known."""
    return any(unpriced(episode.project, name) for name in agent_names(episode))


def spend_json(spend: Spend) -> dict[str, str]:
    """The estimates in USD, as decimal text."""
    return {
        "low_usd": f"{spend.low:f}",
        "high_usd": f"{spend.high:f}",
        "unverified_usd": f"{spend.unverified:f}",
    }


def bounds_json(bounds: Bounds) -> dict[str, str | None]:
    """The four times that enclose a span."""
    return {
        "last_attended_at": iso(bounds.last_attended_at),
        "first_orphaned_at": iso(bounds.first_orphaned_at),
        "last_seen_orphaned_at": iso(bounds.last_seen_orphaned_at),
        "first_gone_at": iso(bounds.first_gone_at),
    }


def episode_json(episode: Episode, room_names: RoomNames | None = None) -> dict[str, Any]:
    """An episode as JSON values: times ISO 8601 in UTC. Without `room_names` the name is whole."""
    name = room_names.private(episode.room_name) if room_names else episode.room_name
    return {
        "id": episode.id,
        "project": _text(episode.project),
        "room_name": _text(name),
        "room_sid": _text(episode.room_sid),
        "room_created_at": iso(episode.room_created_at),
        "empty_timeout_seconds": episode.empty_timeout,
        "departure_timeout_seconds": episode.departure_timeout,
        "person_seen": episode.person_seen,
        "bounds": bounds_json(episode.bounds),
        "agents": [_agent_json(span) for span in episode.agents],
        "last_reachable_at": iso(episode.last_reachable_at),
        "last_probed_at": iso(episode.last_probed_at),
        "stranded_since": iso(episode.stranded_since),
        "close_reason": episode.close_reason.value if episode.close_reason else None,
    }


def orphan_json(
    view: OrphanView, room_names: RoomNames | None = None, unpriced: Unpriced = all_priced
) -> dict[str, Any]:
    """An orphaned room as JSON values: seconds as numbers, USD as decimal text."""
    return {
        "project": _text(view.episode.project),
        "verdict": view.state.value,
        "reason": _text(view.reason),
        "agent_name": _text(view.agent_name),
        "age_seconds": round(view.age, 3),
        "session_age_seconds": round(view.session_age, 3),
        "num_participants": view.num_participants,
        "spend": spend_json(view.spend),
        "spend_is_complete": not lacks_price(view.episode, unpriced),
        "policy": _text(view.policy),
        "due": view.due,
        "due_age_seconds": round(view.ruling.due_age, 3) if view.ruling else None,
        "why_due": view.ruling.why_due if view.ruling else "",
        "gates": words_json(view.words),
        "episode": episode_json(view.episode, room_names),
    }


def _agent_json(span: AgentSpan) -> dict[str, Any]:
    return {
        "participant_sid": _text(span.participant_sid),
        "identity": _text(span.identity),
        "agent_name": _text(span.agent_name),
        "kind": _text(span.kind),
        "role": span.role.value,
        "joined_at": iso(span.joined_at),
        "bounds": bounds_json(span.bounds),
    }


def _text(text: str) -> str:
    """The text, with lone surrogates (which no UTF-8 can carry) written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
