"""Channels send from threads of their own: nobody waits, nothing is tried twice, all is counted."""

import threading
from collections import Counter
from contextlib import contextmanager
from queue import SimpleQueue

import pytest
import structlog

from tests.expose.builders import failed, report
from tests.notifying.receivers import PATIENCE
from watchdog.notifying.channels import WAITING, Channel, Result
from watchdog.notifying.digest import Digest, Message
from watchdog.notifying.notices import Level
from watchdog.notifying.notifier import Notifier
from watchdog.notifying.observer import Telling

MESSAGE = Message("title", "body", Level.INFO, 1)


class Gate:
    """A service that does not answer until it is told to."""

    def __init__(self):
        self.reached = threading.Semaphore(0)
        self.open = threading.Event()

    def send(self, _):
        self.reached.release()
        assert self.open.wait(PATIENCE)
        return ""


@contextmanager
def hanging():
    gate = Gate()
    try:
        yield gate
    finally:
        gate.open.set()


def test_a_channel_that_hangs_takes_so_many_messages_and_drops_the_rest():
    deliveries = SimpleQueue()
    with hanging() as gate:
        channel = Channel(1, "slack", gate.send, deliveries)
        channel.post(MESSAGE)
        assert gate.reached.acquire(timeout=PATIENCE)
        for _ in range(WAITING + 3):
            channel.post(MESSAGE)
        dropped = [deliveries.get(timeout=PATIENCE) for _ in range(3)]
        assert {d.result for d in dropped} == {Result.DROPPED}
        assert deliveries.empty()
        assert channel.unfinished == WAITING + 1
        gate.open.set()
        sent = [deliveries.get(timeout=PATIENCE) for _ in range(WAITING + 1)]
    assert {d.result for d in sent} == {Result.SENT}


def test_what_a_service_raises_is_a_failure_and_the_channel_goes_on():
    deliveries = SimpleQueue()
    answers = iter([ValueError("slack://s3cret"), "the service answered 500", ""])

    def send(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    channel = Channel(2, "slack", send, deliveries)
    for _ in range(3):
        channel.post(MESSAGE)
    found = [deliveries.get(timeout=PATIENCE) for _ in range(3)]
    assert [(d.result, d.why) for d in found] == [
        (Result.FAILED, "the service's part of Apprise failed with ValueError"),
        (Result.FAILED, "the service answered 500"),
        (Result.SENT, ""),
    ]
    assert channel.name == "2 (slack)"


# ---- the notifier -----------------------------------------------------------------------------------


class Told:
    """A notifier with two channels, what was counted, and what was logged."""

    def __init__(self, first, second=lambda _: "", *, gather=0.0, per_hour=12):
        self.counted = Counter()
        self.notifier = Notifier(
            Telling(after_blind=0.0),
            Digest(gather, per_hour),
            [("slack", first), ("mailto", second)],
            lambda service, result: self.counted.update([(service, result)]),
        )

    def blind(self, now, project="prod"):
        """A project that is not observed from now on: something to tell."""
        self.notifier.take(failed(project=project), now)


@pytest.fixture
def logged():
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_channel_that_hangs_delays_neither_the_others_nor_the_reports_nor_the_stop(logged):
    arrived = SimpleQueue()
    with hanging() as gate:
        told = Told(gate.send, lambda message: arrived.put(message) or "")
        # None of these can return after the gate opens: it does so only below.
        told.blind(0, "prod")
        assert gate.reached.acquire(timeout=PATIENCE)
        told.blind(15, "eu")
        assert [arrived.get(timeout=PATIENCE).title for _ in range(2)] == [
            "LiveKit watchdog, prod: not observed",
            "LiveKit watchdog, eu: not observed",
        ]
        await told.notifier.aclose(30, seconds=0.01)
        assert not gate.open.is_set()
    assert told.counted == {
        ("mailto", Result.SENT): 2,
        ("slack", Result.DROPPED): 2,
    }
    assert [(line["event"], line["channel"], line["messages"]) for line in logged] == [
        ("notification not sent", "1 (slack)", 2)
    ]


async def test_what_is_gathered_goes_out_at_the_stop():
    arrived = []
    told = Told(lambda message: arrived.append(message) or "", gather=3600.0)
    told.blind(0)
    assert arrived == []
    await told.notifier.aclose(1, seconds=PATIENCE)
    assert [message.title for message in arrived] == ["LiveKit watchdog, prod: not observed"]
    assert told.counted == {("slack", Result.SENT): 1, ("mailto", Result.SENT): 1}


async def test_with_nothing_to_tell_nothing_is_sent_and_no_thread_begins():
    before = threading.active_count()
    told = Told(lambda _: "")
    told.notifier.take(report(), 0)
    await told.notifier.aclose(1)
    assert told.counted == {}
    assert threading.active_count() <= before


async def test_a_failure_is_one_line_of_the_log_and_not_tried_again(logged):
    tries = []
    told = Told(lambda message: tries.append(message) or "the service answered 500")
    told.blind(0)
    await told.notifier.aclose(1, seconds=PATIENCE)
    assert len(tries) == 1
    [line] = logged
    assert line == {
        "event": "notification not sent",
        "log_level": "warning",
        "channel": "1 (slack)",
        "result": "failed",
        "why": "the service answered 500",
        "notices": 1,
    }


async def test_that_messages_are_held_back_is_said_once(logged):
    told = Told(lambda _: "", per_hour=1)
    for now, project in ((0, "a"), (1, "b"), (2, "c")):
        told.blind(now, project)
    assert [line["event"] for line in logged] == ["notifications held back"]
    await told.notifier.aclose(3, seconds=PATIENCE)


async def test_a_fault_of_ours_is_logged_and_raises_nothing(logged):
    told = Told(lambda _: "")
    broken = report(orphans=(object(),))
    told.notifier.take(broken, 0)
    assert [line["event"] for line in logged] == ["notifications failed unexpectedly"]
    told.blind(1)
    await told.notifier.aclose(2, seconds=PATIENCE)
    assert told.counted[("slack", Result.SENT)] == 1
