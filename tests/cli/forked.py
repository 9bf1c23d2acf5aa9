"""The program in a process of its own, without a second spent on starting Python and importing it all.

One parent per test process has imported everything once; for each command it forks a child that takes
the command's arguments, environment, directory and files, and runs `watchdog.entry.main` in them.
What depends on a fresh interpreter is tested with one: see `Program` and `Terminal`.
"""

import gc
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

_LONGEST = 1 << 20


class ForkedProcess:
    """One command: the part of `subprocess.Popen` that the tests use."""

    def __init__(
        self,
        arguments: Sequence[str | bytes],
        *,
        cwd: Path,
        env: dict[str, str],
        stdout: int,
        stderr: int,
    ) -> None:
        self.args = [os.fsdecode(argument) for argument in arguments]
        self.returncode: int | None = None
        self._told = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._told.connect("\0" + _parent())
        order = json.dumps({"arguments": self.args, "cwd": str(cwd), "env": env}).encode()
        socket.send_fds(self._told, [order], [stdout, stderr])
        self.pid = int(self._told.recv(_LONGEST))

    def poll(self) -> int | None:
        """Its exit code as Popen has it, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(_LONGEST))
            except (TimeoutError, BlockingIOError):
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout) from None
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal; its number is nobody else's until its end was told."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@cache
def _parent() -> str:
    """Where the parent of this test process's commands listens; it ends with this process."""
    address = f"livekit-watchdog-tests-{os.getpid()}-{time.monotonic_ns()}"
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.forked", address],
        cwd=root,
        env={name: value for name, value in os.environ.items() if not _read_by_us(name)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    _KEPT.append(process)  # its standard input closes with us, which is how it knows
    return address


_KEPT: "list[subprocess.Popen[bytes]]" = []


def _read_by_us(name: str) -> bool:
    return name.startswith(("LIVEKIT_", "WATCHDOG_"))


# ---- in the parent ---------------------------------------------------------------------------------


def _serve(address: str) -> None:
    import watchdog

    for module in pkgutil.walk_packages(watchdog.__path__, "watchdog."):
        # The migrations' own module runs when Alembic loads it, and __main__ when it is the program.
        if not module.name.startswith("watchdog._migrations") and "__main__" not in module.name:
            import_module(module.name)
    import alembic.command  # noqa: F401
    import sqlalchemy.dialects.sqlite.aiosqlite  # noqa: F401

    gc.collect()
    gc.freeze()  # or each child would copy all of it when it ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # those that wait for a command: reaped unseen
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("\0" + address)  # a name that is in no file system
    listener.listen()
    if os.fork() == 0:
        # Ends the parent when the tests have ended, however they did.
        listener.close()
        sys.stdin.buffer.read()
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _carry_out(connection)
        connection.close()


def _carry_out(connection: socket.socket) -> None:
    """Start a command, tell its number, wait for it and tell how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order, files, _, _ = socket.recv_fds(connection, _LONGEST, 2)
    pid = os.fork()
    if pid == 0:
        connection.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(json.loads(order), files)
    connection.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(order: dict[str, Any], files: Sequence[int]) -> NoReturn:
    """Be the command: run it, and end as the interpreter ends, with its traceback if it has one."""
    from watchdog.entry import main

    for standard, file in enumerate((os.open(os.devnull, os.O_RDONLY), *files)):
        os.dup2(file, standard)
    os.closerange(3, 64)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["livekit-watchdog", *order["arguments"]]
    main()
    sys.exit(0)


if __name__ == "__main__":
    _serve(sys.argv[1])
