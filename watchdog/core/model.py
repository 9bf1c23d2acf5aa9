"""The words of this project as frozen values: what was observed, and what we make of it.

All times are aware datetimes in UTC; all durations are seconds unless a timedelta is named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class ParticipantSnapshot:
    """One participant as ListParticipants showed it.

    `kind` is LiveKit's own word, or `KIND_<n>` for one this version does not know (T11).
    `agent_grant`, `recorder_grant` and `hidden` are `permission.agent`, `.recorder` and `.hidden`.
    `agent_name` is the attribute `lk.agent_name` (set by the server) or `lk.agent.name` (set by
    the agents SDK), empty if neither is there. `on_behalf_of` is `lk.publish_on_behalf`: set on
    avatar workers. `simulated` is the attribute `lk.simulator` or the kind detail SIMULATION.
    """

    sid: str
    identity: str
    kind: str = "STANDARD"
    state: str = "ACTIVE"
    joined_at: datetime | None = None
    hidden: bool = False
    agent_grant: bool = False
    recorder_grant: bool = False
    agent_name: str = ""
    on_behalf_of: str = ""
    simulated: bool = False
    tracks: int = 0


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """One room as ListRooms showed it. `name` is reused by later rooms, `sid` never is.

    `created_at` is the server's clock. `empty_timeout` and `departure_timeout` are in seconds.
    `num_participants` is a hint only: it lags and has been wrong (A3). `held_until` is what the room's
    metadata says under the hold key (`core/hold.py`), None where it holds nothing.
    """

    sid: str
    name: str
    created_at: datetime
    num_participants: int = 0
    empty_timeout: int = 300
    departure_timeout: int = 20
    active_recording: bool = False
    held_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RoomListing:
    """A whole, successful ListRooms answer: the rooms by SID, and when it was asked and answered.

    `clock_skew` is the server's wall clock minus ours in seconds, where the answer told it. `changed`
    names the rooms that are not the very snapshots of `since`, the rooms of an earlier list; without that
    nothing is said of it.
    """

    asked_at: datetime
    answered_at: datetime
    rooms: dict[str, RoomSnapshot]
    clock_skew: float | None = None
    since: Mapping[str, RoomSnapshot] | None = field(default=None, compare=False, repr=False)
    changed: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def changes(self, since: Mapping[str, RoomSnapshot]) -> Iterable[str]:
        """The SIDs among which every room is that is not the very snapshot of `since`, an earlier list's."""
        return self.changed if self.since is since else self.rooms


@dataclass(frozen=True, slots=True)
class Look:
    """A successful ListParticipants answer for one room.

    What it shows was true at some moment between `asked_at` and `answered_at`.
    """

    room_sid: str
    asked_at: datetime
    answered_at: datetime
    participants: tuple[ParticipantSnapshot, ...]


class VerdictState(StrEnum):
    """What a room is. UNKNOWN always means: leave alone."""

    ATTENDED = "attended"
    ORPHANED = "orphaned"
    EMPTY = "empty"
    UNKNOWN = "unknown"


LEG_KINDS = ("SIP", "INGRESS", "CONNECTOR", "BRIDGE")
"""Kinds that bring somebody, or something, into a room from elsewhere."""


class Role(StrEnum):
    """What a participant counts as."""

    PERSON = "person"
    AGENT = "agent"
    AVATAR = "avatar"  # an agent's second connection; no agent of its own
    RECORDER = "recorder"  # kind EGRESS: neither agent nor person
    LEFT = "left"  # an agent still listed, in state DISCONNECTED: holds nothing any more


@dataclass(frozen=True, slots=True)
class Assessment:
    """One participant, what it counts as, and why."""

    participant: ParticipantSnapshot
    role: Role
    why: str
    counted: bool
    """Whether a server whose count leaves agents out still counts it in `num_participants`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one room is, with the reason, and who was assessed how (empty without a look)."""

    state: VerdictState
    reason: str
    assessments: tuple[Assessment, ...] = ()

    def of_role(self, *roles: Role) -> tuple[Assessment, ...]:
        """The assessments of the given roles, in the order of the answer."""
        return tuple(a for a in self.assessments if a.role in roles)


