"""What LiveKit Cloud does besides, as far as it is known: it is closed source.

Agents: docs.livekit.io says that an agent whose process crashed is dispatched anew within about 15 s.

Draining, after livekit#4558 and #4726: for about 28 s after a DeleteRoom the room is not listed, but
its name is not free. Whoever makes or joins a room of that name then gets the old one: same SID, same
creation time, timeouts and metadata, listed again. When the drain ends, the room closes whoever is in
it. That is modelled as: back in the list under its SID on the first join or CreateRoom, closed with
the reason "drained" exactly `drain` seconds after the deletion. Its own timeouts go on meanwhile, and
after it the name is free. Rooms that end in another way than by `delete_room` do not drain.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from watchdog.core.model import Role
from watchdog.simulator.rooms import AGENT, SimParticipant, SimRoom

if TYPE_CHECKING:
    from watchdog.simulator.world import World

DRAINED = "drained"
"""The ledger's reason for a room that ended with its drain."""


@dataclass(frozen=True, slots=True)
class CloudFlavour:
    """How a world differs from a plain livekit-server. All in seconds.

    `redispatch_within`: the longest until a crashed agent is dispatched anew (None: it is not).
    `drain`: how long a deleted room drains (0: not at all). `agents_return`: the longest until an
    agent that a deletion or a drain cut off joins the name again by itself (None: it does not).
    """

    redispatch_within: float | None = 15.0
    drain: float = 28.0
    agents_return: float | None = None


class Cloud:
    """Keeps one world's drains and plans its agents' returns. Times are seeded."""

    def __init__(self, world: "World", flavour: CloudFlavour, seed: int) -> None:
        self.flavour = flavour
        self.evicted = 0
        self._world = world
        # Of its own, so that identifiers do not depend on the flavour.
        self._random = random.Random(f"cloud-{seed}")
        self._drains: dict[str, tuple[SimRoom, datetime]] = {}

    def crashed(self, room: SimRoom, agent: SimParticipant) -> None:
        """An agent's process died: its dispatch gets another job, if both still stand by then."""
        if self.flavour.redispatch_within is None or not _dispatched(agent):
            return
        world = self._world
        dispatches = world.dispatches(room)
        dispatch = next(
            (
                d
                for d in dispatches.values()
                if any(j.state.participant_identity == agent.identity for j in d.state.jobs)
            ),
            # One that came without a dispatch of its own came by the room's.
            next(iter(dispatches.values()), None),
        )
        if dispatch is None:
            return

        def again() -> None:
            stands = world.rooms.get(room.name) is room and room.ghost is None
            if stands and world.dispatches(room).get(dispatch.id) is dispatch:
                world.take_job(room, dispatch)

        world.after(self._random.uniform(0, self.flavour.redispatch_within), again)

    def deleted(self, room: SimRoom, present: list[SimParticipant]) -> None:
        """A room was deleted with these in it: it drains, and its agents may come back."""
        if self.flavour.drain:
            until = self._world.now() + timedelta(seconds=self.flavour.drain)
            self._drains[room.name] = (room, until)
            self._world.at(until, partial(self._end, room, until))
        self._cut_off(room.name, present)

    def draining(self, name: str) -> SimRoom | None:
        """The room of that name which drains now, if one does."""
        room, until = self._drains.get(name, (None, self._world.now()))
        return room if until > self._world.now() else None

    def free(self, name: str) -> None:
        """From now on nothing of that name drains."""
        self._drains.pop(name, None)

    def _end(self, room: SimRoom, until: datetime) -> None:
        if self._drains.get(room.name) != (room, until):
            return
        self.free(room.name)
        if self._world.rooms.get(room.name) is not room or room.ghost is not None:
            return
        present = list(room.participants.values())
        self.evicted += sum(p.alive and p.role is Role.PERSON for p in present)
        self._world.close_room(room.name, DRAINED)
        self._cut_off(room.name, present)

    def _cut_off(self, name: str, present: list[SimParticipant]) -> None:
        if self.flavour.agents_return is None:
            return
        for agent in filter(_dispatched, present):
            wait = self._random.uniform(0, self.flavour.agents_return)
            self._world.after(wait, partial(self._return, name, agent))

    def _return(self, name: str, agent: SimParticipant) -> None:
        room = self._world.rooms.get(name)
        if room is None or agent.identity not in room.participants:
            self._world.join(
                name, agent.identity, kind="AGENT", agent=True, attributes=agent.attributes
            )


def _dispatched(participant: SimParticipant) -> bool:
    """Whether it came by a dispatch: neither kindless bots nor avatars do."""
    behalf = participant.attributes.get("lk.publish_on_behalf")
    return participant.kind == AGENT and not behalf
