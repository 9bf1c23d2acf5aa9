"""`notify-test`: one message to every channel of `[notify]`, and whether it went out."""

import time
from queue import Empty, SimpleQueue
from typing import Annotated

import typer

from watchdog.expose.labels import printable
from watchdog.notifying.channels import Channel, Delivery, Result
from watchdog.notifying.digest import Message
from watchdog.notifying.notices import Level
from watchdog.options import ConfigOption, JsonOption, UsageError
from watchdog.printing import print_json, say
from watchdog.settings import load_settings

TEST = Message(
    "LiveKit watchdog: a test",
    "This was asked for with `livekit-watchdog notify-test`. Nothing has happened: messages about agents "
    "left alone, deletions and a project that is not observed come to this place.",
    Level.INFO,
    1,
)
NO_CHANNEL = (
    "no channel is configured; set notify.urls (or WATCHDOG_NOTIFY__URLS) or notify.urls_file, as "
    "docs/notifications.md says"
)


def register(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command("notify-test")(notify_test)


def notify_test(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    wait: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for channels that are slow.")
    ] = 30,
) -> None:
    """Send a test message to every channel of [notify], and say whether it went out."""
    from watchdog.configured import senders_of

    senders = senders_of(load_settings(config))
    if not senders:
        raise UsageError(NO_CHANNEL)
    deliveries: SimpleQueue[Delivery] = SimpleQueue()
    channels = [
        Channel(number, service, send, deliveries)
        for number, (service, send) in enumerate(senders, start=1)
    ]
    for channel in channels:
        channel.post(TEST)
    found = _wait(deliveries, len(channels), wait)
    late = f"no answer within {wait:g} s"
    whys = {
        c.name: "" if (d := found.get(c.name)) and d.result is Result.SENT else d.why if d else late
        for c in channels
    }
    if as_json:
        print_json([{"channel": name, "sent": not why, "why": why} for name, why in whys.items()])
    else:
        for name, why in whys.items():
            say(f"{printable(name)}: " + (f"not sent: {why}" if why else "sent"))
    if any(whys.values()):
        raise typer.Exit(1)


def _wait(deliveries: "SimpleQueue[Delivery]", count: int, seconds: float) -> dict[str, Delivery]:
    """What became of the messages within so many seconds, by channel."""
    found: dict[str, Delivery] = {}
    end = time.monotonic() + seconds
    while len(found) < count:
        try:
            delivery = deliveries.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            break
        found[delivery.channel.name] = delivery
    return found
