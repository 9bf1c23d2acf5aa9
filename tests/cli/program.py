"""The program as a user starts it, and a simulated server in this process for it to talk to."""

import asyncio
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.forked import ForkedProcess
from watchdog.clocks import SystemClock
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

ROOT = Path(__file__).parents[2]
KEY, SECRET = "devkey", "a-secret-of-more-than-thirty-two-characters"
PATIENCE = 60.0
"""Seconds anything may take before a test gives up: against hanging only."""
STOP_WITHIN = 10.0
"""Seconds in which a `run` that was told to stop has ended: a promise to whoever operates it."""
LONG = 86400
"""A room timeout after which the server closes nothing while a test runs."""

IN_A_HURRY: Mapping[str, str] = {
    "WATCHDOG_POLL_INTERVAL": "1s",
    "WATCHDOG_DETECTION__REQUESTS_PER_MINUTE": "6000",
    "WATCHDOG_HTTP__LISTEN": "127.0.0.1:0",
}
"""What has it look each second, and serve on a free port."""

T = TypeVar("T")


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything the program reads, and what is given here."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LIVEKIT_", "WATCHDOG_", "COV", "PYTHONWARNINGS", "COLUMNS"))
    }
    return (
        kept
        | {"PYTHONPATH": str(ROOT), "NO_PROXY": "*", "PYTHONDONTWRITEBYTECODE": "1"}
        | variables
    )


@dataclass(frozen=True)
class Result:
    """How one command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def all(self) -> str:
        return self.out + self.err


class Program:
    """Starts commands in one directory with one environment."""

    def __init__(self, directory: Path, **variables: str) -> None:
        self.directory = directory
        self.environment = environment(**variables)

    def with_(self, **variables: str) -> "Program":
        """The same with other variables; an empty one is taken away."""
        other = Program(self.directory)
        merged = self.environment | variables
        other.environment = {name: value for name, value in merged.items() if value}
        return other

    def __call__(self, *arguments: str) -> Result:
        """Run a command to its end."""
        with self.started(*arguments) as running:
            return running.ended()

    def in_a_new_interpreter(
        self, *arguments: str, before: Callable[[], None] | None = None
    ) -> Result:
        """Run `python -m watchdog` as a shell would; `before` is done in its process."""
        done = subprocess.run(
            [sys.executable, "-m", "watchdog", *arguments],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            preexec_fn=before,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator["Running"]:
        """A command that goes on; killed at the end of the scope where it has not ended."""
        # Files, because a pipe that nobody reads would stop it; nameless ones, because some tests look
        # at what it leaves in its directory.
        stdout, stderr = TemporaryFile(), TemporaryFile()  # noqa: SIM115 - read after the scope, too
        process = ForkedProcess(
            arguments,
            cwd=self.directory,
            env=self.environment,
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        )
        try:
            yield Running(process, stdout, stderr)
        finally:
            process.kill()
            process.wait()


class Running:
    """A command that goes on."""

    def __init__(self, process: ForkedProcess, out: IO[bytes], err: IO[bytes]) -> None:
        self.process = process
        self._out, self._err = out, err

    @property
    def out(self) -> str:
        return _so_far(self._out)

    @property
    def err(self) -> str:
        return _so_far(self._err)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its log so far: whole lines of JSON."""
        text = self.err
        try:
            return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        except ValueError:
            raise AssertionError(f"not only lines of JSON:\n{text}") from None

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        return [line for line in self.events if line["event"] == event]

    def url(self) -> str:
        """Where it serves HTTP, once it does."""
        return str(self.eventually(lambda: self.logged("watching"))[0]["http"])

    def eventually(self, look: Callable[[], T]) -> T:
        """What `look` gives once that is something; fails where the program ends before."""

        def or_ended() -> T:
            found = look()
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}")
            return found

        try:
            return eventually(or_ended)
        except AssertionError as error:
            raise AssertionError(f"{error}; it wrote:\n{self.out}{self.err[-5000:]}") from None

    def stop(self, number: int = signal.SIGTERM) -> Result:
        """Tell it to stop; it has to end in time."""
        self.process.send_signal(number)
        return self.ended(STOP_WITHIN)

    def kill(self) -> None:
        """SIGKILL: it can do nothing about it."""
        self.process.kill()
        self.process.wait()

    def ended(self, within: float = PATIENCE) -> Result:
        """Wait for its end."""
        return Result(self.process.wait(within), self.out, self.err)


def _so_far(file: IO[bytes]) -> str:
    # At a place of its own: the program writes where the file's own position is.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


