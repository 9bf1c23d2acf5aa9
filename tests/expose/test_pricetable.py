"""The price book as the terminal shows it."""

from datetime import date

import pytest
from rich.console import Console

from watchdog.core.pricebook import Meter
from watchdog.expose.pricetable import price_json, price_table
from watchdog.prices.book import load_book

BOOK = load_book()
FRESH, STALE = date(2026, 12, 28), date(2026, 12, 29)


def shown(entries: tuple[Meter, ...], today: date, width: int, *, every: bool = False) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(price_table(entries, BOOK, today, every=every, narrow=width < 120))
    return capture.get()


def test_a_price_is_marked_from_the_day_on_which_it_is_stale():
    entries = BOOK.under("ship", FRESH)
    assert "stale" not in shown(entries, FRESH, 200)
    assert shown(entries, STALE, 200).count("2026-09-30 stale") == len(entries)
    assert [price_json(entry, BOOK, FRESH)["stale"] for entry in entries[:1]] == [False]
    assert [price_json(entry, BOOK, STALE)["stale"] for entry in entries[:1]] == [True]


@pytest.mark.parametrize("every", [False, True])
def test_nothing_is_cut_off_on_a_narrow_terminal(every: bool):
    entries = BOOK.meters if every else BOOK.under("ship", STALE)
    narrow, wide = (shown(entries, STALE, width, every=every) for width in (80, 250))
    assert "…" not in narrow
    assert sorted("".join(narrow.split())) == sorted("".join(wide.split()))


def test_an_empty_book_has_no_lines():
    assert shown((), FRESH, 80).split() == [
        *("meter", "price", "unit", "idle", "verified", "confidence")
    ]
