"""The dashboard of what is left alone, since when, and what that costs."""

from grafana_foundation_sdk.builders import dashboard, stat
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.expressions import AGENT, PROJECT, grown, series, spent
from grafana.frame import framed
from grafana.panels import (
    Column,
    Query,
    Words,
    bars,
    lines,
    merged,
    rising,
    single,
)

UID = "livekit-watchdog-overview"
UNKNOWN = "not known"
ESTIMATE = "An estimate from list prices, not a bill."


def overview() -> dashboard.Dashboard:
    """The dashboard, to be built."""
    return framed(
        UID,
        "LiveKit watchdog: overview",
        "Rooms where only agents are left: how many, since when, at what estimated cost, and what was done.",
        [
            ("Now", [*_now(), *_attention()]),
            ("Rooms", [_oldest()]),
            ("Over time", _over_time()),
        ],
        by_agent=True,
    )


def _now() -> list[Builder[model.Panel]]:
    orphaned = series("rooms", f'{PROJECT}, verdict="orphaned"')
    known = f"0 * sum({series('oldest_orphan_age_seconds')})"
    return [
        single(
            Words(
                "Orphaned rooms",
                "Rooms where agents are and no person is, at the last good tick.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum({orphaned})")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words("Orphaned agents", "Agents in rooms where no person is.", "short", UNKNOWN),
            # Without any there is no series: 0 where it is known that there are none.
            [Query(f"sum({series('orphaned_agents', AGENT)}) or {known}")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Oldest orphan",
                "Watched time since the longest open episode began; 0 where none is open.",
                "s",
                UNKNOWN,
            ),
            [Query(f"max({series('oldest_orphan_age_seconds')})")],
            width=4,
            thresholds=rising(600, 3600),
        ),
        single(
            Words(
                "Burn per hour (estimate)",
                f"{ESTIMATE} What the agents that are alone now cost per hour: low counts what certainly "
                "bills, high also what may. Absent where a price is missing.",
                "currencyUSD",
                "none, or unpriced",
            ),
            [
                Query(f"sum({series('burn_low_usd_per_hour', AGENT)})", "low"),
                Query(f"sum({series('burn_high_usd_per_hour', AGENT)})", "high"),
            ],
            width=6,
            decimals=2,
        ),
        single(
            Words(
                "Spend in this range (estimate)",
                f"{ESTIMATE} What agents left alone cost within the range of this dashboard: low over the "
                "time that was certainly orphaned, high over the time that possibly was. Absent where a "
                "price is missing.",
                "currencyUSD",
                "none, or unpriced",
            ),
            [
                Query(spent("spend_low_usd_total"), "low"),
                Query(spent("spend_high_usd_total"), "high"),
            ],
            width=6,
            decimals=2,
        ),
    ]


def _attention() -> list[stat.Panel]:
    return [
        single(
            Words(
                "Due",
                "Rooms past their policy's threshold and not deleted: in mode observe they wait for you, "
                "else for the looks before a deletion or for a gate that holds.",
                "short",
                "0",
            ),
            [Query(f"sum({series('orphaned_rooms_due')})")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Stranded",
                "Rooms with an open episode that are listed but whose node does not answer.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum({series('stranded_rooms')})")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Suspect",
                "Attended rooms whose persons look like machines, rooms not known for long, and counts that "
                "disagree: shown for you to look at, never deleted.",
                "short",
                "0",
            ),
            [Query(f"sum({series('suspect_rooms')})")],
            width=4,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Unverified spend (estimate)",
                f"{ESTIMATE} Within the range, of rooms that are listed but not reachable: it is not known "
                "whether anything runs there, so it is in neither of the other sums.",
                "currencyUSD",
                UNKNOWN,
            ),
            [Query(f"sum(increase({series('unverified_usd_total')}[$__range]))")],
            width=6,
            decimals=2,
        ),
        single(
            Words(
                "Avoided in this range (estimate)",
                f"{ESTIMATE} Low estimate of what verified deletions avoided: until the server itself would "
                "have closed the room, or for an hour; counted as the time passes.",
                "currencyUSD",
                "none, or unpriced",
            ),
            [Query(f"sum(increase({series('avoided_usd_total', AGENT)}[$__range]))")],
            width=6,
            decimals=2,
        ),
        single(
            Words(
                "Budget used (estimate)",
                f"{ESTIMATE} What orphans have cost in the present day or month (UTC, low), as a share of "
                "the budget.",
                "percentunit",
                "no budget",
            ),
            [
                Query(
                    f"max by (project, period) ({series('budget_spent_low_usd')} "
                    f"/ on (job, instance, project, period) {series('budget_usd')})",
                    "{{project}}: {{period}}",
                )
            ],
            width=8,
            thresholds=rising(0.8, 1),
            decimals=0,
        ),
        single(
            Words(
                "Duplicate agents",
                "Agents beside another of the same name in the same orphaned room; each is charged.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum({series('duplicate_agents')})")],
            width=8,
            thresholds=rising(1),
        ),
        single(
            Words(
                "Mode",
                "What the watchdog may do to each project: observe deletes nothing, allowlist only rooms on "
                "the allow-list, enforce whatever a policy says.",
                "short",
                "no project",
            ),
            [Query(f"max by (project, mode) ({series('mode_info')})", "{{project}}: {{mode}}")],
            width=8,
            names=True,
        ),
    ]


