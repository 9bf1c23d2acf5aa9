"""Where settings come from, which source wins, and what is kept secret."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from watchdog.core.errors import ConfigurationError
from watchdog.settings import ListenAddress, Settings, load_settings

SECRET = "S3cr3t-that-must-never-be-shown"
LIVEKIT = {
    "LIVEKIT_URL": "wss://demo.livekit.cloud",
    "LIVEKIT_API_KEY": "APIdemo",
    "LIVEKIT_API_SECRET": SECRET,
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_nothing_at_all_gives_the_documented_defaults(tmp_path: Path):
    settings = load_settings(None, {}, tmp_path)
    assert settings.config_file is None
    assert settings.http.listen == ListenAddress("127.0.0.1", 9779)
    assert json.loads(settings.model_dump_json()) == {
        "mode": "observe",
        "poll_interval": "15s",
        "database": "sqlite+aiosqlite:///watchdog.db",
        "retention": "90d",
        "http": {"listen": "127.0.0.1:9779"},
        "limits": {
            "max_deletions_per_tick": 10,
            "max_deletions_per_hour": 60,
            "confirmations": 2,
            "limit_hold": "30m",
            "min_population": 20,
            "max_drop": 0.5,
        },
        "protect": {
            "rooms": [],
            "recordings": "1h",
            "simulations": True,
            "hold_key": "watchdog.hold",
        },
        "allowlist": {"rooms": []},
        "detection": {
            "agent_identities": [],
            "not_persons": [],
            "requests_per_minute": 100,
            "suspect_after": "4h",
            "suspect_identities": ["bot-*", "*-bot", "*_bot", "agent-*", "recorder-*"],
        },
        "privacy": {"room_names": "full"},
        "prices": {
            "book": None,
            "plan": "ship",
            "profiles": [],
            **dict.fromkeys(
                (
                    "profile",
                    "stt",
                    "llm",
                    "tts",
                    "avatar",
                    "sip",
                    "recording",
                    "vcpu",
                    "memory_gb",
                )
            ),
        },
        "notify": {
            "urls": [],
            "urls_file": None,
            "events": ["stranded", "deleted", "failed", "joined", "held", "blind"],
            "gather": "1m",
            "max_per_hour": 12,
            "after_blind": "5m",
            "repeat_after": None,
        },
        "budget": {"per_day": None, "per_month": None},
        "log": {"format": "auto", "level": "info"},
        "replicas": {"lease": "30s"},
        "policies": [],
        "projects": [],
    }


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path):
    write(
        tmp_path / "watchdog.toml", 'poll_interval = "1m"\n[log]\nlevel = "debug"\nformat = "json"'
    )
    settings = load_settings(
        None, {"WATCHDOG_POLL_INTERVAL": "30", "WATCHDOG_LOG__FORMAT": "console"}, tmp_path
    )
    assert settings.poll_interval == timedelta(seconds=30)
    assert (settings.log.format, settings.log.level) == ("console", "debug")
    assert settings.privacy.room_names == "full"


def test_a_broken_table_is_not_hidden_by_a_variable_of_the_same_section(tmp_path: Path):
    write(tmp_path / "watchdog.toml", "http = 1")
    with pytest.raises(ConfigurationError, match="http: 1 must be a table of settings"):
        load_settings(None, {"WATCHDOG_HTTP__LISTEN": "off"}, tmp_path)


def test_the_given_file_goes_before_the_variable_and_that_before_the_directory(tmp_path: Path):
    for name, seconds in (("watchdog.toml", 20), ("named.toml", 30), ("given.toml", 40)):
        write(tmp_path / name, f"poll_interval = {seconds}")
    named = {"WATCHDOG_CONFIG": "named.toml"}

    def interval(config: Path | None, environ: dict[str, str]) -> float:
        return load_settings(config, environ, tmp_path).poll_interval.total_seconds()

    assert interval(None, {}) == 20
    assert interval(None, {"WATCHDOG_CONFIG": ""}) == 20
    assert interval(None, named) == 30
    assert interval(Path("given.toml"), named) == 40
    assert load_settings(None, named, tmp_path).config_file == tmp_path / "named.toml"


def test_the_process_environment_is_read_where_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in [n for n in os.environ if n.startswith(("WATCHDOG_", "LIVEKIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WATCHDOG_LOG__LEVEL", "warning")
    assert load_settings(cwd=tmp_path).log.level == "warning"
    assert load_settings(None, {}, tmp_path).log.level == "info", (
        "a given environment is the only one"
    )
    assert Settings().log.level == "info", "nothing is picked up unasked"


def test_a_file_saved_with_a_byte_order_mark_is_read(tmp_path: Path):
    (tmp_path / "watchdog.toml").write_bytes(b'\xef\xbb\xbfpoll_interval = "1m"')
    assert load_settings(None, {}, tmp_path).poll_interval == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "listen", "printed"),
    [
        ("127.0.0.1:9779", ListenAddress("127.0.0.1", 9779), "127.0.0.1:9779"),
        ("localhost:0", ListenAddress("localhost", 0), "localhost:0"),
        ("[::1]:9779", ListenAddress("::1", 9779), "[::1]:9779"),
        ("off", None, "off"),
        ("", None, "off"),
    ],
)
def test_where_to_listen(text: str, listen: ListenAddress | None, printed: str, tmp_path: Path):
    settings = load_settings(None, {"WATCHDOG_HTTP__LISTEN": text}, tmp_path)
    assert settings.http.listen == listen
    assert json.loads(settings.model_dump_json())["http"]["listen"] == printed


@pytest.mark.parametrize("text", ["bot-*, 9*a", '["bot-*", "9*a"]', "bot-*,9*a,"])
def test_a_list_in_a_variable_is_separated_by_commas_or_json(text: str, tmp_path: Path):
    settings = load_settings(None, {"WATCHDOG_DETECTION__AGENT_IDENTITIES": text}, tmp_path)
    assert settings.detection.agent_identities == ("bot-*", "9*a")


@pytest.mark.trap("T12")
def test_t12_each_other_kind_can_be_said_not_to_be_a_person(tmp_path: Path):
    write(
        tmp_path / "watchdog.toml",
        '[detection]\nnot_persons = ["SIP", "INGRESS", "CONNECTOR", "BRIDGE"]',
    )
    kinds = load_settings(None, {}, tmp_path).detection.not_persons
    assert kinds == ("SIP", "INGRESS", "CONNECTOR", "BRIDGE")


@pytest.mark.parametrize(
    ("requests", "interval"), [(100, "1200ms"), (120, "1s"), (1, "2m"), (8, "15s")]
)
def test_listing_may_take_exactly_half_of_the_budget(requests: int, interval: str, tmp_path: Path):
    environ = {
        "WATCHDOG_DETECTION__REQUESTS_PER_MINUTE": str(requests),
        "WATCHDOG_POLL_INTERVAL": interval,
    }
    settings = load_settings(None, environ, tmp_path)
    assert 60 / settings.poll_interval.total_seconds() == pytest.approx(requests / 2)


def test_livekits_own_variables_give_the_default_project(tmp_path: Path):
    (project,) = load_settings(None, LIVEKIT, tmp_path).require_projects()
    assert (project.name, project.url) == ("default", "wss://demo.livekit.cloud")
    assert project.api_key.get_secret_value() == "APIdemo"
    assert project.api_secret.get_secret_value() == SECRET


@pytest.mark.trap("T33")
def test_t33_an_ambient_token_plays_no_part(tmp_path: Path):
    with_token = load_settings(None, {**LIVEKIT, "LIVEKIT_TOKEN": "x"}, tmp_path)
    assert with_token == load_settings(None, LIVEKIT, tmp_path)


def test_projects_in_the_file_leave_livekits_variables_unused(tmp_path: Path):
    write(
        tmp_path / "watchdog.toml",
        "".join(
            f'[[projects]]\nname = "{name}"\nurl = "ws://{name}:7880/"\napi_key = "k"\n'
            f'api_secret = "{SECRET}"\n'
            for name in ("eu", "us")
        ),
    )
    projects = load_settings(None, LIVEKIT, tmp_path).require_projects()
    assert [(p.name, p.url) for p in projects] == [("eu", "ws://eu:7880"), ("us", "ws://us:7880")]


def test_the_secret_of_the_default_project_can_stand_in_a_file(tmp_path: Path):
    write(tmp_path / "secret", SECRET + "\r\n")
    environ = {**LIVEKIT, "LIVEKIT_API_SECRET": "", "LIVEKIT_API_SECRET_FILE": "secret"}
    (project,) = load_settings(None, environ, tmp_path).require_projects()
    assert project.api_secret.get_secret_value() == SECRET


def test_relative_paths_start_at_the_file_or_for_a_variable_at_the_working_directory(
    tmp_path: Path,
):
    write(tmp_path / "etc" / "secrets" / "eu", SECRET + "\n")
    file = write(
        tmp_path / "etc" / "w.toml",
        '[prices]\nbook = "mine.toml"\n[[projects]]\nname = "eu"\nurl = "ws://eu"\n'
        'api_key = "k"\napi_secret_file = "secrets/eu"\n',
    )
    settings = load_settings(file, {}, tmp_path)
    assert settings.projects[0].api_secret.get_secret_value() == SECRET
    assert settings.prices.book == tmp_path / "etc" / "mine.toml"
    settings = load_settings(file, {"WATCHDOG_PRICES__BOOK": "other.toml"}, tmp_path)
    assert settings.prices.book == tmp_path / "other.toml"


def test_no_secret_is_ever_printed(tmp_path: Path):
    settings = load_settings(None, LIVEKIT, tmp_path)
    for text in (
        repr(settings),
        str(settings),
        repr(settings.projects),
        settings.model_dump_json(),
        str(settings.model_dump()),
    ):
        assert SECRET not in text
        assert "APIdemo" not in text


def test_settings_cannot_be_changed(tmp_path: Path):
    settings = load_settings(None, {}, tmp_path)
    with pytest.raises(ValidationError):
        settings.mode = "enforce"
    with pytest.raises(ValidationError):
        settings.http.listen = None


def test_the_variables_kubernetes_sets_for_a_service_called_watchdog_are_let_pass(tmp_path: Path):
    links = {
        "WATCHDOG_SERVICE_HOST": "10.0.0.7",
        "WATCHDOG_SERVICE_PORT": "9779",
        "WATCHDOG_SERVICE_PORT_HTTP_METRICS": "9779",
        "WATCHDOG_PORT": "tcp://10.0.0.7:9779",
        "WATCHDOG_PORT_9779_TCP": "tcp://10.0.0.7:9779",
        "WATCHDOG_PORT_9779_TCP_PROTO": "tcp",
        "WATCHDOG_PORT_9779_TCP_PORT": "9779",
        "WATCHDOG_PORT_9779_TCP_ADDR": "10.0.0.7",
        "WATCHDOG_METRICS_SERVICE_HOST": "10.0.0.8",
    }
    assert load_settings(None, links, tmp_path) == load_settings(None, {}, tmp_path)


@pytest.mark.parametrize(
    ("of_all", "own", "variable", "counts"),
    [
        ("observe", None, None, "observe"),
        ("enforce", None, None, "enforce"),
        ("enforce", "observe", None, "observe"),
        ("observe", "enforce", None, "enforce"),
        ("enforce", "enforce", "observe", "observe"),
        ("enforce", "allowlist", "observe", "observe"),
        ("observe", "allowlist", "enforce", "allowlist"),
        ("observe", None, "enforce", "enforce"),
        ("enforce", "observe", "enforce", "observe"),
    ],
)
def test_the_mode_of_a_project_is_its_own_and_the_variable_only_holds_back(
    tmp_path: Path, of_all, own, variable, counts
):
    mine = f'mode = "{own}"' if own else ""
    write(
        tmp_path / "watchdog.toml",
        f'mode = "{of_all}"\n[[projects]]\nname = "a"\nurl = "ws://h"\napi_key = "k"\n'
        f'api_secret = "s3cret"\n{mine}\n',
    )
    settings = load_settings(None, {"WATCHDOG_MODE": variable} if variable else {}, tmp_path)
    assert settings.mode_of(settings.projects[0]) == counts
