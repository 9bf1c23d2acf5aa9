"""The request budget of one project (SAFETY F): a token bucket, and who may draw from it first."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Purpose(StrEnum):
    """What a request is for, in the order in which the budget serves them."""

    LIST = "list"
    RECHECK = "recheck"
    JOIN_HINT = "join_hint"
    ARM = "arm"
    FALLEN = (
        "fallen"  # the list gives reason to ask: the count fell to what agents explain, or rose
    )
    PROBE = "probe"
    AGAIN = "again"
    SWEEP = "sweep"


FLOORS: Mapping[Purpose, float] = {Purpose.FALLEN: 0.2, Purpose.AGAIN: 0.1, Purpose.SWEEP: 0.1}
"""Shares of every allowance that stay reserved, so that a pile of one kind starves no other."""


BURST = 40.0
"""Requests that may be made at once after a quiet time."""


@dataclass(slots=True)
class TokenBucket:
    """`per_minute` requests a minute with room for a burst of `burst`.

    Listing and the last look before a deletion may overdraw: what they take is paid back before
    anything else is asked. Times are monotonic seconds.
    """

    per_minute: float
    burst: float = BURST
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = self.burst

    @classmethod
    def for_polls(cls, per_minute: float, poll: float) -> "TokenBucket":
        """The bucket of a project that is polled every `poll` seconds.

        It holds at least what a poll refills: nearly all requests are made right after a poll, and of a
        smaller bucket the budget that an operator raised would run over unused.
        """
        return cls(per_minute, max(BURST, per_minute * poll / 60))

    def available(self, at: float) -> float:
        """Tokens in the bucket at `at`; negative while an overdraft is being paid back."""
        if self._at is not None and at > self._at:
            self._tokens = min(self.burst, self._tokens + (at - self._at) * self.per_minute / 60)
        self._at = at if self._at is None else max(self._at, at)
        return self._tokens

    def take(self, at: float, count: int = 1) -> None:
        """Spend `count` tokens at `at`."""
        self.available(at)
        self._tokens -= count


@dataclass(slots=True)
class Allotment:
    """Splits what the bucket holds among the purposes, in their order, keeping the floors.

    A floor smaller than one request is saved up over ticks until it buys one.
    """

    _owed: dict[Purpose, float] = field(default_factory=dict)

    def split(self, available: float, demand: Mapping[Purpose, int]) -> dict[Purpose, int]:
        """How many requests each purpose may make now; never more than it asks for or than there are."""
        whole = max(0, math.floor(available))
        reserved: dict[Purpose, int] = {}
        for purpose, share in FLOORS.items():
            wanted = demand.get(purpose, 0)
            # A purpose that asks for nothing saves nothing: what one leaves flows down.
            owed = self._owed.get(purpose, 0.0) + share * max(0.0, available) if wanted else 0.0
            # No cap below what one split can add to what another left, or requests would be lost to it.
            self._owed[purpose] = min(owed, max(2.0, share * 2 * available))
            reserved[purpose] = min(wanted, math.floor(self._owed[purpose]))
        granted: dict[Purpose, int] = {}
        left = whole
        for purpose in Purpose:
            wanted = demand.get(purpose, 0)
            if not wanted:
                continue
            kept_for_later = sum(
                n for p, n in reserved.items() if p is not purpose and p not in granted
            )
            free = max(0, left - kept_for_later)
            granted[purpose] = min(wanted, max(free, min(reserved.get(purpose, 0), left)))
            left -= granted[purpose]
            if purpose in FLOORS:
                self._owed[purpose] = max(0.0, self._owed[purpose] - granted[purpose])
        return granted
