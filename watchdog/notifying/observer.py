"""From the reports of one project to notices: the same conditions, in the same words, as the alert rules.

Pure. The patience of each condition is that of its rule in grafana/rules/alerts.yml, but that a room which
nothing will end is told of at once, and a person decides when blindness is told (`notify.after_blind`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

from watchdog.core.deletion import BY_POLICY, AuditEntry, Outcome
from watchdog.core.gates import LIMITS, MODE, PROTECTIONS, Word
from watchdog.core.model import CloseReason, Episode, TickResult
from watchdog.core.report import ChangeKind, OrphanView, TickReport
from watchdog.expose.formats import (
    Unpriced,
    agent_names,
    all_priced,
    duration,
    lacks_price,
    spend_text,
    wall_seconds,
)
from watchdog.expose.labels import MAX_LABEL, RoomNames
from watchdog.notifying.harmless import MAX_LINE, harmless
from watchdog.notifying.notices import Condition, Kind, Lasting, Level, Notice, Topic

DUE_PATIENCE = 300.0
"""Deleting takes two looks 30 s apart: what goes by itself is gone by then."""
UNREACHABLE_PATIENCE = 900.0
GATE_PATIENCE = {
    LIMITS: 60.0,
    "sudden_change": 60.0,
    "clock_jump": 0.0,
    "permitted": 900.0,
    "lock": 900.0,
    "durable": 900.0,
    "warmed_up": 900.0,
    "paused": 43200.0,
    "stop_file": 43200.0,
}
"""The gates of a whole project that somebody should hear of, and for how long they must have held."""
_WISHED = {"paused", "stop_file"}
"""Somebody's wish; in mode observe it stops nothing."""
_KEPT_BY = PROTECTIONS | _WISHED | {"action", "allow_list", "lock", MODE}
"""Gates that do not open by themselves soon: a room that one of them keeps is not about to be deleted."""
_CAME_TO_NOTHING = {
    Outcome.FAILED,
    Outcome.UNKNOWN,
    Outcome.INEFFECTIVE,
    Outcome.STRANDED,
    Outcome.RESURRECTED,
}


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told, and how names and money are written. Times are seconds."""

    events: Collection[Kind] = tuple(Kind)
    after_blind: float = 300.0
    repeat_after: float | None = None
    room_names: RoomNames = field(default_factory=RoomNames)
    unpriced: Unpriced = all_priced


class Observer:
    """Follows one project's reports and says what is new in them that people should hear of."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._lasting = Lasting(telling.repeat_after)
        self._sight = Lasting(telling.repeat_after)
        self._good_at: float | None = None
        self._failures: dict[tuple[str, Outcome], None] = {}

    def take(self, report: TickReport, now: float) -> list[Notice]:
        """The notices of one report; each report once, in their order. `now` is monotonic seconds."""
        notices = [*self._blind(report, now), *self._outcomes(report), *self._joined(report)]
        if report.result is TickResult.OK:
            conditions = {**self._rooms(report), **self._holds(report)}
            notices += self._lasting.take(conditions, now)
        return [notice for notice in notices if notice.topic.kind in self._telling.events]

    # ---- sight ----------------------------------------------------------------------------------

    def _blind(self, report: TickReport, now: float) -> list[Notice]:
        if report.result is TickResult.OK or self._good_at is None:
            self._good_at = now
        if report.result is TickResult.OK:
            return self._sight.take({}, now)
        topic = Topic(Kind.BLIND, report.project, "not observed", "project not observed", Level.BAD)
        again = Topic(
            Kind.BLIND, report.project, "observed again", "project observed again", Level.OVER
        )
        condition = Condition(
            self._telling.after_blind,
            lambda lasted: _notice(
                topic,
                f"no good tick for {duration(lasted)}, and nothing is deleted meanwhile: {report.error}",
            ),
            lambda lasted: _notice(again, f"after {duration(lasted)}"),
            since=self._good_at,
        )
        return self._sight.take({"blind": condition}, now)

    # ---- rooms ----------------------------------------------------------------------------------

    def _rooms(self, report: TickReport) -> dict[str, Condition]:
        found: dict[str, Condition] = {}
        for view in report.orphans:
            episode = view.episode
            if episode.stranded_since is not None:
                found[f"unreachable {episode.id}"] = Condition(
                    UNREACHABLE_PATIENCE, partial(self._unreachable, report.project, view)
                )
            elif view.due:
                found[f"due {episode.id}"] = Condition(
                    0.0 if _is_kept(view) else DUE_PATIENCE,
                    partial(self._due, report.project, view),
                )
        return found

    def _due(self, project: str, view: OrphanView, _: float) -> Notice:
        topic = Topic(
            Kind.STRANDED,
            project,
            "stranded",
            "rooms with agents alone, past their policy's threshold and not deleted",
            Level.WARNING,
        )
        said = [word for word in view.holding if word.passes is False] or view.holding
        held = f", held by {said[0].gate}" if said else ""
        return _notice(topic, f"{self._alone(view)}, policy {harmless(view.policy)}{held}")

    def _unreachable(self, project: str, view: OrphanView, _: float) -> Notice:
        topic = Topic(
            Kind.STRANDED,
            project,
            "not reachable",
            "rooms that are listed, and whose node does not answer",
            Level.WARNING,
        )
        return _notice(topic, f"{self._alone(view)}; not deleted, and what it costs is unverified")

    def _alone(self, view: OrphanView) -> str:
        agents = ", ".join(harmless(name or "_unnamed") for name in agent_names(view.episode)[:3])
        unpriced = lacks_price(view.episode, self._telling.unpriced)
        spend = spend_text(view.spend, unpriced=unpriced)
        return (
            f"{self._room(view.episode.room_name)}: {agents} alone for {duration(view.age)}, "
            f"estimated spend {spend}"
        )

    def _room(self, name: str) -> str:
        return harmless(self._telling.room_names.label(name))

    # ---- deletions ------------------------------------------------------------------------------

    def _holds(self, report: TickReport) -> dict[str, Condition]:
        observing = any(word.gate == MODE for word in report.holds)
        return {
            f"held {word.gate}": Condition(
                GATE_PATIENCE[word.gate],
                partial(_held, report.project, word),
                partial(_no_longer_held, report.project, word),
            )
            for word in report.holds
            if word.gate in GATE_PATIENCE and not (observing and word.gate in _WISHED)
        }

    def _outcomes(self, report: TickReport) -> list[Notice]:
        closed = {c.episode.id: c.episode for c in report.changes if c.kind is ChangeKind.CLOSED}
        notices: list[Notice] = []
        for entry in report.outcomes:
            if entry.outcome is Outcome.DELETED:
                notices.append(self._deleted(entry, closed.get(entry.episode)))
            elif entry.outcome in _CAME_TO_NOTHING and self._is_new(entry, entry.outcome):
                notices.append(self._failed(entry, entry.outcome))
        if report.result is TickResult.OK:
            self._forget({view.episode.id for view in report.orphans})
        return notices

    def _is_new(self, entry: AuditEntry, outcome: Outcome) -> bool:
        """Whether this is the first of its kind in an episode: it is tried again by itself."""
        key = (entry.episode, outcome)
        if key in self._failures:
            return False
        self._failures[key] = None
        return True

    def _forget(self, still_open: Collection[str]) -> None:
        for key in [key for key in self._failures if key[0] not in still_open]:
            del self._failures[key]

    def _deleted(self, entry: AuditEntry, episode: Episode | None) -> Notice:
        topic = Topic(
            Kind.DELETED, entry.project, "deleted", "rooms deleted, and seen to be gone", Level.INFO
        )
        lasted = ""
        if episode is not None and episode.close_reason is CloseReason.DELETED:
            lasted = f" after {duration(wall_seconds(episode))}"
        return _notice(topic, f"{self._room(entry.room_name)}{lasted}, {_by(entry)}")

    def _failed(self, entry: AuditEntry, outcome: Outcome) -> Notice:
        topic = Topic(
            Kind.FAILED,
            entry.project,
            "deletions failed",
            "deletions that came to nothing; they are tried again, less and less often",
            Level.WARNING,
        )
        room = self._room(entry.room_name)
        why = self._without_name(entry.why, entry.room_name)
        return _notice(
            topic, f"{room}: {outcome.value}, {_by(entry)}" + (f": {why}" if why else "")
        )

    def _without_name(self, text: str, name: str) -> str:
        """What a server or we said of a room, with the room's name as it may be shown."""
        if self._telling.room_names.policy == "full" or not name:
            return text
        return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", lambda _: self._room(name), text)

    def _joined(self, report: TickReport) -> list[Notice]:
        count = report.joined_after_deletion
        if not count:
            return []
        topic = Topic(
            Kind.JOINED,
            report.project,
            "joined after a deletion",
            "persons who came to a room within 60 s of its deletion: a call may have been cut off",
            Level.BAD,
        )
        return [Notice(topic, f"{count} in this tick; the audit has the deletions", count)]


def _held(project: str, word: Word, lasted: float) -> Notice:
    topic = Topic(Kind.HELD, project, "held", "deletions held", Level.WARNING)
    return _notice(topic, f"by gate {word.gate} for {duration(lasted)}: {word.why}")


def _no_longer_held(project: str, word: Word, lasted: float) -> Notice:
    topic = Topic(Kind.HELD, project, "no longer held", "deletions no longer held", Level.OVER)
    return _notice(topic, f"by gate {word.gate}, after {duration(lasted)}")


def _is_kept(view: OrphanView) -> bool:
    return any(word.gate in _KEPT_BY and word.passes is False for word in view.words)


def _by(entry: AuditEntry) -> str:
    if entry.actor == BY_POLICY:
        return f"policy {harmless(entry.policy)}"
    return f"asked for by {harmless(entry.actor, MAX_LABEL)}"


def _notice(topic: Topic, line: str) -> Notice:
    return Notice(topic, harmless(line, MAX_LINE))


__all__ = ["Kind", "Observer", "Telling"]
