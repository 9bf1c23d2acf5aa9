"""The episodes of a report: read, and added up in one of two ways that come to the same.

By day, where the database adds up all that began and ended on a day which lies in the window whole, and has a
bill. One by one, what is left; and everything, where somebody wants each episode's entries.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from watchdog.core.dearest import Dearest
from watchdog.core.model import Episode
from watchdog.core.records import TickRecord
from watchdog.reporting.entries import Case, case_of, entries_of
from watchdog.reporting.question import Books, Each, Question
from watchdog.reporting.report import Tally
from watchdog.reporting.window import Window, day_of
from watchdog.store.database import Database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.quick import QuickStore
from watchdog.store.report import ReportStore

Pages = AsyncIterator[Sequence[Episode]]
"""Episodes, a part at a time, the oldest first."""


async def tallied(
    database: Database, books: Books, asked: Question, each: Each | None = None
) -> Tally:
    """The episodes that are kept, added up; `each` one's entries are handed on as they are read.

    Without `each` by day, unless there are so many agent names that the order of the episodes matters.
    """
    cases = _Cases(database, books, asked, await EpisodeStore(database).last_ticks())
    if each is None:
        tally = await _by_day(database, asked, cases)
        if tally is not None and not tally.names_ran_out:
            return tally
    tally = Tally(asked.window, asked.by, asked.top)
    async for case in cases.that_began(Window()):
        tally.case(case)
        if each is not None:
            each(entries_of(case, asked.window))
    return tally


async def _by_day(database: Database, asked: Question, cases: "_Cases") -> Tally | None:
    """None where no day lies in the window whole."""
    whole = asked.window.whole_days
    if whole is None:
        return None
    first, end = whole
    quick, tally = QuickStore(database), Tally(asked.window, asked.by, asked.top)
    dearest = Dearest[str](asked.top)
    if first is not None:
        async for case in cases.that_began(Window(None, day_of(first)[0])):
            tally.case(case)
    day = await quick.next_day(first)
    while day is not None and (end is None or day < end):
        tally.day(await quick.closed(asked.project, day, dearest))
        async for case in cases.of(_rest(quick, asked.project, day)):
            tally.case(case)
        day = await quick.next_day(day + timedelta(days=1))
    if end is not None:
        async for case in cases.that_began(Window(day_of(end)[0])):
            tally.case(case)
    async for case in cases.of(_found(database, dearest.found())):
        tally.room(case)
    return tally


def _rest(quick: QuickStore, project: str | None, day: date) -> Pages:
    return _pages(lambda after: quick.rest(project, day, after))


async def _found(database: Database, ids: Sequence[str]) -> Pages:
    yield tuple((await EpisodeStore(database).episodes_by_id(ids)).values())


async def _pages(read: Callable[[Episode | None], Awaitable[Sequence[Episode]]]) -> Pages:
    """Part after part, each of those that come after the last one of the part before."""
    page = await read(None)
    while page:
        yield page
        page = await read(page[-1])


@dataclass(frozen=True, slots=True)
class _Cases:
    """Gives episodes their bills; `ticks` are the newest of each project."""

    database: Database
    books: Books
    asked: Question
    ticks: Mapping[str, TickRecord]

    async def that_began(self, stretch: Window) -> AsyncIterator[Case]:
        """Those that began in a stretch of time and may lie in the window, the oldest first."""
        store, asked = EpisodeStore(self.database), self.asked
        ends = [end for end in (asked.window.until, stretch.until) if end is not None]

        def read(after: Episode | None) -> Awaitable[Sequence[Episode]]:
            since = asked.window.since
            return store.episodes_since(asked.project, since, began=stretch.since, after=after)

        async for case in self.of(_pages(read)):
            if ends and case.stretch[0] >= min(ends):
                return  # they come in the order in which they began
            yield case

    async def of(self, pages: Pages) -> AsyncIterator[Case]:
        """These, in their order."""
        report = ReportStore(self.database)
        async for page in pages:
            lines = await report.lines([episode.id for episode in page])
            for episode in page:
                yield case_of(
                    episode,
                    lines.get(episode.id, ()),
                    self.ticks.get(episode.project),
                    self.books.tariffs.get(episode.project),
                    self.books.policies.get(episode.project, ()),
                )
