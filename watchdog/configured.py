"""What the configuration means, in the words of the parts that it configures."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from watchdog.core.budget import TokenBucket
from watchdog.core.classify import DetectionRules
from watchdog.core.clock import Clock
from watchdog.core.errors import ConfigurationError
from watchdog.core.gates import ALWAYS, Safeguards
from watchdog.core.periods import Period
from watchdog.core.policy import Action, Match, Policy, built_in_policies, ordered
from watchdog.core.pricebook import PriceBook
from watchdog.core.profiles import (
    Assignment,
    Choices,
    Tariff,
    Tariffs,
    default_hosting,
    profile_of,
    resolve_tariff,
)
from watchdog.core.suspects import SuspectRules
from watchdog.daemon.tick import ProjectConfig
from watchdog.prices.book import load_book
from watchdog.rooms.address import is_cloud
from watchdog.settings import PolicySettings, Settings
from watchdog.settings import Project as ProjectSettings
from watchdog.settings.problems import nearest, shown
from watchdog.settings.sections import ChoicesSettings

if TYPE_CHECKING:
    from watchdog.notifying.channels import Send
    from watchdog.rooms.gateway import LiveKitGateway, RequestObserver


def tariffs_for(settings: Settings, project: ProjectSettings) -> Tariffs:
    """What the agents of a project cost.

    Raises ConfigurationError for a price book that is wrong, and for a profile that names no meter of it.
    """
    prices = settings.prices
    book = load_book(prices.book)
    _refuse_unknown_meters(settings, book)
    on = datetime.now(UTC).date()
    usual = default_hosting(url_is_cloud=is_cloud(project.url))

    def tariff(own: ChoicesSettings, name: str = "") -> Tariff:
        hosting = own.profile or prices.profile or usual
        profile = profile_of(hosting, _choices(own, prices), name)
        return resolve_tariff(book, profile, prices.plan, on)

    assigned = tuple(
        Assignment(tariff(profile, profile.name), profile.agents, profile.rooms)
        for profile in prices.profiles
    )
    return Tariffs(tariff(prices), assigned)


_CHOICES = ("stt", "llm", "tts", "avatar", "sip", "recording")


def _choices(own: ChoicesSettings, general: ChoicesSettings) -> Choices:
    """What a profile says, and what `[prices]` says where it says nothing."""
    chosen = {key: getattr(own, key) or getattr(general, key) or "" for key in _CHOICES}
    nothing = Decimal(0)
    return Choices(
        **chosen,
        vcpu=own.vcpu or general.vcpu or nothing,
        memory_gb=own.memory_gb or general.memory_gb or nothing,
    )


def _refuse_unknown_meters(settings: Settings, book: PriceBook) -> None:
    known = {meter.meter for meter in book.meters}
    tables: list[tuple[str, ChoicesSettings]] = [("prices.", settings.prices)]
    for number, profile in enumerate(settings.prices.profiles, start=1):
        tables.append((f"[[prices.profiles]] no. {number}: ", profile))
    file = f"{settings.config_file}: " if settings.config_file else ""
    lines = [
        f"{file}{where}{key}: the price book has no meter {shown(meter)}; the nearest known one is "
        f"{nearest(meter, known)}"
        for where, table in tables
        for key in _CHOICES
        if (meter := getattr(table, key)) is not None and meter not in known
    ]
    if lines:
        raise ConfigurationError("\n".join(lines))


def budgets_of(settings: Settings, project: ProjectSettings) -> dict[Period, Decimal]:
    """What orphans may cost a project, by period; nothing for a period without a budget."""
    given = {
        Period.DAY: project.budget_per_day or settings.budget.per_day,
        Period.MONTH: project.budget_per_month or settings.budget.per_month,
    }
    return {period: limit for period, limit in given.items() if limit is not None}


def safeguards_of(settings: Settings, project: ProjectSettings) -> Safeguards:
    """What may be deleted in a project, and what never is."""
    given = settings.protect.recordings
    for_ever = ALWAYS if given is True else 0.0
    recordings = for_ever if isinstance(given, bool) else given.total_seconds()
    return Safeguards(
        mode=settings.mode_of(project),
        protected=settings.protect.rooms,
        allowed=settings.allowlist.rooms,
        recordings=recordings,
        simulations=settings.protect.simulations,
        per_tick=settings.limits.max_deletions_per_tick,
        per_hour=settings.limits.max_deletions_per_hour,
        limit_hold=settings.limits.limit_hold.total_seconds(),
        max_drop=settings.limits.max_drop,
        min_population=settings.limits.min_population,
        confirmations=settings.limits.confirmations,
    )


def rules_of(settings: Settings) -> DetectionRules:
    """What the operator adds to LiveKit's own marks of an agent."""
    detection = settings.detection
    return DetectionRules(detection.agent_identities, frozenset(detection.not_persons))


