"""docs/configuration.md and the code say the same."""

import re
import tomllib
from pathlib import Path

from watchdog.settings import configuration_markdown, describe, load_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text("utf-8") == configuration_markdown(), (
        "run: python -m watchdog.settings > docs/configuration.md"
    )


def test_every_setting_says_what_it_means():
    for setting in describe():
        assert len(setting.meaning) > 8, setting.key
        assert setting.required == (
            setting.key in {"projects.name", "projects.url", "projects.api_key"}
        )


def test_every_default_can_be_given_by_its_variable_and_by_the_file(tmp_path: Path):
    plain = load_settings(None, {}, tmp_path)
    for setting in describe():
        if setting.default is None or setting.key.startswith("projects."):
            continue
        value = tomllib.loads(f"x = {setting.default}")["x"]
        text = ",".join(value) if isinstance(value, list) else str(value)
        assert load_settings(None, {str(setting.variable): text}, tmp_path) == plain
        file = tmp_path / f"{setting.key}.toml"
        file.write_text(f"{setting.key} = {setting.default}")
        assert load_settings(file, {}, tmp_path).model_dump() == plain.model_dump()


def test_the_example_on_the_page_is_a_good_configuration(tmp_path: Path):
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    file = tmp_path / "watchdog.toml"
    file.write_text(example.replace("/run/secrets/livekit-eu", str(secret)))
    (project,) = load_settings(file, {}, tmp_path).require_projects()
    assert project.name == "eu"


def test_the_readme_has_every_setting_as_the_page_has_it():
    page = PAGE.read_text("utf-8")
    readme = (PAGE.parents[1] / "README.md").read_text("utf-8").splitlines()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 15
    assert [row for row in rows if row not in readme] == []
