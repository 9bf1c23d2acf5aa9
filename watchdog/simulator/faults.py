"""What can go wrong between a watcher and a truthful server: planned, seeded, and counted."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class FaultKind(StrEnum):
    """One way in which a request or its answer can go wrong."""

    DELAY = "delay"  # `amount` seconds, the share `after` of them once the server has done it
    HANG = "hang"  # accepted, not done and never answered
    NEVER_ANSWERED = "never_answered"  # done, and never answered
    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    LOST_ANSWER = "lost_answer"  # done, and then answered with status `amount` (408, 500, 503)
    TIMEOUT_408 = "timeout_408"
    RATE_LIMIT_429 = "rate_limit_429"
    UNAUTHORIZED_401 = "unauthorized_401"  # the SDK then says code "unknown"
    GARBAGE = "garbage"  # 200 with bytes that are no protobuf
    EMPTY_BODY = "empty_body"  # 200 without a body: parses as zero rooms
    PARTIAL_LIST = "partial_list"  # only the fraction `amount` of the entries
    WRONG_COUNT = "wrong_count"  # num_participants shows `amount`
    LAGGING_COUNT = "lagging_count"  # num_participants as it was `amount` seconds ago
    COUNT_WITH_AGENTS = "count_with_agents"  # num_participants includes agents
    HIDDEN_PERSON = "hidden_person"  # `amount` persons (0: all) missing from list and count
    # What only a DeleteRoom can meet; its own refusals (404, a dead node) come first.
    DELETE_NO_EFFECT = "delete_no_effect"  # 200, and nothing happens
    ROOM_MADE_ANEW = "room_made_anew"  # deleted, and at once there again with one new agent


DELETION_KINDS = frozenset({FaultKind.DELETE_NO_EFFECT, FaultKind.ROOM_MADE_ANEW})
"""Kinds that touch no watcher that deletes nothing."""

ROW_KINDS: frozenset[FaultKind] = frozenset(
    {
        FaultKind.PARTIAL_LIST,
        FaultKind.WRONG_COUNT,
        FaultKind.LAGGING_COUNT,
        FaultKind.COUNT_WITH_AGENTS,
        FaultKind.HIDDEN_PERSON,
    }
)
"""Kinds that falsify a good answer, row by row."""

LOST_STATUSES = (408, 500, 503)

DEFAULT_AMOUNTS: dict[FaultKind, float] = {
    FaultKind.DELAY: 2.0,
    FaultKind.LOST_ANSWER: 503,
    FaultKind.PARTIAL_LIST: 0.5,
    FaultKind.LAGGING_COUNT: 10.0,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One planned fault, of observation or of deletion.

    `method` is LiveKit's method name or "*". `room` limits it to requests about that room, and in
    ListRooms to that room's row. It is in force from `from_` until `until` (world time; None: always),
    for the share `rate` of the calls, or for the `nth` matching call alone (from 1). `amount`: see the
    kind; None is the kind's default. `after`, of a delay: the share of it that passes after the
    effect: 0 is an effect long after the request came in, 1 an answer long after the effect.
    ValueError for an `after` outside 0..1, and for a lost answer with another status than those named.
    """

    kind: FaultKind
    method: str = "*"
    room: str | None = None
    from_: datetime | None = None
    until: datetime | None = None
    rate: float = 1.0
    amount: float | None = None
    nth: int | None = None
    after: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.after <= 1:
            raise ValueError(f"after is a share from 0 to 1, not {self.after}")
        if self.kind is FaultKind.LOST_ANSWER and self.size not in LOST_STATUSES:
            raise ValueError(f"a lost answer is one of {LOST_STATUSES}, not {self.size}")

    @property
    def size(self) -> float:
        """The amount, or the kind's default."""
        return DEFAULT_AMOUNTS.get(self.kind, 0.0) if self.amount is None else self.amount

    def matches(self, method: str, rooms: tuple[str, ...], now: datetime) -> bool:
        """Whether a call is meant. `rooms`: the names it asks about; () is a list of them all."""
        if self.method not in ("*", method):
            return False
        if self.kind in DELETION_KINDS and method != "DeleteRoom":
            return False
        if (self.from_ and now < self.from_) or (self.until and now >= self.until):
            return False
        if self.room is None or self.room in rooms:
            return True
        return not rooms and method == "ListRooms" and self.kind in ROW_KINDS


class FaultPlan:
    """The faults to come. `injected` counts those that had an effect, by kind."""

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 0) -> None:
        self.injected: Counter[FaultKind] = Counter()
        self._faults: list[tuple[Fault, list[int]]] = []
        self._random = random.Random(seed)
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Plan one more."""
        self._faults.append((fault, [0]))

    def clear(self) -> None:
        """From now on nothing goes wrong; what was injected stays counted."""
        self._faults.clear()

    def for_call(self, method: str, rooms: tuple[str, ...], now: datetime) -> list[Fault]:
        """The faults this call meets, in the order in which they were planned."""
        met = []
        for fault, calls in self._faults:
            if not fault.matches(method, rooms, now):
                continue
            calls[0] += 1
            if fault.nth is not None and calls[0] != fault.nth:
                continue
            if fault.rate >= 1 or self._random.random() < fault.rate:
                met.append(fault)
        return met

    def count(self, fault: Fault) -> None:
        """Note that a fault had its effect."""
        self.injected[fault.kind] += 1
