"""LiveKit's webhooks: verified on the raw body by the SDK, and put into our words."""

import binascii
from datetime import UTC, datetime, timedelta

import jwt
from google.protobuf.json_format import ParseError
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol.models import DisconnectReason
from livekit.protocol.webhook import WebhookEvent

from watchdog.core.clock import Clock
from watchdog.core.hooks import MAX_WEBHOOK, EventKind, RoomEvent, Taken
from watchdog.rooms.gateway import participant_of

REPLAY_WINDOW = timedelta(minutes=10)
"""An event that was made longer ago, or that far ahead, is not taken in: its id may be forgotten."""
_KINDS = {kind.value: kind for kind in EventKind if kind is not EventKind.OTHER}


class WebhookReader:
    """Reads the webhooks of one project, signed with its key and secret."""

    def __init__(self, api_key: str, api_secret: str, clock: Clock) -> None:
        self._receiver = WebhookReceiver(TokenVerifier(api_key, api_secret))
        self._clock = clock

    def read(self, body: bytes, authorization: str) -> RoomEvent | Taken:
        """The event, or why there is none that is of use. Never raises for what was sent."""
        if len(body) > MAX_WEBHOOK:
            return Taken.OVERSIZED
        try:
            # The header is the bare token; some proxies put "Bearer" before it.
            told = self._receiver.receive(
                body.decode(), authorization.removeprefix("Bearer ").strip()
            )
        except (ParseError, UnicodeDecodeError, RecursionError):
            return Taken.MALFORMED
        except (jwt.PyJWTError, binascii.Error, ValueError, TypeError, AttributeError):
            return Taken.FORGED
        except Exception as error:  # noqa: BLE001 - the SDK raises bare Exceptions
            if type(error) is not Exception:
                return Taken.MALFORMED
            return Taken.FORGED
        return self.event_of(told)

    def event_of(self, told: WebhookEvent) -> RoomEvent | Taken:
        """A verified event in our words, or why there is none that is of use."""
        now = self._clock.now()
        created = _time(told.created_at)
        if created is not None and abs(now - created) > REPLAY_WINDOW:
            return Taken.STALE
        kind = _KINDS.get(told.event)
        who = told.participant if told.HasField("participant") else None
        if kind is None and not told.num_dropped:
            return Taken.IGNORED
        if not told.id or (kind is not None and not told.room.sid):
            return Taken.MALFORMED
        if kind in (EventKind.JOINED, EventKind.LEFT, EventKind.ABORTED) and (
            who is None or not who.sid
        ):
            return Taken.MALFORMED
        return RoomEvent(
            id=told.id,
            kind=kind or EventKind.OTHER,
            room_sid=told.room.sid,
            room_name=told.room.name,
            arrived_at=now,
            participant=participant_of(who) if who is not None else None,
            reason=_reason(who.disconnect_reason) if who is not None else "",
            created_at=created,
            dropped=bool(told.num_dropped),
        )


def _reason(number: int) -> str:
    try:
        return str(DisconnectReason.Name(number))
    except ValueError:
        return f"REASON_{number}"


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 2**32 else None
