"""Every metric this program exports: name, type, labels, meaning. The code and docs/metrics.md follow it."""

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

PREFIX = "livekit_watchdog_"
TOP_ROOMS = 20
"""Rooms per project that get series of their own: the oldest ones."""

MetricType = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric as the outside sees it; `name` is without the prefix."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name as it stands in the scrape."""
        return PREFIX + self.name

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """An empty family of this metric, for a collector to fill."""
        kind = GaugeMetricFamily if self.type == "gauge" else CounterMetricFamily
        return kind(self.full_name, self.help, labels=self.labels)


_ROOM = ("project", "room", "agent_name", "policy")
_AGENT = ("project", "agent_name")
_PROJECT = ("project",)

SPECS: tuple[MetricSpec, ...] = (
    MetricSpec(
        "rooms",
        "gauge",
        ("project", "verdict"),
        "Rooms by verdict (attended, orphaned, empty, unknown) at the last good tick.",
    ),
    MetricSpec(
        "suspect_rooms",
        "gauge",
        ("project", "reason"),
        "Rooms that are shown and never deleted, by reason: attended for long by identities that read like "
        "a machine's (bot_like) or by persons who never published a track (silent), not known for more than "
        "10 minutes (unknown), or the server counts somebody whom no look shows (count_disagrees).",
    ),
    MetricSpec(
        "orphaned_agents",
        "gauge",
        _AGENT,
        "Agents in rooms where no person is, by agent name.",
    ),
    MetricSpec(
        "duplicate_agents",
        "gauge",
        _PROJECT,
        "Agents beside another of the same name in the same orphaned room; each is charged.",
    ),
    MetricSpec(
        "oldest_orphan_age_seconds",
        "gauge",
        _PROJECT,
        "Watched time since the longest open episode began; 0 where no episode is open.",
    ),
    MetricSpec(
        "episode_duration_seconds",
        "histogram",
        ("project", "close_reason"),
        "How long closed episodes lasted by the wall clock, from first_orphaned_at to first_gone_at "
        "(the first look that showed agents alone, and the first that no longer did); each episode once.",
        (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400),
    ),
    MetricSpec(
        "orphaned_room_age_seconds",
        "gauge",
        _ROOM,
        f"Watched time since the room's episode began; the {TOP_ROOMS} oldest of each project.",
    ),
    MetricSpec(
        "orphaned_room_session_age_seconds",
        "gauge",
        _ROOM,
        f"Time since the room was created; the {TOP_ROOMS} oldest episodes of each project.",
    ),
    MetricSpec(
        "orphaned_room_spend_usd",
        "gauge",
        _ROOM,
        "Estimated spend of the room's episode so far, USD, the low estimate (what certainly bills); "
        f"the {TOP_ROOMS} oldest episodes of each project.",
    ),
    MetricSpec(
        "orphaned_rooms_due",
        "gauge",
        ("project", "policy"),
        "Rooms with an open episode that are past their policy's threshold and not deleted.",
    ),
    MetricSpec(
        "stranded_rooms",
        "gauge",
        _PROJECT,
        "Rooms with an open episode that are listed but whose node does not answer.",
    ),
    MetricSpec(
        "spend_low_usd_total",
        "counter",
        _AGENT,
        "Estimated spend of agents left alone, USD: meters that certainly bill, over the time certainly "
        "orphaned. Restored after a restart.",
    ),
    MetricSpec(
        "spend_high_usd_total",
        "counter",
        _AGENT,
        "Estimated spend of agents left alone, USD: also meters that may bill, over the time possibly "
        "orphaned. Restored after a restart.",
    ),
    MetricSpec(
        "unverified_usd_total",
        "counter",
        _PROJECT,
        "Estimated spend of rooms listed but not reachable, USD, in neither of the other two: it is not "
        "known whether anything runs there. Restored after a restart.",
    ),
    MetricSpec(
        "avoided_usd_total",
        "counter",
        ("project", "agent_name", "basis"),
        "Estimated spend that verified deletions avoided, USD, low estimate, counted as the time passes: "
        "until the server itself would have closed the room (room_timeout), or for an hour where it would "
        "not (horizon); it stops once a room of the name is back. Restored after a restart.",
    ),
    MetricSpec(
        "budget_usd",
        "gauge",
        ("project", "period"),
        "What orphans may cost a project in a day or a calendar month (UTC), USD, as configured.",
    ),
    MetricSpec(
        "budget_spent_low_usd",
        "gauge",
        ("project", "period"),
        "Estimated spend of the present day or month (UTC), USD, low estimate; absent without a budget.",
    ),
    MetricSpec(
        "budget_spent_high_usd",
        "gauge",
        ("project", "period"),
        "The same, high estimate.",
    ),
    MetricSpec(
        "burn_low_usd_per_hour",
        "gauge",
        _AGENT,
        "Low estimate of what the agents alone now cost per hour, USD.",
    ),
    MetricSpec(
        "burn_high_usd_per_hour",
        "gauge",
        _AGENT,
        "High estimate of what the agents alone now cost per hour, USD.",
    ),
    MetricSpec(
        "deletion_attempts_total",
        "counter",
        ("project", "policy", "outcome"),
        "Decisions to delete by what became of them, each once, when it is settled; policy is by_hand where "
        "an operator asked. would_delete: once for an episode in mode observe.",
    ),
    MetricSpec(
        "deletions_total",
        "counter",
        ("project", "policy"),
        "Rooms that were deleted and then seen to be gone.",
    ),
    MetricSpec(
        "troubled_rooms",
        "gauge",
        ("project", "state"),
        "Orphaned rooms whose deletion does not do what it should: ineffective (said to be done, and still "
        "there), unknown (no answer), stranded (its node does not answer), resurrected (the name is back, "
        "with agents alone).",
    ),
    MetricSpec(
        "joined_after_deletion_total",
        "counter",
        _PROJECT,
        "Persons who joined a room's name within 60 s of its deletion; without webhooks a lower bound.",
    ),
    MetricSpec(
        "gate_holding",
        "gauge",
        ("project", "gate"),
        "1 while a gate lets nothing be deleted: of the whole project, or of at least one room that is due.",
    ),
    MetricSpec(
        "ticks_total",
        "counter",
        ("project", "result"),
        "Passes over the project, by result (ok, suspicious, failed, backing_off).",
    ),
    MetricSpec(
        "tick_duration_seconds",
        "histogram",
        _PROJECT,
        "How long a pass over the project took.",
        (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60),
    ),
    MetricSpec(
        "last_success_timestamp_seconds",
        "gauge",
        _PROJECT,
        "When the newest good tick was, Unix time: the age of every other gauge of the project.",
    ),
    MetricSpec(
        "blind_seconds_total",
        "counter",
        _PROJECT,
        "Time that was not watched, because no good tick fell into it. Restored after a restart.",
    ),
    MetricSpec(
        "api_requests_total",
        "counter",
        ("project", "method", "code"),
        "Requests to the LiveKit server by method and outcome (ok, or what went wrong).",
    ),
    MetricSpec(
        "api_request_duration_seconds",
        "histogram",
        ("project", "method"),
        "How long requests to the LiveKit server took, failed ones included.",
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
    ),
    MetricSpec(
        "webhook_events_total",
        "counter",
        ("project", "result"),
        "Webhooks by what became of them: accepted, ignored (nothing is learned from that kind), duplicate, "
        "stale, forged, malformed, oversized, dropped (the queue was full), "
        "elsewhere (another replica has the project; LiveKit tries again).",
    ),
    MetricSpec(
        "sweep_age_seconds",
        "gauge",
        _PROJECT,
        "How long ago the room looked at least recently was looked at.",
    ),
    MetricSpec(
        "budget_delay_seconds",
        "gauge",
        _PROJECT,
        "How long the longest waiting request has waited for the request budget.",
    ),
    MetricSpec(
        "count_includes_agents_info",
        "gauge",
        ("project", "meaning"),
        "1 for what was learned about the server's num_participants: unlearned, excludes_agents, "
        "includes_agents.",
    ),
    MetricSpec(
        "clock_skew_seconds",
        "gauge",
        _PROJECT,
        "The server's clock less ours; absent until an answer has told it.",
    ),
    MetricSpec(
        "notifications_total",
        "counter",
        ("service", "result"),
        "Messages to the channels of `[notify]` by service (Apprise's scheme, like slack) and what became of "
        "them: sent, failed (not tried again), dropped (too many waited, or the stop came first).",
    ),
    MetricSpec(
        "price_verified_timestamp_seconds",
        "gauge",
        (),
        "When the least recently verified price in use was last verified, Unix time.",
    ),
    MetricSpec(
        "price_stale_timestamp_seconds",
        "gauge",
        (),
        "When the least recently verified price in use counts as stale, Unix time.",
    ),
    MetricSpec(
        "config_last_reload_successful",
        "gauge",
        (),
        "1 where the configuration was good when it was last read, 0 where the one before stays in force.",
    ),
    MetricSpec(
        "config_last_reload_success_timestamp_seconds",
        "gauge",
        (),
        "When the configuration was last read and taken up, Unix time.",
    ),
    MetricSpec(
        "mode_info",
        "gauge",
        ("project", "mode"),
        "1 for the project's mode.",
    ),
    MetricSpec(
        "build_info",
        "gauge",
        ("version",),
        "1 for the version that runs.",
    ),
)

