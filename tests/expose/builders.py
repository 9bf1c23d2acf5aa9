"""Reports, episodes and orphans as the tests of this folder need them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from watchdog.core.model import (
    AgentSpan,
    Bounds,
    CloseReason,
    Episode,
    Role,
    TickResult,
    VerdictState,
)
from watchdog.core.policy import Action, Fit, Policy, Ruling, Step
from watchdog.core.report import Change, ChangeKind, OrphanView, TickReport
from watchdog.core.spend import Spend

START = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)

NASTY = (
    'quote " backslash \\ end',
    "line\nbreak\r\nand tab\t",
    "esc \x1b[31mred\x1b]0;title\x07",
    "bidi \u202e\u2066 override",
    "separators \u2028 \u2029 \x85",
    "nul \x00 and del \x7f and c1 \x9b",
    "<script>alert('x')</script>&amp;",
    '{__name__="x"} 1\n# EOF',
    "[bold red]markup[/] [link=http://x]y[/link]",
    "surrogate \ud800",
    "emoji 🎧 wide 全角 combining e\u0301",
    "\ufeff\u200b\u200d\U000e0041",
    "'; DROP TABLE episodes; --",
    "${jndi:ldap://x} {{7*7}} %s %(x)s {0}",
    " ",
    "\\n\\x1b",
    "x" * 256,
    "\x1b" * 256,
    "~2",
)


def usd(low: str = "0", high: str | None = None, unverified: str = "0") -> Spend:
    return Spend(Decimal(low), Decimal(high if high is not None else low), Decimal(unverified))


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def episode(
    number: int = 1,
    *,
    room: str = "call-1",
    agents: Sequence[str] = ("support",),
    began: float = 0,
    seen: float | None = None,
    gone: float | None = None,
    reason: CloseReason | None = None,
    **more: Any,
) -> Episode:
    bounds = Bounds(at(began - 15), at(began), at(began if seen is None else seen))
    if gone is not None:
        bounds = Bounds(at(began - 15), at(began), at(gone), at(gone))
        reason = reason or CloseReason.PERSON_RETURNED
    spans = tuple(
        AgentSpan(f"PA_{number}_{i}", f"agent-AJ_{i}", name, "AGENT", Role.AGENT, at(began), bounds)
        for i, name in enumerate(agents)
    )
    values: dict[str, Any] = {
        "id": f"ep-{number:05d}",
        "project": "prod",
        "room_sid": f"RM_{number}",
        "room_name": room,
        "room_created_at": at(began - 600),
        "empty_timeout": 300,
        "departure_timeout": 3600,
        "person_seen": True,
        "bounds": bounds,
        "watched_at_open": began,
        "agents": spans,
        "close_reason": reason,
    }
    return Episode(**(values | more))


def orphan(
    number: int = 1,
    *,
    room: str = "call-1",
    agent: str = "support",
    age: float = 90,
    spend: Spend | None = None,
    reason: str = "1 agent, nobody else",
    policy: str = "",
    due_age: float = 600,
    action: Action = Action.DELETE,
    **more: Any,
) -> OrphanView:
    return OrphanView(
        episode=episode(number, room=room, agents=(agent,), **more),
        state=VerdictState.ORPHANED,
        reason=reason,
        agent_name=agent,
        age=age,
        session_age=age + 600,
        num_participants=0,
        spend=spend or usd("0.0123", "0.02"),
        ruling=ruling(policy, due_age, action) if policy else None,
    )


def ruling(policy: str, due_age: float = 600, action: Action = Action.DELETE) -> Ruling:
    decides = Policy(policy, action=action)
    return Ruling(decides, due_age, "the policy's grace", (Step(decides, Fit.YES, "it is so"),))


def report(number: int = 1, **more: Any) -> TickReport:
    when = at(15 * number)
    values: dict[str, Any] = {
        "project": "prod",
        "number": number,
        "at": when,
        "result": TickResult.OK,
        "duration": 0.2,
        "watched_seconds": 15.0 * number,
        "blind_seconds": 0.0,
        "last_success_at": when,
        "rooms": {VerdictState.ATTENDED: 3, VerdictState.ORPHANED: len(more.get("orphans", ()))},
    }
    return TickReport(**(values | more))


def failed(number: int = 1, *, error: str = "ListRooms: no answer within 10 s", **more: Any) -> Any:
    values: dict[str, Any] = {
        "result": TickResult.FAILED,
        "error": error,
        "last_success_at": None,
        "rooms": {},
    }
    return report(number, **(values | more))


def opened(view: OrphanView, detail: str = "the last person left") -> Change:
    return Change(ChangeKind.OPENED, view.episode, detail)


def closed(number: int = 1, *, room: str = "call-1", lasted: float = 200, **more: Any) -> Change:
    ended = episode(number, room=room, gone=lasted, **more)
    return Change(ChangeKind.CLOSED, ended, "")
