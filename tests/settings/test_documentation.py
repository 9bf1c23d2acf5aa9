"""docs/configuration.md and the code say the same."""

import re
import tomllib
from datetime import timedelta
from pathlib import Path

from watchdog.core.policy import built_in_policies
from watchdog.settings import configuration_markdown, describe, format_duration, load_settings
from watchdog.settings.keys import table_list_of

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text("utf-8") == configuration_markdown(), (
        "run: python -m watchdog.settings > docs/configuration.md"
    )


def test_every_setting_says_what_it_means():
    for setting in describe():
        assert len(setting.meaning) > 8, setting.key
        assert setting.required == (
            setting.key
            in {
                "policies.name",
                "prices.profiles.name",
                "projects.name",
                "projects.url",
                "projects.api_key",
            }
        )


def test_every_default_can_be_given_by_its_variable_and_by_the_file(tmp_path: Path):
    plain = load_settings(None, {}, tmp_path)
    tried = 0
    for setting in describe():
        if setting.default is None or table_list_of(tuple(setting.key.split("."))):
            continue
        value = tomllib.loads(f"x = {setting.default}")["x"]
        text = ",".join(value) if isinstance(value, list) else str(value)
        by_variable = load_settings(None, {str(setting.variable): text}, tmp_path)
        assert by_variable.model_dump() == plain.model_dump()
        file = tmp_path / f"{setting.key}.toml"
        file.write_text(f"{setting.key} = {setting.default}")
        assert load_settings(file, {}, tmp_path).model_dump() == plain.model_dump()
        tried += 1
    assert tried > 10


def test_every_default_of_a_policy_can_be_given(tmp_path: Path):
    file = tmp_path / "watchdog.toml"
    file.write_text('[[policies]]\nname = "x"')
    (plain,) = load_settings(file, {}, tmp_path).policies
    keys = [s for s in describe() if s.key.startswith("policies.") and s.default is not None]
    assert len(keys) == 8
    for setting in keys:
        key = setting.key.removeprefix("policies.")
        file.write_text(f'[[policies]]\nname = "x"\n{key} = {setting.default}')
        assert load_settings(file, {}, tmp_path).policies == (plain,)


def test_the_examples_on_the_page_are_good_configurations(tmp_path: Path):
    policies, prices, whole = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    file = tmp_path / "watchdog.toml"
    file.write_text(whole.replace("/run/secrets/livekit-eu", str(secret)))
    (project,) = load_settings(file, {}, tmp_path).require_projects()
    assert project.name == "eu"
    file.write_text(policies)
    found = [(policy.name, policy.action) for policy in load_settings(file, {}, tmp_path).policies]
    assert found == [("support-calls", "delete"), ("demos", "keep")]
    file.write_text(prices)
    (profile,) = load_settings(file, {}, tmp_path).prices.profiles
    assert (profile.name, profile.avatar) == ("video", "tavus.cvi.starter")


def test_the_built_in_policies_stand_on_the_page_as_they_are():
    before, after = built_in_policies(15.0)
    page = PAGE.read_text("utf-8").splitlines()
    rows = [
        line for line in page if re.match(r"\| `[a-z-]+` \| .* \| (warn|delete|keep) \|$", line)
    ]
    assert [row.split("`")[1] for row in rows] == [policy.name for policy in (*before, *after)]

    def text(seconds: float | None) -> str:
        return "" if seconds is None else format_duration(timedelta(seconds=seconds))

    for row, policy in zip(rows, (*before, *after), strict=True):
        cells = [cell.strip() for cell in row.split("|")[3:-1]]
        assert cells == [text(policy.grace), text(policy.hard_limit), policy.action.value]
        assert ("room timeouts are not respected" in row) is not policy.respect_room_timeouts


def test_the_readme_has_every_setting_as_the_page_has_it():
    page = PAGE.read_text("utf-8")
    readme = (PAGE.parents[1] / "README.md").read_text("utf-8").splitlines()
    rows = [line for line in page.splitlines() if line.startswith(("| `", "| key"))]
    assert len(rows) > 30
    assert [row for row in rows if row not in readme] == []
