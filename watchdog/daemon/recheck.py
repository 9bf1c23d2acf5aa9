"""The last look before a deletion, and the one request (SAFETY D, *final recheck*).

Three requests, in this order: the room by name (same SID, protection afresh, no unexplained count), who is
in it (agents, no person), and, within a second of that answer, DeleteRoom.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from watchdog.core.budget import Purpose
from watchdog.core.classify import DetectionRules, classify
from watchdog.core.deletion import Outcome
from watchdog.core.errors import (
    BadAnswer,
    NotSent,
    RequestTimedOut,
    RoomNotFound,
    RoomServiceError,
    ServerUnavailable,
)
from watchdog.core.gates import Word
from watchdog.core.model import Look, Role, RoomSnapshot, Verdict, VerdictState
from watchdog.core.steady import SteadyClock
from watchdog.daemon.ports import RoomService

REQUESTS = 3
STALE_SECONDS = 1.0
"""DeleteRoom is sent within this of the answer that showed agents and no person. Fixed."""
SLOW_SECONDS = 3.0
"""And of its question: what a slow answer shows can have been true when it was asked. Fixed."""
MAY_HAVE_WORKED = (RequestTimedOut, ServerUnavailable, BadAnswer)
"""After these nobody knows whether the server did what it was asked for (T27)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one attempt. `outcome` DELETED and UNKNOWN mean that the request was sent.

    `look` is the last look, where there was one; `counted`: an unexplained count spoke against it.
    """

    outcome: Outcome
    why: str
    look: Look | None = None
    counted: bool = False
    error: RoomServiceError | None = None
    to_be_verified: bool = False
    """Later lists and looks must say what became of it."""


@dataclass(frozen=True, slots=True)
class Recheck:
    """One room that passed every gate, as the last look needs to know it.

    `explained` is the highest count that agents alone are known to explain, given a verdict or (None) by
    the last look; `protected` says what protects a room, or no longer allows it, evaluated on the snapshot
    given and on the lists as they are then.
    """

    room: RoomSnapshot
    explained: Callable[[Verdict | None], int]
    protected: Callable[[RoomSnapshot, Verdict | None], Word | None]
    still_wanted: Callable[[], Awaitable[str]]
    """Asked between the list and the look, where it costs nothing of the second: why not, or nothing."""
    still_allowed: Callable[[], str]
    """Asked at the very last, without a pause: why not, or nothing."""


async def delete_if_still_alone(
    service: RoomService, clock: SteadyClock, rules: DetectionRules, case: Recheck
) -> Finding:
    """Look once more and, if everything still holds, delete. Never raises for what the server does."""
    found = await last_look(service, clock, rules, case)
    if isinstance(found, Finding):
        return found
    try:
        await service.delete(case.room.name, within=time_left(found, clock))
    except NotSent as error:
        return Finding(Outcome.ABORTED, str(error), found)
    except RoomNotFound:
        return Finding(Outcome.ALREADY_GONE, "the server knows no room of this name", found)
    except MAY_HAVE_WORKED as error:
        why = f"no answer tells: {error}"
        return Finding(Outcome.UNKNOWN, why, found, error=error, to_be_verified=True)
    except RoomServiceError as error:
        return Finding(Outcome.FAILED, str(error), found, error=error)
    why = "the server said that it was done"
    return Finding(Outcome.DELETED, why, found, to_be_verified=True)


async def last_look(
    service: RoomService, clock: SteadyClock, rules: DetectionRules, case: Recheck
) -> Look | Finding:
    """The look that allows it at this very moment, or the finding that does not."""
    try:
        found = await _look_again(service, clock, rules, case)
    except RoomServiceError as error:
        return Finding(Outcome.ABORTED, f"the last look failed: {error}", error=error)
    if isinstance(found, Finding):
        return found
    if why := case.still_allowed():
        return Finding(Outcome.ABORTED, why, found)
    if why := too_old(found, clock):
        return Finding(Outcome.ABORTED, why, found)
    return found


def too_old(look: Look, clock: SteadyClock) -> str:
    """Why a last look allows nothing any more, or nothing."""
    answered, asked = (_seconds_since(at, clock) for at in (look.answered_at, look.asked_at))
    if answered <= STALE_SECONDS and asked <= SLOW_SECONDS:
        return ""
    why = f"the last look was asked for {asked:.1f} s ago and answered {answered:.1f} s ago"
    return f"{why}: too old to act on"


def time_left(look: Look, clock: SteadyClock) -> float:
    """So many seconds from now a request must be on its way that a last look allows."""
    return STALE_SECONDS - _seconds_since(look.answered_at, clock)


async def _look_again(
    service: RoomService, clock: SteadyClock, rules: DetectionRules, case: Recheck
) -> Look | Finding:
    """The look that allows it, or the finding that does not. Raises RoomServiceError."""
    listing = await service.list_rooms(names=(case.room.name,), purpose=Purpose.RECHECK)
    room = next((r for r in listing.rooms.values() if r.name == case.room.name), None)
    if room is None:
        # One answer ends nothing (T02): later lists must agree.
        why = "the room was not listed at the last moment"
        return Finding(Outcome.ALREADY_GONE, why, to_be_verified=True)
    if room.sid != case.room.sid:
        return Finding(Outcome.REPLACED, f"the name belongs to another room now, {room.sid}")
    if word := case.protected(room, None):
        return Finding(Outcome.ABORTED, f"{word.gate}: {word.why}")
    if why := await case.still_wanted():
        return Finding(Outcome.ABORTED, why)
    if (passed := _seconds_since(listing.asked_at, clock)) > SLOW_SECONDS:
        # By now the name can belong to another room.
        return Finding(Outcome.ABORTED, f"the last list took {passed:.1f} s: too old to act on")
    look = await service.look(room, Purpose.RECHECK)
    verdict = classify(look.participants, rules)
    if verdict.of_role(Role.PERSON):
        return Finding(Outcome.PERSON_RETURNED, verdict.reason, look)
    if verdict.state is not VerdictState.ORPHANED:
        return Finding(Outcome.ABORTED, f"no agent is in it: {verdict.reason}", look)
    if word := case.protected(room, verdict):
        return Finding(Outcome.ABORTED, f"{word.gate}: {word.why}", look)
    count, explained = room.num_participants, min(case.explained(None), case.explained(verdict))
    if count > explained:
        why = f"the server counts {count} where agents explain {explained}"
        return Finding(Outcome.ABORTED, why, look, counted=True)
    return look


def _seconds_since(at: datetime, clock: SteadyClock) -> float:
    return (clock.now() - at).total_seconds()
