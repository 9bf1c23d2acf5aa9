"""Durations as people write them: text like "90s", "15m", "1h30m", or a number of seconds."""

import math
import re
from datetime import timedelta
from decimal import Decimal
from typing import Literal

DURATION_FORMS = '"90s", "15m", "2h", "1h30m", "500ms" or a number of seconds'

_UNITS = {"d": Decimal(86400), "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1)} | {
    "ms": Decimal("0.001")
}
# Each unit at most once, from the largest to the smallest; at least one of them.
_TEXT = re.compile(
    r"(?=\d)" + "".join(rf"(?:(?P<{u}>[0-9]+(?:\.[0-9]+)?){u}(?![a-z]))?" for u in _UNITS)
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST = timedelta(days=36500)


def parse_duration(value: object) -> timedelta:
    """A duration from text or from seconds. ValueError says which forms are allowed."""
    if isinstance(value, timedelta):
        return value
    amount = _seconds(value)
    if amount is None:
        raise ValueError(f"is no duration; write {DURATION_FORMS}")
    if amount < 0 or amount > _LONGEST.total_seconds():
        raise ValueError("is out of range; a duration is from 0 to 100 years")
    return timedelta(microseconds=int(amount * 1_000_000))


def _seconds(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(str(value)) if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    match = _TEXT.fullmatch(text)
    if not match:
        return None
    return sum(
        (Decimal(n) * _UNITS[unit] for unit, n in match.groupdict().items() if n is not None),
        Decimal(0),
    )


def format_duration(duration: timedelta) -> str:
    """A duration in the form it is written in, like "1h30m"."""
    rest = round(duration.total_seconds() * 1000)
    parts = []
    for unit, factor in _UNITS.items():
        count, rest = divmod(rest, int(factor * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_recordings(value: object) -> timedelta | bool:
    """A duration, or true (always) or false (never), also as text. ValueError says what is allowed."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or true or false") from None


FOREVER: Literal["forever"] = "forever"
SHORTEST_RETENTION = timedelta(days=7)


def parse_retention(value: object) -> timedelta | Literal["forever"]:
    """How long history is kept, a week or more, or "forever". ValueError says what is allowed."""
    if isinstance(value, str) and value.strip().lower() == FOREVER:
        return FOREVER
    try:
        kept = parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "forever"') from None
    if kept < SHORTEST_RETENTION:
        raise ValueError(
            f'is too short; keep episodes for {format_duration(SHORTEST_RETENTION)} or more, or "forever"'
        )
    return kept
