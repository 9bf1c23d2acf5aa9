"""What is to be done about each orphan: the policy that speaks for it, and when it is due.

Nothing is done here. In mode observe a decision is shown and logged, and that is all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from watchdog.core.facts import facts_of
from watchdog.core.model import Episode
from watchdog.core.policy import Policy, Ruling, walk
from watchdog.core.profiles import Tariffs
from watchdog.core.rooms import RoomBook
from watchdog.core.spend import Spend


def decide(
    episodes: Iterable[Episode],
    book: RoomBook,
    policies: Sequence[Policy],
    *,
    tariffs: Tariffs,
    spend: Mapping[str, Spend],
    watched: float,
) -> dict[str, Ruling]:
    """The ruling on every open episode, by its id. `watched` is the project's watched clock (A9)."""
    rulings: dict[str, Ruling] = {}
    for episode in episodes:
        facts = facts_of(
            episode,
            tariffs,
            spend=spend.get(episode.id, Spend()),
            watched=watched,
            skew=book.skew,
        )
        room = book.rooms[episode.room_sid]
        facts = replace(facts, person_kinds=room.kinds_known, hung_up=room.hung_up)
        rulings[episode.id] = walk(policies, facts)
    return rulings
