"""Draws docs/dashboard-overview.png and docs/dashboard-health.png: the Grafana dashboards with live numbers.

Run `python -m docs.make_dashboard_pictures` at the top of the repository. It takes over three minutes: a real
`run` watches the simulated servers of tests/grafana/world.py, a real Prometheus scrapes it, and what the
dashboards' own queries give is drawn where their panels stand. The drawing is ours, not Grafana's.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from tests.grafana.boards import (
    LABEL_VALUES,
    NAMES,
    BoardQuery,
    board,
    filled,
    panel_queries,
    queries,
)
from tests.grafana.world import Scene, scene

HERE = Path(__file__).parent
STEP: Final = 5.0
"""Seconds between two points of a series, and the width of a bar."""
WIDE, UNIT_HIGH, GAP = 15.0, 0.36, 0.06
"""Inches: the whole picture, one row of the dashboard's grid, and the space around a panel."""
TOP = 0.85
"""Inches above the grid, for the dashboard's title."""
PAGE, PAPER, EDGE, INK, PALE = "#f4f5f7", "#ffffff", "#d9dce3", "#23262e", "#6b7280"
MARK = "#8a4fbf"
COLORS = {"green": "#2f8f4e", "orange": "#d9730d", "red": "#c4302b", "blue": "#2563ab"}
PALETTE = ("#2f8f4e", "#2563ab", "#d9730d", "#8a4fbf", "#c4302b", "#0e8a8a", "#a8790a", "#c2478e")

Answer = list[dict[str, Any]]
Answers = Mapping[tuple[str, str, str], Answer]


class Box(NamedTuple):
    """A place on the picture: left, bottom, width, height, as shares of it."""

    x: float
    y: float
    w: float
    h: float


def gathered(scene: Scene) -> Answers:
    """What each panel and annotation asks for and is given, by dashboard, panel and letter."""
    answers = {}
    for query in queries():
        if LABEL_VALUES.fullmatch(query.expression):
            continue
        expression = filled(query.expression, scene.seconds)
        answers[query.board, query.of, query.letter] = (
            scene.prometheus.query(expression)
            if query.instant
            else scene.prometheus.query_range(expression, seconds=scene.seconds - STEP, step=STEP)
        )
    return answers


def draw(name: str, answers: Answers) -> Figure:
    """One dashboard, panel by panel."""
    found = board(name)
    rows = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in found["panels"])
    high = TOP + rows * UNIT_HIGH + 0.15
    figure = Figure(figsize=(WIDE, high), facecolor=PAGE)
    page = Page(figure, high, _span(name, answers), _marks(name, answers))
    left = 2.5 * GAP / WIDE
    figure.text(left, 1 - 0.34 / high, found["title"], size=17, weight="bold", color=INK)
    figure.text(left, 1 - 0.62 / high, found["description"], size=10.5, color=PALE)
    chosen = [v["label"] for v in found["templating"]["list"] if v["type"] == "query"]
    pills = "     ".join(f"{label}: All" for label in chosen)
    figure.text(1 - left, 1 - 0.34 / high, pills, size=10.5, color=INK, ha="right")
    if page.marks:
        said = "\u2506 a deletion"
        figure.text(1 - left, 1 - 0.62 / high, said, size=10.5, color=MARK, ha="right")
    for panel in found["panels"]:
        box = page.place(panel["gridPos"])
        if panel["type"] == "row":
            figure.text(
                box.x, box.y + box.h * 0.25, panel["title"], size=11.5, weight="bold", color=INK
            )
            continue
        page.frame(box, panel["title"])
        asked = [(q, answers[name, q.of, q.letter]) for q in panel_queries(name, panel)]
        PAINTERS[panel["type"]](page, page.inside(box), panel, asked)
    return figure


def _marks(name: str, answers: Answers) -> list[float]:
    """The times that the annotations mark."""
    return [
        float(at)
        for annotation in board(name)["annotations"]["list"]
        for series in answers[name, f"annotation {annotation['name']}", "A"]
        for at, _ in series["values"]
    ]


