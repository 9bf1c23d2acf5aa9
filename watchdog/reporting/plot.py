"""Two pictures of a report: what orphaned agents cost a day, and how old orphans grow. Needs matplotlib."""

from importlib.util import find_spec
from pathlib import Path

from watchdog.core.errors import ConfigurationError, WatchdogError
from watchdog.reporting.report import AGES, Report
from watchdog.reporting.window import days_between

SUFFIXES = (".svg", ".png")
_LOW, _HIGH, _AGE = "#1f77b4", "#aec7e8", "#7f7f7f"
_CURE = "--plot needs matplotlib: pip install 'livekit-agent-watchdog[plot]'"


def need_matplotlib() -> None:
    """Raise ConfigurationError, with the cure, where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(_CURE)


def draw(report: Report, file: Path) -> None:
    """Draw into an SVG or PNG file. Raises WatchdogError where it cannot be written.

    The same report gives the same SVG, byte for byte, under one version of matplotlib.
    """
    need_matplotlib()
    from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 7), layout="constrained")
    by_day, by_age = figure.subplots(2, 1)
    days = list(days_between(min(report.days), max(report.days))) if report.days else []
    found = [report.days.get(day) for day in days]
    low = [float(spend.low) if spend else 0.0 for spend in found]
    more = [float(spend.high - spend.low) if spend else 0.0 for spend in found]
    names = [day.isoformat() for day in days]
    by_day.bar(names, low, color=_LOW, label="low")
    by_day.bar(names, more, bottom=low, color=_HIGH, label="up to high")
    by_day.set_title("Spend on orphaned agents by UTC day (estimate)")
    by_day.set_ylabel("USD")
    step = max(1, len(days) // 12)
    by_day.set_xlim(-0.6, max(len(days), 7) - 0.4)  # a single day is no wall
    by_day.set_xticks(range(0, len(days), step), names[::step], rotation=30, ha="right")
    if days:
        by_day.legend()
    by_age.bar([name for name, _ in AGES], report.ages, color=_AGE)
    by_age.set_title("Episodes by how long agents were alone")
    by_age.set_ylabel("episodes")
    by_age.yaxis.get_major_locator().set_params(integer=True)
    try:
        with rc_context({"svg.hashsalt": "livekit-watchdog", "svg.fonttype": "none"}):
            svg = file.suffix.lower() == ".svg"
            figure.savefig(file, metadata={"Date": None} if svg else None)
    except OSError as error:
        raise WatchdogError(f"{file} cannot be written: {error.strerror or error}") from None
