"""The Prometheus side of what ticks report.

Gauges and restored counters are read from each project's latest reports when Prometheus asks, so a series
whose cause is gone is gone with it; what must be counted as it happens is counted in real counters.
"""

import heapq
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from watchdog import __version__
from watchdog.core.avoided import Basis
from watchdog.core.deletion import BY_POLICY, AuditEntry, Outcome
from watchdog.core.errors import CODES
from watchdog.core.hooks import Taken
from watchdog.core.model import TickResult, VerdictState
from watchdog.core.report import ChangeKind, OrphanView, TickReport
from watchdog.core.spend import Spend
from watchdog.expose.catalogue import BY_NAME, SPECS, TOP_ROOMS, metrics_markdown
from watchdog.expose.formats import Unpriced, all_priced, wall_seconds
from watchdog.expose.labels import MAX_LABEL, AgentNames, RoomNames, printable

# A `_created` series for each counter would double them, and would be untrue for restored ones.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

METHODS = frozenset(
    {
        "ListRooms",
        "ListParticipants",
        "ListDispatch",
        "DeleteRoom",
        "GetParticipant",
        "SendData",
        "DeleteDispatch",
    }
)
"""The values the label `method` can take beside `other`."""

_OTHER = "other"
BY_HAND = "by_hand"
"""The value of the label `policy` where an operator asked for a deletion."""


class Metrics:
    """All metrics of one running daemon, in a registry of its own.

    Where a tariff lacks a price (`unpriced`), spend is left out where it would read 0. Not thread-safe:
    everything here belongs to the event loop.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        room_names: RoomNames,
        *,
        unpriced: Unpriced = all_priced,
        version: str = __version__,
    ) -> None:
        self._registry = registry
        self._latest = _LatestReports(room_names, unpriced, version)
        self._ticks = _counter("ticks_total", registry)
        self._requests = _counter("api_requests_total", registry)
        self._attempts = _counter("deletion_attempts_total", registry)
        self._deletions = _counter("deletions_total", registry)
        self._joined_after = _counter("joined_after_deletion_total", registry)
        self._webhooks = _counter("webhook_events_total", registry)
        self._notifications = _counter("notifications_total", registry)
        self._tick_duration = _histogram("tick_duration_seconds", registry)
        self._request_duration = _histogram("api_request_duration_seconds", registry)
        self._episode_duration = _histogram("episode_duration_seconds", registry)
        registry.register(self._latest)
        prometheus_client.ProcessCollector(registry=registry)
        prometheus_client.PlatformCollector(registry=registry)

    def on_request(self, project: str, method: str, code: str, seconds: float) -> None:
        """Count one request to the LiveKit server; `code` is a member of `errors.CODES`."""
        project = _project(project)
        method = method if method in METHODS else _OTHER
        self._requests.labels(project, method, code if code in CODES else _OTHER).inc()
        self._request_duration.labels(project, method).observe(seconds)

    def on_report(self, report: TickReport) -> None:
        """Take in one tick; once each, in their order."""
        project = _project(report.project)
        self._ticks.labels(project, report.result.value).inc()
        self._tick_duration.labels(project).observe(report.duration)
        for change in report.changes:
            if change.kind is ChangeKind.CLOSED and change.episode.close_reason is not None:
                reason = change.episode.close_reason.value
                self._episode_duration.labels(project, reason).observe(wall_seconds(change.episode))
        for entry in report.outcomes:
            self._count(project, entry)
        self._joined_after.labels(project).inc(report.joined_after_deletion)
        self._latest.take(report)

    def on_webhook(self, project: str, result: Taken) -> None:
        """Count one webhook."""
        self._webhooks.labels(_project(project), result.value).inc()

    def on_notification(self, service: str, result: str, count: int = 1) -> None:
        """Count what became of messages to a channel; a count of 0 has the series begin."""
        self._notifications.labels(service, result).inc(count)

    def _count(self, project: str, entry: AuditEntry) -> None:
        policy = printable(entry.policy, MAX_LABEL) if entry.actor == BY_POLICY else BY_HAND
        if entry.outcome is not None:
            self._attempts.labels(project, policy, entry.outcome.value).inc()
        if entry.outcome is Outcome.DELETED:
            self._deletions.labels(project, policy).inc()

    def set_mode(self, project: str, mode: str) -> None:
        """Say in which mode a project is watched."""
        self._latest.modes[_project(project)] = mode

    def set_prices(self, verified_at: datetime | None, stale_at: datetime | None) -> None:
        """Say when the least recently verified price in use was, and when it counts as stale.

        None: no price is in use.
        """
        self._latest.price_verified_at = verified_at
        self._latest.price_stale_at = stale_at

    def on_reload(self, at: datetime, *, ok: bool) -> None:
        """Say how the last reading of the configuration ended."""
        self._latest.reloaded_ok = ok
        if ok:
            self._latest.reloaded_at = at

    def project_removed(self, project: str) -> None:
        """Forget a project that is no longer configured."""
        label = _project(project)
        self._latest.forget(label)
        for metric in (
            self._ticks,
            self._requests,
            self._attempts,
            self._deletions,
            self._joined_after,
            self._webhooks,
            self._tick_duration,
            self._request_duration,
            self._episode_duration,
        ):
            metric.remove_by_labels({"project": label})

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The scrape and its content type, in the format that the Accept header asks for."""
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # what the library makes of a version that is not a number
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type