@dataclass(frozen=True, slots=True)
class AgentDispatch:
    """What called agents into a room, and the identities they joined under."""

    id: str
    identities: frozenset[str]


class CloseReason(StrEnum):
    """Why an episode ended."""

    PERSON_RETURNED = "person_returned"
    PERSON_JOINED = "person_joined"  # nobody had been seen there before
    ROOM_GONE = "room_gone"
    DELETED = "deleted"  # by the watchdog


@dataclass(frozen=True, slots=True)
class Bounds:
    """The four times that enclose a span (A5).

    It began between `last_attended_at` (None: not known) and `first_orphaned_at`, and ended between
    `last_seen_orphaned_at` and `first_gone_at` (None: not over yet). For an agent inside an episode
    the same words mean: last seen without it, first seen, last seen, first seen without it again.
    """

    last_attended_at: datetime | None
    first_orphaned_at: datetime
    last_seen_orphaned_at: datetime
    first_gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AgentSpan:
    """One agent connection inside an episode. `joined_at` is the server's clock."""

    participant_sid: str
    identity: str
    agent_name: str
    kind: str
    role: Role
    joined_at: datetime | None
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class Episode:
    """One unbroken orphaned span of one room.

    `watched_at_open` is the project's watched clock (seconds) at `first_orphaned_at`: the age is
    the watched clock now minus this (A9). `person_seen` is None where history is not known (A8).
    `last_reachable_at` is the last good probe, or the last change the server reported itself;
    `stranded_since` is set while the room is listed but its node does not answer (A10). `simulated`: a
    simulated participant is, or was, in the room. `person_kinds` are the kinds of every person there
    ever was, `hung_up` whether the last of them left by himself; None is not known. `watched_at_close` is
    the watched clock when a closed episode ended.
    """

    id: str
    project: str
    room_sid: str
    room_name: str
    room_created_at: datetime
    empty_timeout: int
    departure_timeout: int
    person_seen: bool | None
    bounds: Bounds
    watched_at_open: float
    agents: tuple[AgentSpan, ...]
    last_reachable_at: datetime | None = None
    last_probed_at: datetime | None = None
    stranded_since: datetime | None = None
    simulated: bool = False
    person_kinds: frozenset[str] | None = None
    hung_up: bool | None = None
    watched_at_close: float | None = None
    close_reason: CloseReason | None = None
    recordings: tuple[AgentSpan, ...] = ()
    """The recorders that were seen in it: they are billed, and neither agents nor persons."""
    skew: float | None = None
    """The server's clock less ours, in seconds, as measured when it began; None where it was not."""
    policy: str = ""
    """The policy that spoke for it at last, of a closed episode; empty where none had been asked yet."""

    @property
    def connections(self) -> tuple[AgentSpan, ...]:
        """Everything in it that is billed."""
        return (*self.agents, *self.recordings)

    @property
    def is_open(self) -> bool:
        """Whether the span is not over yet."""
        return self.close_reason is None

    @property
    def present_agents(self) -> tuple[AgentSpan, ...]:
        """The agents that were there at the last look."""
        return tuple(a for a in self.agents if a.bounds.first_gone_at is None)


class CountMeaning(StrEnum):
    """What has been learned about the server's `num_participants` (A4)."""

    UNLEARNED = "unlearned"
    EXCLUDES_AGENTS = "excludes_agents"
    INCLUDES_AGENTS = "includes_agents"


class TickResult(StrEnum):
    """How one pass over one project went; the metric's label."""

    OK = "ok"
    SUSPICIOUS = "suspicious"  # a list that must first be agreed with (A1)
    FAILED = "failed"
    BACKING_OFF = "backing_off"  # not asked: 401 or 429 said so
