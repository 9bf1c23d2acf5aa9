"""The clients that are measured: `python -m benchmarks.scale.rows ROW URL CONTROL` is a process of one.

It prints one line of JSON. Memory is what the whole process ever held, so every row has its own.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from livekit.api import LiveKitAPI
from livekit.protocol.room import ListParticipantsRequest, ListRoomsRequest

from benchmarks.scale.measure import Spans, status_mb
from benchmarks.scale.server import KEY, SECRET, Control, Server

TIMES = 5
"""How often a call or tick is measured, where it can be repeated."""
AT_ONCE = 32
"""So many requests the naive poller has under way."""


class Measured(Spans):
    """Spans with the number of requests that the server had in each, and what else is counted."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self.control = control
        self.calls: list[int] = []
        self.rows: list[int] = []

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One span, and the requests that came in meanwhile."""
        before = self.control.calls().total()
        with self.one():
            yield
        self.calls.append(self.control.calls().total() - before)

    def row(self, **more: Any) -> dict[str, Any]:
        """What there is to say, JSON values."""
        return {
            **self.summary(),
            "calls": max(self.calls),
            "rows": max(self.rows, default=0),
            "peak_mb": status_mb("VmHWM"),
            **more,
        }


async def bare(server: Server, control: Control, *, fields: bool = False) -> dict[str, Any]:
    """`list_rooms` of livekit-api and nothing else; with `fields`, each field that we need is read once."""
    measured = Measured(control)
    async with LiveKitAPI(server.url, KEY, SECRET) as api:

        async def call() -> int:
            answer = await api.room.list_rooms(ListRoomsRequest())
            if fields:
                for room in answer.rooms:
                    _read(room)
            return len(answer.rooms)

        rooms = await call()  # connects
        for _ in range(TIMES):
            with measured.counted():
                await call()
    return measured.row(rooms=rooms)


def _read(room: Any) -> tuple[Any, ...]:
    return (
        *(room.sid, room.name, room.num_participants, room.empty_timeout, room.departure_timeout),
        *(room.creation_time, room.creation_time_ms, room.active_recording, room.metadata),
    )


async def naive(server: Server, control: Control) -> dict[str, Any]:
    """What one writes first: list the rooms, then ask who is in each, so many at once."""
    measured = Measured(control)
    alone = 0
    async with LiveKitAPI(server.url, KEY, SECRET) as api:
        await api.room.list_rooms(ListRoomsRequest(names=["none"]))  # connects
        limit = asyncio.Semaphore(AT_ONCE)

        async def only_agents(name: str) -> bool:
            async with limit:
                answer = await api.room.list_participants(ListParticipantsRequest(room=name))
            people = answer.participants
            return bool(people) and all(p.permission.agent for p in people)

        with measured.counted():
            answer = await api.room.list_rooms(ListRoomsRequest())
            found = await asyncio.gather(*(only_agents(room.name) for room in answer.rooms))
            alone = sum(found)
    return measured.row(rooms=len(answer.rooms), orphaned=alone)


def _row(name: str) -> Callable[[Server, Control], Awaitable[dict[str, Any]]]:
    if name == "bare":
        return bare
    if name == "fields":
        return lambda server, control: bare(server, control, fields=True)
    if name == "naive":
        return naive
    # The others must not carry what the daemon loads.
    from benchmarks.scale import daemon  # noqa: PLC0415

    return daemon.ROWS[name]


def main(name: str, url: str, port: str) -> None:
    """Measure one row."""
    began = time.monotonic()
    server = Server(url, int(port))
    found = asyncio.run(_row(name)(server, Control(server.control)))  # type: ignore[arg-type]
    print(json.dumps({**found, "took": time.monotonic() - began}))


if __name__ == "__main__":
    main(*sys.argv[1:])