def _span(name: str, answers: Answers) -> tuple[float, float]:
    """The first and the last time of what was asked over time."""
    times = [
        float(at)
        for (of, _, _), answer in answers.items()
        for series in answer
        for at, _ in series.get("values", [])
        if of == name
    ]
    return min(times), max(times)


class Page:
    """The picture, measured in inches.

    `span` is when its time begins and ends, `marks` are the times of the annotations.
    """

    def __init__(
        self, figure: Figure, high: float, span: tuple[float, float], marks: Sequence[float]
    ) -> None:
        self.figure, self.high, self.marks = figure, high, marks
        self.start, self.end = span

    def place(self, grid: Mapping[str, int]) -> Box:
        """Where a panel of this grid position goes."""
        column = (WIDE - 4 * GAP) / 24
        x = 2 * GAP + grid["x"] * column + GAP / 2
        y = self.high - TOP - (grid["y"] + grid["h"]) * UNIT_HIGH + GAP / 2
        return Box(
            x / WIDE,
            y / self.high,
            (grid["w"] * column - GAP) / WIDE,
            (grid["h"] * UNIT_HIGH - GAP) / self.high,
        )

    def frame(self, box: Box, title: str) -> None:
        """A panel's paper and title."""
        paper = FancyBboxPatch(
            (box.x, box.y),
            box.w,
            box.h,
            boxstyle="round,pad=0,rounding_size=0.003",
            transform=self.figure.transFigure,
            facecolor=PAPER,
            edgecolor=EDGE,
            linewidth=0.8,
            mutation_aspect=WIDE / self.high,
            zorder=-1,
        )
        self.figure.add_artist(paper)
        top = box.y + box.h - 0.22 / self.high
        self.figure.text(box.x + 0.1 / WIDE, top, title, size=10, weight="bold", color=INK)

    def inside(self, box: Box) -> Box:
        """What is left below the title."""
        edge_x, edge_y, title = 0.1 / WIDE, 0.08 / self.high, 0.3 / self.high
        return Box(box.x + edge_x, box.y + edge_y, box.w - 2 * edge_x, box.h - edge_y - title)

    def axes(self, box: Box, *, legend_lines: int) -> Axes:
        """Axes for lines or bars, with space for their labels and the legend below."""
        left, below = 0.55 / WIDE, (0.22 + 0.17 * legend_lines) / self.high
        at = (box.x + left, box.y + below, box.w - left - 0.08 / WIDE, box.h - below)
        axes = self.figure.add_axes(at, facecolor=PAPER)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(EDGE)
        axes.tick_params(colors=PALE, labelsize=8, length=0)
        axes.grid(visible=True, axis="y", color=EDGE, linewidth=0.6)
        axes.set_axisbelow(True)
        return axes


Asked = Sequence[tuple[BoardQuery, Answer]]


def called(query: BoardQuery, labels: Mapping[str, str]) -> str:
    """A series' name as Grafana would give it."""
    name = query.legend
    for label, value in labels.items():
        name = name.replace(f"{{{{{label}}}}}", value)
    return name


def colour(panel: Mapping[str, Any], value: float) -> str:
    """The colour of a number by the panel's thresholds."""
    reached = "green"
    for step in panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            reached = step["color"]
    return COLORS[reached]


def shown(value: float, unit: str, decimals: float | None = None) -> str:
    """A number of one of the units that the dashboards use."""
    if unit == "s":
        return _seconds(value)
    if unit == "currencyUSD":
        return f"${value:.2g}" if 0 < abs(value) < 0.01 else f"${value:.2f}"
    if unit == "percentunit":
        return f"{100 * value:.{int(decimals)}f} %" if decimals else f"{100 * value:.2g} %"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "reqps":
        return f"{value:.3g}/s"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _seconds(value: float) -> str:
    for size, name, places in (
        (86400.0, "days", 1),
        (3600.0, "hours", 1),
        (60.0, "min", 1),
        (1.0, "s", 1),
    ):
        if abs(value) >= size:
            return f"{value / size:.{places}f}".removesuffix(".0") + f" {name}"
    return "0 s" if value == 0 else f"{1000 * value:.3g} ms"


