"""The dearest of many episodes, in one order wherever they are compared."""

import heapq
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rank:
    """Where an episode stands: by USD, then by seconds of age; of equals the first that began is higher."""

    low: Decimal
    high: Decimal
    age: float
    began: datetime
    episode: str

    def __lt__(self, other: "Rank") -> bool:
        mine, theirs = (self.low, self.high, self.age), (other.low, other.high, other.age)
        if mine != theirs:
            return mine < theirs
        return (self.began, self.episode) > (other.began, other.episode)


class Dearest(Generic[T]):
    """Keeps the `most` dearest of what is added, however much that is. No episode may be added twice."""

    def __init__(self, most: int) -> None:
        """Of nothing yet."""
        self._most = most
        self._heap: list[tuple[Rank, T]] = []

    def add(self, rank: Rank, what: T) -> None:
        """Take it in, if it is dear enough."""
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (rank, what))
        elif self._heap and self._heap[0][0] < rank:
            heapq.heapreplace(self._heap, (rank, what))

    @property
    def floor(self) -> Decimal | None:
        """What is cheaper than this, by the low estimate, cannot be among them; None for no limit."""
        if len(self._heap) < self._most:
            return None
        return self._heap[0][0].low if self._heap else Decimal("Infinity")

    def found(self) -> tuple[T, ...]:
        """The dearest first."""
        return tuple(what for _, what in sorted(self._heap, key=lambda one: one[0], reverse=True))
