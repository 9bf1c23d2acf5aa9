"""A channel: one thread that hands messages to one service, so that nobody else waits for it.

Whatever hangs, hangs in its own thread, which ends with the process: neither a tick nor the stop waits.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from queue import Full, Queue, SimpleQueue

from watchdog.notifying.digest import Message

WAITING = 8
"""So many messages may wait for a channel that is slow; what comes then is dropped, and counted."""

Send = Callable[[Message], str]
"""Hands one message over, however long that takes; returns why it could not, or nothing."""


class Result(StrEnum):
    """What became of one message in one channel: the metric's label."""

    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one message in one channel, and why. `why` has no secret in it."""

    channel: "Channel"
    message: Message
    result: Result
    why: str = ""


class Channel:
    """One service that messages go to. Nothing is tried twice.

    `service` is the word for it in metrics, and `name` is what an operator knows it by: its number in
    `notify.urls` and the service. A URL is a secret and stands in neither. What becomes of each message is
    put into `deliveries` by the channel's thread.
    """

    def __init__(
        self, number: int, service: str, send: Send, deliveries: "SimpleQueue[Delivery]"
    ) -> None:
        self.service = service
        self.name = f"{number} ({service})"
        self._send = send
        self._deliveries = deliveries
        self._waiting: Queue[Message] = Queue(WAITING)
        self._thread: threading.Thread | None = None

    @property
    def unfinished(self) -> int:
        """How many messages nothing has become of yet."""
        return self._waiting.unfinished_tasks

    def post(self, message: Message) -> None:
        """Have a message sent; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, name=f"notify {self.name}", daemon=True
            )
            self._thread.start()
        try:
            self._waiting.put_nowait(message)
        except Full:
            why = f"{WAITING} messages wait for this channel already"
            self._deliveries.put(Delivery(self, message, Result.DROPPED, why))

    def _work(self) -> None:
        while True:
            message = self._waiting.get()
            try:
                why = self._send(message)
            except Exception as error:  # noqa: BLE001 - whatever a service does, the thread goes on
                # Its text could hold the URL.
                why = f"the service's part of Apprise failed with {type(error).__name__}"
            result = Result.FAILED if why else Result.SENT
            self._deliveries.put(Delivery(self, message, result, why))
            self._waiting.task_done()