def _by_name(query: BoardQuery, answer: Answer) -> list[tuple[str, dict[str, Any]]]:
    named = [(called(query, series["metric"]), series) for series in answer]
    return sorted(named, key=lambda pair: pair[0])


def paint_stat(page: Page, box: Box, panel: Mapping[str, Any], asked: Asked) -> None:
    """Numbers, or names, side by side or one below the other."""
    defaults = panel["fieldConfig"]["defaults"]
    numbers = [
        (called(query, series["metric"]), float(series["value"][1]))
        for query, answer in asked
        for series in answer
    ]
    middle = box.y + box.h / 2
    text = page.figure.text
    if not numbers:
        text(
            box.x + box.w / 2,
            middle,
            defaults["noValue"],
            size=15,
            color=PALE,
            ha="center",
            va="center",
        )
        return
    if panel["options"]["textMode"] == "name":
        for i, (name, _) in enumerate(numbers):
            y = middle + ((len(numbers) - 1) / 2 - i) * 0.3 / page.high
            size = 13 if len(numbers) > 1 or len(name) > 12 else 17
            text(
                box.x + box.w / 2,
                y,
                name,
                size=size,
                color=COLORS["blue"],
                ha="center",
                va="center",
            )
        return
    for i, (name, value) in enumerate(numbers):
        x = box.x + box.w * (i + 0.5) / len(numbers)
        said = shown(value, defaults["unit"], defaults.get("decimals"))
        text(
            x,
            middle,
            said,
            size=21,
            weight="bold",
            color=colour(panel, value),
            ha="center",
            va="center",
        )
        if len(numbers) > 1:
            text(x, box.y + 0.02 / page.high, name, size=9.5, color=PALE, ha="center")


def paint_series(page: Page, box: Box, panel: Mapping[str, Any], asked: Asked) -> None:
    """Lines or stacked bars over time, their names and numbers below."""
    defaults = panel["fieldConfig"]["defaults"]
    bars = defaults["custom"]["drawStyle"] == "bars"
    series = [
        (name, [(float(at), float(value)) for at, value in found["values"]])
        for query, answer in asked
        for name, found in _by_name(query, answer)
    ]
    if not series:
        x, y = box.x + box.w / 2, box.y + box.h / 2
        page.figure.text(x, y, defaults["noValue"], size=13, color=PALE, ha="center", va="center")
        return
    per_line = 3 if box.w > 0.4 else 2
    shown_series = series[: per_line * 3]
    axes = page.axes(box, legend_lines=-(-len(shown_series) // per_line))
    base: dict[float, float] = {}
    for i, (name, points) in enumerate(series):
        ink = PALETTE[i % len(PALETTE)]
        times = [at - page.start for at, _ in points]
        values = [value for _, value in points]
        if bars:
            bottoms = [base.get(at, 0.0) for at in times]
            axes.bar(times, values, width=STEP * 0.8, bottom=bottoms, color=ink, alpha=0.85)
            base |= {at: low + value for at, low, value in zip(times, bottoms, values, strict=True)}
            number = sum(values)
        else:
            axes.plot(times, values, color=ink, linewidth=1.7)
            if len(series) == 1:
                axes.fill_between(times, values, color=ink, alpha=0.08)
            number = values[-1]
        if i < len(shown_series):
            x = box.x + box.w * (i % per_line) / per_line
            y = box.y + 0.17 * (-(-len(shown_series) // per_line) - 1 - i // per_line) / page.high
            said = f"{name or panel['title']}: {shown(number, defaults['unit'])}"
            page.figure.text(x + 0.1 / WIDE, y, "\u25a0", size=8, color=ink)
            page.figure.text(x + 0.24 / WIDE, y, said, size=8.5, color=INK)
    for mark in page.marks:
        axes.axvline(mark - page.start, color=MARK, linewidth=1.2, linestyle=(0, (3, 2)))
    highest = max(base.values(), default=0) if bars else max(v for _, p in series for _, v in p)
    axes.set_ylim(0, 1.12 * highest or 1)
    whole = defaults["unit"] == "short"
    axes.yaxis.set_major_locator(
        MultipleLocator(2**25)
        if defaults["unit"] == "bytes"
        else MaxNLocator(4, integer=whole, steps=[1, 1.5, 2, 3, 5, 6, 10])
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: shown(v, defaults["unit"])))
    _clock(page, axes)


def _clock(page: Page, axes: Axes) -> None:
    axes.set_xlim(-STEP / 2, page.end - page.start + STEP)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.5, 2, 3, 6, 10]))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: f"{int(v) // 60}:{int(v) % 60:02}" if v >= 0 else "")
    )


