"""Answers as they stand on the wire: Twirp's errors, and what is answered in the world's stead."""

import json
from collections.abc import Mapping

from watchdog.simulator.faults import FaultKind

PROTOBUF, JSON, TEXT = "application/protobuf", "application/json", "text/plain; charset=utf-8"
GARBAGE = b"<html><body>502 Bad Gateway</body></html>"

Answer = tuple[int, str, bytes]
"""HTTP status, content type, body."""


class TwirpError(Exception):
    """A method refuses; `answer` is what its caller gets."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = twirp_error(status, code, message)


def twirp_error(
    status: int, code: str, message: str, meta: Mapping[str, str] | None = None
) -> Answer:
    """An error as Twirp puts it."""
    body: dict[str, object] = {"code": code, "msg": message}
    if meta:
        body["meta"] = dict(meta)
    return status, JSON, json.dumps(body).encode()


def bad_route(message: str, route: str) -> Answer:
    """404 for a path, method or content type nobody serves."""
    return twirp_error(404, "bad_route", message, {"twirp_invalid_route": route})


INSTEAD: Mapping[FaultKind, Answer] = {
    FaultKind.ERROR_500: twirp_error(500, "internal", "something broke"),
    FaultKind.ERROR_503: twirp_error(503, "unavailable", "overloaded"),
    FaultKind.TIMEOUT_408: twirp_error(408, "deadline_exceeded", "request timed out"),
    FaultKind.RATE_LIMIT_429: twirp_error(429, "resource_exhausted", "too many requests"),
    FaultKind.UNAUTHORIZED_401: (401, TEXT, b"invalid token, error: token is expired"),
    FaultKind.GARBAGE: (200, PROTOBUF, GARBAGE),
    FaultKind.EMPTY_BODY: (200, PROTOBUF, b""),
}
"""What is answered instead of asking the world at all."""

LOST: Mapping[int, Answer] = {
    408: twirp_error(408, "deadline_exceeded", "the answer came too late"),
    500: twirp_error(500, "internal", "the answer was lost"),
    503: twirp_error(503, "unavailable", "the answer was lost"),
}
"""What is answered, by status, after the world did what it was asked to."""
