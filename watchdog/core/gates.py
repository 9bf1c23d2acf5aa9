"""The gates: every condition that must hold before a room is deleted (SAFETY D).

Each gate is one small pure function with a name; it answers whether it lets the room pass, and a sentence.
None, in place of yes or no, means that whoever asks cannot know: a command beside the daemon, say. Only
yes is yes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from watchdog.core.arming import ARMING_SECONDS, LEAST_CONFIRMATIONS, Arming
from watchdog.core.deletion import Mode
from watchdog.core.hold import FOR_EVER
from watchdog.core.policy import Action, Ruling
from watchdog.core.roomlists import ListEntry, ListName, listed
from watchdog.core.warmup import WARM_SECONDS, WARM_TICKS

Answer = tuple[bool | None, str]

ALWAYS = float("inf")
JUMP_SECONDS = 60.0
"""So long after our clock was set nothing is deleted, by hand neither."""


@dataclass(frozen=True, slots=True)
class Safeguards:
    """What the operator has configured about deleting in one project.

    `protected` and `allowed` are globs over room names. `recordings` is for how many seconds of an
    episode a running recording protects its room: 0 never, `ALWAYS` always.
    """

    mode: Mode = Mode.OBSERVE
    protected: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    recordings: float = 3600.0
    simulations: bool = True
    per_tick: int = 10
    per_hour: int = 60
    limit_hold: float = 1800.0
    max_drop: float = 0.5
    min_population: int = 20
    confirmations: int = LEAST_CONFIRMATIONS


@dataclass(frozen=True, slots=True)
class ProjectState:
    """What holds for every room of a project at one moment; None is not known.

    `entries` are what operators put on the lists, beside the configured globs. `paused` says by whom and
    why, empty where it is not; likewise `stopped` and `sudden`. `since_jump` is seconds since our clock was
    set. `waiting` counts the rooms that every gate but the arming lets pass, `recent` the deletions of the
    last hour; `held_for` is seconds since too many waited, None where they do not.
    """

    safeguards: Safeguards
    entries: tuple[ListEntry, ...] | None = None
    paused: str | None = None
    stopped: str | None = None
    refused: str | None = None
    sudden: str | None = None
    good_ticks: int | None = None
    warm_seconds: float | None = None
    since_jump: float | None = None
    locked: bool | None = None
    unwritten: str | None = None
    waiting: int | None = None
    recent: int | None = None
    held_for: float | None = None


@dataclass(frozen=True, slots=True)
class RoomCase:
    """One room with an open episode, as the gates see it; None is not known. Ages are watched seconds."""

    room_name: str
    project: str
    now: datetime
    orphaned: bool | None
    why_orphaned: str
    ruling: Ruling | None
    age: float
    recording: bool | None = None
    simulated: bool | None = None
    hold_known: bool = False
    held_until: datetime | None = None
    stranded: bool = False
    warned_known: bool = False
    warned_for: float | None = None
    """Seconds since its agents were warned; None: they were not."""
    pending: str | None = None
    """What an earlier attempt still waits for; empty where there is none."""
    cooldown: float | None = None
    why_cooldown: str = ""
    turn: bool = False
    """Where too many wait: whether it is among those that go one by one now."""
    arming_known: bool = False
    arming: Arming | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """What one gate says of one room. `waived`: it was not asked, since an operator answers for it."""

    gate: str
    passes: bool | None
    why: str
    waived: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition. `of_project`: it holds for all rooms of a project alike."""

    name: str
    ask: Callable[[ProjectState, RoomCase], Answer]
    of_project: bool = False


def _orphaned(_: ProjectState, room: RoomCase) -> Answer:
    return room.orphaned, room.why_orphaned


def _mode(project: ProjectState, _: RoomCase) -> Answer:
    mode = project.safeguards.mode
    if mode is Mode.OBSERVE:
        return False, "mode observe deletes nothing"
    return True, f"mode {mode} may delete"


