"""What is wrong with something the operator wrote, as one sentence each, without a secret in it."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

Place = tuple[str | int, ...]
"""Where a value stands: keys, and positions in lists counted from 0."""

_SHOWN_LENGTH = 60
_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "date_type": "must be a date like 2026-09-30",
    "date_parsing": "must be a date like 2026-09-30",
    "date_from_datetime_parsing": "must be a date like 2026-09-30",
    "date_from_datetime_inexact": "must be a date like 2026-09-30",
    "path_type": "must be the path of a file, as text",
    "model_type": "must be a table of settings",
    "model_attributes_type": "must be a table of settings",
    "dict_type": "must be a table of settings",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty",
    "value_error": "{error}",
}
_NO_VALUE = {"missing", "string_too_short"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at one place; `message` goes on where the place's name ends."""

    path: Place
    message: str


def shown(value: object) -> str:
    """A value for an error message: quoted, on one line, not too long."""
    if isinstance(value, str):
        text = value if len(value) <= _SHOWN_LENGTH else value[: _SHOWN_LENGTH - 1] + "…"
        return json.dumps(text, ensure_ascii=not text.isprintable())
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)[:_SHOWN_LENGTH]


def problems_of(error: ValidationError, secret: frozenset[str]) -> Iterator[Problem]:
    """What pydantic found, in our words. Keys named in `secret` never have their value shown.

    Unknown keys are left out: they are found before, with the nearest known one.
    """
    for item in error.errors(include_url=False):
        if item["type"] == "extra_forbidden":
            continue
        path = tuple(item["loc"])
        yield Problem(path, _message(item, hidden=_hidden(path, item["input"], secret)))


def _hidden(path: Place, value: object, secret: frozenset[str]) -> bool:
    """Whether a value must not be shown: a secret, or something that may hold one."""
    keys = [part for part in path if isinstance(part, str)]
    return keys[-1:] == [] or keys[-1] in secret or not isinstance(value, str | int | float)


def _message(item: Mapping[str, Any], *, hidden: bool) -> str:
    kind, context = item["type"], dict(item.get("ctx") or {})
    if kind == "literal_error":
        context["expected"] = context["expected"].replace("'", '"')
    template = _MESSAGES.get(kind)
    text = template.format(**context) if template else str(item["msg"])
    if hidden or kind in _NO_VALUE:
        return text
    return f"{shown(item['input'])} {text}"


def nearest(key: str, known: Iterable[str]) -> str:
    """The known dotted key that is most like `key`; one with the same last part goes first."""
    candidates = sorted(known)
    leaf = key.rpartition(".")[2]
    same = [c for c in candidates if c.rpartition(".")[2] == leaf]
    return difflib.get_close_matches(key, same or candidates, n=1, cutoff=0.0)[0]
