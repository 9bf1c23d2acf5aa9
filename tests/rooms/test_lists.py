"""A list of which only what changed is decoded says what decoding all of it would (A1)."""

import asyncio
import gc
import itertools
import random
import tracemalloc
import weakref
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.api.twirp_client import TwirpClient
from livekit.protocol.models import Room
from livekit.protocol.room import ListRoomsRequest, ListRoomsResponse

from watchdog.core.model import RoomListing
from watchdog.rooms import lists
from watchdog.rooms.gateway import _room
from watchdog.rooms.lists import Answer, ListReader, Reading, as_it_comes


def make(room, known):
    return _room(room, known, "hold")


def plainly(body, known):
    """What the SDK's own decoding of the whole answer gives."""
    return {r.sid: make(r, known.get(r.sid)) for r in ListRoomsResponse.FromString(body).rooms}


def answer(rooms):
    return ListRoomsResponse(rooms=rooms).SerializeToString()


async def read(reader, body, known, pieces=(65_536,)):
    """What a reader makes of an answer that comes in pieces of these lengths, over and over."""
    reading, at, lengths = reader.begin(known), 0, itertools.cycle(pieces)
    while at < len(body):
        length = next(lengths)
        reading.feed(body[at : at + length])
        at += length
    return await reader.finish(reading)


def some_rooms(count, seed=0):
    made = random.Random(seed)
    return [
        Room(
            sid=f"RM_{number:06d}",
            name=f"call-{number}",
            num_participants=made.randrange(3),
            empty_timeout=300,
            metadata="x" * made.choice((0, 10, 200, 20_000)),
        )
        for number in range(count)
    ]


class Decoded:
    """Counts what is decoded."""

    def __init__(self):
        self.rooms = 0

    def __call__(self, room, known):
        self.rooms += 1
        return make(room, known)


edits = st.lists(
    st.tuples(
        st.sampled_from(
            ["count", "metadata", "recording", "publishers", "remove", "insert", "append", "twice"]
        ),
        st.integers(min_value=0, max_value=10_000),
        st.integers(min_value=1, max_value=20),
    ),
    max_size=8,
)


def edited(rooms, changes, fresh):
    """The same rooms after a poll's worth of changes."""
    rooms = list(rooms)
    for kind, place, number in changes:
        at = place % (len(rooms) + 1)
        if kind == "remove":
            del rooms[at : at + number]
        elif kind in ("insert", "append"):
            new = [Room(sid=f"RM_new_{fresh}_{at}_{n}", name="new") for n in range(number)]
            rooms = rooms[:at] + new + rooms[at:] if kind == "insert" else rooms + new
        elif at < len(rooms) and kind == "twice":
            again = Room()
            again.CopyFrom(rooms[at])
            again.num_participants = number
            rooms.append(again)
        elif at < len(rooms):
            changed = Room()
            changed.CopyFrom(rooms[at])
            if kind == "count":
                changed.num_participants = number
            elif kind == "metadata":
                changed.metadata = "hold" * number
            elif kind == "recording":
                changed.active_recording = not changed.active_recording
            else:
                changed.num_publishers = number
            rooms[at] = changed
    return rooms


@settings(max_examples=150, deadline=None)
@given(
    st.integers(min_value=0, max_value=700),
    st.lists(st.tuples(edits, st.sampled_from(["kept", "kept", "shuffled"])), max_size=4),
    st.integers(min_value=0, max_value=5),
    st.lists(st.integers(min_value=200, max_value=70_000), min_size=1, max_size=5),
)
async def test_a_list_read_against_the_last_says_what_all_of_it_says(count, polls, seed, pieces):
    reader, known, rooms = ListReader(make), {}, some_rooms(count, seed)
    for number, (changes, order) in enumerate([([], "kept"), *polls]):
        rooms = edited(rooms, changes, number)
        if order == "shuffled":
            random.Random(number).shuffle(rooms)
        body = answer(rooms)
        found, changed = await read(reader, body, known, pieces)
        expected = plainly(body, known)
        assert found == expected
        # The very same objects where nothing changed: that is what later stages go by.
        assert all(found[sid] is room for sid, room in expected.items() if room is known.get(sid))
        listing = RoomListing(None, None, found, since=known, changed=changed or ())  # type: ignore[arg-type]
        if changed is not None:
            told = set(listing.changes(known))
            assert told <= found.keys()
            assert all(found[sid] is known[sid] for sid in found.keys() - told)
        known = found


