"""What was measured, held against what was aimed at: as tables and as a picture."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Results = Mapping[str, Any]
"""What `make bench` writes: `machine`, `rooms` (by number, and by row), and `idle`."""

ROW_NAMES: Mapping[str, str] = {
    "bare": "(a) `list_rooms` alone",
    "fields": "(a') and every room's fields read once",
    "naive": "(b) naive poller: `list_participants` for every room, 32 at a time",
    "first": "(c) watchdog, first tick",
    "steady": "(c) watchdog, steady tick",
    "churn": "(c) watchdog, tick after 1 % of the rooms changed",
    "due": "(c) watchdog, steady tick, every orphan due and held back",
    "sweep": "(c) watchdog, steady tick with the looks its budget allows",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One thing aimed at: what was measured, and the most that it may be."""

    name: str
    measured: float
    most: float
    unit: str
    note: str = ""
    least: bool = False
    """The measured value is to be at least this, and not at most."""

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.measured >= self.most if self.least else self.measured <= self.most


def targets(results: Results) -> Iterator[Target]:
    """Every target of which there are measurements; those of size are of the largest number of rooms."""
    by_rooms = {int(rooms): rows for rooms, rows in results["rooms"].items()}
    largest, rows = max(by_rooms.items())
    bare, steady = rows["bare"], rows["steady"]
    yield Target(
        "processor time of a steady tick against (a)",
        steady["cpu"] / bare["cpu"],
        2.0,
        "times",
        f"{steady['cpu']:.3f} s against {bare['cpu']:.3f} s",
    )
    if "naive" in rows:
        yield Target(
            "wall time of (b) against a steady tick",
            rows["naive"]["wall"] / steady["wall"],
            100.0,
            "times",
            f"{rows['naive']['wall']:.1f} s against {steady['wall']:.3f} s",
            least=True,
        )
    yield Target("requests of a steady tick, without looks", steady["calls"], 1, "")
    yield Target(
        "requests of a steady tick, with looks", steady["sweep"]["calls"], 25, "", "100 a minute"
    )
    yield Target("rows written by a steady tick", steady["rows"], 1, "")
    yield Target(
        "peak memory against (a)'s process",
        steady["peak_mb"] / bare["peak_mb"],
        1.6,
        "times",
        f"{steady['peak_mb']:.0f} MB against {bare['peak_mb']:.0f} MB",
    )
    if largest // 10 in by_rooms:
        smaller = by_rooms[largest // 10]["steady"]
        yield Target(
            f"processor time of a steady tick at {largest:,} against {largest // 10:,} rooms",
            steady["cpu"] / smaller["cpu"],
            12.0,
            "times",
            f"{steady['cpu']:.3f} s against {smaller['cpu']:.3f} s",
        )
    scrapes = steady["scrapes"]
    yield Target(
        "longest scrape of `/metrics` that met a tick",
        1e3 * scrapes["longest"],
        200.0,
        "ms",
        f"of {scrapes['met']} scrapes",
    )
    yield Target(
        "longest stretch in which a steady tick holds the event loop, the SDK's decoding aside",
        1e3 * steady["loop"]["own"],
        50.0,
        "ms",
        f"of processor time; by the wall clock {1e3 * steady['loop']['wall']:.0f} ms",
    )
    if idle := results.get("idle"):
        yield Target(
            "memory at rest, 1,000 rooms",
            idle["rss_mb"],
            105.0,
            "MB",
            f"{idle['rss_new_mb']:.0f} MB where that start made the database",
        )
        yield Target(
            "start to first verdict, new database",
            idle["first_verdict"],
            3.0,
            "s",
            f"{idle['again']:.2f} s on one that is there",
        )
        yield Target("processor at rest", 100 * idle["cpu_share"], 0.5, "% of a core")


def _rows(results: Results) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for rooms, rows in sorted(results["rooms"].items(), key=lambda item: int(item[0])):
        for name in ROW_NAMES:
            found = rows.get(name) or (rows["steady"].get("sweep") if name == "sweep" else None)
            if found:
                yield int(rooms), name, found


def _table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    header = list(header)
    rule = ["---", *(["---:"] * (len(header) - 1))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def rows_table(results: Results) -> str:
    """Every row of every size."""
    return _table(
        (
            "",
            "rooms",
            "processor s",
            "wall s",
            "requests",
            "rows written",
            "peak MB",
            "loop held ms",
        ),
        (
            (
                ROW_NAMES[name],
                f"{rooms:,}",
                f"{row['cpu']:.3f}",
                f"{row['wall']:.3f}",
                f"{row['calls']:,}",
                f"{row['rows']:,}",
                f"{row['peak_mb']:.0f}",
                f"{1e3 * row['loop']['own']:.0f}" if "loop" in row else "",
            )
            for rooms, name, row in _rows(results)
        ),
    )


def targets_table(results: Results) -> str:
    """Every target, and whether it was reached."""
    return _table(
        ("", "target", "measured", ""),
        (
            (
                target.name,
                f"{'≥' if target.least else '≤'} {target.most:g} {target.unit}".strip(),
                f"{target.measured:.3g} {target.unit}".strip()
                + (f" ({target.note})" if target.note else ""),
                "reached" if target.reached else "**not reached**",
            )
            for target in targets(results)
        ),
    )


BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def page(results: Results) -> str:
    """What stands between the marks in docs/performance.md."""
    machine = results["machine"]
    return (
        f"Measured on {machine['cores']} cores with Python {machine['python']} and livekit-api "
        f"{machine['livekit_api']}; one room of 20 is orphaned. Times are medians of "
        "five, but for the first tick and the naive poller.\n\n"
        f"{rows_table(results)}\n\n{targets_table(results)}"
    )


def write_page(results: Results, file: Path) -> None:
    """Put it there."""
    before, _, rest = file.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n{page(results)}\n{END}{after}")


def draw(results: Results, file: Path) -> None:
    """Processor time and peak memory by number of rooms. Needs matplotlib."""
    from matplotlib import rc_context  # noqa: PLC0415 - an extra, and slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = sorted(map(int, results["rooms"]))
    names = {"bare": "list_rooms alone", "naive": "naive poller"}
    names |= {"first": "first tick", "steady": "steady tick", "churn": "tick, 1 % changed"}
    for key, name in names.items():
        known = [size for size in sizes if key in results["rooms"][str(size)]]
        rows = [results["rooms"][str(size)][key] for size in known]
        left.plot(known, [row["cpu"] for row in rows], marker="o", label=name)
        right.plot(known, [row["peak_mb"] for row in rows], marker="o", label=name)
    for axes, title, unit in (
        (left, "Processor time of one pass", "seconds"),
        (right, "Peak memory of the process", "MB"),
    ):
        axes.set_xscale("log")
        axes.set_title(title)
        axes.set_xlabel("rooms")
        axes.set_ylabel(unit)
    left.set_yscale("log")
    right.set_ylim(bottom=0)
    left.legend()
    with rc_context({"svg.hashsalt": "livekit-watchdog", "svg.fonttype": "none"}):
        svg = file.suffix == ".svg"
        figure.savefig(file, metadata={"Date": None} if svg else None)
