"""Which meters one kind of agent runs, and what they cost under a plan on a day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from watchdog.core.model import Role
from watchdog.core.pricebook import Meter, PriceBook

AGENT_SESSION = "lk.agent_session"
WEBRTC_PARTICIPANT = "lk.webrtc_participant"


@dataclass(frozen=True, slots=True)
class Profile:
    """Which meters one kind of agent runs.

    `meters` certainly run while its agent is connected, `unknown_meters` perhaps. `avatar_meters`
    run for an avatar's own connection.
    """

    name: str
    meters: tuple[str, ...] = ()
    unknown_meters: tuple[str, ...] = ()
    avatar_meters: tuple[str, ...] = ()


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        # Whether an agent deployed to Cloud pays WebRTC minutes besides its session is not stated.
        Profile("cloud-hosted", (AGENT_SESSION,), (WEBRTC_PARTICIPANT,), (WEBRTC_PARTICIPANT,)),
        Profile("self-hosted-on-cloud", (WEBRTC_PARTICIPANT,), (), (WEBRTC_PARTICIPANT,)),
        Profile("self-hosted-everything"),
    )
}


def default_profile(*, url_is_cloud: bool) -> Profile:
    """The profile of a project that names none: its own agents, on Cloud or on its own server."""
    return PROFILES["self-hosted-on-cloud" if url_is_cloud else "self-hosted-everything"]


@dataclass(frozen=True, slots=True)
class Rates:
    """Priced meters: those that `certain`ly bill while idle, and those that `possibl`y do."""

    certain: tuple[Meter, ...] = ()
    possible: tuple[Meter, ...] = ()


_NOTHING = Rates()


@dataclass(frozen=True, slots=True)
class Tariff:
    """A profile's meters under one plan on one day. `unpriced` names those without a price.

    A spend that a tariff with `unpriced` meters gives is incomplete: show "unpriced" beside it.
    """

    profile: str
    plan: str
    agent: Rates
    avatar: Rates
    unpriced: tuple[str, ...]
    book_version: str
    book_hash: str
    last_verified: date | None = field(default=None)
    """The oldest verification among its prices; None where it has none."""
    stale_on: date | None = field(default=None)
    """The day from which that price counts as stale."""

    def rates(self, role: Role) -> Rates:
        """What a participant in this role runs."""
        return {Role.AGENT: self.agent, Role.AVATAR: self.avatar}.get(role, _NOTHING)


def resolve_tariff(book: PriceBook, profile: Profile, plan: str, on: date) -> Tariff:
    """The tariff of a profile under a plan, with the prices that are valid on that day."""
    unpriced: list[str] = []
    agent = _rates(
        book, profile.meters, profile.unknown_meters, plan=plan, on=on, unpriced=unpriced
    )
    avatar = _rates(book, profile.avatar_meters, (), plan=plan, on=on, unpriced=unpriced)
    used = (*agent.certain, *agent.possible, *avatar.certain, *avatar.possible)
    verified = min((m.last_verified for m in used), default=None)
    return Tariff(
        profile=profile.name,
        plan=plan,
        agent=agent,
        avatar=avatar,
        unpriced=tuple(dict.fromkeys(unpriced)),
        book_version=book.book_version,
        book_hash=book.content_hash,
        last_verified=verified,
        stale_on=None if verified is None else verified + book.stale_after,
    )


def _rates(
    book: PriceBook,
    certain: Iterable[str],
    unknown: Iterable[str],
    *,
    plan: str,
    on: date,
    unpriced: list[str],
) -> Rates:
    sure: list[Meter] = []
    perhaps: list[Meter] = []
    for name, runs in [*((n, True) for n in certain), *((n, False) for n in unknown)]:
        meter = book.find(name, plan, on)
        if meter is None or meter.price is None:
            unpriced.append(name)
        elif meter.bills_when_idle is not False:
            (sure if runs and meter.bills_when_idle else perhaps).append(meter)
    return Rates(tuple(sure), tuple(perhaps))
