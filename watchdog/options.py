"""Options that several commands take, and what is wrong with them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from watchdog.core.errors import WatchdogError
from watchdog.settings import Settings, parse_duration

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The TOML file; else WATCHDOG_CONFIG, else ./watchdog.toml.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class UsageError(WatchdogError):
    """The command was given what it cannot work with."""

    exit_code = 2


def chosen_projects(settings: Settings, given: str | None) -> tuple[str, ...]:
    """The names of the one project that was given, or of all. Raises UsageError for one that is none."""
    names = tuple(p.name for p in settings.require_projects())
    if given is None:
        return names
    if given not in names:
        raise UsageError(f"{given!r} is no configured project; they are: {', '.join(names)}")
    return (given,)


def time_given(text: str, now: datetime, option: str = "--since") -> datetime:
    """The time that an option names: so long ago, or an ISO time, in UTC where it has no zone."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{option} {text!r} is no time; write 7d, 12h, or an ISO time like 2026-09-30T08:00:00Z"
        ) from None
