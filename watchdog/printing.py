"""How the commands show what they found: as text for people, as JSON for programs."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from watchdog.core.deletion import Mode
from watchdog.core.errors import RoomServiceError
from watchdog.core.gates import Word
from watchdog.core.model import Episode, TickResult, VerdictState
from watchdog.core.profiles import Part, Rates, Tariffs
from watchdog.core.records import TickRecord
from watchdog.core.report import Backlog, TickReport
from watchdog.core.spend import Spend
from watchdog.expose.formats import (
    Unpriced,
    backlog_json,
    backlog_rooms,
    duration,
    episode_json,
    iso,
    money_range,
    orphan_json,
    ruling_json,
    spend_json,
    suspect_json,
    words_json,
)
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable
from watchdog.expose.tables import episode_lines, rooms_table, ruling_lines, words_table
from watchdog.inquiry import SKEW_WORTH_SAYING, ProbeFinding, RoomFinding
from watchdog.reporting.stored import History
from watchdog.settings import Settings

PIPE_COLUMNS = 400
"""Room for the longest names and everything beside them."""


WIDE_COLUMNS = 120


def say(text: str) -> None:
    """One line, or several, on standard output."""
    typer.echo(text)


def show(what: RenderableType) -> None:
    """A table or the like on standard output; what reads it through a pipe gets its lines whole."""
    console = Console(soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_COLUMNS
    console.print(what)


def is_narrow() -> bool:
    """Whether a table of rooms would not fit into this terminal with every column."""
    console = Console()
    return console.is_terminal and console.width < WIDE_COLUMNS


def print_json(what: Any) -> None:
    """JSON on standard output, in ASCII: no name in it can play tricks on a terminal."""
    typer.echo(json.dumps(what, indent=2, ensure_ascii=True))


def lacking(tariffs: dict[str, Tariffs]) -> Callable[[str, str], bool]:
    """Tells of which agents spend is unpriced: a project without tariffs, or a tariff that lacks a price."""

    def lacks(project: str, agent_name: str) -> bool:
        known = tariffs.get(project)
        return known is None or known.lacks_price(agent_name)

    return lacks


def counts(rooms: dict[str, int]) -> str:
    """`3 attended, 1 orphaned, ...` in a fixed order."""
    return ", ".join(f"{rooms.get(state.value, 0)} {state.value}" for state in VerdictState)


def show_report(report: TickReport, unpriced: Unpriced) -> None:
    """One pass, for people. A failure goes to standard error."""
    name = printable(report.project)
    if report.result in (TickResult.FAILED, TickResult.BACKING_OFF):
        typer.echo(f"{name}: {printable(report.error)}", err=True)
        return
    numbers = counts({state.value: n for state, n in report.rooms.items()})
    calls = sum(report.requests.values())
    say(f"{name}: {numbers} rooms ({calls} request{'' if calls == 1 else 's'})")
    if report.error:
        say(f"  note: {printable(report.error)}")
    if report.backlog is not None:
        say(f"  {backlog_line(report.backlog, RoomNames())}")
    if report.orphans:
        show(rooms_table(report.orphans, unpriced=unpriced, narrow=is_narrow()))


def report_json(report: TickReport, unpriced: Unpriced) -> dict[str, Any]:
    """One pass, for programs."""
    return {
        "project": report.project,
        "at": iso(report.at),
        "result": report.result.value,
        "error": report.error,
        "rooms": {state.value: n for state, n in report.rooms.items()},
        "orphans": [orphan_json(v, unpriced=unpriced) for v in report.orphans],
        "backlog": backlog_json(report.backlog) if report.backlog else None,
        "requests": dict(report.requests),
        "rows_written": report.rows_written,
    }


def tick_line(name: str, tick: TickRecord) -> str:
    """The newest stored tick of a project in one line."""
    ago = duration(max(0.0, (datetime.now(UTC) - tick.at).total_seconds()))
    verdicts = counts(dict(tick.verdicts))
    line = f"{printable(name)}: {verdicts}; last tick {ago} ago: {tick.result.value}"
    return f"{line} ({printable(tick.message)})" if tick.message else line


def suspects_line(name: str, tick: TickRecord) -> str:
    """The suspect rooms of a project, or nothing."""
    if not tick.suspects:
        return ""
    rooms = ", ".join(f"{printable(s.room_name, MAX_LABEL)} ({s.reason})" for s in tick.suspects)
    return f"{printable(name)}: suspect, never deleted: {rooms}"


def tick_json(tick: TickRecord) -> dict[str, Any]:
    """The newest stored tick of a project, for programs."""
    return {
        "at": iso(tick.at),
        "result": tick.result.value,
        "message": tick.message,
        "rooms": dict(tick.verdicts),
        "blind_seconds": tick.blind_seconds,
        "suspects": [suspect_json(tick.project, suspect) for suspect in tick.suspects],
        "spend": {name: spend_json(spend) for name, spend in tick.exported.items()},
    }


def tariff_lines(tariffs: Tariffs) -> Iterator[str]:
    """What agents are reckoned to cost, profile by profile."""
    for tariff in tariffs:
        rates = tariff.parts.get(Part.AGENT, Rates())
        hourly = rates.hourly
        cost = f"an idle agent {money_range(hourly.low, hourly.high)} an hour"
        if rates.unpriced and hourly == Spend():
            cost = "an idle agent unpriced"
        for why, meters in (
            ("unpriced", tariff.unpriced),
            ("not seen from outside", tariff.unseen),
        ):
            cost += f"; {why}: {', '.join(meters)}" if meters else ""
        yield f"  prices       profile {tariff.profile}, plan {tariff.plan}: {cost}"


def show_config(
    settings: Settings,
    tariffs: dict[str, Tariffs],
    probed: dict[str, ProbeFinding | RoomServiceError],
    backlogs: dict[str, Backlog],
    services: list[str],
) -> None:
    """What the configuration means, and what the servers said to a probe."""
    say(f"configuration  {settings.config_file or 'environment and defaults'}: good")
    say(f"poll           every {duration(settings.poll_interval.total_seconds())}")
    say(f"http           {settings.http.listen or 'off'}")
    if services:
        say(f"notify         {', '.join(services)}; try them with notify-test")
    for project in settings.projects:
        say(f"project        {project.name} at {printable(project.url)}")
        say(f"  mode         {_MODES[settings.mode_of(project)]}")
        if (backlog := backlogs.get(project.name)) is not None:
            say(f"  {backlog_line(backlog, RoomNames(settings.privacy.room_names))}")
        for line in tariff_lines(tariffs[project.name]):
            say(line)
        found = probed.get(project.name)
        if isinstance(found, RoomServiceError):
            say(f"  probe        FAILED: {printable(str(found))}")
        elif found is not None:
            for line in finding_lines(found):
                say(line)


def backlog_line(backlog: Backlog, room_names: RoomNames) -> str:
    """What a daemon that starts in the new mode would act on, once every gate holds."""
    count = len(backlog.rooms)
    rooms = f": {backlog_rooms(backlog, room_names)}" if count else ""
    line = f"backlog: {count} room{'' if count == 1 else 's'} would be acted on at once{rooms}"
    return f"{line} (the last tick was in mode {backlog.before})"


_MODES = {
    Mode.OBSERVE: "observe: nothing is ever deleted",
    Mode.ALLOWLIST: "allowlist: of what policies ask for, rooms on the allow-list are deleted",
    Mode.ENFORCE: "enforce: what policies ask for is deleted, once every gate allows it",
}


def finding_lines(found: ProbeFinding) -> list[str]:
    """A good probe, for people."""
    lines = [f"  probe        the key is good; {found.rooms} rooms are listed"]
    if found.skew is not None:
        far = abs(found.skew) >= SKEW_WORTH_SAYING
        cure = " - set one of the clocks (NTP)" if far else ""
        lines.append(f"  clock        the server is {found.skew:+.1f} s from this machine{cure}")
    verdicts = counts({state.value: n for state, n in found.verdicts.items()})
    lines.append(f"  looked at    {found.looked} rooms: {verdicts}")
    lines.extend(f"               orphaned now: {printable(name)}" for name in found.orphaned)
    if found.count_excludes or found.count_includes:
        lines.append(
            f"  count        leaves agents out in {found.count_excludes} of these rooms, includes "
            f"them in {found.count_includes} (a running daemon learns it from stable rooms)"
        )
    return lines


def finding_json(found: ProbeFinding | RoomServiceError) -> dict[str, Any]:
    """A probe, for programs."""
    if isinstance(found, RoomServiceError):
        return {"ok": False, "code": found.code, "error": str(found)}
    return {
        "ok": True,
        "rooms": found.rooms,
        "looked_at": found.looked,
        "verdicts": {state.value: n for state, n in found.verdicts.items()},
        "clock_skew_seconds": found.skew,
        "count_excludes_agents": found.count_excludes,
        "count_includes_agents": found.count_includes,
        "orphaned": list(found.orphaned),
    }


def show_explanation(
    project: str,
    asked: str,
    *,
    finding: RoomFinding | None,
    failure: RoomServiceError | None,
    history: History,
    now: datetime,
) -> None:
    """What a room is now and why, its stored episodes and what its policy says, for people."""
    if failure is not None:
        say(f"The server could not be asked: {printable(str(failure))}")
    elif finding is not None and (finding.room is None or finding.verdict is None):
        say(f'The server of project {project} lists no room "{printable(asked)}".')
    elif finding is not None and finding.room is not None and finding.verdict is not None:
        show(room_lines(finding))
    for episode in history.episodes:
        say("")
        show(episode_lines(episode, age=history.age(episode), spend=history.spend(episode)))
        if ruling := history.ruling(episode):
            say("")
            show(ruling_lines(ruling, history.age(episode) or 0.0))
        if words := _words(history, episode, finding, now):
            say("")
            show(words_table(words))
    if history.problem:
        say(f"\nNo history: {history.problem}")
    elif not history.episodes:
        say("\nNo episode of this room is stored: it was never seen orphaned.")


def _words(
    history: History, episode: Episode, finding: RoomFinding | None, now: datetime
) -> tuple[Word, ...]:
    room, verdict = (finding.room, finding.verdict) if finding else (None, None)
    return history.words(episode, now, room, verdict)


def room_lines(finding: RoomFinding) -> Table:
    """A listed room: its verdict, the reason, and everybody in it."""
    room, verdict = finding.room, finding.verdict
    assert room is not None
    assert verdict is not None
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    style = {VerdictState.ORPHANED: "bold yellow", VerdictState.ATTENDED: "green"}
    table.add_row("room", Text(f"{printable(room.name)} ({printable(room.sid)})"))
    table.add_row("verdict now", Text(verdict.state.value, style.get(verdict.state, "bold")))
    table.add_row("because", Text(printable(verdict.reason)))
    table.add_row(
        "count", Text(f"num_participants is {room.num_participants} (a hint, no evidence)")
    )
    table.add_row("server closes it", Text(finding.server_closes))
    for a in verdict.assessments:
        who = f"{printable(a.participant.identity)} ({printable(a.participant.sid)})"
        table.add_row(a.role.value, Text(f"{who}: {printable(a.why)}"))
    return table


def explanation_json(
    finding: RoomFinding | None,
    failure: RoomServiceError | None,
    history: History,
    now: datetime,
) -> dict[str, Any]:
    """What a room is now and why, its stored episodes and what its policy says, for programs."""
    as_it_is: dict[str, Any] | None = None
    if finding is not None and finding.room is not None and finding.verdict is not None:
        as_it_is = {
            "room_name": finding.room.name,
            "room_sid": finding.room.sid,
            "verdict": finding.verdict.state.value,
            "reason": finding.verdict.reason,
            "num_participants": finding.room.num_participants,
            "server_closes": finding.server_closes,
            "participants": [
                {
                    "identity": a.participant.identity,
                    "sid": a.participant.sid,
                    "kind": a.participant.kind,
                    "role": a.role.value,
                    "why": a.why,
                }
                for a in finding.verdict.assessments
            ],
        }
    return {
        "now": as_it_is,
        "error": str(failure) if failure else None,
        "history_error": history.problem or None,
        "episodes": [
            _stored_json(episode, history)
            | {"gates": words_json(_words(history, episode, finding, now))}
            for episode in history.episodes
        ],
    }


def _stored_json(episode: Episode, history: History) -> dict[str, Any]:
    age, spend, ruling = history.age(episode), history.spend(episode), history.ruling(episode)
    return episode_json(episode) | {
        "age_seconds": age,
        "spend": spend_json(spend) if spend else None,
        "ruling": ruling_json(ruling, age or 0.0) if ruling else None,
    }