BY_NAME = {spec.name: spec for spec in SPECS}

_INTRODUCTION = f"""\
# Metrics

Served at `/metrics` in the Prometheus text format, or in OpenMetrics where the request accepts it.
This page is generated from the code:

    .venv/bin/python -c 'from watchdog.expose.metrics import metrics_markdown; \\
      print(metrics_markdown(), end="")' > docs/metrics.md

Label values are bounded. `agent_name` keeps the first 50 names seen in a project, later ones are
`_other`, an agent without a name is `_unnamed`. `room` appears only in the `orphaned_room_*` gauges, for
the {TOP_ROOMS} oldest episodes of each project, shown as `privacy.room_names` says; where two would read
the same, the later one gets `~2`, `~3`, … for as long as its episode lasts. `code` and `method` come from
known sets, everything else is `other`. Characters that could steer a terminal are written out (`\\x1b`),
and a name is cut at 128 characters.

What is not known is absent, not 0: a project exports no rooms and no spend before its first good tick.
After a failed tick the last known gauges stay, and `last_success_timestamp_seconds` tells their age.
Spend is an estimate, absent where an agent's tariff is unpriced.

| name | type | labels | meaning |
|---|---|---|---|
"""

_CLOSING = """
Beside these stand the client library's own `process_*` and `python_info`.
"""


def metrics_markdown() -> str:
    """The page docs/metrics.md, generated from the metrics themselves."""
    rows = (
        f"| `{s.full_name}` | {s.type} | {', '.join(s.labels) or '(none)'} | {s.help} |"
        for s in SPECS
    )
    return _INTRODUCTION + "\n".join(rows) + "\n" + _CLOSING
