"""What passes between the tick and the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from watchdog.core.avoided import Avoidance
from watchdog.core.gatenotes import GateNotes
from watchdog.core.model import Episode, TickResult
from watchdog.core.periods import Tally
from watchdog.core.spend import Spend


@dataclass(frozen=True, slots=True)
class Suspect:
    """A room that looks as if only machines were in it, or about which nothing can be said: never deleted.

    `since` is when what makes it suspect began.
    """

    room_name: str
    room_sid: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class TickRecord:
    """The one row a tick writes when nothing changed: the project's state, and which orphans were seen.

    `number` counts the project's ticks over restarts. `watched_seconds` is the watched clock (A9),
    `blind_seconds` what it left out. `seen` and `probed` map episode ids to the time of a look, or
    good probe, in this tick that changed nothing else. `verdicts` counts rooms by verdict, `gates` is
    what only the daemon knows of its gates. `exported` is the spend by agent name as exported after
    this tick: a counter never falls below it.
    """

    project: str
    number: int
    at: datetime
    result: TickResult
    watched_seconds: float
    blind_seconds: float
    message: str = ""
    seen: Mapping[str, datetime] = field(default_factory=dict)
    probed: Mapping[str, datetime] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    exported: Mapping[str, Spend] = field(default_factory=dict)
    avoided: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    """What deletions have avoided, in USD by agent name and basis, as exported after this tick."""
    tally: Tally = field(default_factory=Tally)
    gates: GateNotes = field(default_factory=GateNotes)
    suspects: tuple[Suspect, ...] = ()
    webhooks: tuple[str, ...] = ()
    """The ids of the webhooks that were taken in since the last record."""
    clock_set: bool = False
    """Our clock was set: what earlier records saw is on another clock, and the episodes say it all."""


@dataclass(frozen=True, slots=True)
class ProjectMemory:
    """What the store remembers of one project.

    `episodes` are the open ones, their `last_seen_orphaned_at` (the episode's and that of its present
    agents) and `last_probed_at` / `last_reachable_at` brought up to what the records say.
    `recent` are the newest closed ones, so that a room that goes on is known again. `closed_spend` is
    what closed episodes have cost, by agent name, `webhooks` the ids of those that were taken in lately.
    """

    episodes: tuple[Episode, ...] = ()
    recent: tuple[Episode, ...] = ()
    last: TickRecord | None = None
    last_good_at: datetime | None = None
    closed_spend: Mapping[str, Spend] = field(default_factory=dict)
    webhooks: tuple[str, ...] = ()
    avoiding: tuple[Avoidance, ...] = ()
    """What deletions avoid, and is not all booked yet."""
    avoided: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    """What those avoided that are over, in USD by agent name and basis."""
    accounted: frozenset[str] = frozenset()
    """The episodes lately deleted of which it is written what that avoids."""


@dataclass(frozen=True, slots=True)
class Milestones:
    """The records of a project around a stretch of time: `before` up to its beginning, `last` to its end.

    `oldest` is the oldest that is kept, `last_good_at` the newest good tick as of `last`.
    """

    before: TickRecord | None
    oldest: TickRecord
    last: TickRecord | None
    last_good_at: datetime | None
