"""The command `report`: what orphaned agents cost, by what, why, and how sure that is."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from watchdog.core.spend import Spend
from watchdog.expose.labels import RoomNames, printable
from watchdog.options import ConfigOption, JsonOption, UsageError, time_given
from watchdog.reporting.allowance import effective
from watchdog.reporting.avoided import AvoidedSums, Corrected, StoredAvoidance
from watchdog.reporting.coverage import Coverage, coverage_of
from watchdog.reporting.entries import rolled_entries
from watchdog.reporting.focus import write_focus
from watchdog.reporting.plot import SUFFIXES, draw, need_matplotlib
from watchdog.reporting.question import Books, Each, Question
from watchdog.reporting.report import TOP, By, Report
from watchdog.reporting.window import Window
from watchdog.settings import Settings, load_settings
from watchdog.store.database import Database


class Format(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    FOCUS = "focus"


@dataclass(frozen=True, slots=True)
class Spending:
    """A report, and what belongs beside it, by project."""

    report: Report
    as_of: datetime
    coverage: Mapping[str, Coverage | None]
    avoided: AvoidedSums
    corrected: tuple[Corrected, ...]
    included: Mapping[str, int]
    """How many units a month plan Build includes, by meter."""
    effective: Spend | None = None
    """The total less what is left of the plan's allowances; None where nobody said how much that is."""


