"""The errors this program knows. Each tells the operator what, where and the cure, in one sentence."""


class WatchdogError(Exception):
    """An error meant for the operator: its text is one clear sentence without a secret in it."""

    exit_code = 1
    """What a command that ends with this error returns: 1 the work failed, 2 usage or configuration."""


class ConfigurationError(WatchdogError):
    """Something the operator wrote, or a place they pointed at, is not usable."""

    exit_code = 2


class StoreError(WatchdogError):
    """The database could not be opened, read or written."""


class RoomServiceError(WatchdogError):
    """A request to the LiveKit server gave no usable answer.

    `method` is LiveKit's method name, `code` a member of `CODES` (the metric's label),
    `hint` what the operator can do.
    """

    code = "other"

    def __init__(self, method: str, detail: str, hint: str = "") -> None:
        self.method = method
        self.detail = detail
        self.hint = hint
        super().__init__(f"{method}: {detail}" + (f" ({hint})" if hint else ""))


class CredentialsRejected(RoomServiceError):  # noqa: N818 - read as what happened
    """401: wrong key or secret, or a clock that is off. The project stops acting (T32)."""

    code = "unauthenticated"


class PermissionMissing(RoomServiceError):  # noqa: N818
    """403, or 401 for a grant the key's token does not carry."""

    code = "permission_denied"


class RateLimited(RoomServiceError):  # noqa: N818
    """429: LiveKit asks for fewer requests."""

    code = "resource_exhausted"


class RequestTimedOut(RoomServiceError):  # noqa: N818
    """No answer within our own deadline, or the server's 408. The request may have had its effect."""

    code = "deadline_exceeded"


class ServerUnavailable(RoomServiceError):  # noqa: N818
    """5xx or a transport failure. The request may have had its effect."""

    code = "unavailable"


class RoomUnreachable(ServerUnavailable):
    """503, or 500 'could not find object', for one room: its node does not answer (A10)."""


class RoomNotFound(RoomServiceError):  # noqa: N818
    """404 with Twirp's own code `not_found`."""

    code = "not_found"


class WrongEndpoint(RoomServiceError):  # noqa: N818
    """404 of another code, or any answer that shows that this is no LiveKit server (T26)."""

    code = "bad_route"


class NotSent(RoomServiceError):  # noqa: N818
    """A request that was not sent, since it was too late for it."""

    code = "not_sent"


class BadAnswer(RoomServiceError):  # noqa: N818
    """200 with a body that is not what was asked for (T03)."""

    code = "malformed"


class RequestRejected(RoomServiceError):  # noqa: N818
    """Any other 4xx."""

    code = "invalid_argument"


CODES = frozenset(
    {
        "ok",
        *(
            error.code
            for error in (
                CredentialsRejected,
                PermissionMissing,
                RateLimited,
                RequestTimedOut,
                ServerUnavailable,
                RoomNotFound,
                WrongEndpoint,
                BadAnswer,
                NotSent,
                RequestRejected,
            )
        ),
        "other",
    }
)
"""Every value the metric label `code` can take."""
