"""Episodes and ticks for the store's tests; every time is a number of seconds after `START`."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from watchdog.core.ledger import LedgerLine
from watchdog.core.model import AgentSpan, Bounds, CloseReason, Episode, Role, TickResult
from watchdog.core.records import TickRecord
from watchdog.core.spend import Spend

START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def agent(
    number: int = 1, *, since: float = 0, seen: float = 0, gone: float | None = None
) -> AgentSpan:
    return AgentSpan(
        participant_sid=f"PA_{number}",
        identity=f"agent-AJ_{number}",
        agent_name="support",
        kind="AGENT",
        role=Role.AGENT,
        joined_at=at(since - 600),
        bounds=Bounds(at(since - 15), at(since), at(seen), None if gone is None else at(gone)),
    )


def episode(
    key: str = "E1",
    *,
    project: str = "main",
    seen: float = 0,
    agents: tuple[AgentSpan, ...] | None = None,
    room_name: str | None = None,
    room_sid: str | None = None,
    since: float = 0,
) -> Episode:
    return Episode(
        id=key,
        project=project,
        room_sid=room_sid or f"RM_{key}",
        room_name=room_name or f"call-{key}",
        room_created_at=at(-3600),
        empty_timeout=300,
        departure_timeout=20,
        person_seen=None,
        bounds=Bounds(at(since - 15), at(since), at(seen)),
        watched_at_open=42.5,
        agents=(agent(1, since=since, seen=seen),) if agents is None else agents,
    )


LINE = LedgerLine(
    agent_name="support",
    meter="lk.agent_session",
    profile="cloud-hosted",
    plan="ship",
    unit="min",
    price=Decimal("0.01"),
    seconds=Decimal("60.5"),
    spend=Spend(Decimal("0.01"), Decimal("0.02")),
    book_version="2026-09-30",
    book_hash="h",
)
"""One line of the ledger, to be changed by whoever needs another."""


def seen_at(one: Episode, seconds: float) -> Episode:
    """The episode as a look that changed nothing leaves it in the daemon's memory."""
    moved = tuple(
        replace(span, bounds=replace(span.bounds, last_seen_orphaned_at=at(seconds)))
        if span.bounds.first_gone_at is None
        else span
        for span in one.agents
    )
    return replace(one, bounds=replace(one.bounds, last_seen_orphaned_at=at(seconds)), agents=moved)


def closed(one: Episode, seconds: float) -> Episode:
    agents = tuple(
        replace(span, bounds=replace(span.bounds, first_gone_at=at(seconds))) for span in one.agents
    )
    return replace(
        one,
        bounds=replace(one.bounds, first_gone_at=at(seconds)),
        agents=agents,
        close_reason=CloseReason.ROOM_GONE,
    )


def tick(
    number: int,
    *,
    project: str = "main",
    result: TickResult = TickResult.OK,
    seen: dict[str, float] | None = None,
    probed: dict[str, float] | None = None,
) -> TickRecord:
    """Tick `number` of a project that is polled every 15 s."""
    return TickRecord(
        project=project,
        number=number,
        at=at(number * 15),
        result=result,
        watched_seconds=number * 15.0,
        blind_seconds=0.0,
        seen={key: at(seconds) for key, seconds in (seen or {}).items()},
        probed={key: at(seconds) for key, seconds in (probed or {}).items()},
    )


def sqlite_rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """What a plain SQLite shell would answer."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()