def _paused(project: ProjectState, _: RoomCase) -> Answer:
    if project.paused is None:
        return None, "whether it is paused is not known"
    return not project.paused, project.paused or "nobody has paused it"


def _stop_file(project: ProjectState, _: RoomCase) -> Answer:
    if project.stopped is None:
        return None, "whether there is a STOP file is not known"
    return not project.stopped, project.stopped or "no STOP file beside the database"


def _sudden_change(project: ProjectState, _: RoomCase) -> Answer:
    if project.sudden is None:
        return None, "how much changed of late is not known"
    return not project.sudden, project.sudden or "no sudden change of who is there"


def _permitted(project: ProjectState, _: RoomCase) -> Answer:
    if project.refused is None:
        return None, "whether the server refuses to delete is not known"
    return not project.refused, project.refused or "the server has not refused to delete"


def _protected(project: ProjectState, room: RoomCase) -> Answer:
    said = _listed(ListName.PROTECT, project.safeguards.protected, project, room)
    if said is not None:
        return False, said
    if project.entries is None:
        return None, "what operators have protected is not known"
    return True, "not on the protect list"


def _recording(project: ProjectState, room: RoomCase) -> Answer:
    limit = project.safeguards.recordings
    if not limit or room.recording is False:
        return True, "recordings do not protect" if not limit else "no recording runs"
    if room.age >= limit:
        return True, f"a recording protects for the first {limit:g} s of an episode"
    if room.recording is None:
        return None, "whether a recording runs is not known"
    return False, "a recording runs" + ("" if limit == ALWAYS else f", for up to {limit:g} s")


def _simulation(project: ProjectState, room: RoomCase) -> Answer:
    if not project.safeguards.simulations or room.simulated is False:
        return True, "no simulated participant"
    if room.simulated is None:
        return None, "whether a participant is simulated is not known"
    return False, "a simulated participant is, or was, in it"


def _hold(_: ProjectState, room: RoomCase) -> Answer:
    if not room.hold_known:
        return None, "the room's metadata is not known"
    if room.held_until is None:
        return True, "its metadata holds nothing"
    if room.held_until <= room.now:
        return True, f"its hold ended at {room.held_until:%Y-%m-%d %H:%M:%S%z}"
    if room.held_until == FOR_EVER:
        return False, "its metadata holds it until somebody takes the hold away"
    return False, f"its metadata holds it until {room.held_until:%Y-%m-%d %H:%M:%S%z}"


def _allow_list(project: ProjectState, room: RoomCase) -> Answer:
    if project.safeguards.mode is not Mode.ALLOWLIST:
        return True, f"mode {project.safeguards.mode} asks for no list"
    said = _listed(ListName.ALLOW, project.safeguards.allowed, project, room)
    if said is not None:
        return True, said
    if project.entries is None:
        return None, "what operators have allowed is not known"
    return False, "not on the deletion allow-list"


def _listed(
    name: ListName, configured: Iterable[str], project: ProjectState, room: RoomCase
) -> str | None:
    return listed(
        name,
        configured,
        project.entries or (),
        project=room.project,
        room_name=room.room_name,
        now=room.now,
    )


def _action(_: ProjectState, room: RoomCase) -> Answer:
    if room.ruling is None:
        return None, "which policy speaks for it is not known"
    policy = room.ruling.policy
    return policy.action is Action.DELETE, f"policy {policy.name} asks to {policy.action}"


def _due(_: ProjectState, room: RoomCase) -> Answer:
    if room.ruling is None:
        return None, "when it is due is not known"
    due = room.ruling.due_age
    said = f"due at {due:.0f} s ({room.ruling.why_due}), alone for {room.age:.0f} s"
    return room.ruling.is_due(room.age), said