def eventually(look: Callable[[], T], within: float = PATIENCE) -> T:
    """What `look` gives once that is something."""
    give_up = time.monotonic() + within
    while not (found := look()):
        if time.monotonic() > give_up:
            raise AssertionError(f"still {found!r} after {within:g} s")
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Page:
    """An HTTP answer; status 0 where nobody listens."""

    status: int
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def get(url: str) -> Page:
    """Ask for a page."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE) as answer:
            return Page(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Page(error.code, error.read().decode())
    except (urllib.error.URLError, ConnectionError):
        return Page(0, "")


def samples(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a scrape, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(get(url).text)
        for sample in family.samples
    }


def sample(url: str, name: str, **labels: str) -> float | None:
    """One sample of a scrape, without the prefix that all names have."""
    return samples(url).get((f"livekit_watchdog_{name}", frozenset(labels.items())))


# ---- the server it talks to ------------------------------------------------------------------------


class Server:
    """A simulated LiveKit server in a thread of its own. `stop` and `start` keep its port."""

    def __init__(self) -> None:
        self.world = World(SystemClock())
        self.simulator = RoomServiceSimulator(self.world, {KEY: SECRET})
        self.url = ""
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._scope: Any = None

    @property
    def variables(self) -> Mapping[str, str]:
        """What tells the program about this server."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}

    def start(self) -> None:
        """Answer from now on."""

        async def enter() -> str:
            self._scope = serve(self.simulator, port=self._port)
            return str(await self._scope.__aenter__())

        self.url = self._wait(asyncio.run_coroutine_threadsafe(enter(), self._loop))
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Be gone: connections are refused."""

        async def leave() -> None:
            scope, self._scope = self._scope, None
            if scope is not None:
                await scope.__aexit__(None, None, None)

        self._wait(asyncio.run_coroutine_threadsafe(leave(), self._loop))

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def do(self, change: Callable[[World], T]) -> T:
        """Change the world, or look at it, between two requests."""

        async def inside() -> T:
            return change(self.world)

        return self._wait(asyncio.run_coroutine_threadsafe(inside(), self._loop))

    def call(self, room: str, *, person: bool = True, agent: str = "support") -> str:
        """A room with an agent, and with a person or without one any more; returns its SID."""

        def happen(world: World) -> str:
            world.create_room(room, empty_timeout=LONG, departure_timeout=LONG)
            world.join(room, "alice")
            world.join_agent(room, agent)
            if not person:
                world.leave(room, "alice")
            return world.room(room).sid

        return self.do(happen)

    def leave(self, room: str, identity: str = "alice") -> None:
        """Somebody leaves."""
        self.do(lambda world: world.leave(room, identity))

    def skew(self, seconds: float) -> None:
        """Set the server's clock so far ahead of this machine's."""
        self.do(lambda world: setattr(world, "skew", timedelta(seconds=seconds)))

    def asked(self, method: str) -> int:
        """How many requests of this method it has had."""
        return self.do(lambda _: sum(r.method == method for r in self.simulator.log))

    def _wait(self, what: "Future[T]") -> T:
        return what.result(PATIENCE)


@contextmanager
def simulated_server() -> Iterator[Server]:
    """A running simulated server with nobody in it."""
    server = Server()
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts and never answers; yields its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# ---- a terminal ------------------------------------------------------------------------------------

ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"
HIDES, SHOWS = "\x1b[?25l", "\x1b[?25h"
_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command on a terminal of its own."""

    def __init__(
        self, program: Program, *arguments: str, columns: int = 80, lines: int = 24
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchdog", *arguments],
            cwd=program.directory,
            env=program.environment | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            # So that Ctrl-C arrives. Safe: it takes no lock that another thread could hold.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self._theirs = theirs
        self.raw = ""

    def read_until(self, text: str) -> None:
        """Read what it draws until this is drawn."""
        eventually(lambda: self._read() or text in self.text)

    def read_to_end(self) -> int:
        """Read until it ends; returns its exit code."""
        eventually(lambda: self._read() or self.process.poll() is not None)
        self._read()
        return int(self.process.returncode)

    @property
    def text(self) -> str:
        """What was drawn, without what moves and colours."""
        return _STEERING.sub("", self.raw)

    @property
    def after(self) -> list[Any]:
        """How the terminal is set now."""
        return termios.tcgetattr(self._theirs)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        """Hang up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self) -> None:
        while select.select([self._ours], [], [], 0)[0]:
            self.raw += os.read(self._ours, 65536).decode(errors="replace")
