"""A day of a busy project: seeded lives of rooms, in which people and agents come, go and misbehave.

What happens depends on the seed alone, never on who watches: two watchers of one seed see one day.
"""

import random
from collections.abc import Callable

from tests.daemon.harness import LONG
from watchdog.core.model import Role
from watchdog.simulator.rooms import SimParticipant, SimRoom
from watchdog.simulator.world import World

TOLD, MUTE = "told", "mute"
"""What the names of rooms begin with whose webhooks are sent, and of those whose are not."""
HURT = "hurt"
"""What follows in the name of a room whose requests meet faults."""
AGENTS = ("support", "support", "sales", "legacy")
MINUTE = 60.0


class Churn:
    """Plans so many lives of rooms into a world, begun within `hours` from now."""

    def __init__(self, world: World, seed: int, rooms: int, hours: float) -> None:
        self.lives = 0
        self.names: dict[str, str] = {}
        """Whose agent, or whose agent's avatar, a participant is, by its SID."""
        self._world = world
        self._rng = random.Random(seed)
        self._people = 0
        self._names: list[str] = []
        for number in range(rooms):
            world.after(self._rng.uniform(0.0, hours * 3600), lambda n=number: self._begin(n))
        self._fates: dict[Callable[[SimRoom], None], float] = {
            self._return: 4,
            self._visit: 1,
            self._refresh: 2,
            self._network: 0.5,
            self._one_leaves: 1,
            self._flap: 3,
            self._agent_leaves: 0.7,
            self._second_agent: 1.5,
            self._taken_over: 1,
            self._hang_up: 6,
            self._close: 2,
        }

    # ---- a room's life ----------------------------------------------------------------------------

    def _begin(self, number: int) -> None:
        self.lives += 1
        name = self._name(number)
        room = self._world.create_room(
            name, empty_timeout=LONG, departure_timeout=self._rng.choice((20, 600, LONG, LONG))
        )
        if self._rng.random() < 0.9:
            self._person(room)
        agent = self._rng.choice(AGENTS)
        self._later(room, self._rng.uniform(0.2, 4.0), lambda r: self._agent(r, agent))
        if self._rng.random() < 0.7:
            self._later(room, self._rng.uniform(1, 25) * MINUTE, self._hang_up)
        self._next(room)
        self._later(room, self._rng.lognormvariate(4.0, 1.0) * MINUTE, self._close)

    def _name(self, number: int) -> str:
        """A new name, or that of a room before, which ends now if it is there still."""
        if self._names and self._rng.random() < 0.3:
            name = self._rng.choice(self._names)
            if name in self._world.rooms:
                self._world.close_room(name)
            return name
        kind = f"{TOLD if self._rng.random() < 0.5 else MUTE}-"
        name = f"{kind}{HURT if self._rng.random() < 0.1 else 'call'}-{number}"
        self._names.append(name)
        return name

    def _next(self, room: SimRoom) -> None:
        def happen(there: SimRoom) -> None:
            fate = self._rng.choices(list(self._fates), weights=list(self._fates.values()))[0]
            fate(there)
            self._next(there)

        self._later(room, self._rng.expovariate(1 / (12 * MINUTE)), happen)

    def _later(self, room: SimRoom, seconds: float, what: Callable[[SimRoom], None]) -> None:
        """Do it if this very room is there still."""

        def do() -> None:
            if self._world.rooms.get(room.name) is room:
                what(room)

        self._world.after(seconds, do)

    # ---- people -------------------------------------------------------------------------------------

    def _person(self, room: SimRoom) -> str:
        self._people += 1
        identity = f"person-{self._people}"
        kind = self._rng.choice(("STANDARD", "STANDARD", "SIP"))
        self._world.join(room.name, identity, kind=kind)
        return identity

    def _of(self, room: SimRoom, role: Role) -> list[str]:
        return [p.identity for p in room.participants.values() if p.alive and p.role is role]

    def _hang_up(self, room: SimRoom) -> None:
        for identity in self._of(room, Role.PERSON):
            self._world.leave(room.name, identity)

    def _one_leaves(self, room: SimRoom) -> None:
        if people := self._of(room, Role.PERSON):
            self._world.leave(room.name, self._rng.choice(people))

    def _return(self, room: SimRoom) -> None:
        self._person(room)
        self._later(room, self._rng.uniform(0.3, 30) * MINUTE, self._hang_up)

    def _visit(self, room: SimRoom) -> None:
        who = self._person(room)
        stay = self._rng.uniform(0.5, 90.0)
        self._later(room, stay, lambda r: self._world.leave(r.name, who))

    def _refresh(self, room: SimRoom) -> None:
        if people := self._of(room, Role.PERSON):
            who = self._rng.choice(people)
            self._world.leave(room.name, who)
            away = self._rng.uniform(0.3, 20.0)
            self._later(room, away, lambda r: self._world.join(r.name, who) and None)

    def _network(self, room: SimRoom) -> None:
        if people := self._of(room, Role.PERSON):
            self._world.lose_connection(room.name, self._rng.choice(people))

    # ---- agents -------------------------------------------------------------------------------------

    def _agent(self, room: SimRoom, name: str) -> None:
        agent = self._joins(room, name)
        if name == "sales" and self._rng.random() < 0.6:
            self._later(
                room, self._rng.uniform(0.5, 5.0), lambda r: self._avatar(r, agent.identity)
            )

    def _joins(self, room: SimRoom, name: str, identity: str = "") -> SimParticipant:
        agent = self._world.join_agent(room.name, name, identity=identity)
        self.names[agent.sid] = name
        return agent

    def _avatar(self, room: SimRoom, agent: str) -> None:
        if agent in room.participants:
            behalf = {"lk.publish_on_behalf": agent}
            avatar = self._world.join(
                room.name, f"avatar-{agent}", kind="AGENT", agent=True, attributes=behalf
            )
            self.names[avatar.sid] = "sales"

    def _flap(self, room: SimRoom) -> None:
        """An agent's process dies, and its job is taken by another after a while."""
        if agents := self._of(room, Role.AGENT):
            gone = self._rng.choice(agents)
            name = room.participants[gone].attributes.get("lk.agent_name", "support")
            self._gone(room, gone)
            self._later(room, self._rng.uniform(0.2, 40.0), lambda r: self._agent(r, name))

    def _agent_leaves(self, room: SimRoom) -> None:
        if agents := self._of(room, Role.AGENT):
            self._gone(room, self._rng.choice(agents))

    def _gone(self, room: SimRoom, agent: str) -> None:
        self._world.leave(room.name, f"avatar-{agent}")
        self._world.leave(room.name, agent)

    def _second_agent(self, room: SimRoom) -> None:
        """One more agent is dispatched, some of them for a moment only."""
        agent = self._joins(room, self._rng.choice(AGENTS)).identity
        if self._rng.random() < 0.5:
            stay = self._rng.lognormvariate(4.0, 1.5)
            self._later(room, stay, lambda r: self._gone(r, agent))

    def _taken_over(self, room: SimRoom) -> None:
        """The same identity joins once more: the server puts the first one out."""
        if agents := self._of(room, Role.AGENT):
            identity = self._rng.choice(agents)
            name = room.participants[identity].attributes.get("lk.agent_name", "support")
            self._joins(room, name, identity)

    def _close(self, room: SimRoom) -> None:
        self._world.close_room(room.name)

    def close_some(self, share: float) -> None:
        """Some of the rooms that are left end now, at least one."""
        names = sorted(self._world.rooms)
        for name in names[: 1 + int(len(names) * share)]:
            self._world.close_room(name)
