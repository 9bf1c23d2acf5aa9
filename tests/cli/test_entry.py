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


def test_a_daemon_loads_neither_the_command_line_nor_alembic(tmp_path):
    code = (
        "import json, sys; from watchdog import app, entry; "
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(json.loads(done.stdout))
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
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "a fault" in done.stderr
    assert "ZeroDivisionError" in done.stderr
