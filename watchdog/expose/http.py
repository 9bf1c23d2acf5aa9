"""What can be asked over HTTP, and where LiveKit's webhooks come in. Nothing can be changed here."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from watchdog import __version__
from watchdog.core.errors import WatchdogError
from watchdog.core.hooks import MAX_WEBHOOK, Taken
from watchdog.core.spend import Spend
from watchdog.expose.formats import Unpriced, all_priced, iso, orphan_json, spend_json, suspect_json
from watchdog.expose.health import Freshness, HealthState, all_fresh
from watchdog.expose.labels import RoomNames, printable
from watchdog.expose.page import CONTENT_SECURITY_POLICY, render_page
from watchdog.expose.schemas import (
    Liveness,
    OrphanedRoom,
    Project,
    ProjectReadiness,
    Readiness,
    SuspectRoom,
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


STOP_SECONDS = 1.8
"""How long the server may take to stop before it is cut off."""


Receiver = Callable[[bytes, str], Taken]
"""Takes the raw body of a webhook and its Authorization header."""


class Scrape(Protocol):
    """The metrics as HTTP needs them."""

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The scrape and its content type, for an Accept header."""
        ...


def build_app(
    read: Callable[[], HealthState],
    metrics: Scrape,
    room_names: RoomNames,
    unpriced: Unpriced = all_priced,
    receiver: Callable[[str], Receiver | None] = lambda _: None,
) -> FastAPI:
    """The application. `read` gives the state as of now; it is called once per request.

    `receiver` gives what takes the webhooks of a project, None where there is no such project.
    """
    # FastAPI's own documentation pages load their scripts from elsewhere; the document itself stays.
    app = FastAPI(
        title="livekit-agent-watchdog",
        version=__version__,
        summary="Rooms where only agents are left: since when, and what that costs. Read-only.",
        docs_url=None,
        redoc_url=None,
    )

    @app.middleware("http")
    async def secure(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        response.headers.update(SECURITY_HEADERS)
        return response

    def add(path: str, answer: Callable[..., Awaitable[Response]], **documentation: Any) -> None:
        app.add_api_route(path, answer, methods=["GET"], **documentation)
        app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)

    async def index() -> Response:
        return HTMLResponse(render_page(read(), room_names, unpriced))

    async def scrape(request: Request) -> Response:
        body, content_type = metrics.expose(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def healthz() -> Response:
        state = read()
        body = Liveness(
            alive=state.alive,
            last_turn_seconds=round(state.turn_age, 3),
            limit_seconds=state.patience,
        )
        return _json(body, ok=state.alive)

    async def readyz() -> Response:
        body = _readiness(read())
        return _json(body, ok=body.ready)

    async def projects() -> Response:
        state = read()
        return JSONResponse([_project(state, f) for f in all_fresh(state)])

    async def rooms(project: str | None = None) -> Response:
        views = read().orphans(project)
        return JSONResponse([orphan_json(view, room_names, unpriced) for view in views])

    async def webhook(project: str, request: Request) -> Response:
        if receiver(project) is None:
            return Response("no such project\n", 404)
        body = await _body(request)
        receive = receiver(project)  # anew: it may have been given to another meanwhile
        if receive is None:
            return Response("no such project any more\n", 503)
        taken = receive(body, request.headers.get("authorization", ""))
        return Response(f"{taken}\n", _WEBHOOK_STATUS.get(taken, 200))

    async def suspects() -> Response:
        return JSONResponse([suspect_json(name, s, room_names) for name, s in read().suspects()])

    unhealthy: Any = {503: {"model": Liveness}}
    not_ready: Any = {503: {"model": Readiness}}
    add("/", index, include_in_schema=False)
    add("/metrics", scrape, summary="Prometheus metrics", response_class=Response)
    add("/healthz", healthz, summary="Liveness", response_model=Liveness, responses=unhealthy)
    add("/readyz", readyz, summary="Readiness", response_model=Readiness, responses=not_ready)
    add("/api/v1/projects", projects, summary="Every project", response_model=list[Project])
    add(
        "/api/v1/rooms",
        rooms,
        summary="Orphaned rooms, the oldest first",
        response_model=list[OrphanedRoom],
    )
    add(
        "/api/v1/suspects",
        suspects,
        summary="Suspect rooms, which are never deleted for it",
        response_model=list[SuspectRoom],
    )
    app.add_api_route(
        "/webhooks/livekit/{project}",
        webhook,
        methods=["POST"],
        summary="LiveKit's webhooks, signed with the project's key",
        response_class=Response,
    )
    return app


_WEBHOOK_STATUS = {
    Taken.FORGED: 401,
    Taken.STALE: 401,
    Taken.MALFORMED: 400,
    Taken.OVERSIZED: 413,
    Taken.DROPPED: 503,  # LiveKit tries again
    Taken.ELSEWHERE: 503,
}


async def _body(request: Request) -> bytes:
    """The raw body; of one that is too long only as much as shows that it is."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_WEBHOOK:
            break
    return body


def _json(body: BaseModel, *, ok: bool) -> Response:
    return JSONResponse(body.model_dump(), status_code=200 if ok else 503)


def _readiness(state: HealthState) -> Readiness:
    found = all_fresh(state)
    return Readiness(
        # Without a project there is nothing that could be fresh, but a replica may be waiting for one.
        ready=all(f.ready for f in found) if found else state.standby,
        limit_seconds=state.patience,
        projects={
            printable(f.project): ProjectReadiness(
                ready=f.ready,
                age_seconds=None if f.age is None else round(f.age, 3),
                last_success_at=iso(f.last_success_at),
                result=f.result.value if f.result else None,
                error=printable(f.error),
                limit_seconds=f.limit,
            )
            for f in found
        },
    )


def _project(state: HealthState, fresh: Freshness) -> dict[str, Any]:
    good = state.good.get(fresh.project)
    return {
        "name": printable(fresh.project),
        "ready": fresh.ready,
        "result": fresh.result.value if fresh.result else None,
        "error": printable(fresh.error),
        "last_success_at": iso(fresh.last_success_at),
        "rooms": {verdict.value: n for verdict, n in good.rooms.items()} if good else {},
        "orphaned_agents": (
            {printable(name): n for name, n in good.orphaned_agents.items()} if good else {}
        ),
        "stranded_rooms": good.stranded if good else None,
        "spend": _estimates(good.spend) if good else {},
        "burn_per_hour": _estimates(good.burn) if good else {},
        "count_meaning": good.count_meaning.value if good else None,
    }


def _estimates(spend: Mapping[str, Spend]) -> dict[str, dict[str, str]]:
    return {printable(name): spend_json(value) for name, value in spend.items()}


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's loop: whoever owns the process handles its signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve(app: FastAPI, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the context lasts; gives the port, which the system chooses where 0 is asked for.

    Raises WatchdogError where the address cannot be listened on. Ends within 2 seconds, however long an
    answer would take.
    """
    listener = await _bind(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        yield listener.getsockname()[1]
    finally:
        # Answers that are cut off here are no error: nobody waits for them any more.
        uvicorn_log = logging.getLogger("uvicorn.error")
        uvicorn_log.addFilter(_nothing)
        try:
            server.should_exit = True
            _, late = await asyncio.wait({serving}, timeout=STOP_SECONDS)
            if late:
                serving.cancel()
            await asyncio.gather(serving, return_exceptions=bool(late))
        finally:
            uvicorn_log.removeFilter(_nothing)
            listener.close()


def _nothing(_: logging.LogRecord) -> bool:
    return False


async def _bind(host: str, port: int) -> socket.socket:
    where = printable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
            raise OverflowError("the port must be between 0 and 65535")  # noqa: TRY301
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # Listening here and not in uvicorn: only then a port in use is certain to be noticed.
            listener.listen(128)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        why = _reason(error)
        raise WatchdogError(
            f"cannot listen on {where}: {why[:1].lower()}{why[1:]}; "
            "choose another with http.listen or WATCHDOG_HTTP__LISTEN"
        ) from error
    return listener


def _reason(error: Exception) -> str:
    # A name that does not resolve has numbers of its own, which are no errno.
    if isinstance(error, socket.gaierror) or not isinstance(error, OSError) or error.errno is None:
        return str(error.args[-1] if error.args else error)
    return os.strerror(error.errno)
