"""`[prices]` and `[[prices.profiles]]`: what agents run, and what is refused."""

from decimal import Decimal
from pathlib import Path

import pytest

from watchdog.configured import tariffs_for
from watchdog.core.errors import ConfigurationError
from watchdog.core.profiles import Part, Tariffs
from watchdog.settings import Project, load_settings

PROJECT = {"name": "p", "api_key": "key", "api_secret": "secret"}


def tariffs(tmp_path: Path, text: str, url: str = "wss://x.livekit.cloud") -> Tariffs:
    file = tmp_path / "watchdog.toml"
    file.write_text(text)
    return tariffs_for(load_settings(file, {}, tmp_path), Project(url=url, **PROJECT))


def an_hour(tariff) -> Decimal:
    return sum((r.hourly for r in tariff.parts[Part.AGENT].certain), Decimal(0))


@pytest.mark.parametrize(
    ("text", "hourly"),
    [
        ("", "0.03"),
        ('[prices]\nprofile = "cloud-hosted"', "0.60"),
        ('[prices]\nstt = "assemblyai.universal-streaming"', "0.18"),
        ('[prices]\nplan = "scale"\nprofile = "cloud-hosted"', "0.60"),
        ('[prices]\nprofile = "self-hosted-everything"\nvcpu = "0.5"', "0.02024"),
    ],
)
def test_one_line_is_enough_for_the_usual_cases(tmp_path: Path, text: str, hourly: str):
    assert an_hour(tariffs(tmp_path, text).default) == Decimal(hourly)


def test_without_a_word_a_server_of_ones_own_costs_nothing(tmp_path: Path):
    made = tariffs(tmp_path, "", "wss://livekit.example.com")
    assert made.default.profile == "self-hosted-everything"
    assert not made.default.parts


def test_a_profile_has_from_prices_what_it_does_not_say_itself(tmp_path: Path):
    made = tariffs(
        tmp_path,
        """
        [prices]
        profile = "cloud-hosted"
        stt = "lk.inference.stt.deepgram-nova-3"
        profiles = [{ name = "own", agents = ["own-*"], profile = "self-hosted-on-cloud" }]
        """,
    )
    assert an_hour(made.of("r", "support")) == Decimal("0.888")
    assert an_hour(made.of("r", "own-1")) == Decimal("0.318")
    assert made.of("r", "own-1").profile == "own"


TWO = """
[[prices.profiles]]
name = "a"
agents = ["support-*"]
[[prices.profiles]]
name = "b"
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            TWO + 'agents = ["*-vip"]',
            (
                '[[prices.profiles]] no. 2: agents: can match what profile "a" matches too, and nothing says '
                "which of the two holds; let their globs exclude each other"
            ),
        ),
        (
            TWO + 'rooms = ["x"]',
            (
                '[[prices.profiles]] no. 2: rooms: can match what profile "a" matches too, and nothing says '
                "which of the two holds; let their globs exclude each other"
            ),
        ),
        (
            TWO,
            (
                "[[prices.profiles]] no. 2: agents: is left out, and so is rooms: say for which agents or "
                "rooms it holds; what holds for all the others stands in [prices] itself"
            ),
        ),
        (
            TWO + 'agents = ["sales"]\nstt = "deepgram-nova-3"',
            (
                '[[prices.profiles]] no. 2: stt: the price book has no meter "deepgram-nova-3"; '
                "the nearest known one is lk.inference.stt.deepgram-nova-3"
            ),
        ),
        (
            '[prices]\navatar = "tavus"',
            'prices.avatar: the price book has no meter "tavus"; the nearest known one is tavus.cvi.growth',
        ),
        (
            "[prices]\nvcpu = 0.5",
            'prices.vcpu: 0.5 must be a number above 0 in quotes, like "0.25"',
        ),
        (
            TWO.replace('"b"', '"a"') + 'agents = ["sales"]',
            '[[prices.profiles]] no. 2: name: "a" is taken by another profile; give each its own name',
        ),
        (
            TWO.replace('"b"', '"cloud-hosted"') + 'agents = ["sales"]',
            (
                '[[prices.profiles]] no. 2: name: "cloud-hosted" is a built-in profile\'s name, as are '
                "cloud-hosted, self-hosted-on-cloud, self-hosted-everything; choose another"
            ),
        ),
        (
            TWO + 'agents = ["sales"]\nsst = "x"',
            (
                '[[prices.profiles]] no. 2: unknown key "prices.profiles.sst"; the nearest known one is '
                "prices.profiles.stt"
            ),
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_one_clear_sentence(
    tmp_path: Path, text: str, sentence: str
):
    with pytest.raises(ConfigurationError) as refused:
        tariffs(tmp_path, text)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(str(tmp_path / "watchdog.toml"))
    assert len(str(refused.value).splitlines()) == 1


def test_profiles_apart_by_room_may_name_the_same_agents(tmp_path: Path):
    one = '{ name = "a", agents = ["x"], rooms = ["call-*"], profile = "cloud-hosted" }'
    two = '{ name = "b", agents = ["x"], rooms = ["demo-*"] }'
    made = tariffs(tmp_path, f"[prices]\nprofiles = [{one}, {two}]")
    assert made.of("call-1", "x").profile == "a"
    assert made.of("demo-1", "x").profile == "b"
    assert made.of("else", "x").profile == "self-hosted-on-cloud"
