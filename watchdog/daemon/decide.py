"""What is to be done about each orphan: the policy that speaks for it, and when it is due.

Nothing is done here. In mode observe a decision is shown and logged, and that is all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from watchdog.core.facts import facts_of
from watchdog.core.model import Episode
from watchdog.core.policy import Policy, Ruling, walk
from watchdog.core.rooms import RoomBook
from watchdog.core.spend import Spend


def decide(
    episodes: Iterable[Episode],
    book: RoomBook,
    policies: Sequence[Policy],
    *,
    spend: Mapping[str, Spend],
    burn: Callable[[Episode], Spend],
    watched: float,
) -> dict[str, Ruling]:
    """The ruling on every open episode, by its id.

    `burn` gives what an episode costs an hour, `watched` is the project's watched clock (A9).
    """
    rulings: dict[str, Ruling] = {}
    for episode in episodes:
        facts = facts_of(
            episode,
            spend=spend.get(episode.id, Spend()),
            burn=burn(episode),
            watched=watched,
            skew=book.skew,
        )
        room = book.rooms[episode.room_sid]
        facts = replace(facts, person_kinds=room.kinds_known, hung_up=room.hung_up)
        rulings[episode.id] = walk(policies, facts)
    return rulings
