"""The commands that change something, and the audit: `pause`, `resume`, `release`, `delete`, `audit`."""

import asyncio
import sys
import uuid
from datetime import UTC, datetime
from typing import Annotated

import typer

from watchdog.core.deletion import AuditEntry, DeletionRequest
from watchdog.core.errors import WatchdogError
from watchdog.core.model import VerdictState
from watchdog.expose.formats import audit_json
from watchdog.expose.labels import printable
from watchdog.expose.tables import audit_table
from watchdog.inquiry import RoomFinding, find_room, split_target
from watchdog.options import ConfigOption, JsonOption, UsageError, chosen_projects
from watchdog.printing import print_json, room_lines, say, show
from watchdog.settings import Settings, load_settings

ReasonOption = Annotated[str, typer.Option("--reason", help="Why, for the audit.")]
ProjectArgument = Annotated[
    str | None, typer.Argument(metavar="PROJECT", help="One project; else all of them.")
]


class RefusedError(WatchdogError):
    """What was asked for is not done, and nothing else is."""


def pause(
    project: ProjectArgument = None, reason: ReasonOption = "", config: ConfigOption = None
) -> None:
    """Delete nothing until `resume`: at once, without a restart, and over restarts."""
    from watchdog import steering

    settings = load_settings(config)
    names = chosen_projects(settings, project)
    done = asyncio.run(steering.pause(settings, names, reason))
    for name in names:
        say(f"{name}: paused" + ("" if name in done else " (it was already)"))


def resume(
    project: ProjectArgument = None, reason: ReasonOption = "", config: ConfigOption = None
) -> None:
    """Take a pause back."""
    from watchdog import steering

    settings = load_settings(config)
    names = chosen_projects(settings, project)
    done = asyncio.run(steering.resume(settings, names, reason))
    for name in names:
        say(f"{name}: " + ("resumed" if name in done else "was not paused"))


def release(
    project: Annotated[str, typer.Argument(metavar="PROJECT")],
    reason: ReasonOption = "",
    config: ConfigOption = None,
) -> None:
    """Let go at once what is held because too many rooms wait; each still needs every other gate."""
    from watchdog import steering

    settings = load_settings(config)
    asyncio.run(steering.release(settings, chosen_projects(settings, project), reason))
    say(f"{project}: released; what waits now goes, as soon as it is confirmed")


def audit(
    project: Annotated[
        str | None, typer.Option("--project", help="Only this project's lines.")
    ] = None,
    room: Annotated[
        str | None, typer.Option("--room", help="Only this room's, by its name or SID.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What was decided, done, and by whom; the newest last."""
    from watchdog import steering

    settings = load_settings(config)
    entries = asyncio.run(steering.read_audit(settings, project=project, room=room, limit=limit))
    if as_json:
        print_json([audit_json(entry) for entry in entries])
    elif entries:
        show(audit_table(entries))
    else:
        say("The audit has no such line.")


def delete(
    target: Annotated[
        str, typer.Argument(metavar="PROJECT/ROOM", help="A room's name, or its SID.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; needs --reason.")] = False,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete one room in which only agents are, after the same looks that a policy waits for.

    It waives the mode, the policies, the lists of what may be deleted, limits and a pause; never a person in
    the room, a protection or a hold.
    """
    from watchdog import byhand, steering
    from watchdog.expose.logs import configure_logging

    if yes and not reason:
        raise UsageError("--yes needs --reason: why, for the audit")
    settings = load_settings(config)
    configure_logging(settings.log.format, "CRITICAL")  # what it has to say is the command's output
    names = tuple(p.name for p in settings.require_projects())
    project, asked = split_target(target, names)
    room = _alone(asyncio.run(_find(settings, project, asked)), project, asked)
    if not yes:
        _confirm(room)
    assert room.room is not None
    request = DeletionRequest(
        id=f"in_{uuid.uuid4().hex[:16]}",
        project=project,
        room_name=room.room.name,
        room_sid=room.room.sid,
        actor=steering.actor(),
        reason=reason,
        asked_at=datetime.now(UTC),
    )
    tell = _nothing if as_json else say
    entry = asyncio.run(byhand.delete_by_hand(settings, request, tell))
    _tell_outcome(entry, as_json=as_json)
    if not byhand.is_done(entry):
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add these commands to the program's."""
    for command in (pause, resume, release, delete, audit):
        app.command()(command)


async def _find(settings: Settings, project: str, asked: str) -> RoomFinding:
    from watchdog.clocks import SystemClock
    from watchdog.configured import gateway_of, rules_of

    found = next(p for p in settings.projects if p.name == project)
    gateway = gateway_of(settings, found, SystemClock())
    try:
        return await find_room(gateway, asked, rules_of(settings))
    finally:
        await gateway.aclose()


def _alone(found: RoomFinding, project: str, asked: str) -> RoomFinding:
    """The room, where only agents are in it. Raises RefusedError."""
    if found.room is None or found.verdict is None:
        raise RefusedError(f"the server of project {project} lists no room {asked!r}")
    if found.verdict.state is not VerdictState.ORPHANED:
        raise RefusedError(
            f"room {found.room.name!r} is {found.verdict.state}: {found.verdict.reason}; "
            "only a room with agents and no person can be deleted"
        )
    return found


def _confirm(found: RoomFinding) -> None:
    """Have the room's name typed. Raises UsageError where it was not."""
    assert found.room is not None
    if not sys.stdin.isatty():
        raise UsageError("there is nobody to ask: give --yes and --reason")
    show(room_lines(found))
    typed = typer.prompt("Type the room's name to delete it", default="", show_default=False)
    if typed != found.room.name:
        raise RefusedError("that is not the room's name; nothing was done")


def _tell_outcome(entry: AuditEntry | None, *, as_json: bool) -> None:
    if as_json:
        print_json(audit_json(entry) if entry else None)
    elif entry is None:
        say("Nothing was heard of it in time, and it was taken back. Does the daemon run?")
    else:
        say(f"{entry.outcome}: {printable(entry.why)}")


def _nothing(_: str) -> None:
    return None
