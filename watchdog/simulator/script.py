"""A lively day at a company with voice agents, for `demo` and `simulate`."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from watchdog.simulator.world import World

LONG_TIMEOUT = 3600
"""Seconds: what guides for `close_on_disconnect=False` tell people to set."""

DESKS = (
    ("support", "support-agent"),
    ("sales", "sales-agent"),
    ("frontdesk", "receptionist"),
    ("interview", "interview-coach"),
    ("tutor", "language-tutor"),
)
PEOPLE = ("alice", "bruno", "chen", "dalia", "emeka", "fatima", "goran", "hana", "ines", "jonas")


@dataclass(frozen=True, slots=True)
class Call:
    """One call about to be told: its room, the name of its agent and who calls."""

    room: str
    agent: str
    person: str


class Storyteller:
    """Keeps about `rooms` calls going in a world. The same seed tells the same story.

    The first calls show every plot once and are short, so that something happens soon.
    """

    def __init__(self, world: World, rooms: int, seed: int = 0) -> None:
        self._world = world
        self._rooms = rooms
        self._random = random.Random(seed)
        self._told = 0
        self._plots: dict[Callable[[Call], None], int] = {
            self._left_behind: 3,
            self._hangs_up: 46,
            self._phone: 18,
            self._refreshes: 14,
            self._avatar: 2,
            self._supervised: 4,
            self._server_closes: 8,
            self._kindless_bot: 2,
            self._never_attended: 3,
        }
        self._world.at(world.now(), self._top_up)

    def step(self) -> None:
        """Play the story up to the clock's now."""
        self._world.settle()

    def populate(self) -> None:
        """Begin every missing call at once, for whoever needs many rooms rather than a story."""
        while len(self._world.rooms) < self._rooms:
            self._begin()

    def _top_up(self) -> None:
        """Once a second: as many new calls as are missing, but never all in the same instant."""
        missing = self._rooms - len(self._world.rooms)
        for _ in range(min(missing, max(1, self._rooms // 20))):
            self._begin()
        self._world.after(1.0, self._top_up)

    def _begin(self) -> None:
        plots = list(self._plots)
        if self._told < len(plots):
            plot = plots[self._told]
        else:
            plot = self._random.choices(plots, weights=list(self._plots.values()))[0]
        desk, agent = self._random.choice(DESKS)
        tag = self._tag()
        while f"{desk}-{tag}" in self._world.rooms:
            tag = self._tag()
        person = f"{self._random.choice(PEOPLE)}-{tag[:3]}"
        plot(Call(f"{desk}-{tag}", agent, person))
        self._told += 1

    def _tag(self) -> str:
        return f"{self._random.getrandbits(24):06x}"

    def _seconds(self, least: float, most: float) -> float:
        opening = self._told < len(self._plots)
        return self._random.uniform(least, most) * (0.2 if opening else 1.0)

    def _meet(self, call: Call, departure_timeout: int = 0) -> str:
        """Person and agent come together; returns the agent's identity."""
        self._world.join(call.room, call.person, departure_timeout=departure_timeout)
        return self._world.join_agent(call.room, call.agent).identity

    def _later(self, seconds: float, identity: str, call: Call) -> None:
        self._world.after(seconds, lambda: self._world.leave(call.room, identity))

    # --- the plots ------------------------------------------------------------------------------

    def _hangs_up(self, call: Call) -> None:
        """They talk, the person hangs up, the agent leaves, the server closes the room."""
        agent = self._meet(call)
        talk = self._seconds(30, 240)
        self._later(talk, call.person, call)
        self._later(talk + 1.5, agent, call)

    def _refreshes(self, call: Call) -> None:
        """The person reloads the page and is back within seconds; the agent waits for them."""
        agent = self._meet(call, departure_timeout=LONG_TIMEOUT)
        first, gap, second = (
            self._seconds(20, 120),
            self._random.uniform(2, 8),
            self._seconds(30, 120),
        )
        self._later(first, call.person, call)
        self._world.after(first + gap, lambda: self._world.join(call.room, call.person))
        end = first + gap + second
        self._later(end, call.person, call)
        self._later(end + 1.5, agent, call)
        self._close(end + 3, call)

    def _phone(self, call: Call) -> None:
        """A caller on the telephone; the number is in the room's name, as LiveKit does it."""
        number = f"+1555{self._random.randrange(10**7):07d}"
        call = Call(f"call-_{number}_{call.room[-6:]}", "receptionist", f"sip_{number}")
        attributes = {"sip.phoneNumber": number, "sip.callStatus": "active"}
        self._world.join(call.room, call.person, kind="SIP", attributes=attributes)
        agent = self._world.join_agent(call.room, call.agent).identity
        talk = self._seconds(30, 300)
        self._later(talk, call.person, call)
        self._later(talk + 1.5, agent, call)

    def _server_closes(self, call: Call) -> None:
        """The person drops, the agent stays; default timeouts: the server closes after 20 s."""
        self._meet(call)
        self._later(self._seconds(30, 180), call.person, call)

    def _left_behind(self, call: Call) -> None:
        """The person drops, the agent stays, and nothing closes the room for a long time."""
        agent = self._meet(call, departure_timeout=LONG_TIMEOUT)
        talk = self._seconds(40, 180)
        self._later(talk, call.person, call)
        self._gives_up(talk, agent, call)

    def _kindless_bot(self, call: Call) -> None:
        """A bot that joins as STANDARD with the agent grant is left behind."""
        bot = f"pipecat-{call.room[-6:]}"
        self._world.join(call.room, call.person, departure_timeout=LONG_TIMEOUT)
        self._world.join(call.room, bot, agent=True)
        talk = self._seconds(40, 180)
        self._later(talk, call.person, call)
        self._gives_up(talk, bot, call)

    def _avatar(self, call: Call) -> None:
        """An agent with an avatar is left behind: two connections, one of them dear."""
        agent = self._meet(call, departure_timeout=LONG_TIMEOUT)
        avatar = f"avatar-{call.room[-6:]}"
        behalf = {"lk.publish_on_behalf": agent}
        self._world.join(call.room, avatar, kind="AGENT", agent=True, attributes=behalf)
        talk = self._seconds(40, 180)
        self._later(talk, call.person, call)
        self._later(self._gives_up(talk, agent, call), avatar, call)

    def _supervised(self, call: Call) -> None:
        """The customer goes while a hidden supervisor still listens: not orphaned."""
        agent = self._meet(call, departure_timeout=LONG_TIMEOUT)
        supervisor = f"supervisor-{call.room[-3:]}"
        self._world.join(call.room, supervisor, hidden=True)
        talk, listens = self._seconds(40, 120), self._seconds(60, 240)
        self._later(talk, call.person, call)
        self._later(talk + listens, supervisor, call)
        self._later(talk + listens + 1.5, agent, call)
        self._close(talk + listens + 3, call)

    def _never_attended(self, call: Call) -> None:
        """An agent waits in a room that nobody ever joins."""
        self._world.join_agent(
            call.room, call.agent, empty_timeout=self._random.choice((0, LONG_TIMEOUT))
        )

    def _gives_up(self, talk: float, agent: str, call: Call) -> float:
        """The agent is still there for many minutes; returns when it goes."""
        end = talk + self._random.uniform(15 * 60, 45 * 60)
        self._later(end, agent, call)
        self._close(end + 5, call)
        return end

    def _close(self, seconds: float, call: Call) -> None:
        """The application deletes its own room, if nobody did so before."""
        sid = self._world.room(call.room).sid

        def close() -> None:
            room = self._world.rooms.get(call.room)
            if room is not None and room.sid == sid:
                self._world.close_room(call.room, "application")

        self._world.after(seconds, close)
