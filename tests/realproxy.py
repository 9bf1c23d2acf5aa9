"""Stands between the watchdog and a real server, and lets things happen at the worst moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from livekit.protocol.room import DeleteRoomRequest, ListParticipantsRequest, ListRoomsRequest

from tests.realserver import RealServer

Happening = Callable[[], Awaitable[None]]


class Proxy:
    """Passes requests on. What is given for a room happens once, before the server sees the request."""

    def __init__(self, server: RealServer) -> None:
        self._server = server
        self.url = ""
        self.before_last_list: dict[str, Happening] = {}
        self.before_last_look: dict[str, Happening] = {}
        self.deleted: list[str] = []
        self._about_to_be_deleted: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self._happen(request.path.rsplit("/", 1)[-1], body)
        headers = {k: request.headers[k] for k in ("Authorization", "Content-Type")}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self._server.url + request.path, data=body, headers=headers) as answer,
        ):
            kept = {"Content-Type": answer.headers["Content-Type"], "Date": answer.headers["Date"]}
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def _happen(self, method: str, body: bytes) -> None:
        if method == "ListRooms":
            for room in ListRoomsRequest.FromString(body).names:
                self._about_to_be_deleted.add(room)
                await self._once(self.before_last_list, room)
        elif method == "ListParticipants":
            room = ListParticipantsRequest.FromString(body).room
            if room in self._about_to_be_deleted:
                self._about_to_be_deleted.discard(room)
                await self._once(self.before_last_look, room)
        elif method == "DeleteRoom":
            self.deleted.append(DeleteRoomRequest.FromString(body).room)

    async def _once(self, given: dict[str, Happening], room: str) -> None:
        happening = given.pop(room, None)
        if happening is not None:
            await happening()


@asynccontextmanager
async def proxied(server: RealServer) -> AsyncIterator[Proxy]:
    """A proxy on a free loopback port while the scope lasts."""
    proxy = Proxy(server)
    app = web.Application()
    app.router.add_post("/{path:.*}", proxy.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    proxy.url = f"http://127.0.0.1:{port}"
    try:
        yield proxy
    finally:
        await asyncio.wait_for(runner.cleanup(), 10)
