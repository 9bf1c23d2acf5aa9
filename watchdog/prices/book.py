"""The price book: a dated file in this package, and the operator's own that overrides it."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

from watchdog.core.errors import ConfigurationError
from watchdog.core.pricebook import LIST_PLAN, Meter, PriceBook
from watchdog.prices.schema import Entry, Envelope, checked, place_of
from watchdog.settings.files import parse_toml, read_toml

_BUILT_IN = "the built-in price book"
_NEAR = 0.85
"""So much alike are a meter's name and a misspelling of it, by difflib's measure."""


@dataclass(frozen=True, slots=True)
class OwnBook:
    """What an operator's book says beside the built-in one.

    `replacing` counts its entries that take the place of built-in ones; `new_meters` are those that
    the built-in book does not have. `notes` are what may be a slip, one sentence each.
    """

    book_version: str
    entries: int
    replacing: int
    new_meters: tuple[str, ...]
    notes: tuple[str, ...]


def load_book(path: Path | None = None) -> PriceBook:
    """The built-in book, with the entries of the book at `path` in place of its own.

    An entry of yours replaces all that the built-in book says about that meter under that plan.
    Raises ConfigurationError with one line for each thing that is wrong.
    """
    book = _built_in()
    entries, version, stale_days = book.prices, book.book_version, book.stale_after_days
    if path is not None:
        own = _own(path)
        replaced = {(entry.meter, entry.plan) for entry in own.prices}
        entries = [e for e in entries if (e.meter, e.plan) not in replaced] + own.prices
        version = f"{version}+{own.book_version}"
        stale_days = own.stale_after_days or stale_days
    assert stale_days is not None, "the built-in book says it"
    entries = sorted(entries, key=lambda e: (e.meter, e.plan, e.effective_from))
    return PriceBook(
        schema_version=book.schema_version,
        book_version=version,
        currency=book.currency,
        meters=tuple(Meter(**entry.model_dump()) for entry in entries),
        content_hash=_hash(entries),
        stale_after=timedelta(days=stale_days),
    )


def check_book(path: Path, today: date) -> OwnBook:
    """What the book at `path` changes. Raises ConfigurationError as `load_book` does."""
    own = _own(path)
    known = {(entry.meter, entry.plan) for entry in _built_in().prices}
    meters = {meter for meter, _ in known}
    return OwnBook(
        book_version=own.book_version,
        entries=len(own.prices),
        replacing=sum((entry.meter, entry.plan) in known for entry in own.prices),
        new_meters=tuple(sorted({entry.meter for entry in own.prices} - meters)),
        notes=tuple(_slips(own.prices, meters, today)),
    )


@cache
def _built_in() -> Envelope:
    text = resources.files("watchdog.prices").joinpath("book.toml").read_text("utf-8")
    return checked(parse_toml(text, _BUILT_IN), _BUILT_IN)


def _own(path: Path) -> Envelope:
    own = checked(read_toml(path, "price book"), str(path))
    if lines := list(_never_used(own.prices)):
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in lines))
    return own


def _hash(entries: Iterable[Entry]) -> str:
    """SHA-256 of the entries as canonical JSON: the same prices give the same hash."""
    content = [entry.model_dump(mode="json") for entry in entries]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _never_used(entries: Iterable[Entry]) -> Iterator[str]:
    """A list price of what LiveKit sells by plan would leave the built-in one in force without a word."""
    by_plan = {entry.meter for entry in _built_in().prices if entry.plan != LIST_PLAN}
    for number, entry in enumerate(entries, start=1):
        if entry.plan == LIST_PLAN and entry.meter in by_plan:
            yield (
                f'{place_of(number, entry)}: plan: "{LIST_PLAN}" is never used for this meter, which has '
                'a price under each plan; write "ship", "scale" or "build"'
            )


def _slips(entries: Iterable[Entry], known: set[str], today: date) -> Iterator[str]:
    """What is allowed, and may not be meant."""
    for number, entry in enumerate(entries, start=1):
        if entry.meter not in known:
            near = difflib.get_close_matches(entry.meter, known, n=1, cutoff=_NEAR)
            if near:
                yield (
                    f"{place_of(number, entry)}: meter: is new; if {near[0]} is meant, the built-in "
                    "price of that stays in force"
                )
        if entry.last_verified > today:
            yield f"{place_of(number, entry)}: last_verified: {entry.last_verified} is yet to come"
