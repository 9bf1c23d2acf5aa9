"""Episodes and tick records as rows, and back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import RowMapping

from watchdog.core.gatenotes import GateNotes
from watchdog.core.model import AgentSpan, Bounds, CloseReason, Episode, Role, TickResult
from watchdog.core.periods import Period, Since, Tally
from watchdog.core.records import Suspect, TickRecord
from watchdog.core.spend import Spend
from watchdog.store.tables import RING, storable


def episode_row(episode: Episode) -> dict[str, Any]:
    """An episode without its agents."""
    return {
        "id": episode.id,
        "project": episode.project,
        "room_sid": episode.room_sid,
        "room_name": episode.room_name,
        "room_created_at": episode.room_created_at,
        "empty_timeout": episode.empty_timeout,
        "departure_timeout": episode.departure_timeout,
        "person_seen": episode.person_seen,
        **_bounds_row(episode.bounds),
        "watched_at_open": episode.watched_at_open,
        "last_reachable_at": episode.last_reachable_at,
        "last_probed_at": episode.last_probed_at,
        "stranded_since": episode.stranded_since,
        "close_reason": episode.close_reason,
        "simulated": episode.simulated,
        "person_kinds": None
        if episode.person_kinds is None
        else json.dumps(sorted(episode.person_kinds)),
        "hung_up": episode.hung_up,
        "watched_at_close": episode.watched_at_close,
        "skew": episode.skew,
        "policy": episode.policy or None,
    }


def agent_rows(episode: Episode) -> dict[str, dict[str, Any]]:
    """The rows of an episode's agents by participant SID."""
    return {
        span.participant_sid: {
            "episode_id": episode.id,
            "participant_sid": span.participant_sid,
            "position": position,
            "identity": span.identity,
            "agent_name": span.agent_name,
            "kind": span.kind,
            "role": span.role,
            "joined_at": span.joined_at,
            **_bounds_row(span.bounds),
        }
        for position, span in enumerate(episode.connections)
    }


def episode_of(row: RowMapping, connections: tuple[AgentSpan, ...]) -> Episode:
    """The episode a row and the rows of its connections describe."""
    reason, kinds = row["close_reason"], row["person_kinds"]
    return Episode(
        id=row["id"],
        project=row["project"],
        room_sid=row["room_sid"],
        room_name=row["room_name"],
        room_created_at=row["room_created_at"],
        empty_timeout=row["empty_timeout"],
        departure_timeout=row["departure_timeout"],
        person_seen=row["person_seen"],
        bounds=_bounds_of(row),
        watched_at_open=row["watched_at_open"],
        agents=tuple(c for c in connections if c.role is not Role.RECORDER),
        recordings=tuple(c for c in connections if c.role is Role.RECORDER),
        last_reachable_at=row["last_reachable_at"],
        last_probed_at=row["last_probed_at"],
        stranded_since=row["stranded_since"],
        close_reason=None if reason is None else CloseReason(reason),
        simulated=bool(row["simulated"]),
        person_kinds=None if kinds is None else frozenset(json.loads(kinds)),
        hung_up=row["hung_up"],
        watched_at_close=row["watched_at_close"],
        skew=row["skew"],
        policy=row["policy"] or "",
    )


def agent_of(row: RowMapping) -> AgentSpan:
    """The agent a row describes."""
    return AgentSpan(
        participant_sid=row["participant_sid"],
        identity=row["identity"],
        agent_name=row["agent_name"],
        kind=row["kind"],
        role=Role(row["role"]),
        joined_at=row["joined_at"],
        bounds=_bounds_of(row),
    )


def _bounds_row(bounds: Bounds) -> dict[str, datetime | None]:
    return {
        "last_attended_at": bounds.last_attended_at,
        "first_orphaned_at": bounds.first_orphaned_at,
        "last_seen_orphaned_at": bounds.last_seen_orphaned_at,
        "first_gone_at": bounds.first_gone_at,
    }


def _bounds_of(row: RowMapping) -> Bounds:
    return Bounds(
        last_attended_at=row["last_attended_at"],
        first_orphaned_at=row["first_orphaned_at"],
        last_seen_orphaned_at=row["last_seen_orphaned_at"],
        first_gone_at=row["first_gone_at"],
    )


