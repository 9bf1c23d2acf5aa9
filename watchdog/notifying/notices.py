"""What people are told of: one notice for each thing that begins, lasts, happens or is over.

Pure: made from reports, with the time as an argument.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """What a notice is about: the words of `notify.events`."""

    STRANDED = "stranded"
    """Agents alone past their policy's threshold and not deleted, and rooms whose node does not answer."""
    DELETED = "deleted"
    FAILED = "failed"
    """A deletion that came to nothing."""
    JOINED = "joined"
    """A person came to the name of a room within 60 s of its deletion."""
    HELD = "held"
    BLIND = "blind"


class Level(IntEnum):
    """How bad it is, the best first."""

    OVER = 0
    INFO = 1
    WARNING = 2
    BAD = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """What notices that are told together have in common.

    `word` is for a title ("2 stranded"), `heading` stands above the lines.
    """

    kind: Kind
    project: str
    word: str
    heading: str
    level: Level


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell; `line` is plain text on one line. `count` is how often it happened."""

    topic: Topic
    line: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that lasts, and is told once it has for `patience` seconds.

    `tell` and `over` make the notice out of the seconds that it has lasted; without `over` its end is not
    told. `since` is when it began, where that was before it was first seen.
    """

    patience: float
    tell: Callable[[float], Notice]
    over: Callable[[float], Notice] | None = None
    since: float | None = None


@dataclass(slots=True)
class _Seen:
    since: float
    told_at: float | None = None
    over: Callable[[float], Notice] | None = None


@dataclass(slots=True)
class Lasting:
    """Tells of each condition once until it ends, and again every `repeat_after` seconds, if that is set.

    Times are monotonic seconds.
    """

    repeat_after: float | None = None
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def take(self, conditions: Mapping[str, Condition], now: float) -> list[Notice]:
        """What is to be told, where these conditions hold now and no others."""
        told: list[Notice] = []
        for key in [key for key in self._seen if key not in conditions]:
            seen = self._seen.pop(key)
            if seen.told_at is not None and seen.over is not None:
                told.append(seen.over(now - seen.since))
        for key, condition in conditions.items():
            began = now if condition.since is None else condition.since
            seen = self._seen.setdefault(key, _Seen(began))
            seen.over = condition.over
            if now - seen.since >= condition.patience and self._is_time(seen, now):
                seen.told_at = now
                told.append(condition.tell(now - seen.since))
        return told

    def _is_time(self, seen: _Seen, now: float) -> bool:
        if seen.told_at is None:
            return True
        return self.repeat_after is not None and now - seen.told_at >= self.repeat_after
