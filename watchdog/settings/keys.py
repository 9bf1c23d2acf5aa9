"""Where each setting stands: its key, its variable, and the lists of tables like `[[projects]]`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from watchdog.settings.model import ENV_PREFIX, Settings

LIVEKIT_VARIABLES: Mapping[str, str] = {
    "url": "LIVEKIT_URL",
    "api_key": "LIVEKIT_API_KEY",
    "api_secret": "LIVEKIT_API_SECRET",
    "api_secret_file": "LIVEKIT_API_SECRET_FILE",
}
"""The variables that give the project `default`, by the key of `[[projects]]` each stands for."""


@dataclass(frozen=True, slots=True)
class TableList:
    """A list of tables. It is given in the file: no `WATCHDOG_` variable can name one of its tables.

    `one` is what each table describes. `variables` are those of others that can stand for its keys,
    and `or_else` tells of them.
    """

    one: str
    or_else: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


TABLE_LISTS: Mapping[str, TableList] = {
    "prices.profiles": TableList("profile"),
    "policies": TableList("policy"),
    "projects": TableList(
        "project",
        or_else=", or one by LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
        variables=LIVEKIT_VARIABLES,
    ),
}
"""Every list of tables, by its key with dots. Each of its tables has a `name` that no other has."""


def settings_keys(
    model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every single setting's path and field; one in a list of tables begins with the list's key."""
    for name, info in model.model_fields.items():
        inner = section_of(info)
        if inner is None:
            yield (*prefix, name), info
        else:
            yield from settings_keys(inner, (*prefix, name))


def section_of(info: FieldInfo) -> type[BaseModel] | None:
    """The model of a table, or of each table in a list of tables; None for a single setting."""
    for kind in (info.annotation, *get_args(info.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def table_list_of(path: tuple[str, ...]) -> str | None:
    """The key of the list of tables in which a setting stands, if it does."""
    prefixes = (".".join(path[:n]) for n in range(1, len(path) + 1))
    return next((prefix for prefix in prefixes if prefix in TABLE_LISTS), None)


def variable_of(path: tuple[str, ...]) -> str | None:
    """The `WATCHDOG_` variable of a setting; none for what stands in a list of tables."""
    if table_list_of(path) is not None:
        return None
    return ENV_PREFIX + "__".join(path).upper()
