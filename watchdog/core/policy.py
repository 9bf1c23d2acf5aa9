"""Which policy speaks for an orphaned room, and when the room is due (SAFETY B and C).

Pure: everything is an argument. Where history is not known a policy *may* match, and of all that may the
most patient decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, StrEnum
from fnmatch import fnmatchcase

SERVER_MARGIN = 30.0
"""Seconds that the server itself is left beyond its own timeouts."""
GRACE_BEYOND_POLL = 10.0 + 25.0
"""A count lags by 10 s, and a lost connection is noticed after 25 s: no grace is shorter by accident."""
NEVER = float("inf")


class Action(StrEnum):
    """What a policy asks for once a room is due, the most patient first."""

    KEEP = "keep"
    WARN = "warn"
    DELETE = "delete"


class Fit(Enum):
    """Whether a policy matches a room."""

    NO = "no"
    MAYBE = "maybe"  # it asks for something that is not known
    YES = "yes"


@dataclass(frozen=True, slots=True)
class Match:
    """What a policy asks of a room; what it leaves out matches everything.

    `rooms` and `agents` are globs of which one must match. `person_seen` asks whether a person was ever
    there, `last_person_kinds` that every person was of one of these kinds (LiveKit's words).
    """

    rooms: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    person_seen: bool | None = None
    last_person_kinds: frozenset[str] = frozenset()
    hung_up: bool = False
    """The last person left with CLIENT_INITIATED, which only webhooks can tell."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A named rule. Times are seconds of watched age; None is no limit. `max_spend` is USD, low.

    `warn_before`: so many seconds before they are due the agents are told; None: they are not.
    `delete_dispatch`: first end the agents' dispatches, and delete only what is left.
    """

    name: str
    match: Match = field(default_factory=Match)
    grace: float = 600.0
    respect_room_timeouts: bool = True
    hard_limit: float | None = None
    max_spend: Decimal | None = None
    action: Action = Action.DELETE
    built_in: bool = False
    warn_before: float | None = None
    delete_dispatch: bool = False


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What the walk needs to know of one orphaned room. None is not known (A8).

    `age` is watched seconds. `person_kinds` are the kinds of all persons there ever were.
    `empty_left` is what the room's empty_timeout still left when the episode began, in seconds.
    """

    room: str
    agents: tuple[str, ...]
    age: float
    departure_timeout: float
    empty_left: float
    person_seen: bool | None = None
    person_kinds: frozenset[str] | None = None
    hung_up: bool | None = None
    spend_low: Decimal = Decimal(0)
    burn_low: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Step:
    """One policy of the walk: whether it matches, and why or why not."""

    policy: Policy
    fit: Fit
    why: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """The policy that decides, when the room is due under it (age in seconds), and the whole walk."""

    policy: Policy
    due_age: float
    why_due: str
    walk: tuple[Step, ...]

    def is_due(self, age: float) -> bool:
        """Whether the room has reached its due age."""
        return age >= self.due_age

    def is_to_be_warned(self, age: float) -> bool:
        """Whether the room is so near to its deletion that its agents are told, where they are."""
        ahead = self.policy.warn_before
        deletes = self.policy.action is Action.DELETE
        return deletes and ahead is not None and age >= self.due_age - ahead


def built_in_policies(poll: float) -> tuple[tuple[Policy, ...], tuple[Policy, ...]]:
    """The policies before the user's and those after them, for a poll interval in seconds (SAFETY B)."""
    shortest = poll + GRACE_BEYOND_POLL
    before = (
        Policy("transfer", Match(rooms=("*-human-agent",)), action=Action.WARN, built_in=True),
    )
    after = (
        Policy(
            "phone",
            Match(person_seen=True, last_person_kinds=frozenset({"SIP"}), hung_up=True),
            grace=max(60.0, shortest),
            respect_room_timeouts=False,
            built_in=True,
        ),
        Policy(
            "never-attended",
            Match(person_seen=False),
            grace=max(1800.0, shortest),
            hard_limit=14_400.0,
            built_in=True,
        ),
        Policy("default", grace=max(600.0, shortest), hard_limit=14_400.0, built_in=True),
    )
    return before, after


def fit(match: Match, facts: RoomFacts) -> tuple[Fit, str]:
    """Whether a match fits a room, with the reason in words."""
    if match.rooms and not any(fnmatchcase(facts.room, glob) for glob in match.rooms):
        return Fit.NO, f"the room's name is none of {', '.join(match.rooms)}"
    if match.agents and not any(
        fnmatchcase(name, glob) for name in facts.agents for glob in match.agents
    ):
        return Fit.NO, f"no agent in it is any of {', '.join(match.agents)}"
    unknown: list[str] = []
    if match.person_seen is not None:
        if facts.person_seen is None:
            unknown.append("whether a person was ever there is not known")
        elif facts.person_seen is not match.person_seen:
            return Fit.NO, "a person was there" if facts.person_seen else "no person was ever there"
    if match.last_person_kinds:
        wanted = ", ".join(sorted(match.last_person_kinds))
        if facts.person_seen is False:
            return Fit.NO, "no person was ever there"
        if facts.person_kinds is None:
            unknown.append(f"whether every person was {wanted} is not known")
        elif not facts.person_kinds <= match.last_person_kinds:
            return Fit.NO, f"not every person was {wanted}"
    if match.hung_up:
        if facts.hung_up is None:
            unknown.append("whether the last person hung up is not known")
        elif not facts.hung_up:
            return Fit.NO, "the last person did not hang up"
    if unknown:
        return Fit.MAYBE, "; ".join(unknown)
    return Fit.YES, "everything it asks for is so"


def due_age(policy: Policy, facts: RoomFacts) -> tuple[float, str]:
    """The age in watched seconds at which a room is due under a policy (SAFETY C), and what decides it.

    max(grace, min(T + 30 s, hard_limit, the age at which the low spend reaches max_spend)).
    """
    server, said = _server_timeout(policy, facts)
    candidates = [(server + SERVER_MARGIN, said)]
    if policy.hard_limit is not None:
        candidates.append((policy.hard_limit, "the policy's hard_limit"))
    if policy.max_spend is not None:
        candidates.append((_spend_age(policy.max_spend, facts), "the policy's max_spend"))
    least, why = min(candidates)
    if policy.grace >= least:
        return policy.grace, "the policy's grace"
    return least, why


def _server_timeout(policy: Policy, facts: RoomFacts) -> tuple[float, str]:
    if not policy.respect_room_timeouts:
        return 0.0, "the policy does not wait for the room's timeouts"
    if facts.person_seen is True:
        return facts.departure_timeout, "the room's departure_timeout and 30 s"
    if facts.person_seen is False:
        return facts.empty_left, "what is left of the room's empty_timeout, and 30 s"
    longer = max(facts.departure_timeout, facts.empty_left)
    return longer, "the longer of the room's timeouts (its history is not known), and 30 s"


def _spend_age(limit: Decimal, facts: RoomFacts) -> float:
    if facts.spend_low >= limit:
        return 0.0
    if facts.burn_low <= 0:
        return NEVER
    return facts.age + float((limit - facts.spend_low) / facts.burn_low * 3600)


def walk(policies: Sequence[Policy], facts: RoomFacts) -> Ruling:
    """Walk the list from the top; of the policies that may match the most patient decides (SAFETY B).

    The list ends with one that matches everything. Raises ValueError for a list that does not.
    """
    steps: list[Step] = []
    for policy in policies:
        found, why = fit(policy.match, facts)
        steps.append(Step(policy, found, why))
        if found is Fit.YES:
            break
    else:
        raise ValueError("the last policy must match everything")
    candidates = [step.policy for step in steps if step.fit is not Fit.NO]
    decides = max(candidates, key=lambda policy: _patience(policy, facts))
    age, why = due_age(decides, facts)
    return Ruling(decides, age, why, tuple(steps))


def _patience(policy: Policy, facts: RoomFacts) -> tuple[int, float]:
    order = (Action.DELETE, Action.WARN, Action.KEEP)
    return order.index(policy.action), due_age(policy, facts)[0]


def ordered(
    before: Iterable[Policy], users: Iterable[Policy], after: Iterable[Policy]
) -> tuple[Policy, ...]:
    """The whole list in the order of the walk."""
    return (*before, *users, *after)
