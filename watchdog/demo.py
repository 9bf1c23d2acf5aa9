"""`demo` and `simulate`: the simulator as a product, with nothing to set up."""

import asyncio
import contextlib
import errno
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from watchdog.app import opened_daemon, served, stop_on_signals
from watchdog.clocks import ScaledClock, SystemClock
from watchdog.core.clock import Clock
from watchdog.core.errors import WatchdogError
from watchdog.core.report import TickReport
from watchdog.expose.terminal import DemoView, PlainView
from watchdog.settings import ListenAddress, Settings, load_settings
from watchdog.simulator.http import serve
from watchdog.simulator.script import Storyteller
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

DEMO_ROOMS = 24
DEMO_SPEED = 60.0
DEMO_POLL = "15s"
DEMO_CONFIGURATION = """\
mode = "enforce"

[protect]
rooms = ["tutor-*"]

[[policies]]
name = "interviews-may-pause"
match = { rooms = ["interview-*"] }
grace = "10m"
respect_room_timeouts = false

[[policies]]
name = "left-alone"
grace = "3m"
respect_room_timeouts = false
"""
"""Impatient, so that something happens soon; and one kind of room that is protected."""


@asynccontextmanager
async def simulated(
    clock: Clock,
    *,
    rooms: int,
    seed: int,
    port: int = 0,
    key: str,
    secret: str,
    at_once: bool = False,
) -> AsyncIterator[str]:
    """A lively Room Service on loopback while the scope lasts; yields its URL. Raises WatchdogError."""
    world = World(clock, seed=seed)
    story = Storyteller(world, rooms, seed)
    if at_once:
        story.populate()
    simulator = RoomServiceSimulator(world, {key: secret})
    try:
        async with serve(simulator, port=port) as url:
            yield url
    except OSError as error:
        raise WatchdogError(
            f"cannot listen on 127.0.0.1:{port}: {error.strerror or error}; choose another with --port"
        ) from error


async def simulate(
    *, rooms: int, port: int, seed: int, key: str, secret: str, say: Callable[[str], None]
) -> None:
    """Serve a simulated LiveKit Room Service until a signal ends it."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with simulated(
        SystemClock(), rooms=rooms, seed=seed, port=port, key=key, secret=secret, at_once=True
    ) as url:
        say(f"A simulated LiveKit Room Service with about {rooms} rooms. In another terminal:\n")
        say(f"  export LIVEKIT_URL={url} LIVEKIT_API_KEY={key}")
        say(f"  export LIVEKIT_API_SECRET={secret}")
        say("  livekit-watchdog run\n")
        say("Ctrl-C ends it.")
        await stop.wait()


def demo_settings(url: str, key: str, secret: str, scratch: Path) -> Settings:
    """The demo's configuration: nothing of the user's is read, and nothing is kept."""
    (scratch / "watchdog.toml").write_text(DEMO_CONFIGURATION)
    return load_settings(
        environ={
            "LIVEKIT_URL": url,
            "LIVEKIT_API_KEY": key,
            "LIVEKIT_API_SECRET": secret,
            # In memory: many ticks a second would wait for a slow disk again and again.
            "WATCHDOG_DATABASE": "sqlite+aiosqlite://",
            "WATCHDOG_POLL_INTERVAL": DEMO_POLL,
            "WATCHDOG_PRICES__PROFILE": "cloud-hosted",
        },
        cwd=scratch,
    )


async def demo(
    console: Console, *, seconds: float | None, speed: float, seed: int, listen: ListenAddress
) -> None:
    """The watchdog on a simulated server, `speed` times as fast as life, until a signal or `seconds`."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    clock = ScaledClock(speed)
    key, secret = "demo", secrets.token_hex(24)
    with tempfile.TemporaryDirectory(prefix="livekit-watchdog-demo-") as scratch:
        async with simulated(clock, rooms=DEMO_ROOMS, seed=seed, key=key, secret=secret) as url:
            settings = demo_settings(url, key, secret, Path(scratch))
            async with (
                opened_daemon(settings, clock) as daemon,
                served(daemon, _free_address(listen)) as base,
            ):
                urls = [f"{base}/metrics", f"{base}/"]
                view = (
                    DemoView(
                        console,
                        project="default",
                        speed=speed,
                        urls=urls,
                        unpriced=daemon.unpriced,
                    )
                    if console.is_terminal
                    else PlainView(_line_writer(console), unpriced=daemon.unpriced)
                )
                if not console.is_terminal:
                    console.print(
                        f"demo: a simulated day, 1 s here is {speed:g} s there; {urls[0]}",
                        highlight=False,
                        soft_wrap=True,
                    )

                def show(report: TickReport) -> None:
                    view.update(report, clock.now())

                daemon.on_report = show
                with view, contextlib.suppress(asyncio.CancelledError):
                    if seconds is not None:
                        asyncio.get_running_loop().call_later(seconds, stop.set)
                    await daemon.run(stop, speed=speed)


def _line_writer(console: Console) -> Callable[[str], None]:
    def write(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    return write


def _free_address(wanted: ListenAddress) -> ListenAddress:
    """The address, or any free port on it: a demo must not fail because the real thing runs beside it.

    Raises WatchdogError for an address that is not this machine's.
    """
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.host, wanted.port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return ListenAddress(wanted.host, 0)
            raise WatchdogError(
                f"cannot listen on {wanted}: {error.strerror or error}; choose another with --listen"
            ) from error
    return wanted
