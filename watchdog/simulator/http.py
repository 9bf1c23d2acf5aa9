"""Serves the simulator over HTTP with LiveKit's wire protocol, for any ordinary client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import format_datetime

from aiohttp import web

from watchdog.simulator.answers import PROTOBUF, TEXT, Answer, bad_route
from watchdog.simulator.api import split_path
from watchdog.simulator.service import RoomServiceSimulator


@asynccontextmanager
async def serve(
    simulator: RoomServiceSimulator, *, port: int = 0, host: str = "127.0.0.1"
) -> AsyncIterator[str]:
    """Serve until the scope ends; yields the URL. Port 0 takes a free one. OSError if it is taken."""
    # A client that gives up must end the handler: one that hangs on purpose would stay for ever.
    runner = web.AppRunner(
        _application(simulator), handler_cancellation=True, shutdown_timeout=0.1, access_log=None
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0]
        yield f"http://{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def _application(simulator: RoomServiceSimulator) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        status, content_type, body = await _answer(simulator, request)
        date = format_datetime(simulator.world.server_time(), usegmt=True)
        headers = {"Content-Type": content_type, "Date": date}
        return web.Response(status=status, body=body, headers=headers)

    application = web.Application(client_max_size=2**20)
    application.router.add_route("*", "/{path:.*}", answer)
    return application


async def _answer(simulator: RoomServiceSimulator, request: web.Request) -> Answer:
    if request.path == "/" and request.method == "GET":
        return 200, TEXT, b"OK"
    names = split_path(request.path)
    if names is None:
        return 404, TEXT, b"404 page not found\n"
    route = f"{request.method} {request.path}"
    if request.method != "POST":
        return bad_route(f'unsupported method "{request.method}" (only POST is allowed)', route)
    if request.content_type != PROTOBUF:
        return bad_route(f'unexpected Content-Type: "{request.content_type}"', route)
    body = await request.read()
    return await simulator.handle(*names, body, request.headers.get("Authorization"))