def suspect_rules_of(settings: Settings) -> SuspectRules:
    """What makes a suspect of an attended room."""
    detection = settings.detection
    return SuspectRules(detection.suspect_after.total_seconds(), detection.suspect_identities)


def policies_of(settings: Settings, project: ProjectSettings) -> tuple[Policy, ...]:
    """A project's policies in the order of the walk: the built-in ones around those of the configuration."""
    before, after = built_in_policies(settings.poll_of(project).total_seconds())
    return ordered(before, map(_policy, settings.policies_for(project)), after)


def policies_by_project(settings: Settings) -> dict[str, tuple[Policy, ...]]:
    """`policies_of` each project."""
    return {project.name: policies_of(settings, project) for project in settings.projects}


def _policy(given: PolicySettings) -> Policy:
    limit, ahead = given.hard_limit, given.warn_before
    return Policy(
        name=given.name,
        match=Match(
            rooms=given.match.rooms,
            agents=given.match.agents,
            person_seen=given.match.person_seen,
            last_person_kinds=frozenset(given.match.last_person_kinds),
        ),
        grace=given.grace.total_seconds(),
        respect_room_timeouts=given.respect_room_timeouts,
        hard_limit=None if limit is None else limit.total_seconds(),
        max_spend=given.max_spend,
        action=Action(given.action),
        warn_before=None if ahead is None else ahead.total_seconds(),
        delete_dispatch=given.delete_dispatch,
    )


def project_config(settings: Settings, project: ProjectSettings) -> ProjectConfig:
    """All that a tick of the project needs to know. Raises ConfigurationError as `tariffs_for` does."""
    return ProjectConfig(
        project.name,
        settings.poll_of(project).total_seconds(),
        tariffs_for(settings, project),
        rules_of(settings),
        settings.limits.max_drop,
        policies_of(settings, project),
        safeguards_of(settings, project),
        suspect_rules_of(settings),
        budgets_of(settings, project),
        hears_all=not settings.shares_projects,
    )


def request_bucket(settings: Settings, project: ProjectSettings) -> TokenBucket:
    """A new budget of requests to the project's server."""
    per_minute = settings.requests_per_minute_of(project)
    return TokenBucket.for_polls(per_minute, settings.poll_of(project).total_seconds())


def senders_of(settings: Settings) -> "tuple[tuple[str, Send], ...]":
    """The channels of `[notify]`, none where it names none.

    Raises ConfigurationError for a URL that Apprise knows no service for, or without the extra.
    """
    if not settings.notify.urls:
        return ()
    from watchdog.notifying.services import senders

    return senders(settings.notify.urls)


def gateway_of(
    settings: Settings,
    project: ProjectSettings,
    clock: Clock,
    observe: "RequestObserver" = lambda *_: None,
    bucket: TokenBucket | None = None,
) -> "LiveKitGateway":
    """The gateway to one project's server. Must be called inside a running event loop."""
    # The client takes a third of a second to load, which commands that only read need not wait for.
    from watchdog.rooms.gateway import LiveKitGateway

    return LiveKitGateway.connect(
        project.url,
        project.api_key.get_secret_value(),
        project.api_secret.get_secret_value(),
        clock=clock,
        bucket=bucket or TokenBucket(settings.requests_per_minute_of(project)),
        observe=observe,
        hold_key=settings.protect.hold_key,
    )
