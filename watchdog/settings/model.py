"""Every setting: its name, type, default and meaning. All are frozen once read."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    PrivateAttr,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from watchdog.core.deletion import Mode
from watchdog.core.errors import ConfigurationError
from watchdog.settings.fields import (
    check_database_url,
)
from watchdog.settings.sections import (
    AllowlistSettings,
    BudgetSettings,
    DetectionSettings,
    Duration,
    HttpSettings,
    LimitsSettings,
    LogSettings,
    ModeName,
    NotifySettings,
    PolicySettings,
    PricesSettings,
    PrivacySettings,
    Project,
    ProtectSettings,
    ReplicasSettings,
    Retention,
    a_second_or_more,
)

ENV_PREFIX = "WATCHDOG_"
SECRET_KEYS = frozenset({"api_key", "api_secret", "url", "database", "projects", "urls"})
"""Keys whose value no error may repeat: they are secrets, or may have one inside."""

NO_PROJECT = (
    "no LiveKit project is configured; set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, "
    "or add a [[projects]] table with name, url, api_key and api_secret to the configuration file"
)


class Settings(BaseSettings):
    """The whole configuration. Made by `load_settings`; it reads no environment by itself."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    mode: ModeName = Field(
        default="observe",
        description="`observe` never deletes, `allowlist` deletes only rooms on the allow-list, "
        "`enforce` whatever a policy says; for every project that sets none. The variable also holds "
        "back a project that sets one: the more patient of the two counts",
    )
    poll_interval: Annotated[Duration, AfterValidator(a_second_or_more)] = Field(
        default=timedelta(seconds=15),
        description="How often each project's rooms are listed; at least 1s, and listing may take "
        "no more than half of `detection.requests_per_minute`",
    )
    database: Annotated[str, AfterValidator(check_database_url)] = Field(
        default="sqlite+aiosqlite:///watchdog.db",
        repr=False,  # it may hold a password
        description="Where episodes are kept: a file (a relative path starts at the working directory), or "
        "`postgresql+asyncpg://user:password@host/name`",
    )
    retention: Retention = Field(
        default=timedelta(days=90),
        description="For so long after its end an episode is kept; then a running daemon adds it to the "
        "sums by day, and `explain` and `replay` no longer know it. At least 7d; `forever` keeps all",
    )
    http: HttpSettings = HttpSettings()
    limits: LimitsSettings = LimitsSettings()
    protect: ProtectSettings = ProtectSettings()
    allowlist: AllowlistSettings = AllowlistSettings()
    detection: DetectionSettings = DetectionSettings()
    privacy: PrivacySettings = PrivacySettings()
    prices: PricesSettings = PricesSettings()
    budget: BudgetSettings = BudgetSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    replicas: ReplicasSettings = ReplicasSettings()
    policies: tuple[PolicySettings, ...] = Field(
        default=(),
        description="The policies of your own, in the order in which they are tried",
    )
    projects: tuple[Project, ...] = Field(
        default=(),
        description="The projects to watch; left out, LIVEKIT_URL and its kin give the project `default`",
    )

    _config_file: Path | None = PrivateAttr(None)
    _why_no_project: str = PrivateAttr(NO_PROJECT)
    _mode_of_variable: str = PrivateAttr("")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands over: nothing is picked up from the process unasked."""
        return (init_settings,)

    @classmethod
    def of(
        cls,
        values: Mapping[str, Any],
        config_file: Path | None,
        why_no_project: str,
        mode_of_variable: str = "",
    ) -> "Settings":
        """The settings with these values.

        `why_no_project` is said if a project is asked for in vain; `mode_of_variable` is the mode that the
        environment gives, and that no project's own goes beyond.
        """
        settings = cls(**values)
        settings._config_file = config_file
        settings._why_no_project = why_no_project or NO_PROJECT
        settings._mode_of_variable = mode_of_variable
        return settings

    @property
    def config_file(self) -> Path | None:
        """The file that was read, if any."""
        return self._config_file

    @property
    def shares_projects(self) -> bool:
        """Whether several replicas can have the database: then leases say who acts on which project."""
        return self.database.startswith("postgresql")

    def mode_of(self, project: Project) -> Mode:
        """The mode that counts for a project."""
        mode = Mode(project.mode or self.mode)
        if not self._mode_of_variable:
            return mode
        return max(mode, Mode(self._mode_of_variable), key=lambda m: m.patience)

    def poll_of(self, project: Project) -> timedelta:
        """How often the rooms of a project are listed."""
        return project.poll_interval or self.poll_interval

    def requests_per_minute_of(self, project: Project) -> int:
        """The most requests a minute to a project's server."""
        return project.requests_per_minute or self.detection.requests_per_minute

    def policies_for(self, project: Project) -> tuple[PolicySettings, ...]:
        """Those policies of one's own that hold in a project, in their order."""
        if project.policies is None:
            return self.policies
        return tuple(policy for policy in self.policies if policy.name in project.policies)

    def files(self) -> tuple[Path, ...]:
        """Every file that was read for these settings or is for what they mean."""
        named = [
            self._config_file,
            self.prices.book,
            self.notify.urls_file,
            *(project.api_secret_file for project in self.projects),
        ]
        return tuple(path for path in named if path is not None)

    def only(self, project: str, poll_seconds: float) -> "Settings":
        """The same for one project alone, polled so often and without HTTP."""
        return self.model_copy(
            update={
                "projects": tuple(
                    p.model_copy(update={"poll_interval": None})
                    for p in self.projects
                    if p.name == project
                ),
                "poll_interval": timedelta(seconds=poll_seconds),
                "http": HttpSettings(listen=None),
            }
        )

    def require_projects(self) -> tuple[Project, ...]:
        """The projects. ConfigurationError, saying how to give one, where there is none."""
        if not self.projects:
            raise ConfigurationError(self._why_no_project)
        return self.projects
