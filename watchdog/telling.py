"""Who is told of what the daemon reports, as `[notify]` says."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from watchdog.core.clock import Clock
from watchdog.core.report import TickReport
from watchdog.expose.formats import Unpriced
from watchdog.expose.labels import RoomNames
from watchdog.expose.metrics import Metrics
from watchdog.notifying.channels import Result, Send
from watchdog.notifying.digest import Digest
from watchdog.notifying.notices import Kind
from watchdog.notifying.notifier import Notifier
from watchdog.notifying.observer import Telling
from watchdog.settings import Settings


@asynccontextmanager
async def notifying(
    settings: Settings,
    senders: Sequence[tuple[str, Send]],
    *,
    clock: Clock,
    room_names: RoomNames,
    unpriced: Unpriced,
    metrics: Metrics,
) -> AsyncIterator[Callable[[TickReport], None]]:
    """Yields what takes each report and tells people of it; nobody is told where there are no senders.

    What takes the reports raises nothing and waits for nothing; the end of the scope waits at most 2 s.
    """
    if not senders:
        yield lambda _: None
        return
    given = settings.notify
    repeat = given.repeat_after
    telling = Telling(
        frozenset(map(Kind, given.events)),
        after_blind=given.after_blind.total_seconds(),
        repeat_after=repeat.total_seconds() if repeat else None,
        room_names=room_names,
        unpriced=unpriced,
    )
    digest = Digest(given.gather.total_seconds(), given.max_per_hour)
    notifier = Notifier(telling, digest, senders, metrics.on_notification)
    for channel in notifier.channels:
        for result in Result:
            metrics.on_notification(channel.service, result.value, 0)
    try:
        yield lambda report: notifier.take(report, clock.monotonic())
    finally:
        await notifier.aclose(clock.monotonic())
