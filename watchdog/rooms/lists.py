"""ListRooms answers, of which only the rooms are decoded that changed since the last one.

In the wire format an answer is its rooms, one after the other. A room whose bytes are those of the last
answer is what was made of them then; every other is decoded by the SDK's own messages. Where anything else
is in an answer, all of it is decoded.
"""

import asyncio
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import aiohttp
from livekit.protocol.models import Room
from livekit.protocol.room import ListRoomsResponse

from watchdog.core.model import RoomSnapshot

BLOCK = 256
"""So many rooms are compared at once where nothing changes."""
NEARBY = 8
"""So far a room is looked for from where it should stand, before the order is taken to be another."""
AT_ONCE = 1000
"""So many rooms are decoded, or compared one by one, before anything else has its turn."""


@dataclass(slots=True)
class _Asked:
    """A request whose answer is wanted as it came."""

    body: bytearray | None = None


_asked: ContextVar[_Asked | None] = ContextVar("asked", default=None)


@contextmanager
def undecoded() -> Iterator[_Asked]:
    """In this scope a good answer is kept as it came, and the SDK decodes nothing in its place."""
    asked = _Asked()
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)


class Answer(aiohttp.ClientResponse):
    """A response that can be kept undecoded; for a session's `response_class`."""

    async def read(self) -> bytes:
        """The body; nothing where it is kept."""
        asked = _asked.get()
        # The SDK also asks, by GET, which other regions there are: that answer is its own.
        if asked is None or self.status != 200 or self.method != "POST":
            return await super().read()
        # All of it at once where its length is told: pieces that grow, or are joined, are there twice.
        body, at = bytearray(self.content_length or 0), 0
        async for chunk in self.content.iter_any():
            body[at : at + len(chunk)] = chunk
            at += len(chunk)
        del body[at:]
        asked.body = body
        return b""


@dataclass(frozen=True, slots=True)
class _Last:
    """The last answer: its bytes, where in them each room ends, and what was made of each."""

    body: bytearray = field(default_factory=bytearray)
    ends: "array[int]" = field(default_factory=lambda: array("Q"))
    rooms: tuple[RoomSnapshot, ...] = ()
    by_sid: dict[str, RoomSnapshot] = field(default_factory=dict)

    @property
    def unique(self) -> bool:
        """Whether every room stood in it once."""
        return len(self.rooms) == len(self.by_sid)


@dataclass(slots=True)
class _Places:
    """Where each room of an answer ends, and which room of the last one it is; None: it is another."""

    ends: "array[int]" = field(default_factory=lambda: array("Q"))
    rooms: list[RoomSnapshot | None] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    same: bool = True
    """Every room is that of the last answer, in its order."""


class ListReader:
    """Reads one project's whole lists, each against the last. `make` makes a snapshot of a decoded room."""

    def __init__(self, make: Callable[[Room, RoomSnapshot | None], RoomSnapshot]) -> None:
        self._make = make
        self._last = _Last()

    async def read(
        self, body: bytearray, known: Mapping[str, RoomSnapshot]
    ) -> tuple[dict[str, RoomSnapshot], tuple[str, ...] | None]:
        """The rooms by SID, and which of them are not those of `known`; None: not said.

        `known` are the rooms of an earlier list, lent for those that have not changed. Raises DecodeError.
        """
        last = self._last if self._last.by_sid is known else _Last()
        self._last = _Last()
        places = await _places(body, last)
        if places is None:
            found = [
                self._make(r, known.get(r.sid))
                for r in ListRoomsResponse.FromString(bytes(body)).rooms
            ]
            return {room.sid: room for room in found}, None
        if places.same and len(places.rooms) == len(last.rooms):
            self._last = _Last(body, places.ends, last.rooms, last.by_sid)
            return last.by_sid, () if last.unique else None
        rooms = await self._decoded(body, places, known)
        changed = tuple(dict.fromkeys(rooms[place].sid for place in places.changed))
        self._last = _Last(body, places.ends, rooms, {room.sid: room for room in rooms})
        told = last.unique and self._last.unique and last.by_sid is known
        return self._last.by_sid, changed if told else None

    async def _decoded(
        self, body: bytearray, places: _Places, known: Mapping[str, RoomSnapshot]
    ) -> tuple[RoomSnapshot, ...]:
        """All rooms, with those that are not known decoded."""
        rooms, ends, changed = places.rooms, places.ends, places.changed
        for start in range(0, len(changed), AT_ONCE):
            some = changed[start : start + AT_ONCE]
            entries = b"".join(body[ends[n - 1] if n else 0 : ends[n]] for n in some)
            decoded = ListRoomsResponse.FromString(entries).rooms
            for place, room in zip(some, decoded, strict=True):
                rooms[place] = self._make(room, known.get(room.sid))
            if len(some) == AT_ONCE:
                await asyncio.sleep(0)
        return tuple(rooms)  # type: ignore[arg-type]  # none is missing any more


async def _places(body: bytearray, last: _Last) -> _Places | None:
    """Where the rooms of an answer are; None where anything but rooms is in it, or it is cut off."""
    found = _Places()
    old, ends, rooms = last.body, last.ends, last.rooms
    index: dict[bytes, int] | None = None
    at = here = misses = steps = 0  # `here`: where in the last answer the next room should stand
    size = BLOCK
    while at < len(body):
        if steps >= AT_ONCE:
            steps = 0
            await asyncio.sleep(0)
        if size and here < len(rooms):
            upto = min(here + size, len(rooms))
            start = ends[here - 1] if here else 0
            block = old[start : ends[upto - 1]]
            steps += 1 + size // 16
            if body.startswith(block, at):
                moved, part = at - start, ends[here:upto]
                found.ends.extend(array("Q", [end + moved for end in part]) if moved else part)
                found.rooms.extend(rooms[here:upto])
                at, here, misses = at + len(block), upto, 0
                size = min(BLOCK, 2 * size)
            else:
                size //= 4
            continue
        end = _end(body, at)
        if end is None:
            return None
        entry, steps, size = bytes(body[at:end]), steps + 1, 1
        place = _nearby(entry, last, here) if index is None else index.get(entry)
        found.same = False
        if place is not None:
            found.rooms.append(rooms[place])
            here, misses = place + 1, 0
        else:
            found.changed.append(len(found.rooms))
            found.rooms.append(None)
            misses += 1
            if misses > NEARBY and index is None and here < len(rooms):
                index = {entry: n for n, entry in enumerate(_entries(last))}
        found.ends.append(end)
        at = end
    return found


def _end(body: bytearray, at: int) -> int | None:
    """Where the room that begins there ends: field 1, length-delimited."""
    try:
        if body[at] != 0x0A:
            return None
        length, head = body[at + 1], at + 2
        if length > 0x7F:
            length, shift = length & 0x7F, 7
            while True:
                byte = body[head]
                head += 1
                length |= (byte & 0x7F) << shift
                if byte < 0x80:
                    break
                shift += 7
                if shift > 63:  # no number at all
                    return None
    except IndexError:
        return None
    return head + length if head + length <= len(body) else None


def _nearby(entry: bytes, last: _Last, here: int) -> int | None:
    """Which of the next rooms of the last answer it is; None: none of them."""
    ends = last.ends
    for place in range(here, min(here + NEARBY, len(ends))):
        if entry == last.body[ends[place - 1] if place else 0 : ends[place]]:
            return place
    return None


def _entries(last: _Last) -> Iterator[bytes]:
    start = 0
    for end in last.ends:
        yield bytes(last.body[start:end])
        start = end
