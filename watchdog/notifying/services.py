"""Apprise: from the URLs of `[notify]` to what sends a message. Imported only where there are URLs.

A URL is a secret from end to end (the host of one service is the key of another), so of a URL nothing is
ever said but its number, and its scheme where Apprise knows that.
"""

import logging
import re
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from pydantic import SecretStr

from watchdog.core.errors import ConfigurationError
from watchdog.notifying.channels import Send
from watchdog.notifying.digest import Message
from watchdog.notifying.notices import Level

MISSING_EXTRA = (
    "`[notify]` needs an extra that is not installed: "
    "pip install 'livekit-agent-watchdog[notify]', or leave notify.urls and notify.urls_file out"
)
_SILENCED = ("apprise", "urllib3", "requests_oauthlib", "oauthlib", "paho")
"""Loggers that can write a URL or a part of one, and that say nothing an operator could not read in ours."""

_SCHEME = re.compile(r"[a-z0-9+.-]{1,32}")
_STATUS = re.compile(r"\berror[ =:]+([1-5][0-9]{2})\b")
_LOCAL = threading.local()


class _LastWord(logging.Handler):
    """Keeps what Apprise said last in each thread, for the reason of a failure. Nothing is written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        _LOCAL.said = record.getMessage()


def senders(urls: Sequence[SecretStr]) -> tuple[tuple[str, Send], ...]:
    """The service, and what sends to it, of each URL.

    Raises ConfigurationError, naming the number of each URL that is no good, or the extra that is missing.
    """
    try:
        import apprise  # noqa: PLC0415 - an extra, and 17 MB of memory
    except ImportError:
        raise ConfigurationError(MISSING_EXTRA) from None
    _silence()
    asset = apprise.AppriseAsset(
        app_id="livekit-watchdog",
        app_desc="LiveKit watchdog",
        app_url="",
        # Else Apprise sends from a pool of its own, whose threads the end of the process waits for.
        async_mode=False,
        service_timeout=0,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    found: list[tuple[str, Send]] = []
    wrong: list[str] = []
    for number, secret in enumerate(urls, start=1):
        url = secret.get_secret_value()
        scheme = url.partition("://")[0].lower()
        if service := _service(apprise, url, asset):
            sender = apprise.Apprise(asset=asset)
            sender.add(service)
            found.append((_name(service), _sending(sender)))
        elif scheme in _schemes(apprise):
            wrong.append(
                f"notify.urls: no. {number} ({scheme}) lacks something that the service needs; compare it "
                "with https://appriseit.com/services/"
            )
        else:
            wrong.append(
                f"notify.urls: no. {number} begins with no scheme that Apprise knows; the services are "
                "at https://appriseit.com/services/"
            )
    if wrong:
        raise ConfigurationError("\n".join(wrong))
    return tuple(found)


def _service(apprise: ModuleType, url: str, asset: Any) -> Any:
    """What Apprise makes of one URL; None where it can make nothing of it."""
    try:
        # `add` would take a comma for the begin of another URL.
        return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - its text could hold the URL
        return None


def _name(service: Any) -> str:
    """The scheme by which Apprise itself calls a service: `slack`, also for its https:// form."""
    scheme = str(service.url(privacy=True)).partition("://")[0]
    return scheme if _SCHEME.fullmatch(scheme) else "other"


def _schemes(apprise: ModuleType) -> frozenset[str]:
    """Every scheme that Apprise knows."""
    services = apprise.Apprise().details()["schemas"]
    return frozenset(
        str(scheme).lower()
        for service in services
        for key in ("protocols", "secure_protocols")
        for scheme in service.get(key) or ()
    )


def _silence() -> None:
    for name in _SILENCED:
        logger = logging.getLogger(name)
        logger.handlers[:] = [_LastWord()] if name == "apprise" else [logging.NullHandler()]
        logger.setLevel(logging.WARNING)
        logger.propagate = False


_TYPES = {
    Level.OVER: "success",
    Level.INFO: "info",
    Level.WARNING: "warning",
    Level.BAD: "failure",
}


def _sending(sender: Any) -> Send:
    def send(message: Message) -> str:
        _LOCAL.said = ""
        sent = sender.notify(
            body=message.body,
            title=message.title,
            notify_type=_TYPES[message.level],
            body_format="text",
            interpret_escapes=False,
        )
        return "" if sent else _reason(_LOCAL.said)

    return send


def _reason(said: str) -> str:
    """Why a message was not sent. Of Apprise's own words only a status is repeated."""
    if status := _STATUS.search(said):
        return f"the service answered {status[1]}"
    if "onnection error" in said or "imeout" in said or "imed out" in said:
        return "the service could not be reached, or did not answer in time"
    return "the service did not take it"


__all__ = ["MISSING_EXTRA", "senders"]
