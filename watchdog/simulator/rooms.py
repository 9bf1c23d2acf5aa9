"""One room and one participant of the simulated world, and how they look on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import (
    Codec,
    ParticipantInfo,
    ParticipantPermission,
    Room,
    TrackInfo,
)

from watchdog.core.model import Role

KINDS: Mapping[str, int] = dict(ParticipantInfo.Kind.items())
STATES: Mapping[str, int] = dict(ParticipantInfo.State.items())
EGRESS, AGENT = KINDS["EGRESS"], KINDS["AGENT"]

CODECS = (
    *("audio/PCMU", "audio/PCMA", "audio/opus", "audio/red"),
    *("video/VP8", "video/H264", "video/VP9", "video/AV1", "video/H265", "video/rtx"),
)
"""What livekit-server 1.13 enables in every room, and says of each: most of what a list weighs."""
_CODECS_ON_THE_WIRE = Room(enabled_codecs=[Codec(mime=mime) for mime in CODECS]).SerializeToString()


class Ghost(StrEnum):
    """How a room whose node died answers: it stays listed, and nothing runs there."""

    UNAVAILABLE = "unavailable"  # 503 after some seconds: the node is still registered
    NO_OBJECT = "no_object"  # 500 "could not find object": its registration is gone


class NoSuchRoomError(LookupError):
    """No room of this name is listed."""


@dataclass(slots=True, eq=False)
class SimParticipant:
    """One participant. `alive` is False for what only the server's store still remembers."""

    sid: str
    identity: str
    kind: int
    state: int
    joined_at: datetime
    hidden: bool
    agent_grant: bool
    recorder: bool
    attributes: dict[str, str]
    kind_details: tuple[int, ...]
    role: Role
    alive: bool = True
    tracks: tuple[TrackInfo, ...] = ()

    @property
    def dependent(self) -> bool:
        """What the server's count and its own closing leave out."""
        return self.kind in (AGENT, EGRESS) or self.agent_grant or self.recorder

    @property
    def is_agent(self) -> bool:
        """What a server whose count includes agents counts besides."""
        return self.kind == AGENT or self.agent_grant

    @property
    def records(self) -> bool:
        """What makes the server show `active_recording`."""
        return self.kind == EGRESS or self.recorder

    def info(self, skew: timedelta) -> ParticipantInfo:
        """As ListParticipants shows it, by a server whose clock is off by `skew`."""
        stamp = (self.joined_at + skew).timestamp()
        return ParticipantInfo(
            sid=self.sid,
            identity=self.identity,
            name=self.identity,
            state=self.state,  # type: ignore[arg-type]  # any number a newer server sends
            kind=self.kind,  # type: ignore[arg-type]
            kind_details=self.kind_details,  # type: ignore[arg-type]
            joined_at=int(stamp),
            joined_at_ms=int(stamp * 1000),
            attributes=self.attributes,
            tracks=self.tracks,
            is_publisher=bool(self.tracks),
            permission=ParticipantPermission(
                can_subscribe=True,
                can_publish=True,
                can_publish_data=True,
                hidden=self.hidden,
                agent=self.agent_grant,
                recorder=self.recorder,
            ),
        )


@dataclass(slots=True, eq=False)
class SimRoom:
    """One lifetime of one room. Changed by its world alone."""

    sid: str
    name: str
    created_at: datetime
    empty_timeout: int
    departure_timeout: int
    node: str
    info: Room
    recording: bool = False
    participants: dict[str, SimParticipant] = field(default_factory=dict)
    first_person_at: datetime | None = None
    last_left_at: datetime | None = None
    close_due: datetime | None = None
    ghost: Ghost | None = None
    fresh_at: datetime | None = None
    counts: list[tuple[datetime, int]] = field(default_factory=list)
    dispatches: dict[str, AgentDispatch] | None = None

    def count_at(self, at: datetime) -> int:
        """The true `num_participants` at a moment of the last two minutes."""
        shown = 0
        for since, number in self.counts:
            if since > at:
                break
            shown = number
        return shown

    def wire(self) -> bytes:
        """The room as the server serializes it."""
        # In the wire format fields may stand one after the other; the codecs are the same of all rooms.
        return self.info.SerializeToString() + _CODECS_ON_THE_WIRE

    def frame(self) -> bytes:
        """The room as one entry of a ListRoomsResponse (field 1, length-delimited)."""
        body = self.wire()
        return b"\n" + _varint(len(body)) + body


def role_of(participant: SimParticipant) -> Role:
    """What the ledger takes a participant for unless it is told otherwise."""
    if participant.kind == EGRESS:
        return Role.RECORDER
    if participant.is_agent:
        behalf = participant.attributes.get("lk.publish_on_behalf")
        return Role.AVATAR if behalf else Role.AGENT
    return Role.PERSON


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
