"""What a webhook of LiveKit tells, and what becomes of it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from watchdog.core.model import ParticipantSnapshot

HUNG_UP = "CLIENT_INITIATED"
"""The reason of a departure that the client itself asked for."""
MAX_WEBHOOK = 512 * 1024
"""Bytes of a webhook; a participant's metadata and attributes can be long."""
WHOLE_SECOND = timedelta(seconds=1)


class EventKind(StrEnum):
    """LiveKit's own names of the events that are taken in; all others are acknowledged and ignored."""

    ROOM_STARTED = "room_started"
    ROOM_FINISHED = "room_finished"
    JOINED = "participant_joined"
    LEFT = "participant_left"
    ABORTED = "participant_connection_aborted"
    OTHER = "other"  # tells of nothing but that events before it were lost


class Taken(StrEnum):
    """What became of a webhook; the metric's label `result`."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"  # of a kind that nothing is learned from
    DUPLICATE = "duplicate"
    STALE = "stale"  # outside the replay window
    FORGED = "forged"
    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    DROPPED = "dropped"  # the queue was full
    ELSEWHERE = "elsewhere"  # another replica has the project


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """One verified webhook. `id` is the server's, the same in every repetition.

    `created_at` is the server's clock in whole seconds, None where it was not told. `arrived_at` is our
    clock. `reason` is LiveKit's word for a departure. `dropped`: the server says that it lost events
    before this one.
    """

    id: str
    kind: EventKind
    room_sid: str
    room_name: str
    arrived_at: datetime
    participant: ParticipantSnapshot | None = None
    reason: str = ""
    created_at: datetime | None = None
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, by our clock: not before `earliest`, not after `latest` (A6)."""

    earliest: datetime
    latest: datetime

    def not_before(self, at: datetime | None) -> "Moment":
        """The same, after `at`: never before the last look or webhook that showed a person."""
        if at is None or at <= self.earliest:
            return self
        return Moment(at, max(at, self.latest))

    def shifted(self, by: timedelta) -> "Moment":
        """The same after our wall clock was set `by`."""
        return Moment(self.earliest + by, self.latest + by)


def moment_of(event: RoomEvent, skew: float | None) -> Moment | None:
    """When what an event tells of happened: its arrival less its measured delay (A6).

    The delay is measured where the server's clock is known to be `skew` seconds ahead of ours; LiveKit
    stamps whole seconds, so a second remains. None where it cannot be told: only that it was before the
    arrival.
    """
    if event.created_at is None or skew is None:
        return None
    created = event.created_at - timedelta(seconds=skew)
    # Clocks differ by a little: nothing happened after it was told of.
    earliest = min(created, event.arrived_at)
    latest = min(created + WHOLE_SECOND, event.arrived_at)
    return Moment(earliest, max(latest, earliest))
