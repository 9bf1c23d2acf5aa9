"""The price book as the command `prices` shows it: a table for people, JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from watchdog.core.pricebook import Meter, PriceBook
from watchdog.expose.formats import UNPRICED

HASH_SHOWN = 12
"""So many digits of a book's hash tell it from any other."""
_IDLE = {True: "yes", False: "no", None: "unknown"}
_CONFIDENCE = {"low": "yellow"}


def price_table(
    entries: Sequence[Meter],
    book: PriceBook,
    today: date,
    *,
    every: bool = False,
    narrow: bool = False,
) -> Table:
    """Prices, a line each; with `every` also of which plan each is, and on which days it holds.

    `narrow` is for a terminal of 80 columns: nothing is cut off, names go on in a second line.
    """
    table = Table(box=None, padding=(0, 1 if narrow else 2, 0, 0), header_style="bold")
    table.add_column("meter", overflow="fold", min_width=12)
    if every:
        table.add_column("plan", no_wrap=True)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("unit", overflow="fold", no_wrap=not narrow, min_width=9)
    table.add_column("idle", no_wrap=True)
    table.add_column("verified", overflow="fold", min_width=10)
    table.add_column("confidence", no_wrap=True)
    if every:
        table.add_column("holds", overflow="fold", min_width=10)
    for entry in entries:
        row = [Text(entry.meter)]
        if every:
            row.append(Text(entry.plan))
        row += [
            Text(price_text(entry.price), "" if entry.price is not None else "dim"),
            Text(entry.unit),
            Text(_IDLE[entry.bills_when_idle]),
            _verified(entry, stale=book.is_stale(entry, today)),
            Text(entry.confidence, _CONFIDENCE.get(entry.confidence, "")),
        ]
        if every:
            row.append(_days(entry))
        table.add_row(*row)
    return table


def price_text(price: Decimal | None) -> str:
    """A price as the book writes it: decimal text, or "unpriced", which is never 0."""
    return UNPRICED if price is None else f"{price:f}"


def _verified(entry: Meter, *, stale: bool) -> Text:
    text = Text(entry.last_verified.isoformat())
    return text.append(" stale", "bold red") if stale else text


def _days(entry: Meter) -> Text:
    """The days on which it holds, the last one included."""
    first, after = entry.effective_from, entry.effective_to
    if after is None:
        return Text(f"from {first}")
    return Text(f"{first} until {after - timedelta(days=1)}")


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def price_json(entry: Meter, book: PriceBook, today: date) -> dict[str, Any]:
    """One entry with every field, in the words of the book's file."""
    return asdict(entry) | {
        "price": price_text(entry.price),
        "bills_when_idle": "unknown" if entry.bills_when_idle is None else entry.bills_when_idle,
        "effective_from": _day(entry.effective_from),
        "effective_to": _day(entry.effective_to),
        "last_verified": _day(entry.last_verified),
        "stale": book.is_stale(entry, today),
    }
