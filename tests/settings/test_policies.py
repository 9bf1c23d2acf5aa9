"""The `[[policies]]` tables: what they say, and that they speak the core's words."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from watchdog.core import policy as core
from watchdog.core.errors import ConfigurationError
from watchdog.settings import MatchSettings, PolicySettings, Settings, load_settings
from watchdog.settings.fields import BUILT_IN_POLICIES
from watchdog.settings.keys import TABLE_LISTS, section_of
from watchdog.settings.sections import GRACE_BEYOND_POLL


def policies(directory: Path, toml: str, **environ: str) -> tuple[PolicySettings, ...]:
    (directory / "watchdog.toml").write_text(toml, "utf-8")
    return load_settings(None, environ, directory).policies


def test_a_policy_that_says_only_its_name_matches_everything_and_waits_ten_minutes(tmp_path: Path):
    (policy,) = policies(tmp_path, '[[policies]]\nname = "calls"')
    assert policy == PolicySettings(
        name="calls",
        match=MatchSettings(rooms=(), agents=(), person_seen=None, last_person_kinds=()),
        grace=timedelta(minutes=10),
        respect_room_timeouts=True,
        hard_limit=None,
        max_spend=None,
        action="delete",
        warn_before=None,
        delete_dispatch=False,
        allow_short_grace=False,
    )


def test_a_policy_says_everything_it_can(tmp_path: Path):
    (policy,) = policies(
        tmp_path,
        """
        [[policies]]
        name = "Calls_1.eu-west"
        match = { rooms = ["call-*", "*"], agents = ["support-?"], last_person_kinds = [
            "STANDARD", "INGRESS", "SIP", "CONNECTOR", "BRIDGE"], person_seen = true }
        grace = "90s"
        respect_room_timeouts = false
        hard_limit = 90
        max_spend = "2.50"
        action = "warn"
        warn_before = "60s"
        delete_dispatch = true
        allow_short_grace = true
        """,
    )
    assert json.loads(policy.model_dump_json()) == {
        "name": "Calls_1.eu-west",
        "match": {
            "rooms": ["call-*", "*"],
            "agents": ["support-?"],
            "person_seen": True,
            "last_person_kinds": ["STANDARD", "INGRESS", "SIP", "CONNECTOR", "BRIDGE"],
        },
        "grace": "1m30s",
        "respect_room_timeouts": False,
        "hard_limit": "1m30s",
        "max_spend": "2.50",
        "action": "warn",
        "warn_before": "1m",
        "delete_dispatch": True,
        "allow_short_grace": True,
    }
    assert policy.max_spend == Decimal("2.50")


def test_policies_keep_the_order_of_the_file_since_the_first_match_wins(tmp_path: Path):
    names = ["zeta", "alpha", "Alpha", "c" * 64]
    found = policies(tmp_path, "".join(f'[[policies]]\nname = "{n}"\n' for n in names))
    assert [policy.name for policy in found] == names


def test_policies_and_projects_stand_side_by_side(tmp_path: Path):
    toml = """
        [[projects]]
        name = "default"
        url = "ws://eu"
        api_key = "k"
        api_secret = "s"
        [[policies]]
        name = "eu"
        """
    assert [policy.name for policy in policies(tmp_path, toml)] == ["eu"]


@pytest.mark.rule("C")
@pytest.mark.parametrize(("poll", "least"), [("15s", 50), ("2s", 37), ("1m", 95)])
def test_the_least_grace_is_a_poll_and_35_seconds(poll: str, least: int, tmp_path: Path):
    toml = '[[policies]]\nname = "calls"\ngrace = '
    (policy,) = policies(tmp_path, f"{toml}{least}", WATCHDOG_POLL_INTERVAL=poll)
    assert policy.grace == timedelta(seconds=least)
    with pytest.raises(ConfigurationError, match=r"grace: .* is too short"):
        policies(tmp_path, f"{toml}{least - 0.001}", WATCHDOG_POLL_INTERVAL=poll)


@pytest.mark.rule("C")
def test_a_shorter_grace_has_to_be_asked_for_in_each_policy(tmp_path: Path):
    short = '[[policies]]\nname = "{}"\ngrace = 0\nallow_short_grace = {}\n'
    (policy,) = policies(tmp_path, short.format("a", "true"))
    assert policy.grace == timedelta(0)
    with pytest.raises(ConfigurationError) as refused:
        policies(tmp_path, short.format("a", "true") + short.format("b", "false"))
    assert "[[policies]] no. 2: grace: 0s is too short" in str(refused.value)
    assert "no. 1" not in str(refused.value)


@pytest.mark.rule("C")
def test_a_hard_limit_may_be_as_short_as_the_grace(tmp_path: Path):
    (policy,) = policies(tmp_path, '[[policies]]\nname = "calls"\nhard_limit = "10m"')
    assert policy.hard_limit == policy.grace


def test_the_kinder_steps_are_asked_for_by_a_policy(tmp_path: Path):
    (policy,) = policies(
        tmp_path, '[[policies]]\nname = "a"\nwarn_before = "10m"\ndelete_dispatch = true'
    )
    assert policy.warn_before == policy.grace == timedelta(minutes=10)
    assert policy.delete_dispatch
    (plain,) = policies(tmp_path, '[[policies]]\nname = "a"')
    assert (plain.warn_before, plain.delete_dispatch) == (None, False)


@pytest.mark.parametrize(
    ("ahead", "wrong"),
    [("601s", "is above the grace of 10m"), ("0s", "too short to warn"), ("soon", "warn_before")],
)
def test_a_warning_comes_within_the_grace_and_is_one(ahead: str, wrong: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=wrong):
        policies(tmp_path, f'[[policies]]\nname = "a"\nwarn_before = "{ahead}"')


@pytest.mark.parametrize("text", ["2.50", "0.000001", "2", "007"])
def test_an_amount_is_exactly_what_was_written(text: str, tmp_path: Path):
    (policy,) = policies(tmp_path, f'[[policies]]\nname = "calls"\nmax_spend = "{text}"')
    assert str(policy.max_spend) == str(Decimal(text))


@pytest.mark.parametrize(
    "text", ["", " 2.50", "-1", "1e3", "2,50", ".5", "2.", "Infinity", "\uff12"]
)
def test_what_is_no_plain_decimal_is_no_amount(text: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="is no amount in USD"):
        policies(tmp_path, f'[[policies]]\nname = "calls"\nmax_spend = "{text}"')


def test_the_names_actions_and_margin_are_those_of_the_core():
    before, after = core.built_in_policies(15.0)
    assert tuple(policy.name for policy in (*before, *after)) == BUILT_IN_POLICIES
    actions = get_args(PolicySettings.model_fields["action"].annotation)
    assert set(actions) == {action.value for action in core.Action}
    assert GRACE_BEYOND_POLL.total_seconds() == core.GRACE_BEYOND_POLL


@pytest.mark.parametrize("name", BUILT_IN_POLICIES)
def test_no_policy_bears_a_built_in_name(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=f'"{name}" is a built-in policy\'s name'):
        policies(tmp_path, f'[[policies]]\nname = "{name}"')


def test_every_list_of_tables_is_known_as_one():
    """A new one would else get variables of its own, and errors that name no table."""

    def found(model: type[BaseModel], prefix: str = "") -> dict[str, type[BaseModel]]:
        lists: dict[str, type[BaseModel]] = {}
        for name, info in model.model_fields.items():
            section = section_of(info)
            if section is not None and str(info.annotation).startswith("tuple["):
                lists[prefix + name] = section
            elif section is not None:
                lists |= found(section, f"{prefix}{name}.")
        return lists

    lists = found(Settings)
    assert set(lists) == set(TABLE_LISTS)
    for section in lists.values():
        assert issubclass(section, BaseModel)
        assert "name" in section.model_fields


def test_a_policy_that_can_match_no_room_is_refused(tmp_path: Path):
    toml = """
        [[policies]]
        name = "calls"
        match = { person_seen = false, last_person_kinds = ["SIP"] }
        """
    with pytest.raises(ConfigurationError) as caught:
        policies(tmp_path, toml)
    assert str(caught.value) == (
        f"{tmp_path / 'watchdog.toml'}: [[policies]] no. 1: match: can match no room: where no person "
        "was ever seen there are no last_person_kinds; leave one of the two out"
    )
