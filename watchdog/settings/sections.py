"""The sections of the configuration: `[http]`, `[limits]`, …, and the tables of lists. All are frozen."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
)

from watchdog.core.profiles import HOSTINGS
from watchdog.core.suspects import SUSPECT_IDENTITIES
from watchdog.settings.durations import (
    format_duration,
    parse_duration,
    parse_recordings,
    parse_retention,
)
from watchdog.settings.fields import (
    BUILT_IN_POLICIES,
    LEAVABLE_KINDS,
    PERSON_KINDS,
    ListenAddress,
    check_agent_glob,
    check_allow_glob,
    check_hold_key,
    check_match_glob,
    check_not_person_kind,
    check_person_kind,
    check_policy_name,
    check_profile_name,
    check_project_name,
    check_server_url,
    parse_listen,
    parse_usd,
)

GRACE_BEYOND_POLL = timedelta(seconds=10 + 25)
"""A count lags by 10 s, and a lost connection is noticed after 25 s (SAFETY C)."""


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError
    return value


def a_second_or_more(value: timedelta) -> timedelta:
    """A poll interval; shorter ones would only be noise."""
    if value < timedelta(seconds=1):
        raise ValueError("is too short; poll once a second or less often")
    return value


def a_second_of_warning(value: timedelta) -> timedelta:
    """What an agent is told ahead; no time at all is no warning."""
    if value < timedelta(seconds=1):
        raise ValueError("is too short to warn anybody; leave the key out for no warning")
    return value


def _filled(value: object) -> object:
    if value == "":
        raise ValueError("is empty; give a value or leave the key out")
    return value


def _known_profile(value: str) -> str:
    if value not in HOSTINGS:
        raise ValueError(f"is no profile; the profiles are {', '.join(HOSTINGS)}")
    return value


def _share(value: object) -> object:
    """What one agent has of its machine, from decimal text; a float would not be what is written."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 1024:
        return Decimal(value)
    if (
        isinstance(value, str)
        and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,6})?", value)
        and Decimal(value)
    ):
        return Decimal(value)
    raise ValueError('must be a number above 0 in quotes, like "0.25"')


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isprintable() or " " in text:
        raise ValueError("is empty or has a space or line end in it; copy it anew from LiveKit")
    return value


def _channel_urls(value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    """URLs for Apprise. What is wrong never repeats one: all of it may be secret."""
    for number, secret in enumerate(value, start=1):
        text = secret.get_secret_value()
        if any(c.isspace() or not c.isprintable() for c in text):
            raise ValueError(
                f"no. {number} has a space or a control character in it; write a space as %20"
            )
        if not _CHANNEL.match(text):
            raise ValueError(
                f"no. {number} is no URL; write it like slack://... or mailto://..., and a list with a "
                "comma in a URL as JSON"
            )
    return value


def _a_minute_or_more(value: timedelta) -> timedelta:
    if value < timedelta(minutes=1):
        raise ValueError("is too short; leave the key out to be told once")
    return value


_CHANNEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*://.")

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Listen = Annotated[
    ListenAddress | None,
    PlainValidator(parse_listen),
    PlainSerializer(lambda at: str(at or "off"), return_type=str, when_used="json"),
]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Glob = Annotated[str, AfterValidator(check_match_glob)]
Recordings = Annotated[
    timedelta | bool,
    BeforeValidator(parse_recordings),
    PlainSerializer(lambda v: v if isinstance(v, bool) else format_duration(v), when_used="json"),
]
NotifyEvent = Literal["stranded", "deleted", "failed", "joined", "held", "blind"]
Retention = Annotated[
    timedelta | Literal["forever"],
    BeforeValidator(parse_retention),
    PlainSerializer(lambda v: v if isinstance(v, str) else format_duration(v), when_used="json"),
]
ModeName = Literal["observe", "allowlist", "enforce"]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )


class HttpSettings(_Section):
    """`[http]`."""

    listen: Listen = Field(
        default=ListenAddress("127.0.0.1", 9779),
        description="Host and port of `/metrics`, `/healthz`, `/readyz` and the API; "
        'an IPv6 host as `[::1]:9779`; empty or "off" for no HTTP at all',
    )


def _enough_to_renew(value: timedelta) -> timedelta:
    if value < timedelta(seconds=5):
        raise ValueError("is too short to be renewed in time; at least 5s")
    if value > timedelta(minutes=10):
        raise ValueError(
            "leaves the rooms of a replica that ended unwatched for too long; at most 10m"
        )
    return value


