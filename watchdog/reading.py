"""What the commands read of the database beside a running daemon."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.configured import policies_by_project, tariffs_for
from watchdog.core.model import Episode
from watchdog.core.profiles import Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.report import Backlog
from watchdog.reporting.steering import Steering
from watchdog.reporting.stored import stored_orphans
from watchdog.settings import Settings
from watchdog.steering import read_steering
from watchdog.store.database import current, open_for_reading
from watchdog.store.episodes import EpisodeStore


@dataclass(frozen=True, slots=True)
class Stored:
    """The open episodes of every project, and by project its newest tick and how deleting stands."""

    episodes: tuple[Episode, ...]
    ticks: dict[str, TickRecord]
    steering: dict[str, Steering]


def tariffs_of(settings: Settings) -> dict[str, Tariffs]:
    """What agents cost in every configured project."""
    return {project.name: tariffs_for(settings, project) for project in settings.projects}


async def read_stored(settings: Settings) -> Stored:
    """What the database has now. Raises StoreError where there is none."""
    async with await open_for_reading(settings.database) as database:
        store = EpisodeStore(database)
        steering = {p.name: await read_steering(database, settings, p) for p in settings.projects}
        return Stored(await store.open_episodes(), await store.last_ticks(), steering)


async def read_backlogs(settings: Settings, now: datetime) -> dict[str, Backlog]:
    """What a daemon that starts with these settings would find deletable at once, by project.

    Only of projects whose last tick was in a mode that deletes less. A database that is not there, or of
    an older schema, has nothing to say.
    """
    revision, needed = await current(settings.database)
    if revision != needed:
        return {}
    stored = await read_stored(settings)
    views = stored_orphans(
        stored.episodes,
        stored.ticks,
        tariffs_of(settings),
        policies=policies_by_project(settings),
        steering=stored.steering,
        now=now,
    )
    backlogs: dict[str, Backlog] = {}
    for project in settings.projects:
        tick = stored.ticks.get(project.name)
        mine = [view for view in views if view.episode.project == project.name]
        before = tick.gates.known_mode if tick else None
        backlog = Backlog.after_change(before, settings.mode_of(project), mine)
        if backlog is not None:
            backlogs[project.name] = backlog
    return backlogs
