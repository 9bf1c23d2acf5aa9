"""A plain `run` goes past the command line's libraries, and means the same."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import environment
from watchdog.entry import plain_run


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["run"], None),
        (["run", "--config", "a.toml"], "a.toml"),
        (["run", "-c", "a.toml"], "a.toml"),
        (["run", "--config=a.toml"], "a.toml"),
    ],
)
def test_these_are_a_plain_run(words, config):
    assert plain_run(words) == (None if config is None else Path(config),)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["once"],
        ["run", "--help"],
        ["run", "x"],
        ["run", "--config"],
        ["--version"],
        ["run", "-c"],
    ],
)
def test_anything_else_is_for_the_command_line(words):
    assert plain_run(words) is None


def run_python(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A Python process of its own, with nothing of ours in its environment."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_daemon_loads_neither_the_command_line_nor_alembic(tmp_path):
    code = (
        "import json, sys; from watchdog import app, entry; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    loaded = set(json.loads(run_python(code, tmp_path).stdout))
    assert {"sqlalchemy", "livekit"} <= loaded
    assert not loaded & {"typer", "alembic", "mako", "matplotlib", "apprise", "asyncpg"}


def test_what_logs_in_colour_is_not_loaded_for_a_plain_run(tmp_path):
    code = (
        "import sys; from watchdog.entry import not_loaded\n"
        "with not_loaded('rich'):\n"
        "    import structlog\n"
        "from watchdog import app; from watchdog.expose.logs import configure_logging, get_logger\n"
        "assert not {n for n in sys.modules if n.partition('.')[0] in ('rich', 'pygments')}\n"
        "configure_logging('console')\n"
        "try:\n"
        "    1 / 0\n"
        "except ZeroDivisionError:\n"
        "    get_logger().exception('a fault')\n"
        "import rich  # it is there for whoever needs it\n"
    )
    done = run_python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "a fault" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_hangup_before_the_daemon_listens_does_not_end_it(tmp_path):
    code = (
        "import os, signal, watchdog.settings as settings\n"
        "from watchdog import entry\n"
        "read = settings.load_settings\n"
        "def hung_up(config):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return read(config)\n"
        "settings.load_settings = hung_up\n"
        "try:\n"
        "    entry.run(None)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "ConfigurationError\n"), done.stderr
