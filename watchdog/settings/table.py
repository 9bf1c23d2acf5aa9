"""The table of every setting, made from the models: what the documentation and the commands print."""

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from watchdog.settings.durations import DURATION_FORMS, format_duration
from watchdog.settings.fields import ListenAddress
from watchdog.settings.keys import TABLE_LISTS, settings_keys, table_list_of, variable_of

_TYPE_NAMES: Mapping[Any, str] = {
    timedelta: "duration",
    str: "text",
    Decimal: "decimal text",
    bool: "true or false",
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
    if (listed := table_list_of(path)) is not None:
        variable = TABLE_LISTS[listed].variables.get(path[-1])
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
        return " or ".join(_type_name(k) for k in get_args(kind) if k is not type(None))
    if hasattr(kind, "__metadata__"):  # Annotated inside a list or union
        return _type_name(get_args(kind)[0])
    return _TYPE_NAMES[kind]


def _toml(value: Any) -> str:
    if isinstance(value, timedelta):
        return json.dumps(format_duration(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(str(value))


def configuration_markdown() -> str:
    """The text of docs/configuration.md."""
    return _PAGE.format(
        forms=DURATION_FORMS,
        settings=_table(None),
        policies=_table("policies"),
        profiles=_table("prices.profiles"),
        projects=_table("projects"),
        policy_example=POLICY_EXAMPLE.rstrip(),
        example=EXAMPLE.rstrip(),
    )


def _table(tables: str | None) -> str:
    """The table of one list of tables, or of all settings that stand in none."""
    head = ["key", "type", "default", "variable", "meaning"]
    if tables is not None:
        head[0] = f"key of `[[{tables}]]`"
        head[3] = f"variable of the {TABLE_LISTS[tables].one} `default`"
    rows = [
        _cells(setting)
        for setting in describe()
        if table_list_of(tuple(setting.key.split("."))) == tables
    ]
    if not any(row[3] for row in rows):  # a column of nothing
        for row in (head, *rows):
            del row[3]
    return "\n".join(map(_line, (head, ["---"] * len(head), *rows)))


def _cells(setting: Setting) -> list[str]:
    listed = table_list_of(tuple(setting.key.split(".")))
    default = f"`{setting.default}`" if setting.default is not None else ""
    return [
        f"`{setting.key if listed is None else setting.key.removeprefix(listed + '.')}`",
        setting.type.replace('"', "`"),
        "required" if setting.required else default,
        f"`{setting.variable}`" if setting.variable else "",
        setting.meaning,
    ]


def _line(cells: Sequence[str]) -> str:
    if set(cells) == {"---"}:
        return "|" + "|".join(cells) + "|"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


EXAMPLE = """\
mode = "allowlist"
poll_interval = "15s"
database = "sqlite+aiosqlite:///watchdog.db"

[http]
listen = "127.0.0.1:9779"

[detection]
agent_identities = ["bot-*"]   # kindless bots of yours, by identity
not_persons = ["INGRESS"]      # a camera alone is nobody to talk to

[protect]
rooms = ["prod-demo-*"]        # never deleted, whatever else says so
recordings = "2h"

[allowlist]
rooms = ["call-*"]             # all that mode "allowlist" deletes

[prices]
plan = "scale"
profile = "cloud-hosted"
stt = "lk.inference.stt.deepgram-nova-3"

[[projects]]
name = "eu"
url = "wss://eu-example.livekit.cloud"
api_key = "APIexample"
api_secret_file = "/run/secrets/livekit-eu"
"""
"""A configuration as people write it."""

POLICY_EXAMPLE = """\
[[policies]]                     # a call that costs too much before the room closes by itself
name = "support-calls"
match = { rooms = ["call-*"], agents = ["support-*"], last_person_kinds = ["SIP"], person_seen = true }
grace = "90s"
hard_limit = "2h"
max_spend = "2.50"

[[policies]]                     # left alone, however long it lasts
name = "demos"
match = { rooms = ["demo-*"] }
action = "keep"
"""
"""Policies as people write them."""

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

{settings}

## Policies

A policy says which orphaned rooms it speaks for, at which age they are due, and what is done then.
Policies are given in the file alone. In mode `observe` nothing is deleted: the decision is only shown.

{policies}

The policies are walked in this order: the built-in `transfer` first, then the file's from the top, then
the built-in `phone`, `never-attended` and `default`. The first that certainly matches ends the walk.
Where it is not known who was in a room, a policy that asks for this *may* match and the walk goes on; of
all those found, the most patient decides: keep, before warn, before delete with the latest due age. A
room is **due** at the age

    max(grace, min(T + 30s, hard_limit, the age at which max_spend is reached))

where T is what the room's own timeouts leave: its `departure_timeout` if a person was there, what remains
of its `empty_timeout` if no person ever was, the larger of the two where that is not known, and 0 with
`respect_room_timeouts = false`. A limit that is left out is infinite. So nothing is due before `grace`, and
`hard_limit` and `max_spend` override the room's timeouts and nothing else. Age is watched time.

| built-in policy | speaks for | grace | hard_limit | action |
|---|---|---|---|---|
| `transfer` | rooms `*-human-agent`: a person is being fetched | 10m |  | warn |
| `phone` | every person was SIP, the last one hung up; room timeouts are not respected | 1m |  | delete |
| `never-attended` | no person was ever there | 30m | 4h | delete |
| `default` | every other room | 10m | 4h | delete |

A built-in `grace` below `poll_interval` + 35s is raised to it.

```toml
{policy_example}
```

## Profiles

What an agent runs decides what it costs while nobody talks to it: the difference can be a factor of
700. `[prices]` says it for every agent, `[[prices.profiles]]` for those that it names; what a profile
leaves out is as `[prices]` has it. One line is enough for the usual cases:

```toml
[prices]
profile = "cloud-hosted"                  # agents deployed to LiveKit Cloud ...
stt = "lk.inference.stt.deepgram-nova-3"  # ... whose speech-to-text is billed by the connection
profiles = [{{ name = "video", agents = ["video-*"], avatar = "tavus.cvi.starter" }}]
```

{profiles}

The meters are those of the price book (`livekit-watchdog prices --all`, or your own in `prices.book`). A
meter that is not billed while nobody speaks adds nothing; one of which that is not known counts in the
high estimate alone. Tokens and characters cannot be seen from outside, and are never in the sums. No
agent may be matched by two profiles.

## Projects

One project needs no file: LiveKit's own variables give it, under the name `default`. Where the file
has `[[projects]]`, those variables are not used. Keys and secrets never appear in logs, errors or
output.

{projects}

## An example

```toml
{example}
```
"""
