"""Starts a real livekit-server, real agents and real people for the tests; loopback only."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from livekit import rtc
from livekit.api import AccessToken, VideoGrants
from livekit.protocol.room import RoomConfiguration

KEY = "devkey"
SECRET = "a-secret-of-the-tests-0123456789abcdef"
CACHED = Path.home() / ".cache" / "livekit-agent-watchdog" / "livekit-server-v1.13.5"
HERE = Path(__file__).parent
HOW_TO_GET_ONE = (
    "no livekit-server found: put one on PATH, name it in LIVEKIT_SERVER, or run "
    "`go install github.com/livekit/livekit-server/cmd/server@v1.13.5` and copy the binary to "
    f"~/{CACHED.relative_to(Path.home())}"
)
PATIENCE = 60.0
"""Seconds a process may take to get ready; a loaded machine is slow, a broken one is found out."""


@dataclass(frozen=True)
class RealServer:
    """A running livekit-server. `url` is http, `ws_url` the same for the RTC SDK."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    key: str = KEY
    secret: str = SECRET

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """For a process that talks to this server."""
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")},
            "LIVEKIT_URL": self.ws_url,
            "LIVEKIT_API_KEY": self.key,
            "LIVEKIT_API_SECRET": self.secret,
        }

    def kill(self) -> None:
        """SIGKILL: the node is gone without a goodbye."""
        kill_group(self.process)

    def token(
        self,
        room: str,
        identity: str,
        *,
        kind: str = "standard",
        agent: bool = False,
        recorder: bool = False,
        hidden: bool = False,
        attributes: dict[str, str] | None = None,
        empty_timeout: int = 0,
        departure_timeout: int = 0,
    ) -> str:
        """A token to join with; the timeouts apply if the join makes the room."""
        grants = VideoGrants(
            room_join=True,
            room=room,
            agent=agent or None,
            hidden=hidden or None,
            recorder=recorder or None,
        )
        timeouts = RoomConfiguration(
            empty_timeout=empty_timeout, departure_timeout=departure_timeout
        )
        token = AccessToken(self.key, self.secret).with_identity(identity).with_kind(kind)
        return (
            token.with_grants(grants)
            .with_attributes(attributes or {})
            .with_room_config(timeouts)
            .to_jwt()
        )


def find_server() -> Path | None:
    """The binary: LIVEKIT_SERVER, else livekit-server on PATH, else the user's cache."""
    named = os.environ.get("LIVEKIT_SERVER")
    return _first([named] if named else [shutil.which("livekit-server"), CACHED])


def _first(candidates: list[str | Path | None]) -> Path | None:
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return Path(candidate)
    return None


def find_redis() -> Path | None:
    """redis-server: REDIS_SERVER, else on PATH, else in the user's cache. For several nodes."""
    named = os.environ.get("REDIS_SERVER")
    return _first(
        [named] if named else [shutil.which("redis-server"), CACHED.parent / "redis-server"]
    )


@contextmanager
def running_redis(binary: Path, directory: Path) -> Iterator[str]:
    """A redis that stores nothing, on a free loopback port; yields its address."""
    port = free_port()
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        give_up = time.monotonic() + PATIENCE
        while not _accepts(port):
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        kill_group(process)


@contextmanager
def running_server(
    binary: Path, directory: Path, *, webhooks: tuple[str, ...] = (), redis: str = ""
) -> Iterator[RealServer]:
    """A livekit-server on free loopback ports, killed at the end.

    `webhooks` are URLs to call; `redis` is the address that several nodes share.
    """
    # Another process can take a port between our asking and the server's: then it is tried anew.
    for _ in range(5):
        port, tcp, udp = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        config = {
            "port": port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "tcp_port": tcp,
                "udp_port": udp,
                "use_external_ip": False,
                "node_ip": "127.0.0.1",
            },
            "keys": {KEY: SECRET},
            "logging": {"level": "info", "json": True},
        }
        if webhooks:
            config["webhook"] = {"api_key": KEY, "urls": list(webhooks)}
        if redis:
            config["redis"] = {"address": redis}
        path, log = directory / f"livekit-{port}.yaml", directory / f"livekit-{port}.log"
        path.write_text(json.dumps(config))  # JSON is YAML
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary, "--config", path],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            if _answers(process, port):
                yield RealServer(port, process, log)
                return
        finally:
            kill_group(process)
    raise RuntimeError(f"livekit-server did not start:\n{log.read_text()[-2000:]}")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    give_up = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < give_up:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port that nobody listened on a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a process that was started with `start_new_session=True`, and all its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


