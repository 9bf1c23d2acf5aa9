"""The deletion allow-list and the protect list: who put a room on one, why, and until when (SAFETY D)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase


class ListName(StrEnum):
    """Which of the two lists."""

    ALLOW = "allow"
    PROTECT = "protect"

    @property
    def label(self) -> str:
        """As sentences call it."""
        return "deletion allow-list" if self is ListName.ALLOW else "protect list"


class Standing(StrEnum):
    """Whether an entry counts."""

    IN_FORCE = "in force"
    EXPIRED = "expired"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One glob over room names that an operator put on a list.

    `project` is empty for every project. `until` is when it stops counting, None for never; `removed_at`
    is when somebody took it off, or a newer entry took its place.
    """

    id: str
    list: ListName
    pattern: str
    project: str
    since: datetime
    until: datetime | None
    actor: str
    reason: str = ""
    removed_at: datetime | None = None

    def standing(self, now: datetime) -> Standing:
        """Whether it counts; at `until` it no longer does."""
        over = self.removed_at or now
        if self.until is not None and self.until <= over:
            return Standing.EXPIRED
        return Standing.IN_FORCE if self.removed_at is None else Standing.REMOVED

    def in_force(self, now: datetime) -> bool:
        """Whether it counts."""
        return self.standing(now) is Standing.IN_FORCE

    def applies(self, project: str, room_name: str) -> bool:
        """Whether it speaks of this room."""
        return self.project in ("", project) and fnmatchcase(room_name, self.pattern)

    def origin(self, now: datetime) -> str:
        """`added by ann: load test, until 14:00 UTC`."""
        because = f": {self.reason}" if self.reason else ""
        until = f", until {moment(self.until, now)}" if self.until else ""
        return f"added by {self.actor}{because}{until}"


def moment(at: datetime, now: datetime) -> str:
    """A time in UTC, with its date where that is not today's, and with seconds where it has some."""
    at = at.astimezone(UTC)
    clock = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
    return (
        f"{clock} UTC" if at.date() == now.astimezone(UTC).date() else f"{at:%Y-%m-%d} {clock} UTC"
    )


def matching(globs: Iterable[str], room_name: str) -> str | None:
    """The first glob that matches the name."""
    return next((glob for glob in globs if fnmatchcase(room_name, glob)), None)


def listed(
    name: ListName,
    configured: Iterable[str],
    entries: Iterable[ListEntry],
    *,
    project: str,
    room_name: str,
    now: datetime,
) -> str | None:
    """By which glob a room is on a list, and where that comes from; None where it is not on it."""
    if (glob := matching(configured, room_name)) is not None:
        return f"{glob!r} is on the {name.label} (configured)"
    for entry in entries:
        if entry.list is name and entry.in_force(now) and entry.applies(project, room_name):
            return f"{entry.pattern!r} is on the {name.label} ({entry.origin(now)})"
    return None
