"""What one tick has to say: read by metrics, HTTP, the commands and the terminal."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from watchdog.core.deletion import AuditEntry, Mode
from watchdog.core.gates import PROTECTIONS, Word, holding
from watchdog.core.model import CountMeaning, Episode, TickResult, VerdictState
from watchdog.core.periods import BudgetView, Period
from watchdog.core.policy import Action, Ruling
from watchdog.core.records import Suspect
from watchdog.core.spend import Spend


@dataclass(frozen=True, slots=True)
class OrphanView:
    """One room whose episode is open, as of this tick.

    `ruling` is what its policy says, `words` what the gates say of it once it is due. `age` is watched
    seconds since `first_orphaned_at`, `session_age` seconds since the room's creation by our clock;
    `agent_name` is the first agent's name by the bounded label rule.
    """

    episode: Episode
    state: VerdictState
    reason: str
    agent_name: str
    age: float
    session_age: float
    num_participants: int
    spend: Spend
    ruling: Ruling | None = None
    words: tuple[Word, ...] = ()

    @property
    def holding(self) -> tuple[Word, ...]:
        """The gates that keep a due room from being deleted."""
        return holding(self.words)

    @property
    def policy(self) -> str:
        """The name of the policy that decides, empty where none was asked."""
        return self.ruling.policy.name if self.ruling else ""

    @property
    def due(self) -> bool:
        """Whether it is past its policy's threshold, under a policy that asks for something."""
        return (
            self.ruling is not None
            and self.ruling.policy.action is not Action.KEEP
            and self.ruling.is_due(self.age)
        )


class ChangeKind(StrEnum):
    """What a line in the log is about."""

    OPENED = "episode_opened"
    CLOSED = "episode_closed"
    AGENTS = "agents_changed"
    STRANDED = "stranded"
    REACHABLE = "reachable_again"
    DUE = "due"
    WOULD_DELETE = "would_delete"
    DELETION_SENT = "deletion_sent"
    NOT_DELETED = "not_deleted"
    WARNED = "warned"
    DISPATCH_ENDED = "dispatch_ended"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that happened to one episode in this tick; one log line each."""

    kind: ChangeKind
    episode: Episode
    detail: str


_LASTING = PROTECTIONS | {"action", "allow_list"}
"""Gates that do not open by themselves soon: what one of them keeps is not about to be deleted."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a change to a mode that deletes more makes deletable at once: the oldest rooms first."""

    before: Mode
    now: Mode
    rooms: tuple[OrphanView, ...]

    @classmethod
    def after_change(
        cls, before: Mode | None, now: Mode, orphans: Iterable[OrphanView]
    ) -> "Backlog | None":
        """The backlog of a mode that deletes more than the one before; None where it does not.

        `orphans` carry the words of the gates under the new mode. A mode that is not known changed nothing.
        """
        if before is None or now.patience >= before.patience:
            return None
        waiting = [view for view in orphans if view.due and not _is_kept(view)]
        return cls(before, now, tuple(sorted(waiting, key=lambda view: -view.age)))


def _is_kept(view: OrphanView) -> bool:
    return any(word.gate in _LASTING and word.passes is False for word in view.words)


@dataclass(frozen=True, slots=True)
class TickReport:
    """One pass over one project.

    `last_success_at` is the newest good tick, this one included; `error` one sentence where the
    tick failed. `due` counts the rooms past their threshold by policy. `spend` and `burn` are by
    agent name (bounded label), burn in USD per hour.
    `gates` tells by gate whether it holds: one of the whole project at all, one of a room's for a room
    that is due; `holds` are the words of those of the project that do. `outcomes` are the attempts to
    delete that were settled. `suspects` are the oldest suspect rooms (at most 100), `suspect_counts` counts
    all of them by reason, and `new_suspects` are those that this tick tells of for the first time. `backlog`
    is said once, by the first good tick after the project's mode became one that deletes more.
    `sweep_age` is how long ago, in seconds, the room looked at least recently was looked at (or
    first listed); `budget_delay` how long the longest waiting request has waited for the budget.
    """

    project: str
    number: int
    at: datetime
    result: TickResult
    duration: float
    watched_seconds: float
    blind_seconds: float
    last_success_at: datetime | None
    error: str = ""
    rooms: Mapping[VerdictState, int] = field(default_factory=dict)
    orphans: tuple[OrphanView, ...] = ()
    orphaned_agents: Mapping[str, int] = field(default_factory=dict)
    duplicate_agents: int = 0
    """Agents beside another of the same name in the same orphaned room."""
    stranded: int = 0
    due: Mapping[str, int] = field(default_factory=dict)
    spend: Mapping[str, Spend] = field(default_factory=dict)
    burn: Mapping[str, Spend] = field(default_factory=dict)
    avoided: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    """What verified deletions have avoided, in USD by agent name (bounded label) and basis."""
    budgets: Mapping[Period, BudgetView] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    gates: Mapping[str, bool] = field(default_factory=dict)
    holds: tuple[Word, ...] = ()
    outcomes: tuple[AuditEntry, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    suspect_counts: Mapping[str, int] = field(default_factory=dict)
    new_suspects: tuple[Suspect, ...] = ()
    troubled: Mapping[str, int] = field(default_factory=dict)
    """Orphaned rooms whose deletion did not do what it should, by what is wrong."""
    joined_after_deletion: int = 0
    """Persons who joined the name of a room within 60 s of its deletion, and were counted in this tick."""
    backlog: Backlog | None = None
    requests: Mapping[str, int] = field(default_factory=dict)
    rows_written: int = 0
    money_fault: str = ""
    """What kept spend from being reckoned, in one sentence: a fault of the watchdog's own."""
    sweep_age: float = 0.0
    budget_delay: float = 0.0
    count_meaning: CountMeaning = CountMeaning.UNLEARNED
    clock_skew: float | None = None