# --- people ---------------------------------------------------------------------------------------


@asynccontextmanager
async def person(
    server: RealServer, room: str, identity: str, **token: object
) -> AsyncIterator[rtc.Room]:
    """Somebody joins from this process and leaves cleanly at the end of the scope."""
    connection = rtc.Room()
    await connection.connect(server.ws_url, server.token(room, identity, **token))
    try:
        yield connection
    finally:
        await connection.disconnect()


class PersonProcess:
    """Somebody who joins from a process of their own, so that it can be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def join(
        cls, server: RealServer, room: str, identity: str, **token: object
    ) -> "PersonProcess":
        """Start the process; returns once it has joined."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            HERE / "real_person.py",
            env={**server.environment, "LIVEKIT_TOKEN": server.token(room, identity, **token)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        async with asyncio.timeout(PATIENCE):
            line = await process.stdout.readline()
        if line.strip() != b"joined":
            process.kill()
            raise RuntimeError(f"{identity} could not join {room}: {line!r}")
        return cls(process)

    async def leave(self) -> None:
        """Leave cleanly and wait until the process has ended."""
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: for the server, the same as a network that is gone."""
        self._process.send_signal(signal.SIGSTOP)

    async def kill(self) -> None:
        """SIGKILL: no goodbye is said."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def joining_person(server: RealServer, room: str, identity: str) -> AsyncIterator[None]:
    """Somebody whose connection never comes about: again and again they begin to join."""

    async def begin(session: aiohttp.ClientSession) -> None:
        url = f"{server.ws_url}/rtc?access_token={server.token(room, identity)}&protocol=15"
        last = None
        while True:
            # The next one comes before the last one goes: somebody is always about to join.
            sockets = [last, await session.ws_connect(url)]
            last = sockets[1]
            await asyncio.sleep(4)
            if sockets[0] is not None:
                await sockets[0].close()

    async with aiohttp.ClientSession() as session:
        task = asyncio.create_task(begin(session))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


# --- agents ---------------------------------------------------------------------------------------


@asynccontextmanager
async def agent_worker(
    server: RealServer,
    directory: Path,
    agent_name: str = "",
    *,
    stay: bool = True,
    heed: str = "",
) -> AsyncIterator["AgentWorker"]:
    """A livekit-agents worker, registered with the server; its whole group is killed at the end.

    With an `agent_name` it only takes jobs that are dispatched to it by name. `stay` is
    `close_on_disconnect=False`: its sessions outlive the person they talked to; `heed` is a room
    in which a warning ends them.
    """
    log = directory / f"agent-{agent_name or 'any'}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, HERE / "real_agent.py", "start"],
            env={
                **server.environment,
                "AGENT_NAME": agent_name,
                "AGENT_STAYS": "1" if stay else "",
                "AGENT_HEEDS": heed,
                "AGENT_DIARY": str(log.with_suffix(".diary")),
                # Idle job processes inherit it: no bytecode is written beside the sources.
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    worker = AgentWorker(process, log)
    try:
        await worker.logged("registered worker")
        yield worker
    finally:
        worker.kill()


class AgentWorker:
    """The worker's process group. Job processes are in it too."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def diary(self) -> list[str]:
        """What became of its sessions, line by line."""
        file = self.log.with_suffix(".diary")
        return file.read_text().splitlines() if file.exists() else []

    def terminate(self) -> None:
        """SIGTERM to the worker alone: it drains, waiting for its sessions."""
        self._process.terminate()

    def kill(self) -> None:
        """SIGKILL to all of it: agents vanish without a goodbye."""
        kill_group(self._process)

    async def logged(self, text: str) -> None:
        """Wait until the log says so; RuntimeError with the log if the worker ends before."""
        give_up = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"no {text!r} from the worker:\n{self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.05)
