"""Values with a form of their own: addresses, URLs, globs, names. Each check raises ValueError."""

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from watchdog.core.model import LEG_KINDS
from watchdog.core.profiles import HOSTINGS

PERSON_KINDS = ("STANDARD", "INGRESS", "SIP", "CONNECTOR", "BRIDGE")
"""LiveKit's kinds that can be a person."""
LEAVABLE_KINDS = LEG_KINDS
"""The kinds that are persons unless the operator says otherwise (T12)."""
BUILT_IN_POLICIES = ("transfer", "phone", "never-attended", "default")
"""The names that no policy of the operator's may bear (SAFETY B)."""

_HOST = re.compile(r"[A-Za-z0-9._-]+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AMOUNT = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_BRACKETS = re.compile(r"\[!?\]?[^\]]*\]")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where the HTTP server listens. Port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(value: object) -> ListenAddress | None:
    """`host:port`, `[IPv6]:port`, or None for "off" and the empty text."""
    if value is None or isinstance(value, ListenAddress):
        return value
    if not isinstance(value, str):
        raise ValueError('must be text like "127.0.0.1:9779", or "off"')  # noqa: TRY004 - for pydantic
    text = value.strip()
    if text in ("", "off"):
        return None
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('has no port from 0 to 65535; write it like "127.0.0.1:9779"')
    if not host:
        raise ValueError(f'has no host; for every interface write "0.0.0.0:{port}"')
    if host.startswith("[") and host.endswith("]"):
        return ListenAddress(_ipv6(host[1:-1]), int(port))
    if ":" in host:
        raise ValueError('is no host and port; write an IPv6 address like "[::1]:9779"')
    if not _HOST.fullmatch(host):
        raise ValueError('has no valid host; write it like "127.0.0.1:9779"')
    return ListenAddress(host, int(port))


def _ipv6(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError('has no valid IPv6 address; write it like "[::1]:9779"') from None


def check_server_url(value: str) -> str:
    """A LiveKit server's URL, without a slash at its end. What is wrong never repeats the URL."""
    cure = "write it like wss://my-project.livekit.cloud or http://127.0.0.1:7880"
    if value != value.strip() or any(c.isspace() or not c.isprintable() for c in value):
        raise ValueError(f"has a space or a control character in it; {cure}")
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is no valid URL; {cure}") from None
    if parts.scheme not in ("ws", "wss", "http", "https"):
        raise ValueError(f"must begin with ws://, wss://, http:// or https://; {cure}")
    if not host:
        raise ValueError(f"names no host; {cure}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"must not hold a user or a password; {cure}")
    if parts.query or parts.fragment:
        raise ValueError(f"must end with its host, port or path; {cure}")
    return value.rstrip("/")


def check_database_url(value: str) -> str:
    """A database URL of SQLAlchemy's. What is wrong never repeats the URL: it may hold a password."""
    scheme, colon, rest = value.partition("://")
    if colon and scheme == "sqlite+aiosqlite" and (not rest or rest.startswith("/")):
        return value
    if colon and scheme == "postgresql+asyncpg" and rest.partition("?")[0].partition("/")[2]:
        return value
    raise ValueError(
        "must be a file, like sqlite+aiosqlite:///watchdog.db, or a database on a Postgres server, "
        "like postgresql+asyncpg://user:password@host/name"
    )


def check_agent_glob(value: str) -> str:
    """A glob over identities. One without a fixed character could make agents of all persons."""
    if not re.sub(r"[*?\s]", "", _BRACKETS.sub("", value)):
        raise ValueError(
            'would make agents of persons too; name at least one fixed character, like "bot-*"'
        )
    return value


def check_not_person_kind(value: str) -> str:
    """A kind that may be said not to count as a person."""
    if value in LEAVABLE_KINDS:
        return value
    known = ", ".join(LEAVABLE_KINDS)
    if value == "STANDARD":
        raise ValueError(f"always counts as a person; only these kinds can be left out: {known}")
    if value in ("AGENT", "EGRESS"):
        raise ValueError(f"never counts as a person anyway; only these can be left out: {known}")
    raise ValueError(f"is no kind that can be left out; these can: {known}")


def check_person_kind(value: str) -> str:
    """A kind that a person can have, in LiveKit's word."""
    if value not in PERSON_KINDS:
        raise ValueError(f"is no kind of person; the kinds are {', '.join(PERSON_KINDS)}")
    return value


def check_match_glob(value: str) -> str:
    """A glob that a policy matches names with."""
    if not value.strip():
        raise ValueError('is an empty glob and matches no name; write one like "call-*"')
    return value


def check_room_text(value: str) -> str:
    """A room's name or a glob. LiveKit's names are UTF-8 without NUL: what is not matches no room."""
    if re.search("[\0\ud800-\udfff]", value):
        raise ValueError("has characters that no room's name can have")
    return value


def check_allow_glob(value: str) -> str:
    """A glob of rooms that may be deleted. One that names every room is no list."""
    if not re.sub(r"[*?\s]", "", _BRACKETS.sub("", value)):
        raise ValueError(
            'would allow every room; name at least one fixed character, like "call-*", or use '
            'mode = "enforce"'
        )
    return value


def check_hold_key(value: str) -> str:
    """The key of metadata that holds a room. A common word would hold every room that mentions it."""
    if len(value) < 4 or value != value.strip():
        raise ValueError('is no key to look for; use 4 characters or more, like "watchdog.hold"')
    return value


def check_project_name(value: str) -> str:
    """A project's name: it stands in metrics, paths and commands."""
    return _name(value, "project")


def check_policy_name(value: str) -> str:
    """A policy's name: it stands in metrics and records, beside those of the built-in ones."""
    if value in BUILT_IN_POLICIES:
        raise ValueError(
            f"is a built-in policy's name, as are {', '.join(BUILT_IN_POLICIES)}; choose another"
        )
    return _name(value, "policy")


def check_profile_name(value: str) -> str:
    """A profile's name: it stands in reports, beside those that need no table."""
    if value in HOSTINGS:
        raise ValueError(
            f"is a built-in profile's name, as are {', '.join(HOSTINGS)}; choose another"
        )
    return _name(value, "profile")


def _name(value: str, what: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"is no {what} name; use 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return value


def parse_usd(value: object) -> Decimal:
    """An amount in USD, more than 0, from decimal text; a float would not be the amount written."""
    if isinstance(value, Decimal):
        return value
    if not isinstance(value, str):
        raise ValueError('must be decimal text; write it in quotes, like "2.50"')  # noqa: TRY004 - for pydantic
    if not _AMOUNT.fullmatch(value):
        raise ValueError('is no amount in USD; write it like "2.50"')
    if not (amount := Decimal(value)):
        raise ValueError("must be more than 0; give an amount or leave the key out")
    return amount
