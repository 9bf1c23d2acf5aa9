"""One project as the daemon runs it: its configuration and its parts, made together and given up together."""

import asyncio
import uuid
from dataclasses import dataclass
from pathlib import Path

from watchdog.configured import gateway_of, project_config, request_bucket
from watchdog.core.budget import Purpose
from watchdog.core.clock import Clock
from watchdog.core.steady import SteadyClock
from watchdog.daemon.enforce import Powers
from watchdog.daemon.tick import Project, ProjectConfig
from watchdog.expose.metrics import Metrics
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.rooms.webhooks import WebhookReader
from watchdog.settings import Project as ProjectSettings
from watchdog.settings import Settings
from watchdog.store.database import stop_file
from watchdog.stores import Stores


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a project is made of: where two recipes are equal, so are the projects."""

    given: ProjectSettings
    config: ProjectConfig
    requests_per_minute: int
    hold_key: str

    @classmethod
    def of(cls, settings: Settings, project: ProjectSettings) -> "Recipe":
        """What the settings say of a project. Raises ConfigurationError for its price book."""
        return cls(
            project,
            project_config(settings, project),
            settings.requests_per_minute_of(project),
            settings.protect.hold_key,
        )


@dataclass(slots=True, eq=False)
class Watched:
    """One project at work. Must be made inside a running event loop."""

    recipe: Recipe
    project: Project
    gateway: LiveKitGateway
    webhooks: WebhookReader
    stores: Stores
    leaving: asyncio.Event
    """Set once it is to be given up: the tick under way ends, and begins no deletion any more."""
    ticking: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """The project's name."""
        return self.recipe.config.name

    @property
    def poll(self) -> float:
        """Its poll interval in seconds."""
        return self.recipe.config.poll

    async def settle(self, seconds: float) -> None:
        """Let a tick that is under way end by itself within so many seconds, else cut it off.

        Then have what was told since the last tick stored, for whoever takes up the project (A7).
        """
        if (task := self.ticking) is not None:
            _, late = await asyncio.wait({task}, timeout=seconds)
            if late:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                return  # what it left half done is worth no more than after a kill
        await self.project.store_told()

    async def aclose(self) -> None:
        """Close the connections to its server."""
        await self.gateway.aclose()


def watch(
    recipe: Recipe, settings: Settings, clock: Clock, stores: Stores, metrics: Metrics
) -> Watched:
    """Begin with a project: what it knows it loads from the stores at its first tick."""
    name = recipe.config.name
    bucket = request_bucket(settings, recipe.given)
    steady = SteadyClock(clock)

    def observe(method: str, code: str, _: Purpose, seconds: float) -> None:
        metrics.on_request(name, method, code, seconds)

    leaving = asyncio.Event()
    stop = stop_file(settings.database)

    def stopped() -> str:
        return "the project is given up here" if leaving.is_set() else stop_file_says(stop)

    gateway = gateway_of(settings, recipe.given, steady, observe, bucket)
    project = Project(
        recipe.config,
        rooms=gateway,
        store=stores.episodes,
        clock=steady,
        bucket=bucket,
        powers=Powers(
            stores.audit,
            stores.controls,
            stores.lease,
            new_intent_id,
            stopped,
        ),
        new_id=new_episode_id,
    )
    key, secret = recipe.given.api_key, recipe.given.api_secret
    webhooks = WebhookReader(key.get_secret_value(), secret.get_secret_value(), steady)
    return Watched(recipe, project, gateway, webhooks, stores, leaving)


def new_episode_id() -> str:
    """A short id that no other episode has."""
    return f"ep_{uuid.uuid4().hex[:16]}"


def new_intent_id() -> str:
    """A short id that no other attempt to delete has."""
    return f"in_{uuid.uuid4().hex[:16]}"


def stop_file_says(path: Path | None) -> str:
    """Why nothing is deleted: the file is there, or it cannot be said that it is not."""
    if path is None:
        return ""
    try:
        path.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"whether there is a file {path} cannot be told: {error.strerror}"
    return f"the file {path} forbids it; remove it to allow deletions again"
