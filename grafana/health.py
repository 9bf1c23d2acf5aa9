"""The dashboard of the watchdog itself: whether it sees, how well, and what holds it back."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.expressions import PREFIX, PROJECT, grown, of_watchdogs, quantile, series
from grafana.frame import framed
from grafana.panels import (
    AMBER,
    GREEN,
    RED,
    Query,
    Words,
    bars,
    lines,
    rising,
    single,
    states,
    steps,
)

UID = "livekit-watchdog-health"
UNKNOWN = "not known"
DAY = 86400


def health() -> dashboard.Dashboard:
    """The dashboard, to be built."""
    return framed(
        UID,
        "LiveKit watchdog: health",
        "Whether the watchdog itself sees, how well, and what holds its deletions back.",
        [
            ("Now", [*_sight(), *_rest()]),
            ("Ticks and requests", [*_ticks(), *_requests()]),
            ("What holds it back", _holding()),
            ("Webhooks and process", _process()),
        ],
        by_agent=False,
    )


def _sight() -> list[Builder[model.Panel]]:
    good = grown(series("ticks_total", f'{PROJECT}, result="ok"'), "$__range")
    ticks = grown(series("ticks_total"), "$__range")
    return [
        single(
            Words(
                "Last good tick",
                "How long ago the newest good tick was, of the project where it is longest: the age of "
                "everything else here.",
                "s",
                "never",
            ),
            [Query(f"max(time() - {series('last_success_timestamp_seconds')})")],
            width=4,
            thresholds=rising(60, 300),
        ),
        single(
            Words(
                "Ticks that were not good",
                "Share of the ticks within the range that were suspicious, failed or backing off.",
                "percentunit",
                UNKNOWN,
            ),
            [Query(f"1 - (sum({good}) or vector(0)) / sum({ticks})")],
            width=4,
            decimals=1,
            thresholds=rising(0.01, 0.1),
        ),
        single(
            Words(
                "Blind time in this range",
                "Time that was not watched, because no good tick fell into it. It is not counted as "
                "orphaned.",
                "s",
                UNKNOWN,
            ),
            [Query(f"sum(increase({series('blind_seconds_total')}[$__range]))")],
            width=4,
            thresholds=rising(60, 600),
        ),
        single(
            Words(
                "Gates holding",
                "Conditions that let nothing be deleted now, of a whole project or of a room that is due. "
                "In mode observe the mode is one of them.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum({series('gate_holding')})")],
            width=4,
        ),
        single(
            Words(
                "Troubled rooms",
                "Orphaned rooms whose deletion does not do what it should: ineffective, unknown, stranded "
                "or resurrected.",
                "short",
                "0",
            ),
            [Query(f"sum({series('troubled_rooms')})")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Joined after a deletion",
                "Persons who joined a room's name within 60 s of its deletion, within the range; without "
                "webhooks a lower bound. More than 0 wants a look.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum({grown(series('joined_after_deletion_total'), '$__range')})")],
            width=4,
            thresholds=rising(1, 1),
        ),
    ]


def _rest() -> list[Builder[model.Panel]]:
    return [
        single(
            Words(
                "Sweep age",
                "How long ago the room looked at least recently was looked at.",
                "s",
                UNKNOWN,
            ),
            [Query(f"max({series('sweep_age_seconds')})")],
            width=4,
            thresholds=rising(900, 3600),
        ),
        single(
            Words(
                "Budget delay",
                "How long the longest waiting request has waited for the request budget "
                "(detection.requests_per_minute).",
                "s",
                UNKNOWN,
            ),
            [Query(f"max({series('budget_delay_seconds')})")],
            width=4,
            thresholds=rising(15, 60),
        ),
        single(
            Words(
                "Clock skew",
                "The server's clock less the watchdog's, of the project where it is largest either way.",
                "s",
                UNKNOWN,
            ),
            [
                Query(
                    f"topk(1, abs({series('clock_skew_seconds')})) * sgn({series('clock_skew_seconds')})",
                    "{{project}}",
                )
            ],
            width=4,
            thresholds=steps((None, RED), (-30, AMBER), (-5, GREEN), (5, AMBER), (30, RED)),
        ),
        single(
            Words(
                "Price age",
                "How long ago the least recently verified price in use was verified; every estimate rests "
                "on it.",
                "s",
                "no price in use",
            ),
            [Query(f"max(time() - {PREFIX}price_verified_timestamp_seconds)")],
            width=4,
            thresholds=rising(90 * DAY, 180 * DAY),
        ),
        single(
            Words(
                "What the server counts",
                "Whether its num_participants includes agents, as the watchdog has learned it.",
                "short",
                UNKNOWN,
            ),
            [
                Query(
                    f"max by (project, meaning) ({series('count_includes_agents_info')})",
                    "{{project}}: {{meaning}}",
                )
            ],
            width=4,
            names=True,
        ),
        single(
            Words("Version", "The version of the watchdog that runs.", "short", "none runs"),
            [Query(f"max by (version) ({PREFIX}build_info)", "{{version}}")],
            width=4,
            names=True,
        ),
    ]


def _ticks() -> list[Builder[model.Panel]]:
    return [
        bars(
            Words(
                "Ticks by result",
                "Passes over a project: ok; suspicious (not believed); failed; backing_off (the server "
                "asked for rest).",
                "short",
                "none",
            ),
            [Query(f"sum by (result) ({grown(series('ticks_total'))})", "{{result}}")],
        ),
        lines(
            Words("Tick duration", "How long a pass over a project took.", "s", "none"),
            [
                Query(quantile(0.5, "tick_duration_seconds"), "half of them"),
                Query(quantile(0.95, "tick_duration_seconds"), "95 %"),
                Query(quantile(0.99, "tick_duration_seconds"), "99 %"),
            ],
        ),
    ]


def _requests() -> list[Builder[model.Panel]]:
    errors = series("api_requests_total", PROJECT + ', code!="ok"')
    rate = f"rate({series('api_requests_total')}[$__rate_interval])"
    return [
        lines(
            Words("API requests", "Requests to the LiveKit server by method.", "reqps", "none"),
            [Query(f"sum by (method) ({rate})", "{{method}}")],
            width=8,
        ),
        bars(
            Words(
                "API errors",
                "Requests that did not come back well, by method and what went wrong.",
                "short",
                "none",
            ),
            [Query(f"sum by (method, code) ({grown(errors)})", "{{method}}: {{code}}")],
            width=8,
        ),
        lines(
            Words(
                "Request latency (95 %)",
                "What 95 % of the requests took at most, failed ones included.",
                "s",
                "none",
            ),
            [Query(quantile(0.95, "api_request_duration_seconds", "method"), "{{method}}")],
            width=8,
        ),
    ]


def _holding() -> list[Builder[model.Panel]]:
    return [
        states(
            Words(
                "Gates",
                "When which gate let nothing be deleted, of a whole project or of a room that was due. "
                "Gates that held at no time are not listed.",
                "short",
                "none held",
            ),
            Query(
                f"max by (project, gate) ({series('gate_holding')}) == 1", "{{project}}: {{gate}}"
            ),
            {"1": ("holds", AMBER)},
        ),
        lines(
            Words(
                "Troubled rooms by state",
                "ineffective: said to be deleted, and still there; unknown: no answer; stranded: its node "
                "does not answer; resurrected: the name is back, with agents alone.",
                "short",
                "none",
            ),
            [Query(f"sum by (state) ({series('troubled_rooms')})", "{{state}}")],
        ),
        lines(
            Words(
                "Age of what is known",
                "Last good tick, least recent look at a room, longest wait for the request budget.",
                "s",
                UNKNOWN,
            ),
            [
                Query(
                    f"max(time() - {series('last_success_timestamp_seconds')})", "last good tick"
                ),
                Query(f"max({series('sweep_age_seconds')})", "sweep age"),
                Query(f"max({series('budget_delay_seconds')})", "budget delay"),
            ],
        ),
        lines(
            Words(
                "Blind time",
                "Share of each moment that was not watched, because no good tick fell into it.",
                "percentunit",
                UNKNOWN,
            ),
            [
                Query(
                    f"sum by (project) (rate({series('blind_seconds_total')}[$__rate_interval]))",
                    "{{project}}",
                )
            ],
        ),
    ]


def _process() -> list[Builder[model.Panel]]:
    return [
        bars(
            Words(
                "Webhooks by result",
                "accepted, ignored (nothing is learned from that kind), or turned away: duplicate, stale, "
                "forged, malformed, oversized, dropped (the queue was full).",
                "short",
                "none",
            ),
            [Query(f"sum by (result) ({grown(series('webhook_events_total'))})", "{{result}}")],
            width=6,
        ),
        bars(
            Words(
                "Notifications by result",
                "Messages that the watchdog sent by itself: sent, failed (not tried again), or dropped (too "
                "many waited).",
                "short",
                "none, or no channel",
            ),
            [Query(f"sum by (result) ({grown(series('notifications_total', ''))})", "{{result}}")],
            width=6,
        ),
        lines(
            Words("CPU", "Share of one core that the watchdog uses.", "percentunit", UNKNOWN),
            [
                Query(
                    of_watchdogs("rate(process_cpu_seconds_total[$__rate_interval])"),
                    "{{instance}}",
                )
            ],
            width=6,
        ),
        lines(
            Words("Memory", "Resident memory of the watchdog.", "bytes", UNKNOWN),
            [Query(of_watchdogs("process_resident_memory_bytes"), "{{instance}}")],
            width=6,
        ),
    ]
