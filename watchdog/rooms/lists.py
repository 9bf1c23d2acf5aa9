"""ListRooms answers, read as they come in, of which only the rooms are decoded that changed since the last.

In the wire format an answer is its rooms, one after the other. Of each room of the last answer its length
and a key of its bytes are kept; of an answer the bytes of those rooms alone that are to be decoded. A room
whose bytes have the key of one of the last answer is what was made of that; every other is decoded by the
SDK's own messages.
"""

import asyncio
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import accumulate, compress, count
from operator import ne

import aiohttp
from google.protobuf.message import DecodeError
from livekit.protocol.models import Room
from livekit.protocol.room import ListRoomsResponse

from watchdog.core.model import RoomSnapshot

MOST_AT_ONCE = 512
"""So many rooms are compared at once where nothing changes."""
NEARBY = 8
"""So far a room is looked for from where it should stand, before the order is taken to be another."""
AT_ONCE = 1000
"""So many rooms are decoded before anything else has its turn."""
LARGEST_ROOM = 2**24
"""No room is longer on the wire: livekit-server takes 64 KiB of metadata by default."""

ROOM = 0x0A
"""`repeated Room rooms = 1`: field 1, length-delimited."""
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class _Last:
    """The last answer: how long each room was, the key of its bytes, and what was made of it."""

    sizes: "array[int]" = field(default_factory=lambda: array("I"))
    keys: "array[int]" = field(default_factory=lambda: array("q"))
    rooms: tuple[RoomSnapshot, ...] = ()
    by_sid: dict[str, RoomSnapshot] = field(default_factory=dict)

    @property
    def unique(self) -> bool:
        """Whether every room stood in it once."""
        return len(self.rooms) == len(self.by_sid)


class Reading:
    """One answer as it comes in, against the last one."""

    def __init__(self, last: _Last, known: Mapping[str, RoomSnapshot]) -> None:
        """`known` are the rooms of an earlier list, lent for those that have not changed."""
        self.last = last
        self.known = known
        self.sizes = array("I")
        self.keys = array("q")
        self.rooms: list[RoomSnapshot | None] = []
        """Those of the last answer; None: another."""
        self.others: list[int] = []
        """The places of the others, whose bytes follow each other in `entries`."""
        self.entries = bytearray()
        self._rest = bytearray()  # the beginning of a field
        self._wanted = 0  # so long must it be
        self._here = 0  # where in the last answer the next room should stand
        self._many = 1  # so many are compared at once; 0: the order is another
        self._misses = 0
        self._index: dict[int, int] | None = None

    def feed(self, piece: bytes) -> None:
        """Take in what came. Raises DecodeError for what cannot be an answer."""
        data, at = piece, 0
        if self._rest:
            self._rest += piece
            if len(self._rest) < self._wanted:
                return
            data = bytes(self._rest)
        self._wanted = 0
        while at < len(data):
            at = self._compared(data, at)
            found = _field(data, at)
            if found is None:
                break
            end, tag = found
            if end > len(data):
                self._wanted = end - at
                break
            if tag == ROOM:
                self._take(data[at:end])
            at = end
        self._rest = bytearray(data[at:])

    def end(self) -> None:
        """Nothing more comes. Raises DecodeError where the answer is cut off."""
        if self._rest:
            raise DecodeError("the answer is cut off")

    def _compared(self, data: bytes, at: int) -> int:
        """Take in what stands where it stood in the last answer; returns where anything else begins."""
        last = self.last
        while self._many and self._here < len(last.sizes):
            here = self._here
            bounds = list(accumulate(last.sizes[here : here + self._many], initial=at))
            whole = bisect_right(bounds, len(data)) - 1
            slices = map(slice, bounds, bounds[1 : whole + 1])
            keys = array("q", map(hash, map(data.__getitem__, slices)))
            then = last.keys[here : here + whole]
            same = whole if keys == then else next(compress(count(), map(ne, keys, then)))
            upto = here + same
            self.sizes.extend(last.sizes[here:upto])
            self.keys.extend(last.keys[here:upto])
            self.rooms.extend(last.rooms[here:upto])
            self._here, at = upto, bounds[same]
            if same:
                self._misses = 0
            if same < len(bounds) - 1:
                self._many = max(1, same if whole > same else self._many)
                break
            self._many = min(MOST_AT_ONCE, 2 * self._many)
        return at

    def _take(self, entry: bytes) -> None:
        """Take in one room that does not stand where it stood."""
        key, here = hash(entry), self._here
        place = self._find(key)
        if place is None:
            self.others.append(len(self.rooms))
            self.rooms.append(None)
            self.entries += entry
            self._misses += 1
        else:
            self.rooms.append(self.last.rooms[place])
            self._here, self._misses = place + 1, 0
        self.sizes.append(len(entry))
        self.keys.append(key)
        if self._index is not None:
            self._many = int(place == here)
        elif self._misses > NEARBY and self._here < len(self.last.keys):
            self._index = {key: place for place, key in enumerate(self.last.keys)}

    def _find(self, key: int) -> int | None:
        """Which room of the last answer it is; None: none of them."""
        if self._index is not None:
            return self._index.get(key)
        try:
            return self.last.keys.index(key, self._here, self._here + NEARBY)
        except ValueError:
            return None


