"""From the environment and the file to `Settings`, with everything that is wrong told at once."""

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from watchdog.core.errors import ConfigurationError
from watchdog.core.globs import overlap
from watchdog.settings import problems
from watchdog.settings.durations import format_duration
from watchdog.settings.files import read_secret, read_secret_lines, read_toml
from watchdog.settings.keys import (
    LIVEKIT_VARIABLES,
    TABLE_LISTS,
    section_of,
    settings_keys,
    table_list_of,
    variable_of,
)
from watchdog.settings.model import (
    ENV_PREFIX,
    NO_PROJECT,
    SECRET_KEYS,
    Settings,
)
from watchdog.settings.problems import Problem
from watchdog.settings.sections import (
    GRACE_BEYOND_POLL,
    PolicySettings,
    ProfileSettings,
    Project,
)

CONFIG_VARIABLE = "WATCHDOG_CONFIG"
DEFAULT_FILE = "watchdog.toml"

# Kubernetes puts these into every container of a namespace that has a Service called watchdog….
_SERVICE_LINK = re.compile(
    r"WATCHDOG_([A-Z0-9]+_)*?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9]+)*|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
_PORT_LINK = re.compile(r"(tcp|udp|sctp)://\S+")

_KEYS: Mapping[tuple[str, ...], FieldInfo] = dict(settings_keys())
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    variable: path for path in _KEYS if (variable := variable_of(path))
}


class _EnvironmentSource(PydanticBaseSettingsSource):
    """What the given environment says, as nested values; lists are JSON or separated by commas."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(Settings)
        self.environ = environ

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one setting; `field_name` is its variable."""
        text: Any = self.environ.get(field_name)
        if text is not None and str(field.annotation).startswith("tuple["):
            return self._list(text), field_name, True
        return text, field_name, False

    def _list(self, text: str) -> object:
        if text.lstrip().startswith("["):
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                return text  # reported as what it is: no list
        return [part.strip() for part in text.split(",") if part.strip()]

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for variable, path in _VARIABLES.items():
            value, _, _ = self.get_field_value(_KEYS[path], variable)
            if value is None:
                continue
            table = values
            for part in path[:-1]:
                table = table.setdefault(part, {})
            table[path[-1]] = value
        return values