class ReplicasSettings(_Section):
    """`[replicas]`."""

    lease: Annotated[Duration, AfterValidator(_enough_to_renew)] = Field(
        default=timedelta(seconds=30),
        description="On Postgres: so long a project stays with a replica that fell silent; then another "
        "takes it over. At least 5s",
    )


class LimitsSettings(_Section):
    """`[limits]`."""

    max_deletions_per_tick: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=10,
        ge=1,
        le=1000,
        description="Where more rooms than this wait to be deleted at once, none is",
    )
    max_deletions_per_hour: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=60,
        ge=1,
        le=100_000,
        description="Where more rooms wait than this leaves, less those deleted in the last 60 "
        "minutes, none is",
    )
    confirmations: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=2,
        ge=2,
        le=10,
        description="How many looks must show agents and no person after a room became due, the first "
        "and the last at least 30s apart",
    )
    limit_hold: Duration = Field(
        default=timedelta(minutes=30),
        description="For so long nothing is deleted where too many rooms wait; then one a tick is, the "
        "oldest first",
    )
    min_population: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=20,
        ge=1,
        le=1_000_000,
        description="Below so many attended rooms no change of who is there is too sudden",
    )
    max_drop: Annotated[float, BeforeValidator(_not_bool)] = Field(
        default=0.5,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="The share of rooms that may vanish from the list at once; a list that fell by "
        "more is believed only when two later polls agree with it. Also the share of attended rooms that "
        "may end, or be orphaned, within 5 minutes before nothing is deleted for a while",
    )


class DetectionSettings(_Section):
    """`[detection]`."""

    agent_identities: tuple[Annotated[str, AfterValidator(check_agent_glob)], ...] = Field(
        default=(),
        description="Globs of identities that are agents although LiveKit does not say so, like "
        "`bot-*`; each needs at least one fixed character",
    )
    not_persons: tuple[Annotated[str, AfterValidator(check_not_person_kind)], ...] = Field(
        default=(),
        description=f"Kinds that do not count as a person: any of {', '.join(LEAVABLE_KINDS)}",
    )
    requests_per_minute: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="The most requests a minute to one project's server",
    )

    suspect_after: Duration = Field(
        default=timedelta(hours=4),
        gt=timedelta(),
        description="A room that was attended for so long by persons who never published a track, or whose "
        "identities read like a machine's, is shown as suspect; it is never deleted",
    )
    suspect_identities: tuple[Annotated[str, AfterValidator(check_agent_glob)], ...] = Field(
        default=SUSPECT_IDENTITIES,
        description="Globs of identities that read like a machine's, in capitals or not; whoever has "
        "one stays a person",
    )


class ProtectSettings(_Section):
    """`[protect]`."""

    rooms: tuple[Glob, ...] = Field(
        default=(),
        description="Globs of rooms that are never deleted, whatever else says so; `protect add` adds others",
    )
    recordings: Recordings = Field(
        default=timedelta(hours=1),
        description="For so long after an episode began a running recording protects its room; `true`: "
        "always, `false`: never",
    )
    simulations: bool = Field(
        default=True,
        description="Whether a simulated participant, present or past, protects its room",
    )
    hold_key: Annotated[str, AfterValidator(check_hold_key)] = Field(
        default="watchdog.hold",
        description="The key of a room's metadata that protects it: `true`, or a time until when",
    )


class AllowlistSettings(_Section):
    """`[allowlist]`."""

    rooms: tuple[Annotated[str, AfterValidator(check_allow_glob)], ...] = Field(
        default=(),
        description="Globs of the only rooms that mode `allowlist` deletes, beside those of `allow add`",
    )


class PrivacySettings(_Section):
    """`[privacy]`."""

    room_names: Literal["full", "masked", "hashed"] = Field(
        default="full", description="How room names appear in metrics, logs and notifications"
    )


MeterName = Annotated[str, BeforeValidator(_filled)]
Share = Annotated[Decimal, BeforeValidator(_share)]


