"""What a report adds up: one entry for each meter and day of an episode, or of history rolled up by day."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watchdog.core.days import DayCount, DayKey, DayLine, day_counts, day_lines
from watchdog.core.ledger import LedgerLine, reckoned_lines
from watchdog.core.model import Episode
from watchdog.core.policy import Policy
from watchdog.core.profiles import Tariffs
from watchdog.core.records import TickRecord
from watchdog.reporting.stored import stored_ruling
from watchdog.reporting.window import Stretch, Window, day_of, on_day


class Estimate(StrEnum):
    """Where a number comes from."""

    BOOKED = "booked"  # over: as written down at its end, with the prices of then
    RUNNING = "running"  # not over: reckoned until the newest tick, with the prices of today
    TODAYS_PRICES = "todays_prices"  # over before there was a ledger
    NOT_RECKONED = "not_reckoned"  # its project is not configured, and nothing is written down


@dataclass(frozen=True, slots=True)
class Case:
    """One episode as a report counts it: its bill, until when, and under which policy."""

    episode: Episode
    lines: tuple[LedgerLine, ...]
    upto: datetime
    estimate: Estimate

    @property
    def stretch(self) -> Stretch:
        """From `first_orphaned_at` to its end, or to `upto` while it is open."""
        bounds = self.episode.bounds
        start = bounds.first_orphaned_at
        return start, max(start, bounds.first_gone_at or self.upto)

    @property
    def age(self) -> float:
        """Seconds by the wall clock."""
        start, end = self.stretch
        return (end - start).total_seconds()


@dataclass(frozen=True, slots=True)
class Room:
    """The one room that an entry is about."""

    sid: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What one meter cost on one day, inside the window; `room` is None once history is rolled up."""

    key: DayKey
    line: LedgerLine
    stretch: Stretch
    estimate: Estimate
    room: Room | None = None


def case_of(
    episode: Episode,
    written: Sequence[LedgerLine],
    tick: TickRecord | None,
    tariffs: Tariffs | None,
    policies: Sequence[Policy],
) -> Case:
    """An episode with its bill: what is written of one that is over, else reckoned until the newest tick.

    `written` are its lines in the ledger, `tariffs` None where its project is not configured.
    """
    bounds = episode.bounds
    last_seen = bounds.last_seen_orphaned_at
    upto = bounds.first_gone_at or last_seen
    if episode.is_open:
        upto = max(tick.at, upto) if tick else upto
        ruling = stored_ruling(episode, tick, tariffs, policies)
        episode = replace(episode, policy=ruling.policy.name if ruling else "")
        if tariffs is not None:
            return Case(
                episode, reckoned_lines(episode, tariffs, upto=upto), upto, Estimate.RUNNING
            )
        return Case(
            episode, tuple(written), upto, Estimate.RUNNING if written else Estimate.NOT_RECKONED
        )
    # A policy is written at the end of an episode since there is a ledger: with one, none is missing.
    if written or episode.policy:
        return Case(episode, tuple(written), upto, Estimate.BOOKED)
    if tariffs is None:
        return Case(episode, (), upto, Estimate.NOT_RECKONED)
    return Case(episode, reckoned_lines(episode, tariffs, upto=upto), upto, Estimate.TODAYS_PRICES)


def entries_of(case: Case, window: Window) -> Iterator[Entry]:
    """What of an episode's bill falls into the window, by day: cut by the time it was open on each."""
    room = Room(case.episode.room_sid, case.episode.room_name)
    for one in day_lines(case.episode, case.lines, case.upto):
        yield from _within(one, on_day(case.stretch, one.key.day), window, case.estimate, room)


def rolled_entries(lines: Iterable[DayLine], window: Window) -> Iterator[Entry]:
    """What of history that was rolled up by day falls into the window: a cut day counts pro rata."""
    for one in lines:
        yield from _within(one, day_of(one.key.day), window, Estimate.BOOKED, None)


def counts_of(case: Case, window: Window) -> Iterator[DayCount]:
    """How many episodes began in the window, and how long rooms were orphaned in it, by day."""
    for one in day_counts(case.episode, case.upto):
        yield from _counted(one, on_day(case.stretch, one.key.day), window, began=case.stretch[0])


def rolled_counts(counts: Iterable[DayCount], window: Window) -> Iterator[DayCount]:
    """The same of history rolled up by day; who began on a cut day is counted where its midnight lies."""
    for one in counts:
        whole = day_of(one.key.day)
        yield from _counted(one, whole, window, began=whole[0])


def _within(
    one: DayLine, stretch: Stretch, window: Window, estimate: Estimate, room: Room | None
) -> Iterator[Entry]:
    inside = window.clip(stretch)
    if inside is not None:
        yield Entry(one.key, window.cut(one.line, stretch), inside, estimate, room)


def _counted(
    one: DayCount, stretch: Stretch, window: Window, *, began: datetime
) -> Iterator[DayCount]:
    if window.clip(stretch) is None:
        return
    counted = window.holds(began)
    yield replace(
        one,
        episodes=one.episodes if counted else 0,
        never_attended=one.never_attended if counted else 0,
        orphaned_seconds=one.orphaned_seconds * float(window.share(stretch)),
    )
