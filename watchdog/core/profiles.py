"""Which meters a connection runs, and what they cost: profiles, and the tariffs made of them.

A profile says what one kind of agent runs; a tariff is a profile at the prices of one plan on one day; the
tariffs of a project say which one holds for which agent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase

from watchdog.core.model import AgentSpan, Role
from watchdog.core.pricebook import Meter, PriceBook
from watchdog.core.spend import Spend

AGENT_SESSION = "lk.agent_session"
WEBRTC_PARTICIPANT = "lk.webrtc_participant"
DEAREST_SIP = "lk.sip.us_tollfree_in"
DEAREST_RECORDING = "lk.egress.composite.video"


class Part(StrEnum):
    """What a connection is to the bill."""

    AGENT = "agent"
    AVATAR = "avatar"
    SIP = "sip"
    INGRESS = "ingress"
    BRIDGED = "bridged"  # kinds CONNECTOR and BRIDGE
    RECORDING = "recording"


_PART_OF_KIND: Mapping[str, Part] = {
    "SIP": Part.SIP,
    "INGRESS": Part.INGRESS,
    "CONNECTOR": Part.BRIDGED,
    "BRIDGE": Part.BRIDGED,
}


_PART_OF_ROLE: Mapping[Role, Part] = {
    Role.AGENT: Part.AGENT,
    Role.AVATAR: Part.AVATAR,
    Role.RECORDER: Part.RECORDING,
}


def part_of(span: AgentSpan) -> Part | None:
    """What this connection is billed as; None for what costs nothing here.

    A SIP leg that is configured not to count as a person is an agent to us, and still a phone line.
    """
    part = _PART_OF_ROLE.get(span.role)
    return _PART_OF_KIND.get(span.kind, part) if part is Part.AGENT else part


@dataclass(frozen=True, slots=True)
class Use:
    """One meter that a connection runs; `runs` is False where it may not. `quantity` is units at a time."""

    meter: str
    runs: bool = True
    quantity: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of agent runs, and what is left beside it, by what it is to the bill."""

    name: str
    uses: Mapping[Part, tuple[Use, ...]] = field(default_factory=dict)

    @property
    def meters(self) -> tuple[str, ...]:
        """Every meter it names, once each."""
        return tuple(dict.fromkeys(use.meter for uses in self.uses.values() for use in uses))


HOSTINGS = ("cloud-hosted", "self-hosted-on-cloud", "self-hosted-everything")
"""Where agents and server run: agents deployed to LiveKit Cloud, agents of your own on Cloud, or neither."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What an operator says their agents run besides LiveKit itself: meters of the book, by what they do.

    Empty is not said. `vcpu` and `memory_gb` are one agent's share of its machine.
    """

    stt: str = ""
    llm: str = ""
    tts: str = ""
    avatar: str = ""
    sip: str = ""
    recording: str = ""
    vcpu: Decimal = Decimal(0)
    memory_gb: Decimal = Decimal(0)


NO_CHOICES = Choices()
VCPU, MEMORY = "compute.fargate.vcpu", "compute.fargate.gb"


def profile_of(hosting: str, choices: Choices = NO_CHOICES, name: str = "") -> Profile:
    """The profile of agents hosted so, that run what was chosen. `hosting` is one of `HOSTINGS`."""
    on_cloud = hosting != "self-hosted-everything"
    webrtc: tuple[Use, ...] = (Use(WEBRTC_PARTICIPANT),) if on_cloud else ()
    agent = webrtc
    if hosting == "cloud-hosted":
        # Whether an agent deployed to Cloud pays WebRTC minutes besides its session is not stated.
        agent = (Use(AGENT_SESSION), Use(WEBRTC_PARTICIPANT, runs=False))
    chosen = [Use(meter) for meter in (choices.stt, choices.llm, choices.tts) if meter]
    shares = [
        Use(meter, quantity=share)
        for meter, share in ((VCPU, choices.vcpu), (MEMORY, choices.memory_gb))
        if share
    ]
    uses = {
        Part.AGENT: (*agent, *chosen, *shares),
        Part.AVATAR: (*webrtc, *([Use(choices.avatar)] if choices.avatar else ())),
        # Which trunk a leg came by, and what is recorded, cannot be seen: at most the dearest.
        Part.SIP: _chosen(choices.sip, DEAREST_SIP, on_cloud=on_cloud),
        Part.INGRESS: (Use("lk.ingress"),) if on_cloud else (),
        Part.BRIDGED: (Use(WEBRTC_PARTICIPANT, runs=False),) if on_cloud else (),
        Part.RECORDING: _chosen(choices.recording, DEAREST_RECORDING, on_cloud=on_cloud),
    }
    return Profile(name or hosting, {part: used for part, used in uses.items() if used})


def _chosen(meter: str, dearest: str, *, on_cloud: bool) -> tuple[Use, ...]:
    if meter:
        return (Use(meter),)
    return (Use(dearest, runs=False),) if on_cloud else ()


def default_hosting(*, url_is_cloud: bool) -> str:
    """Where the agents of a project that says nothing run: the operator's own, on Cloud or beside it."""
    return "self-hosted-on-cloud" if url_is_cloud else "self-hosted-everything"


@dataclass(frozen=True, slots=True)
class Rated:
    """A meter with its price, and how many units of it run at a time."""

    meter: Meter
    quantity: Decimal = Decimal(1)

    @property
    def hourly(self) -> Decimal:
        """What an hour of it costs."""
        return self.meter.hourly * self.quantity

    @property
    def by_provider(self) -> bool:
        """Whether somebody else than LiveKit bills it: it ends with the agent, not with the room."""
        return self.meter.provider != "livekit"