class ChoicesSettings(_Section):
    """What agents run beside LiveKit itself: meters of the price book."""

    profile: Annotated[str, BeforeValidator(_filled), AfterValidator(_known_profile)] | None = (
        Field(
            default=None,
            description=f"Where agents and server run: {', '.join(f'`{name}`' for name in HOSTINGS)}; left "
            "out, the second for a `*.livekit.cloud` URL and the third elsewhere",
        )
    )
    stt: MeterName | None = Field(
        default=None,
        description="The meter of their speech-to-text, like `lk.inference.stt.deepgram-nova-3`",
    )
    llm: MeterName | None = Field(
        default=None,
        description="The meter of their language model; tokens cannot be seen from outside",
    )
    tts: MeterName | None = Field(
        default=None,
        description="The meter of their text-to-speech; characters cannot be seen from outside",
    )
    avatar: MeterName | None = Field(
        default=None,
        description="The meter of their avatar, like `tavus.cvi.starter`, beside its connection",
    )
    sip: MeterName | None = Field(
        default=None,
        description="The meter of a SIP leg left in an orphaned room; left out, between 0 and the dearest",
    )
    recording: MeterName | None = Field(
        default=None,
        description="The meter of a recording that goes on in an orphaned room; left out, between 0 and the "
        "dearest",
    )
    vcpu: Share | None = Field(
        default=None, description='One agent\'s share of its machine in vCPUs, like `"0.25"`'
    )
    memory_gb: Share | None = Field(
        default=None, description='One agent\'s share of its machine in GB of memory, like `"0.5"`'
    )


class ProfileSettings(ChoicesSettings):
    """One `[[prices.profiles]]` table: what the agents it names run."""

    name: Annotated[str, AfterValidator(check_profile_name)] = Field(
        description="Its name in reports: 1 to 64 of `A-Z a-z 0-9 . _ -`, unique"
    )
    agents: tuple[Glob, ...] = Field(
        default=(), description="Globs of the names of the agents it holds for; none: every agent"
    )
    rooms: tuple[Glob, ...] = Field(
        default=(), description="Globs of the rooms it holds in; none: every room"
    )


class PricesSettings(ChoicesSettings):
    """`[prices]`."""

    book: Annotated[Path | None, BeforeValidator(_filled)] = Field(
        default=None, description="A price book of your own; its entries replace the built-in ones"
    )
    plan: Literal["ship", "scale", "build"] = Field(
        default="ship",
        description="The LiveKit Cloud plan whose list prices apply; `build` has no overage price: "
        "spend is shown as unpriced",
    )
    profiles: tuple[ProfileSettings, ...] = Field(
        default=(), description="What some of your agents run instead"
    )


Usd = Annotated[Decimal, BeforeValidator(parse_usd)]


class BudgetSettings(_Section):
    """`[budget]`."""

    per_day: Usd | None = Field(
        default=None,
        description='What orphans may cost a project in a day (UTC), in USD like `"5.00"`; exported beside '
        "what they did cost, with an alert",
    )
    per_month: Usd | None = Field(default=None, description="The same for a calendar month")