async def test_where_nothing_changed_nothing_is_decoded():
    decoded = Decoded()
    reader, body = ListReader(decoded), answer(some_rooms(3000))
    first, _ = await read(reader, body, {})
    assert decoded.rooms == 3000
    second, changed = await read(reader, body, first)
    assert decoded.rooms == 3000
    assert second is first
    assert changed == ()


@pytest.mark.parametrize("order", ["kept", "shuffled"])
async def test_of_a_list_with_few_changes_few_rooms_are_decoded(order):
    decoded = Decoded()
    reader, rooms = ListReader(decoded), some_rooms(3000)
    known, _ = await read(reader, answer(rooms), {})
    decoded.rooms = 0
    for place in range(0, 3000, 100):
        rooms[place].num_participants += 1
    del rooms[500:600]
    if order == "shuffled":
        random.Random(1).shuffle(rooms)
    found, changed = await read(reader, answer(rooms), known)
    assert 29 <= decoded.rooms <= 29 + lists.NEARBY + 1
    assert {sid for sid in found if found[sid] is not known[sid]} <= set(changed)


async def test_what_was_read_against_other_rooms_is_decoded_anew():
    """A list that nobody took in proves nothing of the rooms that are known."""
    decoded = Decoded()
    reader, body = ListReader(decoded), answer(some_rooms(50))
    known, _ = await read(reader, body, {})
    await read(reader, answer(some_rooms(49, seed=1)), known)
    decoded.rooms = 0
    found, changed = await read(reader, body, known)
    assert decoded.rooms == 50
    assert changed is None
    assert all(found[sid] is known[sid] for sid in found)


@pytest.mark.parametrize(
    "more",
    [b"\x12\x03abc", b"\x10\x05", b"\x11" + b"8" * 8, b"\x15" + b"4" * 4, b"\x82\x01\x01a"],
    ids=["another field", "a number", "eight bytes", "four bytes", "a field above 15"],
)
@pytest.mark.parametrize("piece", [1, 7, 10_000])
async def test_what_else_is_in_an_answer_is_left_out(more, piece):
    rooms = some_rooms(20)
    reader = ListReader(make)
    known, _ = await read(reader, answer(rooms), {})
    rooms[15].num_participants += 1
    body = answer(rooms[:10]) + more + answer(rooms[10:]) + more
    found, changed = await read(reader, body, known, (piece,))
    assert found == plainly(body, known)
    assert changed == (rooms[15].sid,)


@pytest.mark.parametrize(
    "body",
    [
        b"\x0b",
        b"\x0c",
        b"\x02\x01a",
        b"\x8a\x80\x80\x80\x10\x04\x0a\x02R3",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"<!DOCTYPE html>",
        b'{"rooms": []}',
    ],
    ids=["a group", "its end", "no field", "a number too large", "too long", "a web page", "JSON"],
)
async def test_what_is_no_answer_is_refused(body):
    with pytest.raises(DecodeError):
        await read(ListReader(make), body, {})


@pytest.mark.parametrize("cut", [1, 2, 3, 10])
async def test_an_answer_that_is_cut_off_is_no_answer(cut):
    rooms = some_rooms(20)
    reader = ListReader(make)
    known, _ = await read(reader, answer(rooms), {})
    with pytest.raises(DecodeError):
        await read(reader, answer(rooms)[:-cut], known)
    # And the next one is read as if there had been none.
    found, _ = await read(reader, answer(rooms), known)
    assert all(found[sid] is known[sid] for sid in known)


async def test_an_empty_answer_has_no_rooms():
    reader = ListReader(make)
    known, _ = await read(reader, answer(some_rooms(3)), {})
    assert (await read(reader, b"", known))[0] == {}


async def test_long_lists_let_others_have_their_turn(monkeypatch):
    turns = 0

    async def sleep(_):
        nonlocal turns
        turns += 1

    monkeypatch.setattr(lists.asyncio, "sleep", sleep)
    await read(ListReader(make), answer(some_rooms(10_000)), {})
    assert turns >= 10_000 / lists.AT_ONCE


async def test_of_a_list_that_was_read_its_bytes_are_not_kept():
    reader = ListReader(make)
    body = answer(some_rooms(3000))
    known, _ = await read(reader, body, {})
    tracemalloc.start()
    try:
        await read(reader, body, known)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < len(body) / 10


async def test_a_number_without_an_end_is_refused_at_once():
    body = b"\x0a" + b"\xff" * 200_000
    with pytest.raises(DecodeError):
        await read(ListReader(make), body, {})