def _warned(_: ProjectState, room: RoomCase) -> Answer:
    if room.ruling is None:
        return None, "which policy speaks for it is not known"
    policy, since = room.ruling.policy, room.warned_for
    if policy.warn_before is None:
        return True, f"policy {policy.name} asks for no warning"
    if not room.warned_known:
        return None, "whether its agents were warned is not known"
    if since is None:
        return (
            False,
            f"its agents are to be warned {policy.warn_before:g} s before; they were not yet",
        )
    said = f"its agents were warned {since:.0f} s ago, of {policy.warn_before:g} s asked for"
    return since >= policy.warn_before, said


def _reachable(_: ProjectState, room: RoomCase) -> Answer:
    if room.stranded:
        return (
            False,
            "its node does not answer: nothing runs there, and deleting it could start it anew",
        )
    return True, "its node answers, as far as is known"


def _warmed_up(project: ProjectState, _: RoomCase) -> Answer:
    ticks, seconds = project.good_ticks, project.warm_seconds
    if ticks is None or seconds is None:
        return None, "how long the daemon has been watching is not known"
    said = f"{ticks} good ticks of {WARM_TICKS} and {seconds:.0f} s of {WARM_SECONDS:.0f} without a break"
    return ticks >= WARM_TICKS and seconds >= WARM_SECONDS, said


def _clock_jump(project: ProjectState, _: RoomCase) -> Answer:
    if project.since_jump is None:
        return None, "whether the clock was set is not known"
    if project.since_jump < JUMP_SECONDS:
        return False, f"this machine's clock was set {project.since_jump:.0f} s ago"
    return True, "this machine's clock was not set"


def _lock(project: ProjectState, _: RoomCase) -> Answer:
    if project.locked is None:
        return None, "whether a run holds the database's lock or the project's lease is not known"
    return project.locked, (
        f"{'a' if project.locked else 'no'} run holds the database's lock or the project's lease"
    )


def _durable(project: ProjectState, _: RoomCase) -> Answer:
    if project.unwritten is None:
        return None, "whether everything is written is not known"
    return not project.unwritten, project.unwritten or "what was done before is written"


def _settled(_: ProjectState, room: RoomCase) -> Answer:
    if room.pending is None:
        return None, "whether an earlier attempt is settled is not known"
    return not room.pending, room.pending or "no earlier attempt is open"


def _cooldown(_: ProjectState, room: RoomCase) -> Answer:
    if room.cooldown is None:
        return None, "whether its name cools down is not known"
    if room.cooldown > 0:
        return False, f"left alone for {room.cooldown:.0f} s more: {room.why_cooldown}"
    return True, "no room of this name was deleted lately"


def _limits(project: ProjectState, room: RoomCase) -> Answer:
    waiting, recent, given = project.waiting, project.recent, project.safeguards
    if waiting is None or recent is None:
        return None, "how many rooms wait is not known"
    said = f"{waiting} rooms wait, {recent} were deleted in the last hour"
    if project.held_for is None:
        return True, said
    said += f", more than {given.per_tick} in one tick or {given.per_hour} in an hour"
    if room.turn:
        return True, f"{said}; they go one a tick now, and its turn is near"
    if project.held_for >= given.limit_hold:
        return False, f"{said}; they go one a tick, the oldest first"
    left = given.limit_hold - project.held_for
    return False, f"{said}: none is deleted for {left:.0f} s more, then one a tick"


def _armed(project: ProjectState, room: RoomCase) -> Answer:
    wanted = project.safeguards.confirmations
    if not room.arming_known:
        return None, "how often it was confirmed is not known"
    arming = room.arming
    if arming is None:
        return False, "not confirmed yet: it is looked at again once every other gate lets it pass"
    said = (
        f"{arming.looks} looks of {wanted} since it became due, {arming.span:.0f} s of "
        f"{ARMING_SECONDS:.0f} apart"
    )
    return arming.is_armed(wanted), said


_ANY_ROOM = RoomCase("", "", datetime.min.replace(tzinfo=UTC), None, "", None, 0.0)

ALLOW_LIST, ARMED, LIMITS, MODE, RECHECK = "allow_list", "armed", "limits", "mode", "recheck"
DUE, WARNED = "due", "warned"

