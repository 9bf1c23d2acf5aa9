"""Attempts that are not settled: what was asked for is verified by later lists and looks, and written down.

A request that the server said yes to is *deleted* once two good lists lack the room's SID, *ineffective*
where the room is still there. One without an answer is *unknown* until then. One that an earlier run left
between its intent and its outcome is settled the same way: nothing is sent for it again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from watchdog.core.deletion import AuditEntry, AuditKind, Outcome
from watchdog.core.model import CloseReason, VerdictState
from watchdog.core.rooms import RoomBook

VERIFY_SECONDS = 30.0
"""After so long a room that is still there is looked at: a request can take effect late."""
LONGEST_VERIFY = 300.0
"""After so long a room that cannot be looked at counts as still there."""
GOOD_LISTS = 2
KEPT = ("person_seen", "drained")
"""What an intent's details say that its outcome must say, too: whoever starts later counts by it."""


@dataclass(slots=True)
class Attempt:
    """One intent without an outcome.

    `answer` is what the request came to: None where nobody knows whether it was sent. `since` is when
    its verification began, in monotonic seconds.
    """

    intent: AuditEntry
    answer: Outcome | None
    since: float
    lists: int = 0
    asked: bool = False


@dataclass(slots=True)
class Attempts:
    """The unsettled attempts of one project, by the room's SID."""

    book: RoomBook
    now: Callable[[], datetime]
    open: dict[str, Attempt] = field(default_factory=dict)
    verified: set[str] = field(default_factory=set)
    """The SIDs of rooms that an earlier run saw to be gone by its request, the episode perhaps still open."""

    def waits_for(self, sid: str) -> str:
        """What an attempt at this room still waits for, or nothing."""
        attempt = self.open.get(sid)
        if attempt is None:
            return ""
        return f"the deletion asked for at {attempt.intent.at:%H:%M:%S} UTC is being verified"

    def close_reason(self, sid: str) -> CloseReason:
        """Why the episode of a room that is gone has ended: by us, where we know that we asked."""
        attempt = self.open.get(sid)
        sent = attempt is not None and attempt.answer in (Outcome.DELETED, Outcome.UNKNOWN)
        return CloseReason.DELETED if sent or sid in self.verified else CloseReason.ROOM_GONE

    def begin(self, intent: AuditEntry, answer: Outcome | None, mono: float) -> None:
        """From now on verify this attempt."""
        self.open[intent.room_sid] = Attempt(intent, answer, mono)

    def settle(self, mono: float) -> Iterator[tuple[Attempt, AuditEntry]]:
        """After a good list: the attempts whose outcome is now known, each once, with its entry."""
        for sid, attempt in list(self.open.items()):
            attempt.lists += 1
            found = self._outcome(sid, attempt, mono)
            if found is not None:
                del self.open[sid]
                outcome, why = found
                entry = after(attempt.intent, AuditKind.OUTCOME, outcome, why, self.now())
                yield attempt, entry

    def _outcome(self, sid: str, attempt: Attempt, mono: float) -> tuple[Outcome, str] | None:
        state = self.book.rooms.get(sid)
        if state is None:
            return self._gone(attempt, mono) if attempt.lists >= GOOD_LISTS else None
        passed = mono - attempt.since
        if self.book.is_missing(sid) or passed < VERIFY_SECONDS:
            return None
        looked = (
            state.looked_mono is not None and state.looked_mono - attempt.since >= VERIFY_SECONDS
        )
        if not looked and passed < LONGEST_VERIFY:
            if not attempt.asked:
                attempt.asked = True
                self.book.looks.ask(sid, mono)
            return None
        if attempt.answer is Outcome.UNKNOWN and state.episode and state.episode.stranded_since:
            return (
                Outcome.STRANDED,
                "its node does not answer: it can be neither deleted nor reached",
            )
        return _still_there(attempt.answer, state.state if looked else VerdictState.UNKNOWN)

    def _gone(self, attempt: Attempt, mono: float) -> tuple[Outcome, str] | None:
        """The room is gone; where we asked for it, its name may be back with agents alone (T29)."""
        name, passed = attempt.intent.room_name, mono - attempt.since
        asked = attempt.answer in (Outcome.DELETED, Outcome.UNKNOWN)
        heir = next((r for r in self.book.rooms.values() if r.snapshot.name == name), None)
        if not asked or heir is None or heir.state is VerdictState.ATTENDED:
            return _gone(attempt.answer)
        if passed < VERIFY_SECONDS:
            return None  # a call that begins has its agent first
        looked = heir.looked_mono is not None and heir.looked_mono - attempt.since >= VERIFY_SECONDS
        if not looked and passed < LONGEST_VERIFY:
            self.book.looks.ask(heir.snapshot.sid, mono)
            return None
        if heir.state is VerdictState.ORPHANED and not heir.person_seen:
            return Outcome.RESURRECTED, "the room is gone, and its name is back with agents alone"
        return _gone(attempt.answer)


def after(
    intent: AuditEntry, kind: AuditKind, outcome: Outcome | None, why: str, at: datetime
) -> AuditEntry:
    """What is written down of an attempt once something is known of it."""
    kept = {key: intent.details[key] for key in KEPT if key in intent.details}
    return replace(intent, at=at, kind=kind, outcome=outcome, why=why, details=kept, number=None)


def _gone(answer: Outcome | None) -> tuple[Outcome, str]:
    if answer is Outcome.DELETED:
        return Outcome.DELETED, "two lists no longer name the room"
    if answer is Outcome.UNKNOWN:
        return Outcome.DELETED, "the answer was lost, and two lists no longer name the room"
    if answer is Outcome.ALREADY_GONE:
        return Outcome.ALREADY_GONE, "no list names the room any more; no request was sent"
    return Outcome.UNKNOWN, (
        "the watchdog was stopped before it wrote down an answer; the room is gone, by this request or not"
    )


def _still_there(answer: Outcome | None, state: VerdictState) -> tuple[Outcome, str]:
    now = f"the room is still there ({state})"
    if answer is Outcome.DELETED:
        return Outcome.INEFFECTIVE, f"the server said that it was done, and {now}"
    if answer is Outcome.UNKNOWN:
        return Outcome.UNKNOWN, f"the request had no answer, and {now}"
    if answer is Outcome.ALREADY_GONE:
        return Outcome.ABORTED, f"one list did not name it, and {now}; no request was sent"
    return Outcome.ABORTED, f"the watchdog was stopped before it wrote down an answer, and {now}"
