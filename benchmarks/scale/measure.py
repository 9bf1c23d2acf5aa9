"""What is measured of a process: processor time, wall time, memory, and how long its event loop was held."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Spans:
    """Repeated measurements of the same thing, in seconds; times of the monotonic clock."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    when: list[tuple[float, float]] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Measure what happens in the scope."""
        began, cpu = time.monotonic(), time.process_time()
        yield
        self.cpu.append(time.process_time() - cpu)
        ended = time.monotonic()
        self.wall.append(ended - began)
        self.when.append((began, ended))

    def summary(self) -> dict[str, Any]:
        """Medians, and how many there were."""
        return {
            "cpu": statistics.median(self.cpu),
            "wall": statistics.median(self.wall),
            "times": len(self.cpu),
        }


def status_mb(key: str, pid: int | str = "self") -> float:
    """A size of a process in megabytes (10^6 bytes): VmHWM is the most it ever held, VmRSS what it holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(key)


class Stretches:
    """Times what holds the event loop, from one return to it to the next.

    `own` is the longest in processor time of the loop's thread, without what the SDK spends on decoding
    within it; `wall` the longest by the wall clock, which also holds what other processes took away.
    """

    def __init__(self) -> None:
        self.wall = self.own = self.decoding = 0.0
        self._decoded = 0.0

    def summary(self) -> dict[str, float]:
        """All three, in seconds."""
        return {"own": self.own, "wall": self.wall, "decoding": self.decoding}

    def _decoder(self, cls: Any) -> Any:
        measured = self

        class Decoder:
            @staticmethod
            def FromString(body: bytes) -> Any:  # noqa: N802 - as the SDK calls it
                began = time.thread_time()
                try:
                    return cls.FromString(body)
                finally:
                    measured._decoded += time.thread_time() - began

        return Decoder

    @contextmanager
    def watched(self, *places: Any) -> Iterator[None]:
        """While the scope lasts. `places` are the modules that decode ListRooms answers."""
        names = ("ListRoomsResponse",)
        held = [(p, n, getattr(p, n)) for p in places for n in names if hasattr(p, n)]
        run = asyncio.Handle._run  # noqa: SLF001 - there is no public way to time what the loop runs

        def timed(handle: asyncio.Handle) -> None:
            self._decoded = 0.0
            began, cpu = time.perf_counter(), time.thread_time()
            run(handle)
            took = time.thread_time() - cpu
            self.wall = max(self.wall, time.perf_counter() - began)
            self.own = max(self.own, took - self._decoded)
            self.decoding = max(self.decoding, self._decoded)

        for place, name, cls in held:
            setattr(place, name, self._decoder(cls))
        asyncio.Handle._run = timed  # type: ignore[method-assign]  # noqa: SLF001
        try:
            yield
        finally:
            asyncio.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001
            for place, name, cls in held:
                setattr(place, name, cls)
