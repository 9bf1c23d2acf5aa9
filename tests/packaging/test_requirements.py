"""The locks: every package pinned and hashed, from wherever the user's own pip is told to fetch."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(path: Path) -> list[str]:
    """The requirements of a lock, each on one line, without comments."""
    text = re.sub(r"\\\n", " ", path.read_text())
    lines = (line.strip() for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line and not line.startswith("#")]


def pinned(path: Path) -> dict[str, Requirement]:
    """The packages of a lock by name."""
    found = [Requirement(HASH.sub("", entry)) for entry in entries(path)]
    return {canonicalize_name(one.name): one for one in found}


def version(requirement: Requirement) -> str:
    [specifier] = requirement.specifier
    return specifier.version


def test_there_are_two_locks():
    assert [path.name for path in LOCKS] == ["dev.txt", "run.txt"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_package_is_pinned_and_hashed(lock):
    lines = entries(lock)
    assert len(lines) > 20
    for line in lines:
        assert HASH.search(line), f"{line} has no hash"
        rest = HASH.sub("", line).strip()
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==[^\s;]+( ; .+)?", rest), line


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_no_lock_says_where_to_fetch_from(lock):
    text = lock.read_text()
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]
    assert not re.search(r"(^|\s)(-i|-f|--index-url|--extra-index-url|--find-links)(\s|=)", text)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("run.txt", PROJECT["project"]["dependencies"]),
        ("dev.txt", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]),
        ("run.txt", PROJECT["project"]["optional-dependencies"]["notify"]),
        ("run.txt", PROJECT["project"]["optional-dependencies"]["postgres"]),
        ("dev.txt", PROJECT["build-system"]["requires"]),
    ],
    ids=["run", "dev", "notify", "postgres", "build"],
)
def test_a_lock_covers_what_the_project_asks_for(lock, wanted):
    held = pinned(ROOT / "requirements" / lock)
    for text in wanted:
        requirement = Requirement(text)
        found = held.get(canonicalize_name(requirement.name))
        assert found is not None, f"{lock} lacks {text}: run `make lock`"
        assert version(found) in requirement.specifier, f"{found} is not {text}: run `make lock`"


def test_what_is_tested_is_what_is_run():
    run, dev = (pinned(ROOT / "requirements" / name) for name in ("run.txt", "dev.txt"))
    assert {name: str(run[name].specifier) for name in run} == {
        name: str(dev[name].specifier) for name in run
    }
