"""Apprise, against services on loopback; and nothing of a URL is ever said."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.notifying.receivers import http_receiver, mail_receiver
from watchdog.core.errors import ConfigurationError
from watchdog.notifying.digest import Message
from watchdog.notifying.notices import Level
from watchdog.notifying.services import MISSING_EXTRA, senders

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "notifications.md"
SECRET = "s3cretpath"
BODY = "prod: rooms with agents alone\n- call_1 *and* \\n{0} & co: %s"
MESSAGE = Message("LiveKit watchdog, prod: 1 stranded", BODY, Level.WARNING, 1)


@pytest.fixture
def everything_logged(caplog):
    """All that reaches the program's log, were every level of it wanted."""
    caplog.set_level(1)
    return caplog


def one(url):
    [(service, send)] = senders([SecretStr(url)])
    return service, send


def test_a_message_arrives_over_http_as_it_was_written():
    with http_receiver() as receiver:
        service, send = one(receiver.url)
        assert service == "json"
        assert send(MESSAGE) == ""
        arrived = receiver.next()
    assert arrived == {"title": MESSAGE.title, "body": BODY, "type": "warning"}


@pytest.mark.parametrize(
    ("level", "kind"),
    [(Level.OVER, "success"), (Level.INFO, "info"), (Level.BAD, "failure")],
)
def test_how_bad_it_is_goes_with_it(level, kind):
    with http_receiver() as receiver:
        assert one(receiver.url)[1](Message("t", "b", level, 1)) == ""
        assert receiver.next()["type"] == kind


def test_a_message_arrives_by_mail():
    with mail_receiver() as receiver:
        service, send = one(receiver.url)
        assert service == "mailto"
        assert send(MESSAGE) == ""
        mail = receiver.next()
    assert mail["title"] == MESSAGE.title
    assert "ops@example.com" in mail["to"]
    assert "prod: rooms with agents alone" in mail["body"]


def test_a_service_that_refuses_is_a_failure_with_its_status_alone(everything_logged):
    with http_receiver(500, f"{SECRET}?+X-Token={SECRET}") as receiver:
        _, send = one(receiver.url)
        assert send(MESSAGE) == "the service answered 500"
    assert SECRET not in everything_logged.text


def test_a_service_that_is_not_there_is_a_failure(everything_logged):
    with http_receiver() as receiver:
        url = receiver.url
    _, send = one(f"{url}{SECRET}")
    assert send(MESSAGE) == "the service could not be reached, or did not answer in time"
    assert SECRET not in everything_logged.text


def test_apprise_sends_from_the_thread_that_asks_it_to(monkeypatch):
    # One of a pool of its own would be waited for when the process ends.
    asked = []
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *given, **_: asked.append(given))
    with http_receiver() as receiver:
        assert one(receiver.url)[1](MESSAGE) == ""
        assert receiver.next()["body"] == BODY
    assert asked == []


def test_the_service_of_a_web_address_is_called_by_its_name():
    url = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert one(url)[0] == "slack"


def test_each_url_that_is_no_good_is_named_by_its_number_alone(everything_logged):
    urls = [
        "json://127.0.0.1/",
        f"nosuch://{SECRET}",
        f"slack://{SECRET}",
        f"https://example.com/{SECRET}",
    ]
    with pytest.raises(ConfigurationError) as raised:
        senders([SecretStr(url) for url in urls])
    lines = str(raised.value).splitlines()
    assert [line[:25] for line in lines] == [
        "notify.urls: no. 2 begins",
        "notify.urls: no. 3 (slack",
        "notify.urls: no. 4 begins",
    ]
    assert SECRET not in str(raised.value) + everything_logged.text


def test_every_url_of_the_documentation_is_one_that_apprise_takes():
    urls = re.findall(r"[`'](\w+://[^`' ]+)[`']", DOCUMENTATION.read_text("utf-8"))
    whole = [url for url in urls if "..." not in url]
    services = [service for service, _ in senders([SecretStr(url) for url in whole])]
    assert services == ["slack", "slack", "workflow", "mailtos", "pagerduty", "jsons"]


def test_a_comma_does_not_begin_another_url():
    found = senders([SecretStr("mailto://user:pw@example.com?to=a@example.com,b@example.com")])
    assert [service for service, _ in found] == ["mailto"]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ConfigurationError, match="pip install 'livekit-agent-watchdog") as raised:
        one(f"slack://{SECRET}")
    assert str(raised.value) == MISSING_EXTRA
