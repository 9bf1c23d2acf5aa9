"""The wheel holds what the program needs, nothing else, and works where nothing else is installed."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end without our own environment; its standard output."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LIVEKIT_", "WATCHDOG_", "PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, freshly built."""
    directory = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, ROOT),
        cwd=directory,
    )
    [built] = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_bears_the_names_of_the_distribution_and_its_version(wheel):
    from watchdog import __version__

    assert wheel.name == f"livekit_agent_watchdog-{__version__}-py3-none-any.whl"


def test_it_holds_every_module_and_every_file_beside_them(members):
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "watchdog").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {m for m in members if m.startswith("watchdog/") and "/_migrations/" not in m} == here
    assert {"watchdog/py.typed", "watchdog/prices/book.toml"} <= here


def test_it_holds_every_migration(members):
    here = {
        f"watchdog/_migrations/{path.relative_to(ROOT / 'migrations')}"
        for path in (ROOT / "migrations").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {m for m in members if m.startswith("watchdog/_migrations/")} == here
    assert any(m.startswith("watchdog/_migrations/versions/0001") for m in here)


def test_it_holds_the_licence_and_nothing_that_is_not_the_program(members):
    [information] = {m.partition("/")[0] for m in members if m.split("/")[0].endswith(".dist-info")}
    assert f"{information}/licenses/LICENSE" in members
    assert {m.partition("/")[0] for m in members} == {"watchdog", information}
    assert not [m for m in members if "test" in m or m.endswith((".pyc", ".db"))]


def test_it_names_one_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        text = archive.read(name).decode()
    assert text.split() == ["[console_scripts]", "livekit-watchdog", "=", "watchdog.entry:main"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_works_alone_in_a_new_environment(wheel, tmp_path):
    home, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    venv.create(home, with_pip=True)
    pip = (home / "bin" / "python", "-m", "pip", "install", "--quiet")
    pip = (*pip, "--disable-pip-version-check", "--no-warn-script-location")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements" / "run.txt", cwd=empty)
    run(*pip, "--no-deps", wheel, cwd=empty)
    run(home / "bin" / "python", "-m", "pip", "check", cwd=empty)

    from watchdog import __version__

    command = home / "bin" / "livekit-watchdog"
    assert run(command, "--version", cwd=empty) == f"{__version__}\n"
    demo = run(command, "demo", "--seconds", "3", "--listen", "127.0.0.1:0", cwd=empty)
    assert "only agents are left" in demo
    assert not list(empty.iterdir())
    assert run(command, "db", "upgrade", cwd=empty).startswith("The database went from nothing to")
    assert (empty / "watchdog.db").is_file()
    where = run(
        home / "bin" / "python", "-c", "import watchdog; print(watchdog.__file__)", cwd=empty
    )
    assert Path(where.strip()).is_relative_to(home)
