"""Where the program begins.

A plain `run` is started from here, without the libraries of the command line: a daemon would keep them in
memory for as long as it lives. Everything else, and what is not understood, goes to `watchdog.cli`.
"""

import asyncio
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from watchdog.core.errors import WatchdogError


def main() -> None:
    """Run the command line; every error of ours is one sentence on stderr."""
    if not sys.warnoptions:
        # Libraries warn programmers, as of the short secret of `livekit-server --dev`.
        warnings.simplefilter("ignore")
    try:
        plain = plain_run(sys.argv[1:])
        if plain is not None:
            run(*plain)
        else:
            from watchdog.cli import app

            app(prog_name="livekit-watchdog")
    except WatchdogError as error:
        from watchdog.expose.labels import printable

        for line in str(error).splitlines():
            print(f"livekit-watchdog: {printable(line)}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has had enough of it, as `| head` does.
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:  # before the daemon has taken over the signals
        sys.exit(130)


def plain_run(arguments: Sequence[str]) -> tuple[Path | None] | None:
    """The configuration file that a `run` names, which may be none; None for any other command line."""
    match list(arguments):
        case ["run"]:
            return (None,)
        case ["run", "--config" | "-c", path]:
            return (Path(path),)
        case ["run", word] if word.startswith("--config="):
            return (Path(word.removeprefix("--config=")),)
    return None


def run(config: Path | None) -> None:
    """Watch until SIGTERM or SIGINT. Raises WatchdogError."""
    # One that comes before the daemon listens must not end it: what has changed by then is taken up anyway.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with not_loaded("rich"):  # for tracebacks in colour; ours are plain
        import structlog  # noqa: F401
    from watchdog import app
    from watchdog.clocks import SystemClock
    from watchdog.expose.logs import configure_logging
    from watchdog.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log.format, settings.log.level.upper())
    asyncio.run(app.run(settings, SystemClock(), lambda: load_settings(config)))


@contextmanager
def not_loaded(library: str) -> Iterator[None]:
    """In this scope whoever can do without a library goes without it; one that is loaded stays."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment]  # importing it fails, as if it were not there
    try:
        yield
    finally:
        del sys.modules[library]
