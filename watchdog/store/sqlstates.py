"""What Postgres, its driver or the way to it says when it fails, as one sentence for the operator."""

import errno
import socket

from sqlalchemy.exc import DBAPIError, InterfaceError

from watchdog.core.errors import ConfigurationError, StoreError, WatchdogError

_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""Ended by an operator or a crash, still starting, idle for too long."""
_NETWORK = frozenset(
    {
        *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE),
        *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT),
    }
)


def explain_postgres(error: Exception, database: str, *, opening: bool) -> WatchdogError | None:
    """The sentence for what Postgres or the network said; None for what comes from neither."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state: str | None = getattr(cause, "sqlstate", None)
    if state is not None:
        return _of_state(state, _first_line(cause), database, opening=opening)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return _lost(database)
    if opening and isinstance(error, InterfaceError) and "postgresql" in type(cause).__module__:
        return ConfigurationError(
            f"the database {database} has options that are not understood ({_first_line(cause)}):"
            " correct what follows the ? in `database`"
        )
    if isinstance(cause, TimeoutError):
        return StoreError(
            f"the database {database} did not answer in time: check the server and the network to it"
        )
    if isinstance(cause, (ConnectionError, socket.gaierror)) or (
        isinstance(cause, OSError) and cause.errno in _NETWORK
    ):
        return StoreError(
            f"the database {database} cannot be reached ({_first_line(cause)}): check that its server"
            " runs, and the host and port in `database`"
        )
    return None


def holds_values(error: Exception) -> bool:
    """Whether its text repeats values that stand in the database, or were to."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return bool(getattr(getattr(cause, "__cause__", None), "detail", None))


def _of_state(state: str, said: str, database: str, *, opening: bool) -> WatchdogError:
    place: type[WatchdogError] = ConfigurationError if opening else StoreError
    match state:
        case "28P01" | "28000":
            return place(
                f"the database {database} refuses this user ({said}): check user and password in"
                " `database`, and the server's pg_hba.conf"
            )
        case "3D000":
            return place(
                f"the database {database} does not exist on its server: create it"
                " (CREATE DATABASE), or change `database`"
            )
        case "42501":
            return place(
                f"the database {database} does not allow this user what is needed ({said}):"
                " make the user its owner, or grant it that"
            )
        case "25006":
            return place(
                f"the database {database} is read-only: name the primary server in `database`, not a"
                " standby, and open for writing what is to be written"
            )
        case "53100":
            return StoreError(
                f"the database {database} could not be written: {said}; free some space on its server"
            )
        case "53300":
            return StoreError(
                f"the database {database} has no connection left ({said}): end some, or raise the"
                " server's max_connections"
            )
        case "40001" | "40P01" | "55P03":
            return StoreError(
                f"the database {database} was changed by another process at the same moment ({said});"
                " it is tried again at the next tick"
            )
    if state in _LOST or state.startswith("08"):
        return _lost(database)
    cure = "; check `database`" if opening else ""
    return StoreError(f"the database {database} failed: {said}{cure}")


def _lost(database: str) -> StoreError:
    return StoreError(
        f"the connection to the database {database} was lost: check its server; what was under way was"
        " not stored, and is tried again"
    )


def _first_line(error: BaseException) -> str:
    """What it says, without the value that broke a constraint: that stands in the lines after."""
    text = (getattr(error, "strerror", None) or str(error)).strip()
    text = text.split("\n", 1)[0]
    # SQLAlchemy's words for an error of the driver begin with the error's class.
    return text.split("'>: ", 1)[-1] or type(error).__name__
