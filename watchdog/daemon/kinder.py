"""The kinder steps that a policy may ask for before a room is deleted, each once in an episode.

Its agents are warned ahead, and their dispatches are ended first. Either is written down before it is done: a
kill in between costs the step, and never repeats it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, timedelta

from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.classify import classify
from watchdog.core.deletion import AuditEntry, AuditKind, Outcome
from watchdog.core.errors import RateLimited, RoomServiceError, RoomUnreachable
from watchdog.core.model import AgentDispatch, Episode, Look, Role, Verdict, VerdictState
from watchdog.core.report import ChangeKind
from watchdog.core.rooms import RoomBook
from watchdog.core.steady import SteadyClock
from watchdog.daemon.attempts import after
from watchdog.daemon.marks import Marks
from watchdog.daemon.plan import Target
from watchdog.daemon.ports import RoomService
from watchdog.daemon.recheck import Finding, Recheck, last_look, time_left, too_old

REQUESTS = 2
"""What one warning costs: a look, and the message."""
WARNING = "room_will_be_deleted"


@dataclass(frozen=True, slots=True)
class Desk:
    """What the kinder steps need of whoever decides them."""

    entry: Callable[[Target, AuditKind], AuditEntry]
    recheck: Callable[[Target], Recheck]
    append: Callable[[AuditEntry], Awaitable[None]]
    """Write a line; it is on disk when this returns."""
    note_look: Callable[[Look], None]
    tell: Callable[[ChangeKind, Episode, str], None]


@dataclass(frozen=True, slots=True)
class Kinder:
    """Warns agents, and ends dispatches, in one project."""

    book: RoomBook
    service: RoomService
    clock: SteadyClock
    bucket: TokenBucket
    marks: Marks
    desk: Desk

    # ---- warning ----------------------------------------------------------------------------------

    def unwarned(self, targets: Iterable[Target]) -> list[Target]:
        """Those whose agents are still to be told."""
        return [t for t in targets if t.episode.id not in self.marks.warned]

    def ends_first(self, target: Target) -> bool:
        """Whether its policy asks to end the dispatches, and that was not tried yet."""
        ruling = target.ruling
        asked = target.request is None and ruling is not None and ruling.policy.delete_dispatch
        return asked and target.episode.id not in self.marks.ended

    async def warn_all(self, targets: Iterable[Target], until: float) -> RoomServiceError | None:
        """Warn the agents of these rooms, in their order; returns an error that the next ticks must heed.

        Raises StoreError where the database fails: then nobody more is told.
        """
        for target in self.unwarned(targets):
            mono = self.clock.monotonic()
            if mono > until or self.bucket.available(mono) < REQUESTS:
                break
            error = await self._warn(target)
            if isinstance(error, RateLimited):
                return error
        return None

    async def _warn(self, target: Target) -> RoomServiceError | None:
        """One room: a look of its own, the line, the message."""
        sid, case = target.episode.room_sid, self.desk.recheck(target)
        if await case.still_wanted():
            return None
        try:
            look = await self.service.look(case.room, Purpose.RECHECK)
        except RoomServiceError as error:
            self.book.note_failed_look(sid, str(error), self.clock.monotonic())
            return error
        verdict = classify(look.participants, self.book.rules)
        self.desk.note_look(look)
        # An agent may end its call on a warning: whoever speaks against a deletion speaks against this.
        alone = verdict.state is VerdictState.ORPHANED
        if not alone or case.protected(case.room, verdict) or case.still_allowed():
            return None
        entry = self.desk.entry(target, AuditKind.WARNED)
        await self.desk.append(entry)
        self.marks.warned[target.episode.id] = self.clock.monotonic()
        return await self._send(target, entry, _present(verdict))

    async def _send(
        self, target: Target, entry: AuditEntry, identities: list[str]
    ) -> RoomServiceError | None:
        episode, under = target.episode, f"under policy {entry.policy}"
        try:
            await self.service.warn(episode.room_name, identities, self._message(target))
        except RoomServiceError as error:
            why = f"its agents could not be told, which keeps nobody from deleting it: {error}"
            self.desk.tell(ChangeKind.WARNED, episode, f"{under}: {why}")
            at = self.clock.now()
            await self.desk.append(after(entry, AuditKind.WARNING_FAILED, None, why, at))
            return error
        told = f"{len(identities)} told {_ahead(target):g} s before it may be deleted"
        self.desk.tell(ChangeKind.WARNED, episode, f"{under}: {told}")
        return None

    def _message(self, target: Target) -> bytes:
        episode, ruling, ahead = target.episode, target.ruling, _ahead(target)
        at = (self.clock.now() + timedelta(seconds=ahead)).astimezone(UTC)
        message = {
            "type": WARNING,
            "room": episode.room_name,
            "room_sid": episode.room_sid,
            "episode": episode.id,
            "policy": ruling.policy.name if ruling else "",
            "in_seconds": ahead,
            "at": at.isoformat(timespec="seconds"),
            "why": ruling.why_due if ruling else "",
        }
        return json.dumps(message).encode()

    # ---- ending dispatches ------------------------------------------------------------------------

    async def end(self, target: Target, entry: AuditEntry) -> tuple[Finding, AuditEntry]:
        """Look once more as before a deletion and, if everything still holds, end the agents' dispatches.

        `entry` is the line that says so, and is on disk. Returns what was found, and the line to write next.
        Never raises for what the server does.
        """
        episode, case = target.episode, self.desk.recheck(target)
        found = await last_look(self.service, self.clock, self.book.rules, case)
        if isinstance(found, Finding):
            finding, outcome = found, found.outcome
            self.desk.tell(ChangeKind.NOT_DELETED, episode, f"{outcome}: {finding.why}")
        else:
            finding, outcome = await self._end_all(case, found), None
            counts = not entry.details["drained"]
            self.marks.note_ended(episode.id, self.clock.monotonic(), counts=counts)
            self.desk.tell(ChangeKind.DISPATCH_ENDED, episode, finding.why)
        # What is left is deleted after new looks of its own.
        self.book.disarm(episode.room_sid)
        if finding.look is not None:
            self.desk.note_look(finding.look)
        line = after(entry, AuditKind.ENDED, outcome, finding.why, self.clock.now())
        return finding, line

    async def _end_all(self, case: Recheck, look: Look) -> Finding:
        """What came of it; the step is not tried again, and the error only told, but for a few."""
        why, error = await self._end_each(case, look)
        heeded = error if isinstance(error, (RateLimited, RoomUnreachable)) else None
        return Finding(Outcome.ABORTED, why, look, error=heeded)

    async def _end_each(self, case: Recheck, look: Look) -> tuple[str, RoomServiceError | None]:
        name = case.room.name
        present = frozenset(_present(classify(look.participants, self.book.rules)))
        try:
            listed = await self.service.dispatches(name)
        except RoomServiceError as error:
            return f"the dispatches could not be listed: {error}", error
        chosen = [dispatch for dispatch in listed if dispatch.identities & present]
        if not chosen:
            return "no dispatch has called an agent that is there", None
        if why := case.still_allowed() or too_old(look, self.clock):
            return f"no dispatch was ended: {why}", None
        # All at once: the second must not wait for the first, which takes seconds, and be too late.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._end_one(name, each, look)) for each in chosen]
        errors = [failed for task in tasks if (failed := task.result()) is not None]
        why = f"{len(chosen) - len(errors)} of {len(chosen)} dispatches ended"
        if not errors:
            return why, None
        return f"{why}: {errors[0]}", errors[0]

    async def _end_one(
        self, name: str, dispatch: AgentDispatch, look: Look
    ) -> RoomServiceError | None:
        try:
            await self.service.end_dispatch(name, dispatch.id, within=time_left(look, self.clock))
        except RoomServiceError as error:
            return error
        return None


def _ahead(target: Target) -> float:
    return (target.ruling and target.ruling.policy.warn_before) or 0.0


def _present(verdict: Verdict) -> list[str]:
    """The identities of the agents that are there."""
    return [a.participant.identity for a in verdict.of_role(Role.AGENT, Role.AVATAR)]
