"""What happens in the world of the proof: people, agents and rooms that behave as badly as real ones."""

import random
from collections.abc import Callable

from watchdog.core.model import Role
from watchdog.simulator.rooms import Ghost, SimRoom
from watchdog.simulator.world import World

LONG = 86400
ANCHOR = "anchor-of-"
"""Whoever is called so stays, where every room is to be attended throughout."""
PERSON_KINDS = ("STANDARD", "STANDARD", "STANDARD", "SIP", "INGRESS", "CONNECTOR", 9)


class Chaos:
    """Plays random events into a world, seeded. Names are few, so that they are used again and again."""

    def __init__(
        self, world: World, rng: random.Random, names: int, *, always_attended: bool
    ) -> None:
        self._world = world
        self._rng = rng
        self._names = [f"r{n}" for n in range(names)] + ["p-protected", "k-kept"]
        self._always_attended = always_attended
        self._people = 0
        self.stranded: set[str] = set()
        """The rooms whose node died: what is listed of them is not true any more."""
        self.protected: set[str] = set()
        """The rooms that were held, or recorded, at some time."""
        self._weights: dict[Callable[[str], None], float] = {
            self._call: 12,
            self._person_leaves: 5,
            self._person_returns: 2,
            self._short_visit: 1.5,
            self._refresh: 1.5,
            self._connection_lost: 0.7,
            self._agent_crashes: 0.7,
            self._agent_joins: 0.7,
            self._agent_leaves: 0.4,
            self._room_closes: 2,
            self._name_is_reused_at_once: 0.7,
            self._supervisor: 0.6,
            self._begins_to_join: 0.6,
            self._hold: 0.3,
            self._recording: 0.3,
            self._node_dies: 0.15,
            self._node_is_back: 0.3,
            self._avatar: 0.3,
        }
        if always_attended:
            for room in self._names:
                self._call(room)

    def event(self) -> None:
        """One thing happens somewhere."""
        what = self._rng.choices(list(self._weights), weights=list(self._weights.values()))[0]
        what(self._rng.choice(self._names))

    def at_the_last_moment(self, name: str) -> None:
        """Something happens to a room that is about to be deleted."""
        what = self._rng.choice(
            (
                self._person_returns,
                self._supervisor,
                self._begins_to_join,
                self._short_visit,
                self._room_closes,
                self._name_is_reused_at_once,
                self._waits_anew,
                self._hold,
                self._recording,
                self._node_dies,
            )
        )
        what(name)

    # ---- what can happen --------------------------------------------------------------------------

    def _call(self, name: str) -> None:
        if name in self._world.rooms:
            return
        timeout = self._rng.choice((20, 20, 20, 20, 600, LONG))
        self._world.create_room(name, empty_timeout=timeout, departure_timeout=timeout)
        if self._always_attended:
            self._world.join(name, f"{ANCHOR}{name}")
        elif self._rng.random() < 0.85:
            self._joins(name)
        for _ in range(self._rng.choice((1, 1, 1, 2))):
            self._agent_joins(name)

    def _joins(self, name: str, **more: object) -> str:
        self._people += 1
        identity = f"person-{self._people}"
        kind = self._rng.choice(PERSON_KINDS)
        self._world.join(name, identity, **({"kind": kind} | more))
        return identity

    def _agent_joins(self, name: str) -> None:
        room = self._room(name)
        if room is None:
            return
        how = self._rng.random()
        self._people += 1
        if how < 0.75:
            self._world.join_agent(name, "support")
        elif how < 0.9:
            self._world.join(name, f"pipecat-{self._people}", agent=True)
        else:
            self._world.join(name, f"bot-{self._people}", role=Role.AGENT)

    def _avatar(self, name: str) -> None:
        agents = self._of(name, Role.AGENT)
        if agents:
            behalf = {"lk.publish_on_behalf": agents[0]}
            self._world.join(
                name, f"avatar-{agents[0]}", kind="AGENT", agent=True, attributes=behalf
            )

    def _person_leaves(self, name: str) -> None:
        people = self._of(name, Role.PERSON)
        if people:
            self._world.leave(name, self._rng.choice(people))

    def _person_returns(self, name: str) -> None:
        if self._room(name) is not None:
            self._joins(name)

    def _short_visit(self, name: str) -> None:
        if self._room(name) is not None:
            who = self._joins(name)
            self._world.after(self._rng.uniform(0.3, 14.0), lambda: self._world.leave(name, who))

    def _refresh(self, name: str) -> None:
        people = self._of(name, Role.PERSON)
        if not people:
            return
        who, room = self._rng.choice(people), self._room(name)
        self._world.leave(name, who)

        def back() -> None:
            if self._room(name) is room:
                self._world.join(name, who)

        self._world.after(self._rng.uniform(0.0, 20.0), back)

    def _connection_lost(self, name: str) -> None:
        people = self._of(name, Role.PERSON)
        if people:
            self._world.lose_connection(name, self._rng.choice(people))

    def _agent_crashes(self, name: str) -> None:
        if agents := self._of(name, Role.AGENT):
            self._world.crash(name, self._rng.choice(agents))

    def _agent_leaves(self, name: str) -> None:
        if agents := self._of(name, Role.AGENT, Role.AVATAR):
            self._world.leave(name, self._rng.choice(agents))

    def _room_closes(self, name: str) -> None:
        if not self._always_attended and name in self._world.rooms:
            self._world.close_room(name)

    def _name_is_reused_at_once(self, name: str) -> None:
        if name in self._world.rooms:
            self._world.close_room(name)
            self._call(name)

    def _waits_anew(self, name: str) -> None:
        """At once another room of the name, in which an agent waits for somebody."""
        if not self._always_attended and name in self._world.rooms:
            self._world.close_room(name)
            self._world.create_room(name, empty_timeout=LONG, departure_timeout=LONG)
            self._world.join_agent(name, "support")

    def _supervisor(self, name: str) -> None:
        if self._room(name) is not None:
            self._joins(name, hidden=True)

    def _begins_to_join(self, name: str) -> None:
        if self._room(name) is not None:
            self._joins(name, state="JOINING")

    def _hold(self, name: str) -> None:
        if name in self._world.rooms:
            held = self._world.room(name).info.metadata
            self.protected.add(self._world.room(name).sid)
            self._world.set_metadata(name, "" if held else '{"watchdog.hold": true}')

    def _recording(self, name: str) -> None:
        if name in self._world.rooms:
            self.protected.add(self._world.room(name).sid)
            self._world.set_recording(name, not self._world.room(name).recording)

    def _node_dies(self, name: str) -> None:
        if not self._always_attended and self._room(name) is not None:
            self.stranded.add(self._world.room(name).sid)
            self._world.strand(name, self._rng.choice(list(Ghost)))

    def _node_is_back(self, name: str) -> None:
        room = self._world.rooms.get(name)
        if room is not None and room.ghost is not None:
            self._world.close_room(name)

    # ---- who is there -----------------------------------------------------------------------------

    def _room(self, name: str) -> SimRoom | None:
        room = self._world.rooms.get(name)
        return room if room is not None and room.ghost is None else None

    def _of(self, name: str, *roles: Role) -> list[str]:
        room = self._room(name)
        if room is None:
            return []
        return [
            p.identity
            for p in room.participants.values()
            if p.alive and p.role in roles and not p.identity.startswith(ANCHOR)
        ]
