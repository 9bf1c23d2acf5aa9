"""How several replicas divide the projects among themselves, each by the same rule and without a leader."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

ROUNDS = 3
"""A lease is renewed so many times in its length: two may fail before it is lost."""


@dataclass(frozen=True, slots=True)
class Division:
    """What one replica does next: which free projects it takes, and which it lets go."""

    take: tuple[str, ...] = ()
    let_go: tuple[str, ...] = ()


def divide(
    watchers: Mapping[str, AbstractSet[str]],
    holders: Mapping[str, str],
    me: str,
    *,
    going: AbstractSet[str] = frozenset(),
) -> Division:
    """What `me` does, by which projects each live replica watches and who has which.

    A project counts in equal parts for all who watch it; a share is the sum of these parts, rounded up, so
    that all shares together have room for every project. What nobody with room watches is taken beyond it: no
    project stays alone. A surplus is let go only where somebody else has room for it; `going` goes already.
    """
    room = {one: share(watchers, one) for one in watchers}
    for project, holder in holders.items():
        if project in watchers.get(holder, ()):
            room[holder] -= 1

    def takers(project: str) -> list[str]:
        return [r for r in sorted(room) if r != me and room[r] > 0 and project in watchers[r]]

    rarest = sorted(watchers[me] - holders.keys(), key=lambda p: (len(_watching(watchers, p)), p))
    left = max(0, room[me])
    take = rarest[:left] + [project for project in rarest[left:] if not takers(project)]
    let_go: list[str] = []
    for project in sorted(p for p, holder in holders.items() if holder == me and p not in going):
        if len(let_go) >= -room[me] - len(going):
            break
        if project in watchers[me] and (others := takers(project)):
            room[others[0]] -= 1
            let_go.append(project)
    return Division(tuple(take), tuple(let_go))


def share(watchers: Mapping[str, AbstractSet[str]], holder: str) -> int:
    """How many projects a replica is to have at most."""
    parts = (Fraction(1, len(_watching(watchers, project))) for project in watchers[holder])
    return ceil(sum(parts, Fraction(0)))


def _watching(watchers: Mapping[str, AbstractSet[str]], project: str) -> list[str]:
    return [holder for holder, projects in watchers.items() if project in projects]