class ListReader:
    """Reads one project's whole lists, each against the last. `make` makes a snapshot of a decoded room."""

    def __init__(self, make: Callable[[Room, RoomSnapshot | None], RoomSnapshot]) -> None:
        self._make = make
        self._last = _Last()

    def begin(self, known: Mapping[str, RoomSnapshot]) -> Reading:
        """For one answer. `known` are the rooms of an earlier list, lent for those that have not changed."""
        return Reading(self._last if self._last.by_sid is known else _Last(), known)

    async def finish(
        self, reading: Reading
    ) -> tuple[dict[str, RoomSnapshot], tuple[str, ...] | None]:
        """The rooms by SID, and which of them are not those known before; None: not said.

        Raises DecodeError.
        """
        reading.end()
        last = reading.last
        if reading.keys != last.keys:
            rooms = await self._decoded(reading)
            by_sid = {room.sid: room for room in rooms}
            self._last = _Last(reading.sizes, reading.keys, rooms, by_sid)
            changed = dict.fromkeys(rooms[place].sid for place in reading.others)
            told = last.unique and self._last.unique and last.by_sid is reading.known
            return by_sid, tuple(changed) if told else None
        self._last = last
        return last.by_sid, () if last.unique and last.by_sid is reading.known else None

    async def _decoded(self, reading: Reading) -> tuple[RoomSnapshot, ...]:
        """All rooms, with those that are not known decoded."""
        rooms, others, entries = reading.rooms, reading.others, memoryview(reading.entries)
        at = 0
        for start in range(0, len(others), AT_ONCE):
            some = others[start : start + AT_ONCE]
            end = at + sum(reading.sizes[place] for place in some)
            decoded = ListRoomsResponse.FromString(bytes(entries[at:end])).rooms
            for place, room in zip(some, decoded, strict=True):
                rooms[place] = self._make(room, reading.known.get(room.sid))
            at = end
            if len(some) == AT_ONCE:
                await asyncio.sleep(0)
        return tuple(rooms)  # type: ignore[arg-type]  # none is missing any more


def _field(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the field that begins there ends, and its tag; None: too little of it is there to say so.

    Raises DecodeError for what is none.
    """
    try:
        tag, head = _number(data, at)
        kind, length = tag & 7, 0
        if kind == DELIMITED:
            length, head = _number(data, head)
        elif kind == VARINT:
            _, head = _number(data, head)
        elif kind == FIXED32:
            length = 4
        elif kind == FIXED64:
            length = 8
        else:
            raise DecodeError("a field of no known kind")
    except IndexError:
        return None
    if not 8 <= tag < 2**32:
        raise DecodeError("a field without a number")
    if length > LARGEST_ROOM:
        raise DecodeError("a field that is too long")
    return head + length, tag


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise DecodeError("a number without an end")


# ---- as it comes in through the SDK ---------------------------------------------------------------


class Asked:
    """A request whose answer is read as it comes in, anew each time that the SDK repeats it."""

    def __init__(self, begin: Callable[[], Reading]) -> None:
        self._begin: Callable[[], Reading] | None = begin
        self._reading: Reading | None = None

    def taken(self) -> Reading | None:
        """What was read, kept here no longer; None where no answer came this way."""
        reading, self._reading = self._reading, None
        return reading

    def end(self) -> None:
        """Keep nothing: a connection that was opened in the scope has its context, and so this, for good."""
        self._begin = self._reading = None

    async def read(self, content: aiohttp.StreamReader) -> None:
        """Take in one answer. Raises DecodeError for what cannot be one."""
        assert self._begin is not None
        reading = self._begin()
        async for piece in content.iter_any():
            reading.feed(piece)
            # What comes compressed comes without a pause.
            await asyncio.sleep(0)
        self._reading = reading


_asked: ContextVar[Asked | None] = ContextVar("asked", default=None)


@contextmanager
def as_it_comes(begin: Callable[[], Reading]) -> Iterator[Asked]:
    """In this scope a good answer is read as it comes in, and the SDK decodes nothing in its place."""
    asked = Asked(begin)
    token = _asked.set(asked)
    try:
        yield asked
    finally:
        _asked.reset(token)
        asked.end()


class Answer(aiohttp.ClientResponse):
    """A response that can be read as it comes in; for a session's `response_class`."""

    async def read(self) -> bytes:
        """The body; nothing where it was read as it came in."""
        asked = _asked.get()
        # The SDK also asks, by GET, which other regions there are: that answer is its own.
        if asked is None or self.status != 200 or self.method != "POST":
            return await super().read()
        await asked.read(self.content)
        return b""