async def test_a_region_that_fails_is_followed_by_another_while_a_list_is_read_as_it_comes():
    hits: list[str] = []
    urls: list[str] = []
    listed = answer([Room(sid="RM_1", name="a")])

    async def server(stack: AsyncExitStack, *, good: bool) -> str:
        async def rooms(request: web.Request) -> web.Response:
            hits.append("good" if good else "bad")
            if good:
                return web.Response(body=listed, content_type="application/protobuf")
            return web.json_response({"code": "unavailable", "msg": "down"}, status=503)

        async def regions(_: web.Request) -> web.Response:
            return web.json_response({"regions": [{"url": url} for url in urls]})

        app = web.Application()
        app.router.add_post("/twirp/livekit.RoomService/ListRooms", rooms)
        app.router.add_get("/settings/regions", regions)
        served = await stack.enter_async_context(TestServer(app))
        return str(served.make_url("")).rstrip("/")

    async with AsyncExitStack() as stack:
        urls += [await server(stack, good=False), await server(stack, good=True)]
        session = await stack.enter_async_context(aiohttp.ClientSession(response_class=Answer))
        client = TwirpClient(
            session, urls[0], "livekit", _failover_force=True, _failover_backoff=0.01
        )
        reader = ListReader(make)
        with as_it_comes(lambda: reader.begin({})) as asked:
            await client.request(
                "RoomService", "ListRooms", ListRoomsRequest(), {}, ListRoomsResponse
            )
            reading = asked.taken()
    found, _ = await reader.finish(reading)
    assert (hits, list(found)) == (["bad", "good"], ["RM_1"])


@pytest.mark.parametrize("taken", [True, False])
async def test_a_connection_that_stays_open_keeps_nothing_of_the_list_it_was_opened_for(taken):
    """4,000 rooms are a megabyte on the wire, and a connection is kept for as long as there are polls."""
    begun = []
    reader = ListReader(make)

    def begin():
        reading = reader.begin({})
        begun.append(weakref.ref(reading))
        return reading

    async def rooms(_: web.Request) -> web.Response:
        return web.Response(body=answer(some_rooms(10)), content_type="application/protobuf")

    app = web.Application()
    app.router.add_post("/twirp/livekit.RoomService/ListRooms", rooms)
    async with TestServer(app) as served, aiohttp.ClientSession(response_class=Answer) as session:
        client = TwirpClient(session, str(served.make_url("")).rstrip("/"), "livekit")
        with as_it_comes(begin) as asked:
            await client.request(
                "RoomService", "ListRooms", ListRoomsRequest(), {}, ListRoomsResponse
            )
            if taken:
                assert asked.taken() is not None
        gc.collect()
        assert [there() for there in begun] == [None]


async def test_between_the_pieces_of_an_answer_others_have_their_turn():
    """A compressed answer comes out of one read of the socket, piece after piece."""
    turns, turn_of_piece = 0, []
    reader = ListReader(make)

    class Noted(Reading):
        def feed(self, piece):
            turn_of_piece.append(turns)
            super().feed(piece)

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def rooms(_: web.Request) -> web.Response:
        made = random.Random(1)
        many = [
            Room(sid=f"RM_{n:06d}", metadata=made.choice("abcd") * 20 * made.randrange(20))
            for n in range(40_000)
        ]
        response = web.Response(body=answer(many), content_type="application/protobuf")
        response.enable_compression()
        return response

    app = web.Application()
    app.router.add_post("/twirp/livekit.RoomService/ListRooms", rooms)
    async with TestServer(app) as served, aiohttp.ClientSession(response_class=Answer) as session:
        client = TwirpClient(session, str(served.make_url("")).rstrip("/"), "livekit")
        with as_it_comes(lambda: Noted(lists._Last(), {})) as asked:
            running = asyncio.create_task(others())
            await client.request(
                "RoomService", "ListRooms", ListRoomsRequest(), {}, ListRoomsResponse
            )
            running.cancel()
            found, _ = await reader.finish(asked.taken())
    assert len(found) == 40_000
    assert len(turn_of_piece) > 5
    assert len(set(turn_of_piece)) == len(turn_of_piece)


async def test_a_large_room_is_taken_apart_once_it_is_there(monkeypatch):
    """Not anew with each of its pieces, which would take quadratic time."""
    tried = []
    field = lists._field
    monkeypatch.setattr(lists, "_field", lambda data, at: tried.append(at) or field(data, at))
    room = Room(sid="RM_1", metadata="x" * 1_000_000)
    found, _ = await read(ListReader(make), answer([room]), {}, (100,))
    assert list(found) == ["RM_1"]
    assert len(tried) <= 2
