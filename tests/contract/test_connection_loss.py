"""A person whose network is gone, on both backends."""

import asyncio

import pytest
from livekit.protocol.models import ParticipantInfo

from tests.contract.backends import Backend
from tests.contract.conftest import Looking


@pytest.mark.slow
async def test_a_person_without_network_stays_listed_as_active_until_the_server_gives_up(
    backend: Backend, looking: Looking, room: str
):
    await backend.join(room, "agent", kind="agent", agent=True, departure_timeout=3600)
    lose = await backend.join_to_lose(room, "alice")

    await lose()

    looks = 0
    while alice := (await looking.present(room)).get("alice"):
        assert alice.state == ParticipantInfo.State.ACTIVE
        looks += 1
        assert looks < 600
        await asyncio.sleep(0.1)
    # The server had many chances to notice, and took none of them at once.
    assert looks > 30
    assert set(await looking.present(room)) == {"agent"}
