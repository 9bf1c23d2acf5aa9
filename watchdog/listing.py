"""The commands of the two lists: `allow add|list|remove` and `protect add|list|remove`."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from glob import escape
from typing import Annotated

import typer

from watchdog.acting import ReasonOption, RefusedError
from watchdog.core.roomlists import ListEntry, ListName, moment
from watchdog.expose.formats import listing_json
from watchdog.expose.labels import printable
from watchdog.expose.tables import listing_table
from watchdog.options import ConfigOption, JsonOption, UsageError, chosen_projects
from watchdog.printing import print_json, say, show
from watchdog.settings import Settings, load_settings, parse_duration
from watchdog.settings.fields import check_allow_glob, check_match_glob, check_room_text

_HELP = {
    ListName.ALLOW: "The rooms that mode allowlist may delete, beside those of the configuration.",
    ListName.PROTECT: "The rooms that are never deleted, beside those of the configuration.",
}
_CHECKS: dict[ListName, Callable[[str], str]] = {
    ListName.ALLOW: check_allow_glob,
    ListName.PROTECT: check_match_glob,
}

PatternArgument = Annotated[
    str, typer.Argument(metavar="PATTERN", help='A room\'s name, or a glob like "call-*".')
]
ExactOption = Annotated[
    bool, typer.Option("--exact", help="It is a name: * ? and [ in it are no glob.")
]
ProjectOption = Annotated[
    str | None, typer.Option("--project", help="In this project alone; else in all of them.")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the program's."""
    for name in ListName:
        app.add_typer(_commands(name), name=name.value)


def _commands(name: ListName) -> typer.Typer:
    """`add`, `list` and `remove` of one list."""
    group = typer.Typer(help=_HELP[name], no_args_is_help=True)

    @group.command("add")
    def add(
        pattern: PatternArgument,
        *,
        project: ProjectOption = None,
        lasting: Annotated[
            str | None,
            typer.Option("--for", metavar="DURATION", help='How long, like "2h"; else for good.'),
        ] = None,
        reason: ReasonOption = "",
        exact: ExactOption = False,
        config: ConfigOption = None,
    ) -> None:
        """Put rooms on the list: at once, without a restart."""
        from watchdog import steering

        settings = load_settings(config)
        if project is not None:
            chosen_projects(settings, project)
        now = datetime.now(UTC)
        entry = ListEntry(
            id=f"{name}_{uuid.uuid4().hex[:12]}",
            list=name,
            pattern=_pattern(name, pattern, exact=exact),
            project=project or "",
            since=now,
            until=_until(lasting, now),
            actor=steering.actor(),
            reason=reason,
        )
        old = asyncio.run(steering.add_listed(settings, entry))
        say(f"{_sentence(entry)} is on the {name.label}{_end(entry)}")
        for replaced in old:
            say(f"It takes the place of {replaced.id}, {printable(replaced.origin(now))}.")

    @group.command("list")
    def show_list(
        every: Annotated[
            bool, typer.Option("--all", help="Also what has expired or was removed.")
        ] = False,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        """What is on the list, who put it there, why and until when."""
        from watchdog import steering

        settings = load_settings(config)
        now = datetime.now(UTC)
        stored = asyncio.run(steering.read_listed(settings, name))
        stored = tuple(entry for entry in stored if every or entry.in_force(now))
        configured = _configured(settings, name)
        if as_json:
            print_json(listing_json(name, configured, stored, now))
        elif configured or stored:
            show(listing_table(configured, stored, now))
        else:
            say(f"Nothing is on the {name.label}.")

    @group.command("remove")
    def remove(
        pattern: Annotated[str, typer.Argument(metavar="PATTERN|ID", help="As `list` shows it.")],
        project: Annotated[
            str | None, typer.Option("--project", help="Only this project's entry.")
        ] = None,
        reason: ReasonOption = "",
        exact: ExactOption = False,
        config: ConfigOption = None,
    ) -> None:
        """Take rooms off the list again: at once, without a restart."""
        from watchdog import steering

        settings = load_settings(config)
        named = escape(pattern) if exact else pattern
        gone = asyncio.run(steering.remove_listed(settings, name, named, project, reason))
        if not gone:
            raise RefusedError(_none_such(settings, name, named, project))
        for entry in gone:
            say(f"{_sentence(entry)} is no longer on the {name.label} ({entry.id})")

    return group


def _pattern(name: ListName, given: str, *, exact: bool) -> str:
    """The glob to be stored, held to what the configuration asks of one. Raises UsageError."""
    try:
        check_room_text(given)
        # A name that was given exactly allows one room, whatever characters it has.
        (check_match_glob if exact else _CHECKS[name])(given)
    except ValueError as error:
        raise UsageError(f"{given!r} {error}") from None
    return escape(given) if exact else given


def _until(lasting: str | None, now: datetime) -> datetime | None:
    if lasting is None:
        return None
    try:
        given = parse_duration(lasting)
    except ValueError as error:
        raise UsageError(f"--for: {lasting!r} {error}") from None
    if given <= timedelta():
        raise UsageError(f"--for: {lasting!r} is no time at all; leave it out for good")
    return now + given


def _configured(settings: Settings, name: ListName) -> tuple[str, ...]:
    return settings.allowlist.rooms if name is ListName.ALLOW else settings.protect.rooms


def _sentence(entry: ListEntry) -> str:
    return (
        f"{entry.pattern!r} of {f'project {entry.project}' if entry.project else 'every project'}"
    )


def _end(entry: ListEntry) -> str:
    return f" until {moment(entry.until, entry.since)}" if entry.until else ""


def _none_such(settings: Settings, name: ListName, named: str, project: str | None) -> str:
    """Why nothing was removed."""
    if named in _configured(settings, name):
        return f"{named!r} is on the {name.label} by the configuration, and only there can it be removed"
    where = f" of project {project}" if project else ""
    return f"no entry{where} that is in force on the {name.label} has the pattern or id {named!r}"
