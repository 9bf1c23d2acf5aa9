"""The demo as a person sees it: a live picture on a terminal, plain lines without one."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from watchdog.core.deletion import Outcome
from watchdog.core.model import TickResult, VerdictState
from watchdog.core.report import Change, ChangeKind, OrphanView, TickReport
from watchdog.core.spend import Spend
from watchdog.expose.formats import (
    Unpriced,
    all_priced,
    duration,
    episode_json,
    orphan_json,
    spend_text,
)
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable
from watchdog.expose.tables import change_line, episode_lines, rooms_table

_SUMMARY_EVERY = 10
_FEED_KEPT = 200
_HEADER_LINES = 4
_SUMMARY_LINES = 4
_FOOTER_LINES = 1


class DemoView:
    """The demo as a live picture: what is going on, what it costs, and what changed last.

    `speed` is how many seconds pass there in one second here; `urls` are shown at the bottom.
    Used as a context manager; leaves a short
    summary on the screen when it ends.
    """

    def __init__(
        self,
        console: Console,
        *,
        project: str,
        speed: float,
        urls: Sequence[str] = (),
        room_names: RoomNames | None = None,
        unpriced: Unpriced = all_priced,
    ) -> None:
        self._console = console
        self._project = project
        self._speed = speed
        self._urls = urls
        self._room_names = room_names or RoomNames()
        self._unpriced = unpriced
        self._feed: deque[tuple[datetime, Change]] = deque(maxlen=_FEED_KEPT)
        self._report: TickReport | None = None
        self._time: datetime | None = None
        self._seen = _Seen(unpriced)
        self._live = Live(
            console=console, screen=True, auto_refresh=False, get_renderable=self.render
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        self._live.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)
        if self._report is not None:
            self._console.print(self._seen.sentence(), highlight=False)

    def update(self, report: TickReport, world_time: datetime) -> None:
        """Show one more tick; `world_time` is the clock of the world that is watched."""
        self._report = report
        self._time = world_time
        self._feed.extend((world_time, change) for change in report.changes)
        self._seen.take(report)
        if self._live.is_started:
            self._live.refresh()

    def render(self) -> RenderableType:
        """The whole screen as of the last update."""
        height = self._console.size.height
        layout = Layout()
        layout.split_column(
            Layout(self._header(), size=_HEADER_LINES),
            Layout(self._summary(), size=_SUMMARY_LINES),
            Layout(name="body"),
            Layout(self._footer(), size=_FOOTER_LINES),
        )
        body = max(8, height - _HEADER_LINES - _SUMMARY_LINES - _FOOTER_LINES)
        # The feed gets a third: what is going on now matters more than what was.
        feed = max(4, min(12, body // 3))
        layout["body"].split_column(
            Layout(self._rooms(body - feed), size=body - feed), Layout(self._latest(feed))
        )
        return layout

    def _header(self) -> RenderableType:
        first = Text.assemble(
            ("LiveKit agent watchdog", "bold cyan"),
            "  finds rooms where only agents are left, and what they cost",
            no_wrap=True,
            overflow="ellipsis",
        )
        time = f"{self._time.astimezone(UTC):%H:%M:%S}" if self._time else "--:--:--"
        second = Text.assemble(
            ("project ", "dim"),
            printable(self._project, MAX_LABEL),
            ("   time there ", "dim"),
            (time, "bold"),
            ("   speed ", "dim"),
            f"1 s here = {self._speed:g} s there",
            no_wrap=True,
            overflow="ellipsis",
        )
        return Panel(Group(first, second), border_style="cyan", padding=(0, 1))

    def _summary(self) -> RenderableType:
        report = self._report
        trouble = _trouble(report) if report else None
        if report is None or report.last_success_at is None:
            waiting = Text(trouble or "waiting for the first good look ...", "dim")
            return Panel(waiting, border_style="dim")
        table = Table.grid(expand=True, padding=(0, 1))
        for _ in range(5):
            table.add_column(ratio=1, no_wrap=True)
        table.add_column(ratio=3, no_wrap=True)
        rooms = report.rooms
        table.add_row(
            _count(rooms.get(VerdictState.ATTENDED, 0), "attended", "green"),
            _count(rooms.get(VerdictState.ORPHANED, 0), "orphaned", "bold yellow"),
            _count(rooms.get(VerdictState.EMPTY, 0), "empty", "dim"),
            _count(rooms.get(VerdictState.UNKNOWN, 0), "unknown", "dim"),
            _count(sum(report.orphaned_agents.values()), "agents", "bold yellow"),
            Text.assemble(
                (_sum_text(report.project, report.burn, self._unpriced), "bold red"),
                ("/h now\n", "dim"),
                (_sum_text(report.project, report.spend, self._unpriced), "bold"),
                (" so far", "dim"),
            ),
        )
        return Panel(
            table,
            # The numbers are those of the last good tick, and stay while it cannot be told better.
            title=Text(trouble, "yellow") if trouble else None,
            title_align="left",
            border_style="yellow" if trouble else "dim",
            padding=(0, 1),
        )

    def _rooms(self, height: int) -> RenderableType:
        orphans = self._report.orphans if self._report else ()
        known = self._report is not None and self._report.last_success_at is not None
        nobody = "Nobody is left alone." if known else "Not known yet."
        return Panel(
            rooms_table(
                orphans,
                room_names=self._room_names,
                unpriced=self._unpriced,
                limit=max(1, height - 3),
                narrow=True,
            )
            if orphans
            else Text(nobody, "dim"),
            title="[bold]agents left alone[/]",
            title_align="left",
            border_style="yellow" if orphans else "dim",
            padding=(0, 1),
        )

    def _latest(self, height: int) -> RenderableType:
        lines = list(self._feed)[-max(1, height - 2) :]
        return Panel(
            Group(*(change_line(at, c, self._room_names) for at, c in reversed(lines))),
            title="[bold]latest[/]",
            title_align="left",
            border_style="dim",
            padding=(0, 1),
        )

    def _footer(self) -> RenderableType:
        return Text(
            "   ".join((*self._urls, "Ctrl-C ends")),
            "dim",
            justify="center",
            no_wrap=True,
            overflow="ellipsis",
        )


class PlainView:
    """The demo where there is no terminal: one line per change, and a summary every few ticks."""

    def __init__(
        self,
        write: Callable[[str], None],
        *,
        room_names: RoomNames | None = None,
        unpriced: Unpriced = all_priced,
        summary_every: int = _SUMMARY_EVERY,
    ) -> None:
        self._write = write
        self._room_names = room_names or RoomNames()
        self._unpriced = unpriced
        self._every = summary_every
        self._ticks = 0
        self._seen = _Seen(unpriced)
        self._in_trouble = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ticks:
            self._write(self._seen.sentence())

    def update(self, report: TickReport, world_time: datetime) -> None:
        """Write what this tick changed; `world_time` is the clock of the world that is watched."""
        self._seen.take(report)
        for change in report.changes:
            line = change_line(world_time, change, self._room_names, ascii_signs=True)
            self._write(line.plain)
        trouble = _trouble(report)
        if trouble and not self._in_trouble:
            self._write(f"{world_time.astimezone(UTC):%H:%M:%S} ! {trouble}")
        self._in_trouble = trouble is not None
        if self._ticks % self._every == 0 and not trouble:
            self._write(self._summary(report, world_time))
            for view in report.orphans:
                if view.due and view.holding:
                    self._write(f"           waits: {self._waiting(view)}")
        self._ticks += 1

    def _waiting(self, view: OrphanView) -> str:
        room = self._room_names.label(view.episode.room_name)
        why = "; ".join(f"{word.gate}: {printable(word.why)}" for word in view.holding)
        return f"{room}, due under {printable(view.policy, MAX_LABEL)}, for {why}"

    def _summary(self, report: TickReport, world_time: datetime) -> str:
        rooms = ", ".join(f"{report.rooms.get(v, 0)} {v.value}" for v in VerdictState)
        agents = sum(report.orphaned_agents.values())
        return (
            f"{world_time.astimezone(UTC):%H:%M:%S}   rooms: {rooms}; {agents} agents alone, "
            f"{_sum_text(report.project, report.burn, self._unpriced)} an hour, "
            f"{_sum_text(report.project, report.spend, self._unpriced)} so far"
        )


_TROUBLE = {
    TickResult.SUSPICIOUS: "A suspicious list, nothing changes until later ones agree",
    TickResult.FAILED: "The last look failed, nothing changes because of it",
    TickResult.BACKING_OFF: "Not asking for a while",
}


def _trouble(report: TickReport) -> str | None:
    if report.result is TickResult.OK:
        return None
    return f"{_TROUBLE[report.result]}: {printable(report.error)}".removesuffix(": ")


class _Seen:
    """What has been seen over the whole demo, for the sentence at its end."""

    def __init__(self, unpriced: Unpriced) -> None:
        self._unpriced = unpriced
        self._opened = 0
        self._closed = 0
        self._deleted = 0
        self._spend: Mapping[str, Spend] = {}
        self._project = ""
        self._began: datetime | None = None
        self._ended: datetime | None = None

    def take(self, report: TickReport) -> None:
        self._began = self._began or report.at
        self._ended = report.at
        self._opened += sum(c.kind is ChangeKind.OPENED for c in report.changes)
        self._closed += sum(c.kind is ChangeKind.CLOSED for c in report.changes)
        self._deleted += sum(entry.outcome is Outcome.DELETED for entry in report.outcomes)
        if report.result is TickResult.OK:
            self._spend, self._project = report.spend, report.project

    def sentence(self) -> str:
        watched = (self._ended - self._began).total_seconds() if self._began and self._ended else 0
        often = "once" if self._opened == 1 else f"{self._opened} times"
        cost = _sum_text(self._project, self._spend, self._unpriced)
        return (
            f"Watched {duration(watched)}: agents were left alone {often}, "
            f"{self._closed} of them over, {self._deleted} deleted. Estimated spend: {cost}."
        )


def _count(number: int, word: str, style: str) -> Text:
    return Text.assemble((f"{number}\n", style), (word, "dim"))


def _sum_text(project: str, spend: Mapping[str, Spend], unpriced: Unpriced) -> str:
    total = sum(spend.values(), start=Spend())
    return spend_text(total, unpriced=any(unpriced(project, name) for name in spend))


__all__ = ["DemoView", "PlainView", "episode_json", "episode_lines", "orphan_json", "rooms_table"]
