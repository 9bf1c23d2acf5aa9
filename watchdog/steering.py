"""What the commands read and change of how deleting stands, through the database alone."""

import getpass
import os
from datetime import UTC, datetime

from watchdog.configured import safeguards_of
from watchdog.core.deletion import AuditEntry, Pause
from watchdog.core.roomlists import ListEntry, ListName
from watchdog.expose.health import PATIENCE
from watchdog.reporting.steering import Steering
from watchdog.settings import Project, Settings
from watchdog.store.audit import AuditStore
from watchdog.store.controls import ControlStore
from watchdog.store.database import Database, open_beside
from watchdog.store.lists import ListStore, Removal


def actor() -> str:
    """Who does this, for the audit."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


async def read_steering(database: Database, settings: Settings, project: Project) -> Steering:
    """How deleting stands in a project, beside whoever runs it."""
    now = datetime.now(UTC)
    return Steering(
        safeguards=safeguards_of(settings, project),
        control=await ControlStore(database).read(project.name),
        memory=await AuditStore(database).load(project.name, now),
        fresh_for=PATIENCE * settings.poll_of(project).total_seconds(),
    )


async def pause(settings: Settings, projects: tuple[str, ...], reason: str) -> list[str]:
    """Have nothing deleted in these projects; returns those that were not paused before."""
    said = Pause(datetime.now(UTC), actor(), reason)
    async with await open_beside(settings.database, to_write=True) as database:
        controls = ControlStore(database)
        return [name for name in projects if await controls.pause(name, said)]


async def resume(settings: Settings, projects: tuple[str, ...], reason: str) -> list[str]:
    """Take a pause back; returns the projects that were paused."""
    async with await open_beside(settings.database, to_write=True) as database:
        controls, now = ControlStore(database), datetime.now(UTC)
        return [n for n in projects if await controls.resume(n, now, actor(), reason)]


async def release(settings: Settings, projects: tuple[str, ...], reason: str) -> None:
    """Let everything go that a hold keeps in these projects."""
    async with await open_beside(settings.database, to_write=True) as database:
        for name in projects:
            await ControlStore(database).release(name, datetime.now(UTC), actor(), reason)


async def add_listed(settings: Settings, entry: ListEntry) -> tuple[ListEntry, ...]:
    """Put an entry on its list; returns those whose place it takes."""
    async with await open_beside(settings.database, to_write=True) as database:
        return await ListStore(database).add(entry)


async def remove_listed(
    settings: Settings, name: ListName, named: str, project: str | None, reason: str
) -> tuple[ListEntry, ...]:
    """Take the entries of this pattern or id off a list; returns them."""
    removal = Removal(name, named, datetime.now(UTC), actor(), reason, project)
    async with await open_beside(settings.database, to_write=True) as database:
        return await ListStore(database).remove(removal)


async def read_listed(settings: Settings, name: ListName) -> tuple[ListEntry, ...]:
    """Every entry that was ever put on a list, oldest first."""
    async with await open_beside(settings.database) as database:
        return await ListStore(database).entries(name)


async def read_audit(
    settings: Settings, *, project: str | None, room: str | None, limit: int
) -> tuple[AuditEntry, ...]:
    """The newest lines of the audit, oldest first."""
    async with await open_beside(settings.database) as database:
        return await AuditStore(database).entries(project=project, room=room, limit=limit)