def paint_states(page: Page, box: Box, panel: Mapping[str, Any], asked: Asked) -> None:
    """One band for each series where it has a value."""
    [(query, answer)] = asked
    wide = 1.75 / WIDE
    axes = page.axes(Box(box.x + wide, box.y, box.w - wide, box.h), legend_lines=0)
    axes.grid(visible=False)
    bands = sorted(
        ((called(query, s["metric"]), [float(at) for at, _ in s["values"]]) for s in answer),
        reverse=True,
    )
    [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
    ink = COLORS[mapping["options"]["1"]["color"]]
    for i, (_, times) in enumerate(bands):
        axes.broken_barh(
            [(at - page.start, STEP) for at in times], (i - 0.35, 0.7), facecolor=ink, alpha=0.75
        )
    axes.set_yticks(range(len(bands)), [name for name, _ in bands])
    _clock(page, axes)


def paint_table(page: Page, box: Box, panel: Mapping[str, Any], asked: Asked) -> None:
    """The rows that the queries' series make together, the first column of numbers highest on top."""
    organize = panel["transformations"][1]["options"]
    columns = sorted(organize["indexByName"], key=organize["indexByName"].__getitem__)
    units = {
        o["matcher"]["options"]: p["value"]
        for o in panel["fieldConfig"]["overrides"]
        for p in o["properties"]
        if p["id"] == "unit"
    }
    rows: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}
    for query, answer in asked:
        for series in answer:
            row = rows.setdefault(frozenset(series["metric"].items()), dict(series["metric"]))
            row[f"Value #{query.letter}"] = float(series["value"][1])
    high = 0.27 / page.high
    top = box.y + box.h - high
    for i, field in enumerate(columns):
        x = box.x + 0.05 / WIDE + box.w * i / len(columns)
        title = organize["renameByName"][field]
        page.figure.text(x, top, title, size=9.5, weight="bold", color=COLORS["blue"])
        ordered = sorted(rows.values(), key=lambda row: -row.get("Value #A", 0.0))
        for j, row in enumerate(ordered[: int(box.h / high) - 1]):
            value = row.get(field, "")
            text = shown(value, units[title]) if isinstance(value, float) else value
            page.figure.text(x, top - (j + 1) * high, text, size=9.5, color=INK)


PAINTERS = {
    "stat": paint_stat,
    "timeseries": paint_series,
    "state-timeline": paint_states,
    "table": paint_table,
}


def main() -> None:
    """Let the story happen, and draw what the dashboards show of it."""
    with tempfile.TemporaryDirectory() as directory, scene(Path(directory)) as found:
        answers = gathered(found)
    for name in NAMES:
        draw(name, answers).savefig(
            HERE / f"dashboard-{name}.png", dpi=96, metadata={"Software": None}
        )


if __name__ == "__main__":
    main()