GATES: tuple[Gate, ...] = (
    Gate("orphaned", _orphaned),
    Gate(MODE, _mode, of_project=True),
    Gate("paused", _paused, of_project=True),
    Gate("stop_file", _stop_file, of_project=True),
    Gate("protected", _protected),
    Gate("recording", _recording),
    Gate("simulation", _simulation),
    Gate("hold", _hold),
    Gate(ALLOW_LIST, _allow_list),
    Gate("action", _action),
    Gate(DUE, _due),
    Gate(WARNED, _warned),
    Gate("warmed_up", _warmed_up, of_project=True),
    Gate("clock_jump", _clock_jump, of_project=True),
    Gate("sudden_change", _sudden_change, of_project=True),
    Gate("reachable", _reachable),
    Gate("settled", _settled),
    Gate("cooldown", _cooldown),
    Gate("permitted", _permitted, of_project=True),
    Gate("lock", _lock, of_project=True),
    Gate("durable", _durable, of_project=True),
    Gate(LIMITS, _limits, of_project=True),
    Gate(ARMED, _armed),
)
"""In the order in which they are told. The last look of all, `recheck`, is taken as the request is made."""

LIMITS_AT = next(place for place, gate in enumerate(GATES) if gate.name == LIMITS)

PROTECTIONS = frozenset({"protected", "recording", "simulation", "hold"})
"""What the last look evaluates afresh, whoever asks for the deletion."""

ASKED_AFRESH = PROTECTIONS | {ALLOW_LIST}
"""And what it evaluates afresh where a policy asks: an entry can expire, or be removed, meanwhile."""

WAIVED_BY_HAND = frozenset(
    {
        MODE,
        "paused",
        ALLOW_LIST,
        "action",
        DUE,
        WARNED,
        "warmed_up",
        "sudden_change",
        "reachable",
        "permitted",
        "cooldown",
        LIMITS,
    }
)
"""What an operator who deletes by hand answers for instead; nothing else can be waived."""

NOT_KNOWN: Mapping[str, "Word"] = {}

WAITED_FOR = frozenset({LIMITS, ARMED})
"""The gates that every other one comes before: only what these alone hold back is waiting."""

NOT_ASKED_TO_WARN = WAITED_FOR | {DUE, WARNED}
"""Every other gate must let a room pass before its agents are warned: they may act on it at once."""


def words(
    project: ProjectState,
    room: RoomCase,
    *,
    waived: frozenset[str] = frozenset(),
    known: Mapping[str, Word] = NOT_KNOWN,
) -> tuple[Word, ...]:
    """What every gate says of this room. `known` is what some have said already, where none is waived."""
    if known and not waived:
        return tuple(known.get(gate.name) or _word(gate, project, room, waived) for gate in GATES)
    return tuple(_word(gate, project, room, waived) for gate in GATES)


def _word(gate: Gate, project: ProjectState, room: RoomCase, waived: frozenset[str]) -> Word:
    passes, why = gate.ask(project, room)
    if gate.name in waived and not passes:
        return Word(gate.name, True, f"waived by hand: {why}", waived=True)
    return Word(gate.name, passes, why)


def limits_word(project: ProjectState, *, turn: bool) -> Word:
    """What the limits say of every room whose turn it is, or is not: they ask for nothing else."""
    return _word(GATES[LIMITS_AT], project, replace(_ANY_ROOM, turn=turn), frozenset())


def holding(words: Iterable[Word], *, but: frozenset[str] = frozenset()) -> tuple[Word, ...]:
    """The gates that do not let the room pass, leaving out those named."""
    return tuple(w for w in words if w.passes is not True and w.gate not in but)


def project_words(project: ProjectState) -> tuple[Word, ...]:
    """What the gates of a whole project say; they look at no room."""
    return tuple(_word(gate, project, _ANY_ROOM, frozenset()) for gate in GATES if gate.of_project)