@dataclass(frozen=True, slots=True)
class Rates:
    """What one connection is billed by time.

    `certain` meters bill while idle, `possible` ones may. `unpriced` are those of both that have no price.
    """

    certain: tuple[Rated, ...] = ()
    possible: tuple[Rated, ...] = ()
    unpriced: tuple[Rated, ...] = ()
    hourly: Spend = field(init=False, compare=False, repr=False)
    """What an hour costs, as both estimates."""

    def __post_init__(self) -> None:
        low = sum((rated.hourly for rated in self.certain), Decimal(0))
        high = low + sum((rated.hourly for rated in self.possible), Decimal(0))
        object.__setattr__(self, "hourly", Spend(low, high))


_NOTHING = Rates()


@dataclass(frozen=True, slots=True)
class Tariff:
    """A profile at the prices of one plan on one day.

    `unseen` names the meters that bill by what cannot be seen from outside: tokens, characters, traffic.
    """

    profile: str
    plan: str
    parts: Mapping[Part, Rates]
    book_version: str
    book_hash: str
    unseen: tuple[str, ...] = ()
    last_verified: date | None = None
    """The oldest verification among its prices; None where it has none."""
    stale_on: date | None = None
    """The day from which that price counts as stale."""

    def rates(self, span: AgentSpan) -> Rates:
        """What this connection is billed."""
        part = part_of(span)
        return _NOTHING if part is None else self.parts.get(part, _NOTHING)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The meters of an agent and its avatar that have no price: "unpriced" belongs beside their spend."""
        rates = [self.parts.get(part, _NOTHING) for part in (Part.AGENT, Part.AVATAR)]
        return tuple(dict.fromkeys(r.meter.meter for one in rates for r in one.unpriced))


def resolve_tariff(book: PriceBook, profile: Profile, plan: str, on: date) -> Tariff:
    """The tariff of a profile under a plan, with the prices that are valid on that day.

    A meter that the book does not have is unpriced.
    """
    parts: dict[Part, Rates] = {}
    unseen: list[str] = []
    for part, uses in profile.uses.items():
        found = [(use, book.find(use.meter, plan, on) or _unknown(use, plan, on)) for use in uses]
        unseen += [meter.meter for _, meter in found if not meter.is_timed]
        parts[part] = _rates((use, meter) for use, meter in found if meter.is_timed)
    priced = [r.meter for rates in parts.values() for r in (*rates.certain, *rates.possible)]
    verified = min((meter.last_verified for meter in priced), default=None)
    return Tariff(
        profile=profile.name,
        plan=plan,
        parts=parts,
        unseen=tuple(dict.fromkeys(unseen)),
        book_version=book.book_version,
        book_hash=book.content_hash,
        last_verified=verified,
        stale_on=None if verified is None else verified + book.stale_after,
    )


def _unknown(use: Use, plan: str, on: date) -> Meter:
    return Meter(
        meter=use.meter,
        plan=plan,
        unit="min",
        price=None,
        bills_when_idle=None,
        increment_s=1,
        minimum_s=0,
        effective_from=on,
        source="",
        last_verified=on,
        confidence="low",
    )


def _rates(found: Iterable[tuple[Use, Meter]]) -> Rates:
    certain: list[Rated] = []
    possible: list[Rated] = []
    unpriced: list[Rated] = []
    for use, meter in found:
        rated = Rated(meter, use.quantity)
        if meter.bills_when_idle is False:
            continue
        if meter.price is None:
            unpriced.append(rated)
        elif use.runs and meter.bills_when_idle:
            certain.append(rated)
        else:
            possible.append(rated)
    return Rates(tuple(certain), tuple(possible), tuple(unpriced))


@dataclass(frozen=True, slots=True)
class Assignment:
    """The tariff of the agents and rooms that these globs name; without globs, of all."""

    tariff: Tariff
    agents: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()

    def covers(self, room_name: str, agent_name: str) -> bool:
        """Whether it holds for an agent of this name in a room of that."""
        return _names(self.rooms, room_name) and _names(self.agents, agent_name)


def _names(globs: tuple[str, ...], name: str) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


@dataclass(frozen=True, slots=True)
class Tariffs:
    """The tariffs of one project: at most one assignment covers an agent, `default` holds for the rest."""

    default: Tariff
    assigned: tuple[Assignment, ...] = ()

    def of(self, room_name: str, agent_name: str) -> Tariff:
        """The tariff that holds for an agent of this name in a room of that."""
        for assignment in self.assigned:
            if assignment.covers(room_name, agent_name):
                return assignment.tariff
        return self.default

    def __iter__(self) -> Iterator[Tariff]:
        yield self.default
        yield from (assignment.tariff for assignment in self.assigned)

    def lacks_price(self, agent_name: str) -> bool:
        """Whether what agents of this name cost may lack a price: its spend is not the whole."""
        possible = [
            assignment
            for assignment in self.assigned
            if _names(assignment.agents, agent_name)  # in whatever room
        ]
        certain = any(not assignment.rooms for assignment in possible)
        tariffs = [assignment.tariff for assignment in possible]
        return any(t.unpriced for t in (tariffs if certain else [*tariffs, self.default]))

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Every meter of an agent or its avatar that has no price in some tariff."""
        return tuple(dict.fromkeys(meter for tariff in self for meter in tariff.unpriced))

    @property
    def unseen(self) -> tuple[str, ...]:
        """Every meter that cannot be seen from outside."""
        return tuple(dict.fromkeys(meter for tariff in self for meter in tariff.unseen))

    @property
    def last_verified(self) -> date | None:
        """The oldest verification among all prices; None where there is none."""
        return min((t.last_verified for t in self if t.last_verified), default=None)

    @property
    def stale_on(self) -> date | None:
        """The day from which a price counts as stale."""
        return min((t.stale_on for t in self if t.stale_on), default=None)
