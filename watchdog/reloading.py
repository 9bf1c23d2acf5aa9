"""Takes up a changed configuration while the daemon runs, and keeps the old one where the new one is bad."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from watchdog.core.errors import WatchdogError
from watchdog.expose.logs import get_logger
from watchdog.settings import Settings

LOOK_EVERY = 5.0
"""Seconds between looks at the files."""
FIXED = ("database", "http", "log", "notify", "privacy", "replicas")
"""What is taken up only by a new start, as much of the daemon is built on it."""

log = get_logger("watchdog.reloading")

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload did: projects by name, and the keys that wait for a new start."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @classmethod
    def between(cls, old: Mapping[str, object], new: Mapping[str, object]) -> "Changes":
        """From what each project was made of to what it is to be made of."""
        return cls(
            added=tuple(name for name in new if name not in old),
            changed=tuple(name for name in new if name in old and new[name] != old[name]),
            removed=tuple(name for name in old if name not in new),
        )


class Told(Protocol):
    """Hears how each reload ended."""

    def __call__(self, at: datetime, *, ok: bool) -> None:
        """At that time, well or not."""
        ...


def with_what_can_change(running: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings but for what a reload cannot change, and the keys of which that is true."""
    waiting = tuple(key for key in FIXED if getattr(new, key) != getattr(running, key))
    kept = {key: getattr(running, key) for key in waiting}
    return new.model_copy(update=kept), waiting


def stamps(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """What tells that a file is another one than before; None for one that is not there."""
    return {path: _stamp(path) for path in paths}


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@asynccontextmanager
async def reloaded(
    reload: Callable[[], Awaitable[Changes]],
    files: Callable[[], tuple[Path, ...]],
    told: Told,
    *,
    every: float = LOOK_EVERY,
) -> AsyncIterator[None]:
    """While the scope lasts: `reload` on SIGHUP, and when one of `files` has changed.

    What `reload` raises as WatchdogError is logged, and nothing has changed then.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    otherwise = signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    told(datetime.now(UTC), ok=True)
    watch = asyncio.create_task(_Watch(reload, files, told, asked, every).run(), name="reload")
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, otherwise or signal.SIG_IGN)


class _Watch:
    def __init__(
        self,
        reload: Callable[[], Awaitable[Changes]],
        files: Callable[[], tuple[Path, ...]],
        told: Told,
        asked: asyncio.Event,
        every: float,
    ) -> None:
        self._reload = reload
        self._files = files
        self._told = told
        self._asked = asked
        self._every = every
        self._known: dict[Path, Stamp] = {}
        """Empty at first: what was changed while the daemon started is taken up as well."""
        self._refused = ""

    async def run(self) -> None:
        seen = stamps(self._files())
        while True:
            # Not wait_for, which in Python 3.11 can swallow the cancellation that ends this.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._asked.wait()
            before, seen = seen, stamps(self._files())
            # A file that is being written is left alone until it has stayed the same for one more look.
            settled = seen == before and seen != self._known
            # What a refused configuration lacked may come by itself, like a secret that is mounted later.
            if self._asked.is_set() or settled or self._refused:
                by_hand = self._asked.is_set()
                self._asked.clear()
                await self._try(by_hand=by_hand)
                # What was changed while that went on is not what was read.
                now = stamps(self._files())
                self._known = seen = {path: seen.get(path, stamp) for path, stamp in now.items()}

    async def _try(self, *, by_hand: bool) -> None:
        try:
            changes = await self._reload()
        except WatchdogError as error:
            self._refuse(str(error), by_hand=by_hand)
            return
        except Exception:
            # A fault of ours: the daemon goes on as it is.
            log.exception("reloading failed unexpectedly")
            self._told(datetime.now(UTC), ok=False)
            return
        self._refused = ""
        self._told(datetime.now(UTC), ok=True)
        if by_hand or changes != Changes():
            log.info(
                "configuration reloaded",
                added=list(changes.added),
                changed=list(changes.changed),
                removed=list(changes.removed),
            )
        if changes.waiting:
            log.warning("these keys are taken up only by a new start", keys=list(changes.waiting))

    def _refuse(self, why: str, *, by_hand: bool) -> None:
        self._told(datetime.now(UTC), ok=False)
        if why != self._refused or by_hand:
            log.error("the configuration was not reloaded: the one before stays in force", why=why)
        self._refused = why