def _oldest() -> Builder[model.Panel]:
    by = "max by (project, room, agent_name, policy)"
    return merged(
        Words(
            "Oldest orphaned rooms",
            "The 20 oldest of each project. The spend is a low estimate from list prices, not a bill; it is "
            "empty where a price is missing.",
            "short",
            "none",
        ),
        [
            Query(f"{by} ({series('orphaned_room_age_seconds', AGENT)})"),
            Query(f"{by} ({series('orphaned_room_session_age_seconds', AGENT)})"),
            Query(f"{by} ({series('orphaned_room_spend_usd', AGENT)})"),
        ],
        [
            Column("project", "Project"),
            Column("room", "Room"),
            Column("agent_name", "Agent"),
            Column("policy", "Policy"),
            Column("Value #A", "Orphaned for", "s"),
            Column("Value #B", "Room's age", "s"),
            Column("Value #C", "Spend (low estimate)", "currencyUSD"),
        ],
        sort_by="Orphaned for",
    )


def _over_time() -> list[Builder[model.Panel]]:
    return [
        lines(
            Words("Orphaned agents by name", "Agents left alone, by their name.", "short", "none"),
            [Query(f"sum by (agent_name) ({series('orphaned_agents', AGENT)})", "{{agent_name}}")],
        ),
        lines(
            Words(
                "Rooms by verdict",
                "attended: a person is there; orphaned: agents alone; empty: nobody; unknown: could not "
                "tell, and so left alone.",
                "short",
                UNKNOWN,
            ),
            [Query(f"sum by (verdict) ({series('rooms')})", "{{verdict}}")],
        ),
        lines(
            Words(
                "Burn per hour by agent (estimate)",
                f"{ESTIMATE} The low estimate, by agent.",
                "currencyUSD",
                "none, or unpriced",
            ),
            [
                Query(
                    f"sum by (agent_name) ({series('burn_low_usd_per_hour', AGENT)})",
                    "{{agent_name}}",
                )
            ],
        ),
        lines(
            Words(
                "Spent and avoided (estimate)",
                f"{ESTIMATE} Since the counters began: what orphans cost, low and high, and what deletions "
                "avoided.",
                "currencyUSD",
                "none, or unpriced",
            ),
            [
                Query(f"sum({series('spend_low_usd_total', AGENT)})", "spent, low"),
                Query(f"sum({series('spend_high_usd_total', AGENT)})", "spent, high"),
                Query(f"sum({series('avoided_usd_total', AGENT)})", "avoided"),
            ],
        ),
        lines(
            Words(
                "Budget and spend (estimate)",
                f"{ESTIMATE} The present day or month (UTC), low estimate, beside its budget.",
                "currencyUSD",
                "no budget",
            ),
            [
                Query(
                    f"max by (project, period) ({series('budget_spent_low_usd')})",
                    "{{project}} {{period}}: spent",
                ),
                Query(
                    f"max by (project, period) ({series('budget_usd')})",
                    "{{project}} {{period}}: budget",
                ),
            ],
        ),
        bars(
            Words(
                "Deletions by outcome",
                "Decisions to delete by what became of them, each once, when it is settled. would_delete: "
                "what mode observe only wrote down.",
                "short",
                "none",
            ),
            [
                Query(
                    f"sum by (outcome) ({grown(series('deletion_attempts_total'))})", "{{outcome}}"
                )
            ],
        ),
        lines(
            Words(
                "Due, stranded and suspect rooms",
                "Due: past their policy's threshold and not deleted. Stranded: their node does not answer. "
                "Suspect: shown, never deleted.",
                "short",
                "none",
            ),
            [
                Query(f"sum({series('orphaned_rooms_due')})", "due"),
                Query(f"sum({series('stranded_rooms')})", "stranded"),
                Query(f"sum({series('suspect_rooms')})", "suspect"),
            ],
        ),
        bars(
            Words(
                "How orphaned rooms ended",
                "Episodes that closed, by why: a person came back, the room was deleted, it closed by "
                "itself, and others.",
                "short",
                "none",
            ),
            [
                Query(
                    f"sum by (close_reason) ({grown(series('episode_duration_seconds_count'))})",
                    "{{close_reason}}",
                )
            ],
        ),
    ]
