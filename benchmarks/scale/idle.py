"""The daemon as a user starts it, with few rooms: how soon it has a verdict, and what it takes at rest."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.scale.measure import status_mb
from benchmarks.scale.server import KEY, SECRET, Server

PATIENCE = 60.0
SETTLING = 20.0
"""Seconds from the start until it is taken to idle."""
POLLS = 3
"""So many polls the idle time holds."""
POLL = 15.0


@contextmanager
def _running(server: Server, directory: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    port = _free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LIVEKIT_", "WATCHDOG_"))}
    environment = kept | {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "WATCHDOG_POLL_INTERVAL": f"{POLL:g}s",
        "WATCHDOG_HTTP__LISTEN": f"127.0.0.1:{port}",
        "WATCHDOG_LOG__LEVEL": "error",
        "WATCHDOG_DATABASE": f"sqlite+aiosqlite:///{directory / 'watchdog.db'}",
    }
    process = subprocess.Popen([sys.executable, "-m", "watchdog", "run"], env=environment)
    try:
        yield process, f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _free_port() -> int:

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _verdicts(url: str) -> float:
    """How many rooms have a verdict; none where nobody answers yet."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        page = opener.open(url, timeout=PATIENCE).read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0.0
    return sum(
        float(line.rpartition(" ")[2])
        for line in page.splitlines()
        if line.startswith("livekit_watchdog_rooms{") and "unknown" not in line
    )


def _cpu(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _await_verdict(process: "subprocess.Popen[bytes]", url: str) -> float:
    """Seconds until it has a verdict."""
    began = time.monotonic()
    while not _verdicts(url):
        if process.poll() is not None or time.monotonic() - began > PATIENCE:
            raise RuntimeError("it has no verdict")
        time.sleep(0.02)
    return time.monotonic() - began


def idle(server: Server, polls: int = POLLS) -> dict[str, Any]:
    """Start it on a new database until it has a verdict, and again, to let it idle for so many polls.

    Only the first start creates a database, and holds what that takes from then on.
    """
    with tempfile.TemporaryDirectory() as directory:
        with _running(server, Path(directory)) as (process, url):
            first = _await_verdict(process, url)
            fresh = status_mb("VmRSS", process.pid)
        with _running(server, Path(directory)) as (process, url):
            again = _await_verdict(process, url)
            time.sleep(max(0.0, SETTLING - again) if polls else 0.0)
            cpu, since = _cpu(process.pid), time.monotonic()
            time.sleep(POLL * polls)
            share = (_cpu(process.pid) - cpu) / max(POLL, time.monotonic() - since)
            return {
                "first_verdict": first,
                "again": again,
                "cpu_share": share,
                "rss_mb": status_mb("VmRSS", process.pid),
                "rss_new_mb": fresh,
            }
