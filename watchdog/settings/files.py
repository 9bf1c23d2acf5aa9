"""Reading the operator's files, with errors that name the file and the place in it."""

import re
import tomllib
from pathlib import Path
from typing import Any

from watchdog.core.errors import ConfigurationError

_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
_LONGEST_SECRET = 4096
_LONGEST_SECRETS = 65536


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file as a dict. `what` names its purpose in the errors: "configuration file"."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: byte {error.start + 1} is not UTF-8; save the {what} as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: the {what} {_trouble(error)}") from None
    return parse_toml(text, str(path))


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """TOML text as a dict; `name` stands for the file in the errors."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigurationError(f"{name}: the TOML is nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, and a number of too many digits
        said = str(error)
        where = ""
        if place := _PLACE.search(said):
            end = text.split("\n")
            where = f"line {place[1] or len(end)}, column {place[2] or len(end[-1]) + 1}: "
        said = _PLACE.sub("", said)
        raise ConfigurationError(f"{name}: {where}not valid TOML: {said}") from None


def read_secret(path: Path) -> str:
    """The one line in a secret's file, without its line end. ValueError says what is wrong with it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRET + 1)
    except OSError as error:
        raise ValueError(f"the file {path} {_trouble(error)}") from None
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"the file {path} is not text; it must hold the secret alone") from None
    if not text.strip():
        raise ValueError(f"the file {path} is empty; it must hold the secret alone")
    if len(content) > _LONGEST_SECRET or "\n" in text:
        raise ValueError(f"the file {path} holds more than one line; it must hold the secret alone")
    return text


def read_secret_lines(path: Path) -> list[str]:
    """The lines of a file of secrets, without comments and empty ones. ValueError says what is wrong."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_SECRETS + 1)
    except OSError as error:
        raise ValueError(f"the file {_short(path)} {_trouble(error)}") from None
    if len(content) > _LONGEST_SECRETS:
        raise ValueError(
            f"the file {_short(path)} is longer than {_LONGEST_SECRETS} bytes; check the path"
        )
    try:
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ValueError(
            f"the file {_short(path)} is not text; it must hold one URL a line"
        ) from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise ValueError(f"the file {_short(path)} holds no URL; write one a line")
    return found


def _short(path: Path) -> str:
    """A path for an error, not longer than one can be read."""
    text = str(path)
    return text if len(text) <= 160 else f"{text[:159]}…"


def _trouble(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist; check the path"
    if isinstance(error, IsADirectoryError):
        return "is a directory; give the path of a file"
    if isinstance(error, PermissionError):
        return "may not be read by this user; check its permissions"
    return f"cannot be read: {error.strerror or type(error).__name__}"