class LogSettings(_Section):
    """`[log]`."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` elsewhere"
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="The least important level that is logged"
    )


class NotifySettings(_Section):
    """`[notify]`. The URLs print as asterisks."""

    urls: Annotated[tuple[SecretStr, ...], AfterValidator(_channel_urls)] = Field(
        default=(),
        description="The channels that people are told through: URLs of Apprise like `slack://...` or "
        "`mailto://...`, each a secret; none: nobody is told. See docs/notifications.md",
    )
    urls_file: Annotated[Path | None, BeforeValidator(_filled)] = Field(
        default=None, description="A file with more of them, one a line; `#` begins a comment"
    )
    events: tuple[NotifyEvent, ...] = Field(
        default=("stranded", "deleted", "failed", "joined", "held", "blind"),
        description="What is told: agents alone past their policy's threshold, deletions, those that came "
        "to nothing, a person who came right after one, deletions held, a project not observed",
    )
    gather: Duration = Field(
        default=timedelta(minutes=1),
        le=timedelta(hours=24),
        description="For so long what is to be told is gathered into one message",
    )
    max_per_hour: Annotated[int, BeforeValidator(_not_bool)] = Field(
        default=12,
        ge=1,
        le=1000,
        description="The most messages in any hour; what comes then is gathered into the next one",
    )
    after_blind: Duration = Field(
        default=timedelta(minutes=5),
        description="A project that was not observed for so long is told of",
    )
    repeat_after: Annotated[Duration, AfterValidator(_a_minute_or_more)] | None = Field(
        default=None,
        description="What still lasts is told again after so long; left out: once until it ends",
    )


class MatchSettings(_Section):
    """`match` of one `[[policies]]` table: what is left out matches everything."""

    rooms: tuple[Glob, ...] = Field(
        default=(), description="Globs of which one must match the room's name; none: every room"
    )
    agents: tuple[Glob, ...] = Field(
        default=(),
        description="Globs of which one must match the name of an agent in the room; none: every room",
    )
    person_seen: bool | None = Field(
        default=None,
        strict=True,
        description="`true`: a person was there before; `false`: no person ever was; left out: either",
    )
    last_person_kinds: tuple[Annotated[str, AfterValidator(check_person_kind)], ...] = Field(
        default=(),
        description="Every person who was there had one of these kinds: any of "
        f"{', '.join(PERSON_KINDS)}; none: every room",
    )


class PolicySettings(_Section):
    """One `[[policies]]` table: which rooms it speaks for, when they are due, and what is done then."""

    name: Annotated[str, AfterValidator(check_policy_name)] = Field(
        description="Its name in metrics and records: 1 to 64 of `A-Z a-z 0-9 . _ -`, unique, and none "
        f"of the built-in {', '.join(f'`{name}`' for name in BUILT_IN_POLICIES)}"
    )
    match: MatchSettings = MatchSettings()
    grace: Duration = Field(
        default=timedelta(minutes=10),
        description="No room is due at a lower age; at least `poll_interval` + "
        f"{format_duration(GRACE_BEYOND_POLL)} unless `allow_short_grace`",
    )
    respect_room_timeouts: bool = Field(
        default=True,
        strict=True,
        description="Wait until the server itself should have closed the room, and 30s more",
    )
    hard_limit: Duration | None = Field(
        default=None,
        description="The age at which a room is due whatever its own timeouts say; not below `grace`",
    )
    max_spend: Annotated[Decimal, BeforeValidator(parse_usd)] | None = Field(
        default=None,
        description='The low estimate in USD, in quotes like `"2.50"`, at which a room is due whatever '
        "its own timeouts say, once `grace` is over",
    )
    action: Literal["delete", "warn", "keep"] = Field(
        default="delete",
        description="What a due room gets: `delete` where the mode and every gate allow it, else it is "
        "only shown",
    )
    warn_before: Annotated[Duration, AfterValidator(a_second_of_warning)] | None = Field(
        default=None,
        description="So long before it is deleted a room's agents get a data message on topic "
        "`lk.watchdog`, once an episode; not above `grace`; left out: none",
    )
    delete_dispatch: bool = Field(
        default=False,
        strict=True,
        description="First end the dispatches of a due room's agents, look again, and delete only what "
        "is left",
    )
    allow_short_grace: bool = Field(
        default=False,
        strict=True,
        description="Allow a `grace` in which a person who lost the connection may not be back yet",
    )


class Project(_Section):
    """One `[[projects]]` table: a LiveKit server or Cloud project. Key and secret print as asterisks."""

    name: Annotated[str, AfterValidator(check_project_name)] = Field(
        description="Its name in metrics and commands: 1 to 64 of `A-Z a-z 0-9 . _ -`, unique"
    )
    url: Annotated[str, AfterValidator(check_server_url)] = Field(
        description="The server's URL: `ws://`, `wss://`, `http://` or `https://` with a host"
    )
    api_key: Secret = Field(description="The API key")
    api_secret: Secret = Field(
        description="The API secret; give it or `api_secret_file`, not both", repr=False
    )
    api_secret_file: Path | None = Field(
        default=None, description="A file that holds the API secret and nothing else"
    )
    mode: ModeName | None = Field(
        default=None, description="This project's mode; left out, the one of all projects"
    )
    poll_interval: Annotated[Duration, AfterValidator(a_second_or_more)] | None = Field(
        default=None, description="This project's `poll_interval`; left out, that of all projects"
    )
    policies: tuple[str, ...] | None = Field(
        default=None,
        description="The names of the only `[[policies]]` that hold in this project, in the order in which "
        "the file gives them; left out, all do. The built-in ones always do",
    )
    requests_per_minute: Annotated[int, BeforeValidator(_not_bool)] | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="This project's `detection.requests_per_minute`; left out, that of all projects",
    )
    budget_per_day: Usd | None = Field(
        default=None, description="This project's `budget.per_day`; left out, that of all projects"
    )
    budget_per_month: Usd | None = Field(
        default=None,
        description="This project's `budget.per_month`; left out, that of all projects",
    )
