"""What the tick needs of the world, as small Protocols; the parts at the edge fulfil them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from watchdog.core.budget import Purpose
from watchdog.core.deletion import AuditEntry, AuditMemory, Control
from watchdog.core.ledger import Postings
from watchdog.core.model import AgentDispatch, Episode, Look, RoomListing, RoomSnapshot
from watchdog.core.records import ProjectMemory, TickRecord
from watchdog.core.spend import Spend


class RoomService(Protocol):
    """One project's LiveKit server. Every method raises only `RoomServiceError`."""

    async def list_rooms(
        self,
        known: Mapping[str, RoomSnapshot] | None = None,
        names: tuple[str, ...] = (),
        purpose: Purpose = Purpose.LIST,
    ) -> RoomListing:
        """All rooms, or those of the given names that exist; unchanged ones are lent by `known`."""
        ...

    async def look(self, room: RoomSnapshot, purpose: Purpose) -> Look:
        """Who is in the room."""
        ...

    async def probe(self, room_name: str) -> None:
        """Return where the room's node answers; raise RoomUnreachable where it does not."""
        ...

    async def delete(self, room_name: str, *, within: float) -> None:
        """Delete the room that has this name when the one request arrives.

        Raises NotSent where it could not be sent within so many seconds.
        """
        ...

    async def warn(self, room_name: str, identities: Sequence[str], payload: bytes) -> None:
        """Send one data message to these participants of the room, and nobody else."""
        ...

    async def dispatches(self, room_name: str) -> tuple[AgentDispatch, ...]:
        """What called agents into the room."""
        ...

    async def end_dispatch(self, room_name: str, dispatch_id: str, *, within: float) -> None:
        """End one dispatch, so that its agents leave.

        Raises NotSent where it could not be sent within so many seconds.
        """
        ...


class Store(Protocol):
    """Where episodes live. Every method raises only `StoreError`."""

    async def load(self, project: str) -> ProjectMemory:
        """What an earlier run left: open episodes with their newest bounds, the last tick, spend."""
        ...

    async def commit(
        self,
        record: TickRecord,
        changed: Sequence[Episode],
        closed_spend: Mapping[str, Spend],
        postings: Postings | None = None,
    ) -> int:
        """One tick in one transaction; returns the number of rows written.

        The record costs one row. `changed` are episodes that were opened, changed or closed (moved
        `last_seen_orphaned_at` and `last_probed_at` alone travel in the record); `closed_spend` is, for
        the agent names whose sum changed, what all closed episodes have cost: written over what was
        there, so that a commit that is made twice counts once. `postings` is what the ledger says anew.
        """
        ...


class Audit(Protocol):
    """Where decisions and deeds are written down. Every method raises only `StoreError`."""

    async def load(self, project: str, now: datetime) -> AuditMemory:
        """What an earlier run left open or must be remembered of it."""
        ...

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines; they are on disk when this returns."""
        ...


class Controls(Protocol):
    """What operators say to the running daemon. Raises only `StoreError`."""

    async def read(self, project: str) -> Control:
        """Whether the project is paused, what is to be deleted by hand, and both lists."""
        ...


class Lease(Protocol):
    """What makes this process the only one that acts on the project."""

    def held(self) -> bool:
        """Whether it still is, as far as this process knows by itself."""
        ...

    async def confirmed(self) -> str:
        """Why the database says that it is not, or nothing. Raises StoreError where it says neither."""
        ...