def _project(name: str) -> str:
    return printable(name, MAX_LABEL)


def _counter(name: str, registry: CollectorRegistry) -> Counter:
    spec = BY_NAME[name]
    return Counter(spec.full_name, spec.help, spec.labels, registry=registry)


def _histogram(name: str, registry: CollectorRegistry) -> Histogram:
    spec = BY_NAME[name]
    return Histogram(
        spec.full_name, spec.help, spec.labels, buckets=spec.buckets, registry=registry
    )


@dataclass(slots=True)
class _ProjectState:
    """What one project's reports have said so far."""

    latest: TickReport
    good: TickReport | None = None
    names: AgentNames = field(default_factory=AgentNames)
    spend: dict[str, Spend] = field(default_factory=dict)
    avoided: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    blind_seconds: float = 0.0
    rooms: dict[str, tuple[str, OrphanView]] = field(default_factory=dict)
    """The oldest episodes by id, each with the label its room has for as long as it is among them."""

    def take(self, report: TickReport, room_names: RoomNames) -> None:
        self.latest = report
        # What has once been exported never falls, whatever a report leaves out.
        self.blind_seconds = max(self.blind_seconds, report.blind_seconds)
        for name, spend in self.by_label(report.spend).items():
            known = self.spend.get(name, Spend())
            self.spend[name] = Spend(
                max(known.low, spend.low),
                max(known.high, spend.high),
                max(known.unverified, spend.unverified),
            )
        for (name, basis), amount in report.avoided.items():
            key = (self.names(name), basis)
            self.avoided[key] = max(self.avoided.get(key, Decimal(0)), amount)
        if report.result is TickResult.OK:
            self.good = report
            self._label_rooms(report, room_names)

    def by_label(self, spend: Mapping[str, Spend]) -> dict[str, Spend]:
        """The same sums by label value; names that share one are added up."""
        sums: dict[str, Spend] = {}
        for name, value in spend.items():
            label = self.names(name)
            sums[label] = sums.get(label, Spend()) + value
        return sums

    def _label_rooms(self, report: TickReport, room_names: RoomNames) -> None:
        oldest = heapq.nsmallest(TOP_ROOMS, report.orphans, key=lambda v: (-v.age, v.episode.id))
        kept = {
            v.episode.id: self.rooms[v.episode.id][0] for v in oldest if v.episode.id in self.rooms
        }
        taken = set(kept.values())
        rooms: dict[str, tuple[str, OrphanView]] = {}
        for view in oldest:
            label = kept.get(view.episode.id)
            if label is None:
                # Two series of one name would make Prometheus refuse the whole scrape.
                label = _free(room_names.label(view.episode.room_name), taken)
                taken.add(label)
            rooms[view.episode.id] = (label, view)
        self.rooms = rooms


def _free(label: str, taken: Container[str]) -> str:
    number, candidate = 1, label
    while candidate in taken:
        number += 1
        suffix = f"~{number}"
        candidate = label[: MAX_LABEL - len(suffix)] + suffix
    return candidate


class _Families:
    """Families filled by metric name; those that stay empty are not exported."""

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}

    def add(self, name: str, value: float, *labels: str) -> None:
        if name not in self._families:
            self._families[name] = BY_NAME[name].family()
        self._families[name].add_metric(labels, value)

    def __iter__(self) -> Iterator[Metric]:
        return (self._families[s.name] for s in SPECS if s.name in self._families)


