"""From reports to channels: what the daemon holds. It raises nothing and waits for nothing."""

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from watchdog.core.report import TickReport
from watchdog.expose.logs import get_logger
from watchdog.notifying.channels import Channel, Delivery, Result, Send
from watchdog.notifying.digest import Digest, Message
from watchdog.notifying.observer import Observer, Telling

STOP_SECONDS = 2.0
"""So long a stop waits for messages on their way."""

Count = Callable[[str, str], None]
"""Counts one message: the service, and what became of it."""

log = get_logger("watchdog.notify")


class Notifier:
    """Tells people what reports say. `senders` are the channels: each a service and what sends to it.

    Everything but the sending happens where `take` is called, on the event loop.
    """

    def __init__(
        self,
        telling: Telling,
        digest: Digest,
        senders: Sequence[tuple[str, Send]],
        count: Count = lambda _service, _result: None,
    ) -> None:
        self._telling = telling
        self._digest = digest
        self._count = count
        self._deliveries: SimpleQueue[Delivery] = SimpleQueue()
        self.channels = tuple(
            Channel(number, service, send, self._deliveries)
            for number, (service, send) in enumerate(senders, start=1)
        )
        self._observers: dict[str, Observer] = {}
        self._held_back = False

    def take(self, report: TickReport, now: float) -> None:
        """Take in one report; `now` is monotonic seconds. A fault of ours is logged, and the tick goes on."""
        try:
            self._take(report, now)
        except Exception:
            log.exception("notifications failed unexpectedly", project=report.project)

    def _take(self, report: TickReport, now: float) -> None:
        observer = self._observers.get(report.project)
        if observer is None:
            observer = self._observers[report.project] = Observer(self._telling)
        self._digest.add(observer.take(report, now), now)
        if message := self._digest.due(now):
            self._post(message)
        self._say_held_back(held_back=self._digest.is_ready(now))
        self.collect()

    def _say_held_back(self, *, held_back: bool) -> None:
        if held_back and not self._held_back:
            log.warning(
                "notifications held back",
                why=f"{self._digest.per_hour} messages an hour are allowed; the next one tells all of it",
            )
        self._held_back = held_back

    def _post(self, message: Message) -> None:
        for channel in self.channels:
            channel.post(message)

    def collect(self) -> list[Delivery]:
        """Count, and log where it failed, what has become of messages since the last call."""
        found: list[Delivery] = []
        while True:
            try:
                delivery = self._deliveries.get_nowait()
            except Empty:
                return found
            found.append(delivery)
            self._count(delivery.channel.service, delivery.result)
            if delivery.result is not Result.SENT:
                log.warning(
                    "notification not sent",
                    channel=delivery.channel.name,
                    result=delivery.result.value,
                    why=delivery.why,
                    notices=delivery.message.count,
                )

    async def aclose(self, now: float, seconds: float = STOP_SECONDS) -> None:
        """Send what is gathered, and wait for what is on its way, but not for long."""
        if message := self._digest.flush(now):
            self._post(message)
        try:
            async with asyncio.timeout(seconds):
                # Threads end these, and the loop may be gone when one does: looked at, not waited for.
                while any(channel.unfinished for channel in self.channels):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pass
        self.collect()
        for channel in self.channels:
            for _ in range(channel.unfinished):
                self._count(channel.service, Result.DROPPED)
            if channel.unfinished:
                log.warning(
                    "notification not sent",
                    channel=channel.name,
                    result=Result.DROPPED.value,
                    why="the stop did not wait for it any longer",
                    messages=channel.unfinished,
                )
