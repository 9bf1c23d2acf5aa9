"""Webhooks of the simulated world, signed as LiveKit signs them; delivered, late, twice, or lost."""

import base64
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToJson
from livekit.api import AccessToken
from livekit.protocol.models import DisconnectReason
from livekit.protocol.webhook import WebhookEvent

from watchdog.simulator.rooms import SimParticipant, SimRoom
from watchdog.simulator.world import World

VALID_FOR = timedelta(minutes=5)


def signed(event: WebhookEvent, api_key: str, api_secret: str) -> tuple[bytes, str]:
    """The body of a webhook, and its Authorization header."""
    body = MessageToJson(event).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token = AccessToken(api_key, api_secret).with_sha256(digest).with_ttl(VALID_FOR)
    return body, token.to_jwt()


@dataclass(slots=True)
class Delivery:
    """How badly webhooks are delivered: the shares that are lost, repeated and late, by at most `latest`."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    latest: float = 25.0


@dataclass(slots=True)
class WebhookSender:
    """Tells `deliver` of what happens in a world. `sent`, `lost`, `twice` and `late` count events."""

    world: World
    deliver: Callable[[WebhookEvent], None]
    delivery: Delivery = field(default_factory=Delivery)
    seed: int = 0
    sent: int = 0
    lost: int = 0
    twice: int = 0
    late: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.world.tell = self.tell

    def tell(
        self, kind: str, room: SimRoom, participant: SimParticipant | None, reason: str
    ) -> None:
        """One event, on its way or not."""
        self.sent += 1
        event = WebhookEvent(
            event=kind,
            id=f"EV_{self._random.getrandbits(64):016x}",
            created_at=int(self.world.server_time().timestamp()),
        )
        event.room.CopyFrom(room.info)
        if participant is not None:
            event.participant.CopyFrom(participant.info(self.world.skew))
            if reason:
                number: Any = DisconnectReason.Value(reason)
                event.participant.disconnect_reason = number
        chance = self._random.random
        if chance() < self.delivery.lost:
            self.lost += 1
            return
        if chance() < self.delivery.twice:
            self.twice += 1
            self._later(event)
        if chance() < self.delivery.late:
            self.late += 1
            self._later(event)
        else:
            self.deliver(event)

    def _later(self, event: WebhookEvent) -> None:
        seconds = self._random.uniform(0.0, self.delivery.latest)
        self.world.after(seconds, partial(self.deliver, event))
