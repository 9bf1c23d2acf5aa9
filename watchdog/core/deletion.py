"""The words of deletion: modes, outcomes, and the entries of the audit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from watchdog.core.roomlists import ListEntry

BY_POLICY = "policy"
"""The actor of what the watchdog does by itself; anything else is a person's name."""


class Mode(StrEnum):
    """What the watchdog may do to a project, the most patient first."""

    OBSERVE = "observe"
    ALLOWLIST = "allowlist"
    ENFORCE = "enforce"

    @property
    def patience(self) -> int:
        """The higher, the less it does."""
        return (Mode.ENFORCE, Mode.ALLOWLIST, Mode.OBSERVE).index(self)


class Outcome(StrEnum):
    """What became of a decision to delete."""

    DELETED = "deleted"  # asked for, and seen to be gone
    ALREADY_GONE = "already_gone"  # there was no such room any more
    REPLACED = "replaced"  # another room has its name
    PERSON_RETURNED = "person_returned"  # the last look showed a person
    ABORTED = "aborted"  # something else spoke against it at the last moment
    FAILED = "failed"  # the server refused
    UNKNOWN = "unknown"  # no answer tells whether it was done
    STRANDED = "stranded"  # its node does not answer: neither deleted nor reachable
    INEFFECTIVE = "ineffective"  # the server said yes, and the room is still there
    RESURRECTED = "resurrected"  # gone, and its name is back with agents alone
    WOULD_DELETE = "would_delete"  # mode observe: everything but the mode allowed it


class AuditKind(StrEnum):
    """What an audit entry is about."""

    INTENT = "intent"
    ANSWER = "answer"  # to the request, still to be verified
    OUTCOME = "outcome"  # settled: nothing more is said of this intent
    REQUESTED = "requested"  # a deletion by hand
    PAUSED = "paused"
    RESUMED = "resumed"
    RELEASED = "released"  # what too many held
    LISTED = "listed"  # put on the allow-list or the protect list
    UNLISTED = "unlisted"
    WARNED = "warned"  # the agents are told, right after this line
    WARNING_FAILED = "warning_failed"  # and were not reached
    ENDING = "dispatch_ending"  # the agents' dispatches are ended, after one more look
    ENDED = "dispatch_ended"  # what came of it; with an outcome where nothing was sent


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit, which only grows.

    `intent` ties the entries of one attempt together. `actor` is `BY_POLICY` or who did it by hand.
    `details` are JSON values: the gates as they spoke, what was waived, the episode's bounds. `number`
    is the entry's place in the audit, None while it is not written.
    """

    at: datetime
    project: str
    kind: AuditKind
    actor: str = BY_POLICY
    room_name: str = ""
    room_sid: str = ""
    episode: str = ""
    policy: str = ""
    intent: str = ""
    outcome: Outcome | None = None
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    number: int | None = None


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """A deletion that an operator asked for by hand; `id` becomes the intent's."""

    id: str
    project: str
    room_name: str
    room_sid: str
    actor: str
    reason: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when, by whom and why nothing is deleted."""

    since: datetime
    actor: str
    reason: str = ""

    @property
    def sentence(self) -> str:
        """For a gate."""
        because = f": {self.reason}" if self.reason else ""
        return f"paused by {self.actor} at {self.since:%Y-%m-%d %H:%M:%S} UTC{because}"


@dataclass(frozen=True, slots=True)
class Control:
    """What operators have said to a running daemon: whether it is paused, what to delete, and what never.

    `released_at` is when somebody last let go what waits because it is too much. `entries` are those of
    both lists that nobody removed; whether one has expired is for whoever uses it to say.
    """

    pause: Pause | None = None
    released_at: datetime | None = None
    requests: tuple[DeletionRequest, ...] = ()
    entries: tuple[ListEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditMemory:
    """What an earlier run left in the audit.

    `open_intents` are attempts without an outcome, each with the answer that was stored, if any.
    `deletions` are the newest answers and outcomes of requests that were sent, oldest first. `told` are
    the open episodes of which it was already said that they would have been deleted, `returned` those in
    which a last look saw a person. `warned` and `ended` are when agents were warned, and dispatches ended,
    by episode: of open ones and of some that closed lately, since a room that lists lacked goes on.
    """

    open_intents: tuple[tuple[AuditEntry, Outcome | None], ...] = ()
    deletions: tuple[AuditEntry, ...] = ()
    told: frozenset[str] = frozenset()
    returned: frozenset[str] = frozenset()
    warned: Mapping[str, datetime] = field(default_factory=dict)
    ended: Mapping[str, datetime] = field(default_factory=dict)
