"""Whether the daemon turns, and how fresh what it knows of each project is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from watchdog.core.model import TickResult
from watchdog.core.records import Suspect
from watchdog.core.report import OrphanView, TickReport

PATIENCE = 5
"""Poll intervals without a turn, or a good tick, before health says so."""


@dataclass(frozen=True, slots=True)
class HealthState:
    """What HTTP may know of the running daemon, as of one request.

    `projects` are those that are watched, with their poll intervals in seconds, `reports` their newest
    reports and `good` their newest good ones (none before there was one). `last_turn` and `monotonic` are on
    the monotonic clock in seconds, `now` is the wall clock; before the first turn `last_turn` is when the
    daemon started. `poll_interval` is that of projects without one of their own. `standby`: other replicas
    have the projects that this one would watch.
    """

    projects: Mapping[str, float]
    reports: Mapping[str, TickReport]
    good: Mapping[str, TickReport]
    last_turn: float
    monotonic: float
    now: datetime
    poll_interval: float
    standby: bool = False

    @property
    def patience(self) -> float:
        """Seconds without a turn before health says so."""
        return PATIENCE * max((self.poll_interval, *self.projects.values()))

    @property
    def turn_age(self) -> float:
        """Seconds since the tick loop last turned."""
        return max(0.0, self.monotonic - self.last_turn)

    @property
    def alive(self) -> bool:
        """Liveness: a project that fails does not stop the loop from turning."""
        return self.turn_age <= self.patience

    def suspects(self) -> list[tuple[str, Suspect]]:
        """Each project's suspect rooms as of its last good tick, the oldest first."""
        return [
            (name, s)
            for name in self.projects
            if name in self.good
            for s in self.good[name].suspects
        ]

    def orphans(self, project: str | None = None) -> list[OrphanView]:
        """The rooms with an open episode as of the last good ticks, the oldest first."""
        views = [
            view
            for name in self.projects
            if name in self.good and project in (None, name)
            for view in self.good[name].orphans
        ]
        return sorted(views, key=lambda view: -view.age)


class ReportBoard:
    """The newest report and the newest good report of each project."""

    def __init__(self) -> None:
        self.latest: dict[str, TickReport] = {}
        self.good: dict[str, TickReport] = {}

    def take(self, report: TickReport) -> TickReport | None:
        """Put a report up; returns the one it takes the place of."""
        previous = self.latest.get(report.project)
        self.latest[report.project] = report
        if report.result is TickResult.OK:
            self.good[report.project] = report
        return previous

    def remove(self, project: str) -> None:
        """Forget a project that is no longer configured."""
        self.latest.pop(project, None)
        self.good.pop(project, None)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh what is known of one project is. `age` is seconds since its last good tick.

    It is ready while that is at most `limit` seconds.
    """

    project: str
    ready: bool
    age: float | None
    last_success_at: datetime | None
    result: TickResult | None
    error: str
    limit: float


def freshness(state: HealthState, project: str) -> Freshness:
    """Whether the project's last good tick is at most five poll intervals old."""
    poll = state.projects[project]
    limit = PATIENCE * poll
    report = state.reports.get(project)
    if report is None:
        return Freshness(project, False, None, None, None, "no tick has ended yet", limit)
    success = report.last_success_at
    if success is None:
        error = report.error or "no tick has been good yet"
        return Freshness(project, False, None, None, report.result, error, limit)
    age = (state.now - success).total_seconds()
    # A good tick in the future means that the clock was set back: its age is not known.
    ready = -poll <= age <= limit
    return Freshness(project, ready, max(0.0, age), success, report.result, report.error, limit)


def all_fresh(state: HealthState) -> tuple[Freshness, ...]:
    """Every configured project, in the order of the configuration."""
    return tuple(freshness(state, project) for project in state.projects)
