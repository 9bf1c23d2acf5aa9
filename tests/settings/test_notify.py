"""`[notify]`: where its URLs come from, and that none is ever shown."""

import json
from pathlib import Path

import pytest

from watchdog.core.errors import ConfigurationError
from watchdog.settings import load_settings

SECRET = "s3cret"


def urls(settings):
    return [url.get_secret_value() for url in settings.notify.urls]


def refused(tmp_path: Path, text: str, **variables: str) -> str:
    (tmp_path / "watchdog.toml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(None, variables, tmp_path)
    assert SECRET not in str(raised.value)
    return str(raised.value).removeprefix(f"{tmp_path / 'watchdog.toml'}: ")


def test_urls_come_from_the_configuration_and_after_them_from_a_file_beside_it(tmp_path):
    (tmp_path / "channels").write_text(
        f"# ours\r\n\r\n  slack://{SECRET}/#calls  \r\njson://b/\r\n"
    )
    (tmp_path / "watchdog.toml").write_text(
        '[notify]\nurls = ["json://a/"]\nurls_file = "channels"'
    )
    settings = load_settings(tmp_path / "watchdog.toml", {}, Path("/"))
    assert urls(settings) == ["json://a/", f"slack://{SECRET}/#calls", "json://b/"]


def test_urls_come_from_variables_separated_by_commas_or_as_json(tmp_path):
    two = ["mailto://a.example?to=x@a.example,y@a.example", "json://b/"]
    plain = load_settings(None, {"WATCHDOG_NOTIFY__URLS": "json://a/, json://b/"}, tmp_path)
    as_json = load_settings(None, {"WATCHDOG_NOTIFY__URLS": json.dumps(two)}, tmp_path)
    (tmp_path / "channels").write_text("json://c/")
    by_file = load_settings(None, {"WATCHDOG_NOTIFY__URLS_FILE": "channels"}, tmp_path)
    assert urls(plain) == ["json://a/", "json://b/"]
    assert urls(as_json) == two
    assert urls(by_file) == ["json://c/"]


def test_no_url_is_shown(tmp_path):
    settings = load_settings(None, {"WATCHDOG_NOTIFY__URLS": f"json://{SECRET}/"}, tmp_path)
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.notify)):
        assert SECRET not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f'urls = ["json://a/", "{SECRET}"]',
            (
                "notify.urls: no. 2 is no URL; write it like slack://... or mailto://..., and a list with a "
                "comma in a URL as JSON"
            ),
        ),
        (
            f'urls = ["json://{SECRET} x/"]',
            "notify.urls: no. 1 has a space or a control character in it; write a space as %20",
        ),
        (f'urls = "json://{SECRET}/"', "notify.urls: must be a list"),
        ('urls_file = ""', 'notify.urls_file: "" is empty; give a value or leave the key out'),
        ("urls_file = 5", "notify.urls_file: 5 must be the path of a file, as text"),
        (
            'events = ["deletion"]',
            (
                'notify.events: "deletion" must be one of "stranded", "deleted", "failed", "joined", "held" '
                'or "blind"'
            ),
        ),
        ("max_per_hour = 0", "notify.max_per_hour: 0 must be at least 1"),
        (
            'repeat_after = "5s"',
            'notify.repeat_after: "5s" is too short; leave the key out to be told once',
        ),
    ],
)
def test_what_is_wrong_is_one_sentence_without_a_url(tmp_path, text, said):
    assert refused(tmp_path, f"[notify]\n{text}") == said


def test_a_variable_is_named_where_it_is_wrong(tmp_path):
    said = refused(tmp_path, "", WATCHDOG_NOTIFY__URLS=f"json://a/,{SECRET}")
    assert said.startswith("WATCHDOG_NOTIFY__URLS: no. 2 is no URL")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "does not exist; check the path"),
        (b"# nothing\n", "holds no URL; write one a line"),
        (b"\xff\xfe", "is not text; it must hold one URL a line"),
        (b"x" * 70_000, "is longer than 65536 bytes; check the path"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "channels").write_bytes(content)
    line = refused(tmp_path, '[notify]\nurls_file = "channels"')
    assert line == f"notify.urls_file: the file {tmp_path / 'channels'} {said}"
