"""What a price book's file must look like, and one line for each thing that is wrong with one."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from watchdog.core.errors import ConfigurationError
from watchdog.core.pricebook import UNIT_SECONDS, UNSEEN_UNITS
from watchdog.settings.problems import nearest, problems_of, shown

UNITS = (*UNIT_SECONDS, *UNSEEN_UNITS)
_TIME = ("connection_time", "audio_time")
_BASES: Mapping[str, tuple[str, ...]] = {
    "min": (*_TIME, "allocated"),
    "connection-min": _TIME,
    "h": (*_TIME, "allocated"),
    "vCPU-h": ("allocated",),
    "GB-h": ("allocated",),
    "GB": ("bytes",),
    "1M chars": ("chars",),
    "1M tokens": ("tokens",),
}
"""What a unit can be counted from; the first is taken where an entry does not say."""
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,12})?")
_LAST_DAY = date(2999, 12, 31)
"""Leaves room to count on from it."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


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
    if not isinstance(value, str) or value not in UNITS:
        raise ValueError(f"is no known unit; use one of {', '.join(UNITS)}")
    return value


def _idle(value: object) -> object:
    if value == "unknown":
        return None
    if value is None or isinstance(value, bool):
        return value
    raise ValueError('must be true, false or "unknown"')


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ -")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Entry(_Strict):
    """One `[[prices]]` table."""

    meter: Annotated[str, Field(min_length=1), AfterValidator(_name)]
    provider: str = Field(default="livekit", min_length=1)
    plan: Literal["ship", "scale", "build", "list"]
    unit: Annotated[str, BeforeValidator(_unit)]
    price: Annotated[Decimal | None, BeforeValidator(_price)]
    currency: Literal["USD"] = "USD"
    basis: Literal["connection_time", "audio_time", "allocated", "bytes", "chars", "tokens"] = (
        "connection_time"
    )
    bills_when_idle: Annotated[bool | None, BeforeValidator(_idle)]
    increment_s: int = Field(ge=1)
    minimum_s: int = Field(ge=0)
    max_session_s: int | None = Field(default=None, ge=1)
    final: bool = False
    included: int | None = Field(default=None, ge=0)
    effective_from: date
    effective_to: date | None = None
    source: str = Field(min_length=1)
    last_verified: date = Field(le=_LAST_DAY)
    confidence: Literal["high", "medium", "low"]
    notes: str = ""

    @model_validator(mode="before")
    @classmethod
    def _what_is_usual(cls, value: object) -> object:
        """`deepgram.nova-3` is Deepgram's, and what is priced by the token is counted in tokens."""
        if not isinstance(value, dict):
            return value
        usual: dict[str, str] = {}
        meter, unit = value.get("meter"), value.get("unit")
        if isinstance(meter, str) and not meter.startswith(("lk.", ".")):
            usual["provider"] = meter.partition(".")[0]
        if isinstance(unit, str) and unit in _BASES:
            usual["basis"] = _BASES[unit][0]
        return usual | value


class Envelope(_Strict):
    """The whole file."""

    schema_version: Literal[1]
    book_version: str = Field(min_length=1)
    currency: Literal["USD"]
    stale_after_days: int | None = Field(default=None, ge=1, le=3650)
    prices: list[Entry]


def checked(document: Mapping[str, Any], name: str) -> Envelope:
    """The book that a TOML document holds; `name` stands for its file in the errors.

    Raises ConfigurationError with one line for each thing that is wrong.
    """
    lines = [f"{name}: {line}" for line in _unknown_keys(document)]
    try:
        book = Envelope.model_validate(document)
    except ValidationError as error:
        lines += [
            f"{name}: {_where(problem.path, document)}: {problem.message}"
            for problem in problems_of(error, frozenset())
        ]
    else:
        lines += [f"{name}: {line}" for line in (*_odd(book.prices), *_overlaps(book.prices))]
        if not lines:
            return book
    raise ConfigurationError("\n".join(lines)) from None


def place_of(number: int, entry: Entry) -> str:
    """How an entry is called in messages; they are counted from 1."""
    return f"[[prices]] no. {number} ({entry.meter}, {entry.plan})"


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
        if key not in Envelope.model_fields:
            yield _unknown(key, Envelope)
    prices = document.get("prices")
    for number, entry in enumerate(prices if isinstance(prices, list) else ()):
        for key in entry if isinstance(entry, dict) else ():
            if key not in Entry.model_fields:
                yield f"{_where(('prices', number), document)}: {_unknown(key, Entry)}"


def _unknown(key: str, model: type[BaseModel]) -> str:
    known = nearest(key, model.model_fields)
    return f"unknown key {shown(key)}; the nearest known one is {known}"


def _odd(entries: Sequence[Entry]) -> Iterator[str]:
    """Values that are good by themselves and make no sense beside each other."""
    for number, entry in enumerate(entries, start=1):
        where = place_of(number, entry)
        if entry.basis not in _BASES[entry.unit]:
            fitting = " or ".join(shown(basis) for basis in _BASES[entry.unit])
            yield (
                f"{where}: basis: {shown(entry.basis)} does not go with unit {shown(entry.unit)}; "
                f"use {fitting}"
            )
        if entry.final and entry.max_session_s is None:
            yield f"{where}: final: needs max_session_s, after which the session has ended for good"


def _overlaps(entries: Sequence[Entry]) -> Iterator[str]:
    for number, entry in enumerate(entries, start=1):
        where = place_of(number, entry)
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


def _overlap(one: Entry, two: Entry) -> bool:
    def end(entry: Entry) -> date:
        return entry.effective_to or date.max

    return one.effective_from < end(two) and two.effective_from < end(one)
