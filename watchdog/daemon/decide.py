"""What is to be done about each orphan: the policy that speaks for it, and when it is due.

Nothing is done here. In mode observe a decision is shown and logged, and that is all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watchdog.core.facts import empty_left_of, facts_of
from watchdog.core.model import Episode
from watchdog.core.policy import Policy, Ruling, walk
from watchdog.core.rooms import RoomBook
from watchdog.core.spend import Spend


@dataclass(frozen=True, slots=True)
class _Ruled:
    """A ruling with all that it was made of, where no policy asks for age or money."""

    episode: Episode
    kinds: frozenset[str] | None
    hung_up: bool | None
    waits: float
    ruling: Ruling


@dataclass(slots=True)
class Judge:
    """Rules on every open episode; where nothing that a ruling is made of has changed, it stands.

    `burn` gives what an episode now costs an hour.
    """

    policies: Sequence[Policy]
    burn: Callable[[Episode], Spend]
    _ruled: dict[str, _Ruled] = field(default_factory=dict)

    def decide(
        self,
        episodes: Iterable[Episode],
        book: RoomBook,
        *,
        spend: Mapping[str, Spend],
        watched: float,
    ) -> dict[str, Ruling]:
        """The ruling on every open episode, by its id. `watched` is the project's watched clock (A9)."""
        lasting = all(policy.max_spend is None for policy in self.policies)
        before, self._ruled = self._ruled, {}
        rulings: dict[str, Ruling] = {}
        for episode in episodes:
            key = episode.id
            room = book.rooms[episode.room_sid]
            kinds, hung_up, waits = room.kinds_known, room.hung_up, _waits(episode, book.skew)
            known = before.get(key)
            if (
                known is None
                or known.episode is not episode
                or known.waits != waits
                or known.kinds != kinds
                or known.hung_up is not hung_up
            ):
                facts = facts_of(
                    episode,
                    spend=spend.get(key, Spend()),
                    burn=self.burn(episode),
                    watched=watched,
                    skew=book.skew,
                )
                facts = replace(facts, person_kinds=kinds, hung_up=hung_up)
                known = _Ruled(episode, kinds, hung_up, waits, walk(self.policies, facts))
            rulings[key] = known.ruling
            if lasting:
                self._ruled[key] = known
        return rulings


def _waits(episode: Episode, skew: float) -> float:
    """How long the server itself would leave the room alone, as far as the walk asks for that."""
    if episode.person_seen is True:
        return float(episode.departure_timeout)
    left = empty_left_of(episode, skew)
    return left if episode.person_seen is False else max(float(episode.departure_timeout), left)