class _LatestReports(Collector):
    """The gauges and restored counters, as of each project's latest reports."""

    def __init__(self, room_names: RoomNames, unpriced: Unpriced, version: str) -> None:
        self.modes: dict[str, str] = {}
        self.price_verified_at: datetime | None = None
        self.price_stale_at: datetime | None = None
        self.reloaded_ok: bool | None = None
        self.reloaded_at: datetime | None = None
        self._room_names = room_names
        self._unpriced = unpriced
        self._version = version
        self._projects: dict[str, _ProjectState] = {}

    def take(self, report: TickReport) -> None:
        project = _project(report.project)
        state = self._projects.setdefault(project, _ProjectState(report))
        state.take(report, self._room_names)

    def forget(self, project: str) -> None:
        self._projects.pop(project, None)
        self.modes.pop(project, None)

    def collect(self) -> Iterator[Metric]:
        families = _Families()
        families.add("build_info", 1, self._version)
        if self.price_verified_at is not None:
            families.add("price_verified_timestamp_seconds", self.price_verified_at.timestamp())
        if self.price_stale_at is not None:
            families.add("price_stale_timestamp_seconds", self.price_stale_at.timestamp())
        if self.reloaded_ok is not None:
            families.add("config_last_reload_successful", self.reloaded_ok)
        if self.reloaded_at is not None:
            stamp = self.reloaded_at.timestamp()
            families.add("config_last_reload_success_timestamp_seconds", stamp)
        for project, mode in self.modes.items():
            families.add("mode_info", 1, project, mode)
        for project, state in self._projects.items():
            self._counters(families, project, state)
            if state.good is not None:
                self._gauges(families, project, state, state.good)
                self._rooms(families, project, state)
        return iter(families)

    def _counters(self, families: _Families, project: str, state: _ProjectState) -> None:
        families.add("blind_seconds_total", state.blind_seconds, project)
        success = state.latest.last_success_at
        if success is None:
            return
        families.add("last_success_timestamp_seconds", success.timestamp(), project)
        for name, spend in state.spend.items():
            if self._is_known(project, name, spend):
                families.add("spend_low_usd_total", float(spend.low), project, name)
                families.add("spend_high_usd_total", float(spend.high), project, name)
            for basis in Basis:
                avoided = state.avoided.get((name, basis), Decimal(0))
                families.add("avoided_usd_total", float(avoided), project, name, basis)
        unverified = sum((s.unverified for s in state.spend.values()), start=Spend().unverified)
        families.add("unverified_usd_total", float(unverified), project)

    def _gauges(
        self, families: _Families, project: str, state: _ProjectState, good: TickReport
    ) -> None:
        for verdict in VerdictState:
            families.add("rooms", good.rooms.get(verdict, 0), project, verdict.value)
        agents: dict[str, int] = {}
        for name, count in good.orphaned_agents.items():
            label = state.names(name)
            agents[label] = agents.get(label, 0) + count
        for label, count in agents.items():
            families.add("orphaned_agents", count, project, label)
        families.add("duplicate_agents", good.duplicate_agents, project)
        oldest = max((view.age for view in good.orphans), default=0.0)
        families.add("oldest_orphan_age_seconds", oldest, project)
        for policy, due in good.due.items():
            families.add("orphaned_rooms_due", due, project, printable(policy, MAX_LABEL))
        families.add("stranded_rooms", good.stranded, project)
        for reason, number in good.suspect_counts.items():
            families.add("suspect_rooms", number, project, reason)
        for trouble, number in good.troubled.items():
            families.add("troubled_rooms", number, project, trouble)
        for gate, holds in good.gates.items():
            families.add("gate_holding", holds, project, gate)
        for name, burn in state.by_label(good.burn).items():
            if self._is_known(project, name, burn):
                families.add("burn_low_usd_per_hour", float(burn.low), project, name)
                families.add("burn_high_usd_per_hour", float(burn.high), project, name)
        for period, budget in good.budgets.items():
            families.add("budget_usd", float(budget.limit), project, period)
            families.add("budget_spent_low_usd", float(budget.spent.low), project, period)
            families.add("budget_spent_high_usd", float(budget.spent.high), project, period)
        families.add("sweep_age_seconds", good.sweep_age, project)
        families.add("budget_delay_seconds", good.budget_delay, project)
        families.add("count_includes_agents_info", 1, project, good.count_meaning.value)
        if good.clock_skew is not None:
            families.add("clock_skew_seconds", good.clock_skew, project)

    def _rooms(self, families: _Families, project: str, state: _ProjectState) -> None:
        for room, view in state.rooms.values():
            agent_name = state.names(view.agent_name)
            labels = (project, room, agent_name, printable(view.policy, MAX_LABEL))
            families.add("orphaned_room_age_seconds", view.age, *labels)
            families.add("orphaned_room_session_age_seconds", view.session_age, *labels)
            if self._is_known(project, agent_name, view.spend):
                families.add("orphaned_room_spend_usd", float(view.spend.low), *labels)

    def _is_known(self, project: str, agent_name: str, spend: Spend) -> bool:
        return spend != Spend() or not self._unpriced(project, agent_name)


__all__ = ["METHODS", "Metrics", "metrics_markdown"]