def record_row(record: TickRecord, last_good_at: datetime | None) -> dict[str, Any]:
    """A tick's record in its slot of the project's ring."""
    return {
        "project": record.project,
        "slot": record.number % RING,
        "number": record.number,
        "at": record.at,
        "result": record.result,
        "message": record.message,
        "watched_seconds": record.watched_seconds,
        "blind_seconds": record.blind_seconds,
        "last_good_at": last_good_at,
        "seen": _times_text(record.seen),
        "probed": _times_text(record.probed),
        "verdicts": _text(dict(record.verdicts)),
        "exported": _text(
            {
                name: [str(spend.low), str(spend.high), str(spend.unverified)]
                for name, spend in storable_names(record.exported).items()
            }
        ),
        "avoided": json.dumps(
            [[storable(name), basis, str(usd)] for (name, basis), usd in record.avoided.items()]
        ),
        "tally": _text(_tally_json(record.tally)),
        "gates": _text(record.gates.as_json()),
        "suspects": json.dumps(
            [[storable(s.room_name), s.room_sid, s.reason, _iso(s.since)] for s in record.suspects]
        ),
    }


def record_of(row: RowMapping) -> TickRecord:
    """The record a row of the journal holds."""
    return TickRecord(
        project=row["project"],
        number=row["number"],
        at=row["at"],
        result=TickResult(row["result"]),
        watched_seconds=row["watched_seconds"],
        blind_seconds=row["blind_seconds"],
        message=row["message"],
        seen=_times_of(row["seen"]),
        probed=_times_of(row["probed"]),
        verdicts=json.loads(row["verdicts"]),
        exported={
            name: Spend(*(Decimal(amount) for amount in amounts))
            for name, amounts in json.loads(row["exported"]).items()
        },
        avoided={
            (name, basis): Decimal(usd) for name, basis, usd in json.loads(row["avoided"] or "[]")
        },
        tally=_tally_of(json.loads(row["tally"] or "{}")),
        gates=GateNotes.of_json(json.loads(row["gates"] or "{}")),
        suspects=tuple(
            Suspect(name, sid, reason, datetime.fromisoformat(since))
            for name, sid, reason, since in json.loads(row["suspects"] or "[]")
        ),
    )


def storable_names(spend: Mapping[str, Spend]) -> dict[str, Spend]:
    """Spend by the names as stored; what two names share once stored is added up."""
    result: dict[str, Spend] = {}
    for name, amount in spend.items():
        kept = storable(name)
        result[kept] = result[kept] + amount if kept in result else amount
    return result


def _tally_json(tally: Tally) -> dict[str, Any]:
    return {
        "total": [str(tally.total.low), str(tally.total.high)],
        **{
            period.value: [since.period, str(since.spend.low), str(since.spend.high)]
            for period, since in tally.began.items()
        },
    }


def _tally_of(found: Mapping[str, Any]) -> Tally:
    began = {
        Period(key): Since(name, Spend(Decimal(low), Decimal(high)))
        for key, (name, low, high) in ((k, v) for k, v in found.items() if k != "total")
    }
    return Tally(Spend(*map(Decimal, found.get("total", ("0", "0")))), began)


def advanced(episode: Episode, seen: datetime | None, probed: datetime | None) -> Episode:
    """The episode after looks and good probes that stand in tick records only.

    A look that changed nothing saw the episode and every agent then present; a good probe found the
    room reachable. Neither moves a bound back.
    """
    if seen is not None:
        episode = replace(
            episode,
            bounds=_seen(episode.bounds, seen),
            agents=_all_seen(episode.agents, seen),
            recordings=_all_seen(episode.recordings, seen),
        )
    if probed is not None:
        episode = replace(
            episode,
            last_probed_at=max(episode.last_probed_at or probed, probed),
            last_reachable_at=max(episode.last_reachable_at or probed, probed),
        )
    return episode


def _all_seen(spans: tuple[AgentSpan, ...], at: datetime) -> tuple[AgentSpan, ...]:
    return tuple(
        span
        if span.bounds.first_gone_at is not None
        else replace(span, bounds=_seen(span.bounds, at))
        for span in spans
    )


def _seen(bounds: Bounds, at: datetime) -> Bounds:
    return replace(bounds, last_seen_orphaned_at=max(bounds.last_seen_orphaned_at, at))


def _times_text(times: Mapping[str, datetime]) -> str:
    return _text({storable(key): _iso(at) for key, at in times.items()})


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _times_of(text: str) -> dict[str, datetime]:
    return {key: datetime.fromisoformat(at) for key, at in json.loads(text).items()}


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