def load_settings(
    config_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Read the configuration: the environment over the file over the defaults.

    The file is `config_path`, else WATCHDOG_CONFIG, else `watchdog.toml` in `cwd` if it is there.
    Relative paths in the file start at the file, those in the environment at `cwd`. Raises
    ConfigurationError with one line for each thing that is wrong.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or Path()
    file = _config_file(config_path, environ, cwd)
    document = read_toml(file, "configuration file") if file else {}
    found = list(_unknown_keys(document, Settings))
    if file:
        _anchor(document, file.parent)
        found += _read_secrets(document)
    given = _EnvironmentSource(environ)()
    _anchor(given, cwd)
    values = _merge(document, given)
    found += _read_channels(values)
    why_no_project = ""
    if document.get("projects", []) == []:
        default, why_no_project = _default_project(environ, cwd)
        values["projects"] = default

    return _checked(
        lambda: Settings.of(values, file, why_no_project, str(given.get("mode", ""))),
        found,
        _Reporter(file, environ),
        list(_unknown_variables(environ)),
    )


def with_policies_of(settings: Settings, path: Path, cwd: Path | None = None) -> Settings:
    """The settings with the policies, and `protect.rooms` where it is given, of another file.

    The file may be a whole configuration: its other keys must be known, and are not used. What is wrong
    is told as for the configuration itself. Raises ConfigurationError.
    """
    file = (cwd or Path()) / path
    document = read_toml(file, "policy file")
    # What the policies are judged against stays what is configured.
    values: dict[str, Any] = {
        "poll_interval": settings.poll_interval,
        "detection": settings.detection,
        "policies": document.get("policies", []),
    }
    protect = document.get("protect", {})
    if not isinstance(protect, dict):
        values["protect"] = protect  # reported as what it is: no table
    elif "rooms" in protect:
        values["protect"] = {"rooms": protect["rooms"]}
    found = list(_unknown_keys(document, Settings))
    given = _checked(lambda: Settings.of(values, file, ""), found, _Reporter(file, {}))
    update: dict[str, Any] = {
        "policies": given.policies,
        # They name policies of the configuration, and not of that file: each project gets all of these.
        "projects": tuple(p.model_copy(update={"policies": None}) for p in settings.projects),
    }
    if "protect" in values:
        update["protect"] = settings.protect.model_copy(update={"rooms": given.protect.rooms})
    return settings.model_copy(update=update)


def _checked(
    make: Callable[[], Settings],
    found: Sequence[Problem],
    reporter: "_Reporter",
    lines: Sequence[str] = (),
) -> Settings:
    """What `make` gives; ConfigurationError with every line where something is, or was `found`, wrong."""
    lines = [*lines, *map(reporter.line, found)]
    already = {problem.path for problem in found}
    try:
        settings = make()
    except ValidationError as error:
        wrong = problems.problems_of(error, SECRET_KEYS)
        lines += [reporter.line(p) for p in wrong if p.path not in already]
    else:
        lines += map(reporter.line, _contradictions(settings))
        if not lines:
            return settings
    raise ConfigurationError("\n".join(lines)) from None


def _config_file(given: Path | None, environ: Mapping[str, str], cwd: Path) -> Path | None:
    if given is not None:
        return cwd / given
    if named := environ.get(CONFIG_VARIABLE):
        return cwd / named
    default = cwd / DEFAULT_FILE
    return default if default.exists() else None


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        known = merged.get(key)
        both = isinstance(known, dict) and isinstance(value, dict)
        # A table that the file gives as something else stays, so that this is what is reported.
        if both:
            merged[key] = _merge(merged[key], value)
        elif key not in merged or not isinstance(value, dict):
            merged[key] = value
    return merged


def _projects(document: Mapping[str, Any]) -> list[Any]:
    """What stands under `[[projects]]`; each should be a table."""
    projects = document.get("projects")
    return projects if isinstance(projects, list) else []


def _anchor(document: dict[str, Any], base: Path) -> None:
    """Let relative paths start at `base`."""
    paths = ((document.get("prices"), "book"), (document.get("notify"), "urls_file"))
    for table, key in [
        *((table, key) for table, key in paths if isinstance(table, dict)),
        *((table, "api_secret_file") for table in _projects(document) if isinstance(table, dict)),
    ]:
        if isinstance(table.get(key), str) and table[key]:
            table[key] = str(base / table[key])


def _read_secrets(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Put what the secrets' files hold in place; a project needs one secret, from one place."""
    for number, table in enumerate(_projects(document)):
        if isinstance(table, dict) and (wrong := _fill_secret(table, "api_secret")):
            # A table whose secret could not be read has nothing more to say about it.
            yield Problem(("projects", number, "api_secret_file"), wrong)
            table["api_secret"] = "unread"  # noqa: S105


def _read_channels(values: dict[str, Any]) -> Iterator[Problem]:
    """Add what `notify.urls_file` holds to `notify.urls`."""
    table = values.get("notify")
    if (
        not isinstance(table, dict)
        or not isinstance(path := table.get("urls_file"), str)
        or not path
    ):
        return  # nothing to read, or reported as what it is
    try:
        lines = read_secret_lines(Path(path))
    except ValueError as error:
        yield Problem(("notify", "urls_file"), str(error))
        return
    urls = table.get("urls", [])
    if isinstance(urls, list):
        values["notify"] = {**table, "urls": [*urls, *lines]}


def _fill_secret(table: dict[str, Any], direct: str) -> str:
    """Read `api_secret_file` into `api_secret`; returns what is wrong, or nothing.

    `direct` is what the operator calls the secret that stands in the configuration itself.
    """
    path = table.get("api_secret_file")
    if path is None:
        return ""
    if not isinstance(path, str):
        return "must be the path of a file, as text"
    if "api_secret" in table:
        return f"{direct} is given too; keep one of them"
    if not path:
        return "is empty; give the path of a file or leave the key out"
    try:
        table["api_secret"] = read_secret(Path(path))
    except ValueError as error:
        return str(error)
    return ""


def _default_project(
    environ: Mapping[str, str], cwd: Path
) -> tuple[tuple[dict[str, Any], ...], str]:
    """The project that LiveKit's own variables give, or why they give none.

    That is no error yet: these variables are there for other programs too, and some commands need
    no project.
    """
    table = {key: environ[name] for key, name in LIVEKIT_VARIABLES.items() if environ.get(name)}
    if not table:
        return (), NO_PROJECT
    if "api_secret_file" in table:
        table["api_secret_file"] = str(cwd / table["api_secret_file"])
    if wrong := _fill_secret(table, LIVEKIT_VARIABLES["api_secret"]):
        return (), f"{LIVEKIT_VARIABLES['api_secret_file']}: {wrong}"
    missing = [
        LIVEKIT_VARIABLES[key] for key in ("url", "api_key", "api_secret") if key not in table
    ]
    if missing:
        given = ", ".join(LIVEKIT_VARIABLES[key] for key in table)
        return (), f"{' and '.join(missing)} must be set too, beside {given}"
    try:
        Project.model_validate({"name": "default", **table})
    except ValidationError as error:
        wrongs = problems.problems_of(error, SECRET_KEYS)
        return (), "\n".join(f"{LIVEKIT_VARIABLES[str(p.path[0])]}: {p.message}" for p in wrongs)
    return ({"name": "default", **table},), ""


def _unknown_keys(
    table: Mapping[str, Any], model: type[BaseModel], prefix: problems.Place = ()
) -> Iterator[Problem]:
    for key, value in table.items():
        path = (*prefix, key)
        field = model.model_fields.get(key)
        if field is None:
            dotted = ".".join(str(part) for part in path if isinstance(part, str))
            yield Problem(_table_of(prefix), _unknown(dotted))
        elif section := section_of(field):
            if isinstance(value, dict):
                yield from _unknown_keys(value, section, path)
            for number, item in enumerate(value if isinstance(value, list) else ()):
                if isinstance(item, dict):
                    yield from _unknown_keys(item, section, (*path, number))


def _unknown(dotted: str) -> str:
    known = {".".join(path[:n]) for path in _KEYS for n in range(1, len(path) + 1)}
    leaf = f".{dotted}"
    # Of a key that stands in no table: what holds for every project goes before what holds for one.
    general = {".".join(path) for path in _KEYS if table_list_of(path) is None}
    known = {key for key in general if key.endswith(leaf)} or known
    return f"unknown key {problems.shown(dotted)}; the nearest known one is " + problems.nearest(
        dotted, known
    )


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in sorted(environ.items()):
        if not name.upper().startswith(ENV_PREFIX) or name in (*_VARIABLES, CONFIG_VARIABLE):
            continue
        if _is_service_link(name, value):
            continue
        dotted = name[len(ENV_PREFIX) :].lower().replace("__", ".")
        listed = table_list_of(tuple(dotted.replace("_", ".").split(".")))
        if listed is not None:
            yield (
                f"{problems.shown(name)[1:-1]}: {listed.rpartition('.')[2]} are given as [[{listed}]] in "
                f"the configuration file{TABLE_LISTS[listed].or_else}"
            )
            continue
        path = tuple(problems.nearest(dotted, map(".".join, _VARIABLES.values())).split("."))
        yield (
            f"{problems.shown(name)[1:-1]}: no setting has this variable; the nearest known one is "
            f"{variable_of(path)} ({'.'.join(path)})"
        )


def _is_service_link(name: str, value: str) -> bool:
    match = _SERVICE_LINK.fullmatch(name)
    if match is None:
        return False
    # WATCHDOG_PORT=9779 is someone's guess at a setting; Kubernetes' own holds a URL.
    return match[2] != "PORT" or _PORT_LINK.fullmatch(value) is not None


def _contradictions(settings: Settings) -> Iterator[Problem]:
    """What no setting shows by itself."""
    yield from _too_often(settings)
    for tables, described in TABLE_LISTS.items():
        path = tuple(tables.split("."))
        names = [table.name for table in attrgetter(tables)(settings)]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield Problem(
                    (*path, number, "name"),
                    f"{problems.shown(name)} is taken by another {described.one}; give each its own "
                    "name",
                )
    yield from _clashes(settings.prices.profiles)
    for number, policy in enumerate(settings.policies):
        # The general interval stands for a policy that holds in no project.
        polls = [
            settings.poll_of(p) for p in settings.projects if policy in settings.policies_for(p)
        ]
        for key, wrong in _wrong_times(policy, max(polls, default=settings.poll_interval)):
            yield Problem(("policies", number, key), wrong)
        if policy.match.person_seen is False and policy.match.last_person_kinds:
            # A policy that protects rooms must not protect none without a word.
            yield Problem(
                ("policies", number, "match"),
                "can match no room: where no person was ever seen there are no last_person_kinds; "
                "leave one of the two out",
            )
    known = {policy.name for policy in settings.policies}
    for number, project in enumerate(settings.projects):
        for name in project.policies or ():
            if name not in known:
                yield Problem(
                    ("projects", number, "policies"),
                    f"names {problems.shown(name)}, and no [[policies]] table has that name"
                    + (f"; the nearest one is {problems.nearest(name, known)}" if known else ""),
                )


def _too_often(settings: Settings) -> Iterator[Problem]:
    """Polls that would take most of the request budget for themselves."""
    general = settings.detection.requests_per_minute
    tables: list[tuple[problems.Place, timedelta, int]] = [
        ((), settings.poll_interval, general),
        *(
            (
                ("projects", number),
                settings.poll_of(project),
                settings.requests_per_minute_of(project),
            )
            for number, project in enumerate(settings.projects)
            if project.poll_interval or project.requests_per_minute
        ),
    ]
    for place, interval, allowed in tables:
        if interval.total_seconds() * allowed < 120:
            own = place and settings.projects[int(place[1])].requests_per_minute
            yield Problem(
                (*place, "poll_interval"),
                f"{format_duration(interval)} is too short: listing the rooms alone would take more than "
                f"half of {'' if own else 'detection.'}requests_per_minute = {allowed}; poll less often or "
                "allow more",
            )


def _clashes(profiles: Sequence[ProfileSettings]) -> Iterator[Problem]:
    """Profiles of which two could hold for one agent, and those that hold for nobody in particular."""
    for number, profile in enumerate(profiles):
        place = ("prices", "profiles", number)
        if not profile.agents and not profile.rooms:
            yield Problem(
                (*place, "agents"),
                "is left out, and so is rooms: say for which agents or rooms it holds; what holds for all "
                "the others stands in [prices] itself",
            )
            continue
        for other in profiles[:number]:
            if _may_meet(profile.agents, other.agents) and _may_meet(profile.rooms, other.rooms):
                yield Problem(
                    (*place, "agents" if profile.agents else "rooms"),
                    f"can match what profile {problems.shown(other.name)} matches too, and nothing says "
                    "which of the two holds; let their globs exclude each other",
                )


def _may_meet(one: Sequence[str], two: Sequence[str]) -> bool:
    return not one or not two or any(overlap(a, b) for a in one for b in two)


def _wrong_times(policy: PolicySettings, poll_interval: timedelta) -> Iterator[tuple[str, str]]:
    """The keys of a policy whose times are no good together, with what is wrong (SAFETY C)."""
    grace, least = policy.grace, poll_interval + GRACE_BEYOND_POLL
    if grace < least and not policy.allow_short_grace:
        wrong = (
            f"{format_duration(grace)} is too short: the least allowed is {format_duration(least)}, "
            f"poll_interval + {format_duration(GRACE_BEYOND_POLL)}; raise it or say "
            "allow_short_grace = true"
        )
        yield "grace", wrong
    if (limit := policy.hard_limit) is not None and limit < grace:
        wrong = f"{format_duration(limit)} is below the grace of {format_duration(grace)}"
        yield "hard_limit", f"{wrong}; raise it or shorten the grace"
    if (ahead := policy.warn_before) is not None and ahead > grace:
        # The agents would be told while a person who lost the connection may still be on the way back.
        wrong = f"{format_duration(ahead)} is above the grace of {format_duration(grace)}"
        yield "warn_before", f"{wrong}; shorten it or raise the grace"


def _words(path: problems.Place) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _table_of(path: problems.Place) -> problems.Place:
    """The part of a path that leads to a table in a list, like ("projects", 0); else nothing."""
    for number, part in enumerate(path):
        if isinstance(part, int) and ".".join(_words(path[:number])) in TABLE_LISTS:
            return path[: number + 1]
    return ()


class _Reporter:
    """Says where a value came from: the variable, or the file and the key."""

    def __init__(self, file: Path | None, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    def line(self, problem: Problem) -> str:
        """The whole sentence."""
        words = _words(problem.path)
        variable = variable_of(words) if words else None
        if variable and variable in self._environ:
            return f"{variable}: {problem.message}"
        where = [str(self._file)] if self._file else []
        if table := _table_of(problem.path):
            where.append(f"[[{'.'.join(_words(table))}]] no. {int(table[-1]) + 1}")
            words = _words(problem.path[len(table) :])
        if words:
            where.append(".".join(words))
        return ": ".join([*where, problem.message])
