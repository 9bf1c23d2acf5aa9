"""What a database says when it fails, as one sentence for the operator."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from watchdog.core.errors import ConfigurationError, StoreError, WatchdogError
from watchdog.store.sqlstates import explain_postgres, holds_values

_PLACE_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
_PRIMARY_CODE = 0xFF  # SQLite's extended codes keep the primary one in their lowest byte


@contextmanager
def explained(database: str, *, opening: bool = False) -> Iterator[None]:
    """Turn whatever the database or its driver raises inside into a `WatchdogError`.

    `database` is its name without a password. While `opening`, a place that cannot be used is a
    `ConfigurationError`; later on it is a `StoreError`, because it did work before.
    """
    try:
        yield
    except WatchdogError:
        raise
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        said = _explain(error, database, opening=opening)
        # Postgres adds the whole row that broke a constraint: room names can hold phone numbers.
        raise said from None if holds_values(error) else error
    except TypeError as error:
        if not opening:
            raise
        # Drivers take the URL's options as arguments of a function, and this is how they refuse one.
        raise ConfigurationError(
            f"`database` {database} has options that are not understood: remove what follows the ?"
        ) from error
    except (ValueError, KeyError, ArithmeticError) as error:
        raise StoreError(
            f"the database {database} holds, or was given, a value that this version cannot handle:"
            f" {error}"
        ) from error


def _explain(error: Exception, database: str, *, opening: bool) -> WatchdogError:
    cause = _cause(error)
    if said := explain_postgres(error, database, opening=opening):
        return said
    place: type[WatchdogError] = ConfigurationError if opening else StoreError
    match _code(cause):
        case sqlite3.SQLITE_NOTADB:
            return StoreError(
                f"the database {database} is no SQLite database (file is not a database):"
                " move it away and restore a .bak copy, or start with a new file"
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"the database {database} is damaged ({cause}): stop the daemon, move the file and"
                " its -wal and -shm files away, and restore a .bak copy or start with a new file"
            )
        case sqlite3.SQLITE_FULL:
            return StoreError(
                f"the database {database} could not be written: {cause}; free some space"
            )
        case sqlite3.SQLITE_READONLY:
            return place(
                f"the database {database} is read-only: make the file and its directory writable"
                " for this user, or change `database`"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                f"the database {database} stayed locked by another process for 5 s:"
                " find and end what holds it (a shell, a backup, another run)"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return place(
                f"the database {database} cannot be opened ({cause}): check that its directory"
                " exists and that this user may write there, or change `database`"
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(
                f"the database {database} could not be read or written ({cause}): check the disk"
            )
    if isinstance(error, OSError) and error.errno in _PLACE_ERRORS:
        return place(
            f"the database {database} cannot be used ({cause}): change `database` or what stands there"
        )
    cure = "; check `database`, and that its server can be reached" if opening else ""
    return StoreError(f"the database {database} failed: {cause}{cure}")


def _cause(error: Exception) -> str | BaseException:
    """The driver's own words: SQLAlchemy's would add the statement."""
    if isinstance(error, (DBAPIError, StatementError)) and error.orig is not None:
        return error.orig
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return error


def _code(cause: str | BaseException) -> int | None:
    if not isinstance(cause, sqlite3.Error):
        return None
    code: int | None = getattr(cause, "sqlite_errorcode", None)  # unset where Python raised it
    return None if code is None else code & _PRIMARY_CODE
