"""The table of every setting, made from the models: what the documentation and the commands print."""

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from watchdog.settings.durations import DURATION_FORMS, format_duration
from watchdog.settings.fields import ListenAddress
from watchdog.settings.load import LIVEKIT_VARIABLES, settings_keys, variable_of

_TYPE_NAMES: Mapping[Any, str] = {
    timedelta: "duration",
    str: "text",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "secret",
    ListenAddress: "address",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is as the file would say it; None where there is none or it is required."""

    key: str
    type: str
    default: str | None
    required: bool
    variable: str | None
    meaning: str


def describe() -> tuple[Setting, ...]:
    """Every setting there is, in the order of the models."""
    return tuple(_setting(path, field) for path, field in settings_keys())


def _setting(path: tuple[str, ...], field: FieldInfo) -> Setting:
    variable = variable_of(path)
    if variable is None:
        variable = LIVEKIT_VARIABLES.get(path[-1])
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return Setting(
        key=".".join(path),
        type=_type_name(field.annotation),
        default=None if default is None else _toml(default),
        # The secret may be in the other key.
        required=field.is_required() and path[-1] != "api_secret",
        variable=variable,
        meaning=field.description or "",
    )


def _type_name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " or ".join(_toml(value) for value in get_args(kind))
    if origin is tuple:
        return f"list of {_type_name(get_args(kind)[0])}"
    if origin in (Union, types.UnionType):
        return _type_name(next(k for k in get_args(kind) if k is not type(None)))
    if hasattr(kind, "__metadata__"):  # Annotated inside a list or union
        return _type_name(get_args(kind)[0])
    return _TYPE_NAMES[kind]


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        return json.dumps(format_duration(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(str(value))


def configuration_markdown() -> str:
    """The text of docs/configuration.md."""
    settings = describe()
    return _PAGE.format(
        forms=DURATION_FORMS,
        settings="\n".join(_row(s) for s in settings if not s.key.startswith("projects.")),
        projects="\n".join(_row(s) for s in settings if s.key.startswith("projects.")),
        example=EXAMPLE.rstrip(),
    )


def _row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default is not None else ""
    cells = (
        f"`{setting.key.removeprefix('projects.')}`",
        setting.type.replace('"', "`"),
        "required" if setting.required else default,
        f"`{setting.variable}`" if setting.variable else "",
        setting.meaning,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


EXAMPLE = """\
mode = "observe"
poll_interval = "15s"
database = "sqlite+aiosqlite:///watchdog.db"

[http]
listen = "127.0.0.1:9779"

[detection]
agent_identities = ["bot-*"]   # kindless bots of yours, by identity
not_persons = ["INGRESS"]      # a camera alone is nobody to talk to

[prices]
plan = "scale"
profile = "cloud-hosted"

[[projects]]
name = "eu"
url = "wss://eu-example.livekit.cloud"
api_key = "APIexample"
api_secret_file = "/run/secrets/livekit-eu"
"""
"""A configuration as people write it."""

_PAGE = """\
# Configuration

<!-- Made by `python -m watchdog.settings > docs/configuration.md`; a test compares the two. -->

Settings come from a TOML file and from the environment; a variable wins over the file. The file is
the one given by `--config`, else by `WATCHDOG_CONFIG`, else `./watchdog.toml` if it is there. None is
needed: every setting but the project has a default.

Durations are written {forms}.
A list in a variable is separated by commas, or JSON. Relative paths in the file start at the file's
directory, those in a variable at the working directory. An unknown key, and an unknown variable that
begins with `WATCHDOG_`, is an error. (The variables that Kubernetes sets for a Service called
`watchdog` are let pass.) `livekit-watchdog check-config` tells everything that is wrong at once.

| key | type | default | variable | meaning |
|---|---|---|---|---|
{settings}

## Projects

One project needs no file: LiveKit's own variables give it, under the name `default`. Where the file
has `[[projects]]`, those variables are not used. Keys and secrets never appear in logs, errors or
output.

| key of `[[projects]]` | type | default | variable of the project `default` | meaning |
|---|---|---|---|---|
{projects}

## An example

```toml
{example}
```
"""
