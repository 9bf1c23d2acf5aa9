"""What the commands ask a server themselves, read-only: `explain` and `check-config --probe`."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watchdog.core.budget import Purpose
from watchdog.core.classify import DetectionRules, classify
from watchdog.core.errors import RoomServiceError, WatchdogError
from watchdog.core.model import RoomListing, RoomSnapshot, Verdict, VerdictState
from watchdog.expose.formats import duration

if TYPE_CHECKING:
    from watchdog.rooms.gateway import LiveKitGateway

SKEW_WORTH_SAYING = 5.0
ROOMS_TO_PROBE = 20


@dataclass(frozen=True, slots=True)
class RoomFinding:
    """One room as the server shows it now. `verdict` None: it is not listed."""

    room: RoomSnapshot | None
    verdict: Verdict | None
    server_closes: str = ""


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """What a project's server answered. `verdicts` are of the `looked` rooms that were looked at."""

    rooms: int
    looked: int
    verdicts: Counter[VerdictState]
    skew: float | None
    count_excludes: int
    count_includes: int
    orphaned: tuple[str, ...]


async def find_room(gateway: "LiveKitGateway", asked: str, rules: DetectionRules) -> RoomFinding:
    """The room of that name, or of that SID: a SID is resolved to its name first (T31).

    Raises RoomServiceError.
    """
    room = await _resolve(gateway, asked)
    if room is None:
        return RoomFinding(None, None)
    look = await gateway.look(room, Purpose.FALLEN)
    verdict = classify(look.participants, rules)
    if not look.participants and room.num_participants:
        verdict = Verdict(
            VerdictState.UNKNOWN,
            f"nobody is listed, but the count says {room.num_participants}",
        )
    return RoomFinding(room, verdict, _server_closes(room, verdict))


async def _resolve(gateway: "LiveKitGateway", asked: str) -> RoomSnapshot | None:
    listing = await gateway.list_rooms(names=(asked,))
    for room in listing.rooms.values():
        if room.name == asked:
            return room
    if asked.startswith("RM_"):
        return (await gateway.list_rooms()).rooms.get(asked)
    return None


def _server_closes(room: RoomSnapshot, verdict: Verdict) -> str:
    """What livekit-server itself would do (LIVEKIT.md, When the server itself closes a room)."""
    if verdict.state is VerdictState.ATTENDED:
        return "never while a person is there"
    return (
        f"{duration(room.departure_timeout)} after the last departure of anyone, or, if no "
        f"person ever joined, {duration(room.empty_timeout)} after the room's creation"
    )


async def probe_project(gateway: "LiveKitGateway", rules: DetectionRules) -> ProbeFinding:
    """List the rooms, and look at some of them: those that nobody is counted in first.

    Raises RoomServiceError.
    """
    listing: RoomListing = await gateway.list_rooms()
    chosen = sorted(listing.rooms.values(), key=lambda room: room.num_participants)
    verdicts: Counter[VerdictState] = Counter()
    excludes = includes = 0
    orphaned: list[str] = []
    for room in chosen[:ROOMS_TO_PROBE]:
        try:
            look = await gateway.look(room, Purpose.FALLEN)
        except RoomServiceError:
            verdicts[VerdictState.UNKNOWN] += 1
            continue
        verdict = classify(look.participants, rules)
        verdicts[verdict.state] += 1
        if verdict.state is VerdictState.ORPHANED:
            orphaned.append(room.name)
        counted = sum(a.counted for a in verdict.assessments)
        left_out = len(verdict.assessments) - counted
        if left_out:
            excludes += room.num_participants == counted
            includes += room.num_participants == counted + left_out
    return ProbeFinding(
        rooms=len(listing.rooms),
        looked=min(len(chosen), ROOMS_TO_PROBE),
        verdicts=verdicts,
        skew=listing.clock_skew,
        count_excludes=excludes,
        count_includes=includes,
        orphaned=tuple(orphaned),
    )


def split_target(target: str, projects: tuple[str, ...]) -> tuple[str, str]:
    """`PROJECT/ROOM`, or `ROOM` alone where there is one project. Room names may hold slashes."""
    project, slash, room = target.partition("/")
    named = bool(slash) and project in projects
    if named and room:
        return project, room
    if len(projects) == 1 and target and not named:
        return projects[0], target
    known = ", ".join(projects)
    raise UnknownTargetError(
        f"{target!r} names no room of a configured project; write PROJECT/ROOM, "
        f"where PROJECT is one of: {known}"
    )


class UnknownTargetError(WatchdogError):
    """A room that was asked for cannot be told from what was written."""

    exit_code = 2