def report_command(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="From then on: 7d, 12h or an ISO time (UTC).", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Before then; else until now.", show_default=False)
    ] = None,
    by: Annotated[
        str, typer.Option("--by", help="Any of project, agent, policy, day, close_reason.")
    ] = "project,agent",
    project: Annotated[
        str | None, typer.Option("--project", help="Only this project.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option("--top", min=0, help="So many rooms are named.")] = TOP,
    left: Annotated[
        list[str] | None,
        typer.Option(
            "--left",
            metavar="METER=UNITS",
            help="So much of the plan's allowance is left, like lk.agent_session=1200; more than one can be "
            "given.",
            show_default=False,
        ),
    ] = None,
    style: Annotated[
        Format, typer.Option("--format", help="How it is written; focus: one row a charge.")
    ] = Format.TABLE,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw it, too, into this .svg or .png.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What orphaned agents cost, by what, for which likely reason, and how sure that is."""
    from watchdog import spendingtext as text

    if as_json:
        if style not in (Format.TABLE, Format.JSON):
            raise UsageError(f"--json and --format {style} ask for two things; leave one out")
        style = Format.JSON
    settings = load_settings(config)
    asked = Question(_window(since, until), _grouping(by), project, top, _left(left or ()))
    if plot is not None:
        _check_plot(plot)
    names = RoomNames(settings.privacy.room_names)
    each = _as_focus(names) if style is Format.FOCUS else None
    found = asyncio.run(_read(settings, asked, each))
    if plot is not None:
        draw(found.report, plot)
    match style:
        case Format.TABLE:
            text.show_spending(found, names, settings.poll_interval.total_seconds())
        case Format.JSON:
            text.print_spending_json(found, names)
        case Format.CSV:
            text.write_spending_csv(found.report, text.STDOUT)
        case Format.FOCUS:
            pass  # written as it was read


def register(app: typer.Typer) -> None:
    """Add this command to the program's."""
    app.command("report")(report_command)


# ---- what was asked --------------------------------------------------------------------------------


def _window(since: str | None, until: str | None) -> Window:
    now = datetime.now(UTC)
    window = Window(
        None if since is None else time_given(since, now),
        None if until is None else time_given(until, now, "--until"),
    )
    if window.since is not None and window.since >= (window.until or now):
        raise UsageError("nothing lies between --since and --until; the first must be earlier")
    return window


def _grouping(given: str) -> tuple[By, ...]:
    names = [name.strip() for name in given.split(",") if name.strip()]
    known = [by.value for by in By]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        said = repr(wrong[0]) if wrong else "an empty list"
        raise UsageError(f"--by: {said} is nothing to group by; use {', '.join(known)}")
    return tuple(By(name) for name in dict.fromkeys(names))


def _left(given: Iterable[str]) -> dict[str, Decimal]:
    left: dict[str, Decimal] = {}
    for text in given:
        meter, equals, units = text.partition("=")
        if not meter or not equals or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", units):
            raise UsageError(
                f"--left {text!r} is no meter and number; write it like lk.agent_session=1200"
            )
        left[meter] = Decimal(units)
    return left


def _check_plot(file: Path) -> None:
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {file} must end in {' or '.join(SUFFIXES)}")
    need_matplotlib()


# ---- what the database has -------------------------------------------------------------------------


async def _read(settings: Settings, asked: Question, each: Each | None) -> Spending:
    """Read what the settings' database has. Raises StoreError, and UsageError for an unknown project."""
    from watchdog.configured import policies_by_project
    from watchdog.reading import tariffs_of
    from watchdog.store.database import open_for_reading

    books = Books(tariffs_of(settings), policies_by_project(settings))
    async with await open_for_reading(settings.database) as database:
        return await read_spending(database, books, asked, datetime.now(UTC), each)


async def read_spending(
    database: Database, books: Books, asked: Question, now: datetime, each: Each | None = None
) -> Spending:
    """Add up what the database has; `each` episode's entries are handed on as they are read.

    Without `each` the database itself adds up what it can, which is much faster. All of it as of one moment:
    an episode that is rolled up meanwhile counts once. Raises StoreError, and UsageError for a project that
    nobody knows.
    """
    async with database.snapshot() as still:
        return await _read_still(still, books, asked, now, each)


async def _read_still(
    database: Database, books: Books, asked: Question, now: datetime, each: Each | None
) -> Spending:
    from watchdog.store.episodes import EpisodeStore
    from watchdog.store.history import HistoryStore
    from watchdog.store.report import ReportStore
    from watchdog.tallying import tallied

    ticks = await EpisodeStore(database).last_ticks()
    known = sorted({*ticks, *books.tariffs})
    if asked.project is not None and asked.project not in known:
        raise UsageError(
            f"{asked.project!r} is no project of the configuration or the database; they are: "
            + ", ".join(map(printable, known))
        )
    tally = await tallied(database, books, asked, each)
    store, window, only = ReportStore(database), asked.window, asked.project
    history = HistoryStore(database)
    daily = await history.daily(only, *window.days)
    tally.rolled(daily.lines, daily.counts)
    if each is not None:
        each(rolled_entries(daily.lines, window))
    avoided = AvoidedSums()
    avoided.add_days(await history.daily_avoided(only, *window.days), window)
    async for project, one, booked in store.avoided(only, window.until):
        upto = ticks[project].at if project in ticks else now
        avoided.add([StoredAvoidance(project, one, booked)], window, upto)
    corrected = await store.corrected(only, window.since, window.until)
    coverage = {}
    for name in known if only is None else [only]:
        found = await store.milestones(name, window.since, window.until)
        coverage[name] = coverage_of(name, found, window, now)
    report = tally.report()
    return Spending(
        report=report,
        as_of=now,
        coverage=coverage,
        avoided=avoided,
        corrected=tuple(Corrected(name, *one) for name, one in sorted(corrected.items())),
        included=_included(books),
        effective=effective(report.totals.spend, report.meters, asked.left) if asked.left else None,
    )


def _included(books: Books) -> dict[str, int]:
    """What plan Build includes, by meter."""
    return {
        rated.meter.meter: rated.meter.included
        for tariffs in books.tariffs.values()
        for tariff in tariffs
        for rates in tariff.parts.values()
        for rated in rates.unpriced
        if rated.meter.plan == "build" and rated.meter.included is not None
    }


def _as_focus(names: RoomNames) -> Each:
    """Writes entries as FOCUS rows to standard output, as they are read."""
    from watchdog.spendingtext import STDOUT

    def private(name: str) -> str:
        return printable(names.private(name))

    write_focus((), STDOUT)
    return lambda entries: write_focus(entries, STDOUT, private=private, head=False)
