"""How much of a report's stretch of time was watched, by what ticks have written down."""

from dataclasses import dataclass
from datetime import datetime

from watchdog.core.records import Milestones
from watchdog.reporting.window import Window


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many seconds of a project's time, `start` to `end`, were watched, and how many blind (A9).

    `start` is None for the project's first tick. `reaches_back` is False where the records kept begin
    after the window does; before that at most `blind_before` seconds of it were blind. `unseen` is what has
    passed since the last good tick before `end`, and is in neither sum yet.
    """

    project: str
    start: datetime | None
    end: datetime
    watched: float
    blind: float
    reaches_back: bool
    blind_before: float
    unseen: float

    @property
    def blind_share(self) -> float | None:
        """From 0 to 1, of all that is in a sum; None where that is nothing."""
        total = self.watched + self.blind
        return self.blind / total if total > 0 else None


def coverage_of(
    project: str, marks: Milestones | None, window: Window, now: datetime
) -> Coverage | None:
    """How well a project was watched in the window, as of `now`; None where no tick is known of it."""
    if marks is None or marks.last is None:
        return None
    last, end = marks.last, min(now, window.until or now)
    start, base, reaches_back = window.since, marks.before, True
    blind_before = 0.0
    if window.since is not None and base is None:
        start = marks.oldest.at
        if marks.oldest.number > 1:  # not the very first tick
            base, reaches_back = marks.oldest, False
            passed = (start - window.since).total_seconds()
            blind_before = max(0.0, min(base.blind_seconds, passed))
    good = marks.last_good_at
    return Coverage(
        project=project,
        start=start,
        end=end,
        watched=max(0.0, last.watched_seconds - (base.watched_seconds if base else 0.0)),
        blind=max(0.0, last.blind_seconds - (base.blind_seconds if base else 0.0)),
        reaches_back=reaches_back,
        blind_before=blind_before,
        unseen=0.0 if good is None else max(0.0, (end - good).total_seconds()),
    )
