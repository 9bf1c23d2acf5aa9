"""The commands of the price book: `prices` shows what is used, `prices check` reads one of yours."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from watchdog.core.pricebook import PriceBook
from watchdog.expose.formats import counted
from watchdog.expose.labels import printable
from watchdog.expose.pricetable import HASH_SHOWN, price_json, price_table
from watchdog.options import ConfigOption, JsonOption, UsageError
from watchdog.printing import is_narrow, print_json, say, show
from watchdog.settings import Settings, load_settings

LIST_PRICES = (
    "These are list prices, LiveKit's for use beyond what a plan includes: check them against "
    "your own bill."
)


class Plan(StrEnum):
    """LiveKit Cloud's plans."""

    SHIP = "ship"
    SCALE = "scale"
    BUILD = "build"


def register(app: typer.Typer) -> None:
    """Add these commands to the program's."""
    group = typer.Typer(
        help="What each meter costs, how sure that is, and whether it bills while nobody speaks.",
        invoke_without_command=True,
    )
    group.callback()(prices)
    group.command("check")(check)
    app.add_typer(group, name="prices")


def prices(
    context: typer.Context,
    plan: Annotated[
        Plan | None,
        typer.Option(
            "--plan", help="Of this plan; else of the configured one.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every plan, and every day on which a price holds.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What each meter costs, how sure that is, and whether it bills while nobody speaks."""
    if context.invoked_subcommand is not None:
        if plan or every or config or as_json:
            raise UsageError(
                f"what stands before `{context.invoked_subcommand}` is for the list alone; write "
                f"options after it"
            )
        return
    from watchdog.prices.book import load_book

    if plan and every:
        raise UsageError("--plan and --all exclude each other: --all shows every plan")
    settings = load_settings(config)
    book = load_book(settings.prices.book)
    _show(book, settings, None if every else plan or Plan(settings.prices.plan), as_json=as_json)


def _show(book: PriceBook, settings: Settings, plan: Plan | None, *, as_json: bool) -> None:
    """The prices of one plan today, or all there are."""
    today = datetime.now(UTC).date()
    entries = book.meters if plan is None else book.under(plan, today)
    if as_json:
        own = settings.prices.book
        print_json(
            {
                "book_version": book.book_version,
                "content_hash": book.content_hash,
                "own_book": str(own) if own else None,
                "currency": book.currency,
                "stale_after_days": book.stale_after.days,
                "plan": plan,
                "prices": [price_json(entry, book, today) for entry in entries],
            }
        )
        return
    of = f"plan {plan}, today" if plan else "every plan and day"
    say(
        f"book {printable(book.book_version)} ({book.content_hash[:HASH_SHOWN]}), {of}, "
        f"{book.currency}"
    )
    show(price_table(entries, book, today, every=plan is None, narrow=is_narrow()))
    if stale := sum(book.is_stale(entry, today) for entry in entries):
        days = book.stale_after.days
        say(f"Stale, since verified {days} days ago or longer: {stale} of {len(entries)} prices.")
    say(LIST_PRICES)


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A price book of your own.")],
    as_json: JsonOption = False,
) -> None:
    """What a price book of your own changes, or all that is wrong with it."""
    from watchdog.prices.book import check_book

    found = check_book(file, datetime.now(UTC).date())
    if as_json:
        as_it_is: dict[str, Any] = {
            "file": str(file),
            "book_version": found.book_version,
            "entries": found.entries,
            "replacing": found.replacing,
            "new_meters": list(found.new_meters),
            "notes": list(found.notes),
        }
        print_json(as_it_is)
        return
    replacing = "replaces a built-in one" if found.replacing == 1 else "replace built-in ones"
    say(
        f"{printable(str(file))}: {counted(found.entries, 'entry', 'entries')}, "
        f"{found.replacing} {replacing}, {counted(len(found.new_meters), 'new meter')}"
    )
    for note in found.notes:
        say(f"note: {printable(note)}")
