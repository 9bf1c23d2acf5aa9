"""The address that LiveKit's webhooks come to."""

import httpx
import pytest

from watchdog.core.hooks import MAX_WEBHOOK, Taken
from watchdog.expose.http import build_app
from watchdog.expose.labels import RoomNames

TAKEN = [
    (Taken.ACCEPTED, 200),
    (Taken.IGNORED, 200),
    (Taken.DUPLICATE, 200),
    (Taken.STALE, 401),
    (Taken.FORGED, 401),
    (Taken.MALFORMED, 400),
    (Taken.OVERSIZED, 413),
    (Taken.DROPPED, 503),
    (Taken.ELSEWHERE, 503),
]


class Receiver:
    """Keeps what it is given, and answers what it is told to."""

    def __init__(self, answer):
        self.answer, self.given = answer, []

    def __call__(self, body, authorization):
        self.given.append((body, authorization))
        return self.answer


async def post(receiver, path, **request):
    def nothing():
        raise AssertionError("a webhook needs no state")

    app = build_app(nothing, None, RoomNames("full"), receiver={"main": receiver}.get)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://watchdog") as client:
        return await client.post(path, **request)


@pytest.mark.trap("T42")
@pytest.mark.parametrize(("taken", "status"), TAKEN)
async def test_t42_the_status_tells_livekit_whether_to_try_again(taken, status):
    answer = await post(Receiver(taken), "/webhooks/livekit/main", content=b"{}")
    assert answer.status_code == status
    assert taken.value in answer.text


def test_every_result_has_its_status():
    assert {taken for taken, _ in TAKEN} == set(Taken)


async def test_the_raw_body_and_the_header_are_handed_on():
    receiver = Receiver(Taken.ACCEPTED)
    body = b'{"event":  "room_started"}\n'
    await post(receiver, "/webhooks/livekit/main", content=body, headers={"Authorization": "ey.x"})
    assert receiver.given == [(body, "ey.x")]


@pytest.mark.trap("T42")
async def test_t42_of_an_oversized_body_only_as_much_is_kept_as_shows_that_it_is():
    receiver = Receiver(Taken.OVERSIZED)

    async def chunks():
        for _ in range(64):
            yield b"x" * 65536

    await post(receiver, "/webhooks/livekit/main", content=chunks())
    assert MAX_WEBHOOK < len(receiver.given[0][0]) <= MAX_WEBHOOK + 64 * 65536


async def test_a_project_that_is_not_configured_has_no_such_address():
    receiver = Receiver(Taken.ACCEPTED)
    assert (await post(receiver, "/webhooks/livekit/other", content=b"{}")).status_code == 404
    assert receiver.given == []
