"""The price book: a dated file in this package, and the operator's own that overrides it."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from watchdog.core.errors import ConfigurationError
from watchdog.core.pricebook import UNIT_SECONDS, Meter, PriceBook
from watchdog.settings.files import parse_toml, read_toml
from watchdog.settings.problems import nearest, problems_of, shown

_BUILT_IN = "the built-in price book"
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")


def _price(value: object) -> Decimal | None:
    if value is None or value == "unpriced":
        return None
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int | float):
        raise ValueError('must be decimal text in quotes, like "0.0005"')  # noqa: TRY004 - pydantic collects ValueError
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueError('is no price; write decimal text like "0.0005", or "unpriced"')
    if value.startswith("-"):
        raise ValueError("is negative; a price is 0 or more")
    return Decimal(value)


def _unit(value: object) -> object:
    if not isinstance(value, str) or value not in UNIT_SECONDS:
        raise ValueError(f"is no unit this version can measure; use {' or '.join(UNIT_SECONDS)}")
    return value


def _idle(value: object) -> object:
    if value == "unknown":
        return None
    if value is None or isinstance(value, bool):
        return value
    raise ValueError('must be true, false or "unknown"')


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class _Entry(_Strict):
    """One `[[prices]]` table."""

    meter: str = Field(min_length=1)
    provider: str = "livekit"
    plan: Literal["ship", "scale", "build"]
    unit: Annotated[str, BeforeValidator(_unit)]
    price: Annotated[Decimal | None, BeforeValidator(_price)]
    currency: Literal["USD"] = "USD"
    basis: Literal["connection_time", "audio_time", "tokens", "chars", "allocated"] = (
        "connection_time"
    )
    bills_when_idle: Annotated[bool | None, BeforeValidator(_idle)]
    increment_s: int = Field(ge=1)
    minimum_s: int = Field(ge=0)
    max_session_s: int | None = Field(default=None, ge=1)
    included: int | None = Field(default=None, ge=0)
    effective_from: date
    effective_to: date | None = None
    source: str = Field(min_length=1)
    last_verified: date
    confidence: Literal["high", "medium", "low"]
    notes: str = ""


class _Envelope(_Strict):
    schema_version: Literal[1]
    book_version: str = Field(min_length=1)
    currency: Literal["USD"]
    stale_after_days: int | None = Field(default=None, ge=1, le=3650)
    prices: list[_Entry]


def load_book(path: Path | None = None) -> PriceBook:
    """The built-in book, with the entries of the book at `path` in place of its own.

    An entry of yours replaces all that the built-in book says about that meter under that plan.
    Raises ConfigurationError with one line for each thing that is wrong.
    """
    text = resources.files("watchdog.prices").joinpath("book.toml").read_text("utf-8")
    book = _checked(parse_toml(text, _BUILT_IN), _BUILT_IN)
    entries, version, stale_days = book.prices, book.book_version, book.stale_after_days
    if path is not None:
        own = _checked(read_toml(path, "price book"), str(path))
        _refuse_unused(own.prices, {entry.meter for entry in entries}, str(path))
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


def _hash(entries: Iterable[_Entry]) -> str:
    """SHA-256 of the entries as canonical JSON: the same prices give the same hash."""
    content = [entry.model_dump(mode="json") for entry in entries]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _checked(document: Mapping[str, Any], name: str) -> _Envelope:
    lines = [f"{name}: {line}" for line in _unknown_keys(document)]
    try:
        book = _Envelope.model_validate(document)
    except ValidationError as error:
        lines += [
            f"{name}: {_where(problem.path, document)}: {problem.message}"
            for problem in problems_of(error, frozenset())
        ]
    else:
        lines += [f"{name}: {line}" for line in _overlaps(book.prices)]
        if not lines:
            return book
    raise ConfigurationError("\n".join(lines)) from None


def _where(path: Sequence[str | int], document: Mapping[str, Any]) -> str:
    """The key; inside an entry also which one it is, by number, meter and plan."""
    keys = [str(part) for part in path if isinstance(part, str)]
    if len(path) < 2 or not isinstance(path[1], int):
        return ".".join(keys)
    entry = document["prices"][path[1]]
    names = [entry.get(k) for k in ("meter", "plan")] if isinstance(entry, dict) else []
    known = ", ".join(shown(n)[1:-1] for n in names if isinstance(n, str))
    where = f"[[prices]] no. {path[1] + 1}" + (f" ({known})" if known else "")
    return ": ".join([where, *keys[1:]])


def _unknown_keys(document: Mapping[str, Any]) -> Iterator[str]:
    for key in document:
        if key not in _Envelope.model_fields:
            yield _unknown(key, _Envelope)
    prices = document.get("prices")
    for number, entry in enumerate(prices if isinstance(prices, list) else ()):
        for key in entry if isinstance(entry, dict) else ():
            if key not in _Entry.model_fields:
                yield f"{_where(('prices', number), document)}: {_unknown(key, _Entry)}"


def _unknown(key: str, model: type[BaseModel]) -> str:
    known = nearest(key, model.model_fields)
    return f"unknown key {shown(key)}; the nearest known one is {known}"


def _refuse_unused(entries: Iterable[_Entry], known: set[str], name: str) -> None:
    """A misspelt meter would leave the built-in price in force without a word."""
    lines = [
        f"{name}: [[prices]] no. {number} ({shown(e.meter)[1:-1]}, {e.plan}): meter: no profile runs "
        f"this meter; the nearest known one is {nearest(e.meter, known)}"
        for number, e in enumerate(entries, start=1)
        if e.meter not in known
    ]
    if lines:
        raise ConfigurationError("\n".join(lines))


def _overlaps(entries: Sequence[_Entry]) -> Iterator[str]:
    for number, entry in enumerate(entries, start=1):
        where = f"[[prices]] no. {number} ({shown(entry.meter)[1:-1]}, {entry.plan})"
        if entry.effective_to is not None and entry.effective_to <= entry.effective_from:
            yield f"{where}: effective_to: {entry.effective_to} is not after effective_from"
        for other, earlier in enumerate(entries[: number - 1], start=1):
            if (earlier.meter, earlier.plan) == (entry.meter, entry.plan) and _overlap(
                earlier, entry
            ):
                yield (
                    f"{where}: effective_from: its days overlap with those of no. {other}; give the "
                    "earlier one an effective_to"
                )


def _overlap(one: _Entry, two: _Entry) -> bool:
    def end(entry: _Entry) -> date:
        return entry.effective_to or date.max

    return one.effective_from < end(two) and two.effective_from < end(one)
