"""The command `replay`: what other policies would have done to the stored history."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from watchdog.core.avoided import Basis
from watchdog.expose.formats import (
    UNPRICED,
    counted,
    duration,
    episode_json,
    iso,
    money,
    percent,
    spend_json,
    spend_text,
)
from watchdog.expose.labels import MAX_LABEL, printable
from watchdog.expose.tables import CLOSED_BECAUSE
from watchdog.options import ConfigOption, JsonOption, chosen_projects, time_given
from watchdog.printing import print_json, say, show
from watchdog.reporting.replay import (
    CANNOT_TELL,
    HURT_SECONDS,
    Fate,
    Replay,
    Replayed,
    Rules,
    Sight,
    replay,
)
from watchdog.settings import Settings, load_settings, with_policies_of

WORTH_SAYING = 60.0
"""Moments are shown by the minute: one that is less uncertain is shown as certain."""


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for: these policies, over the history since then."""

    policy_file: Path | None
    policies: tuple[str, ...]
    since: datetime | None


def replay_command(
    policy_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="POLICY_FILE",
            help="TOML with [[policies]], and perhaps [protect] rooms; else those of the configuration.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            help="Only episodes that were not over then: 7d, 12h or an ISO time (UTC).",
            show_default=False,
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option("--project", help="Only this project.", show_default=False)
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What policies would have done to the stored history; nothing is deleted."""
    from watchdog.configured import policies_by_project

    settings = load_settings(config)
    if policy_file is not None:
        settings = with_policies_of(settings, policy_file)
    names = chosen_projects(settings, project)
    began = None if since is None else time_given(since, datetime.now(UTC))
    walks = policies_by_project(settings)
    tried = dict.fromkeys(policy.name for name in names for policy in walks[name])
    asked = Question(policy_file, tuple(tried), began)
    replays = asyncio.run(read_replays(settings, names, began))
    if as_json:
        print_json(_json(asked, replays))
    else:
        _show(asked, replays)


def register(app: typer.Typer) -> None:
    """Add this command to the program's."""
    app.command("replay")(replay_command)


async def read_replays(
    settings: Settings, names: tuple[str, ...], since: datetime | None
) -> tuple[Replay, ...]:
    """Apply the settings' policies to what the database has of these projects. Raises StoreError."""
    from watchdog.store.database import open_for_reading
    from watchdog.store.episodes import EpisodeStore

    async with await open_for_reading(settings.database) as database:
        store = EpisodeStore(database)
        ticks = await store.last_ticks()
        replays = []
        for name in names:
            rules, tick = _rules(settings, name), ticks.get(name)
            done = replay(name, (), rules, tick)
            episodes = await store.episodes_since(name, since)
            while episodes:  # a part at a time: a history can be long
                done += replay(name, episodes, rules, tick)
                episodes = await store.episodes_since(name, since, after=episodes[-1])
            replays.append(done)
        return tuple(replays)


def _rules(settings: Settings, name: str) -> Rules:
    from watchdog.configured import policies_of, tariffs_for

    project = next(p for p in settings.projects if p.name == name)
    return Rules(
        policies_of(settings, project),
        tariffs_for(settings, project),
        settings.poll_of(project).total_seconds(),
        settings.protect.rooms,
        settings.protect.simulations,
    )


# ---- for people ------------------------------------------------------------------------------------

_DONE = {
    Fate.ACTED_ON: ("deleted", "bold red"),
    Fate.WARNED: ("warned", "yellow"),
    Fate.KEPT: ("kept", ""),
    Fate.PROTECTED: ("protected", "green"),
    Fate.UNREACHABLE: ("unreachable", ""),
}


_BASIS: Mapping[str, str] = {
    Basis.ROOM_TIMEOUT: "until the server itself would have closed the room",
    Basis.HORIZON: "for an hour, where it would not",
}


def _show(asked: Question, replays: tuple[Replay, ...]) -> None:
    named = ", ".join(printable(name) for name in asked.policies)
    say(f"policies: {named} ({asked.policy_file or 'as configured'})")
    since = f"not over by {asked.since:%Y-%m-%d %H:%M} UTC" if asked.since else "stored"
    for done in replays:
        count = counted(done.considered, "episode")
        say(f"\n{printable(done.project)}: {count} {since}")
        if done.rows:
            show(replay_table(done.rows))
        for line in summary_lines(done):
            say(line)
    say(f"\n{CANNOT_TELL}")


def replay_table(rows: tuple[Replayed, ...]) -> Table:
    """The episodes that something would have been done about, in the order of the history."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("room", overflow="fold", ratio=3)
    table.add_column("when (UTC)", overflow="fold", min_width=10)
    table.add_column("would be", overflow="fold", ratio=3)
    table.add_column("went on to cost", justify="right", overflow="fold", min_width=10)
    table.add_column("and then", overflow="fold", ratio=4)
    for row in rows:
        done, style = _DONE[row.fate]
        policy = printable(row.ruling.policy.name, MAX_LABEL)
        table.add_row(
            Text(printable(row.episode.room_name, MAX_LABEL)),
            _when(row),
            Text(f"{done} ({policy})", style),
            spend_text(row.further, unpriced=not row.is_priced),
            _then(row),
        )
    return table


def _when(row: Replayed) -> str:
    if row.moment is None:
        return ""
    return f"{row.moment.astimezone(UTC):%Y-%m-%d %H:%M}" + ("+" if _is_vague(row) else "")


def _is_vague(row: Replayed) -> bool:
    if row.moment is None or row.moment_latest is None:
        return False
    return (row.moment_latest - row.moment).total_seconds() >= WORTH_SAYING


def _then(row: Replayed) -> Text:
    if row.fate in (Fate.PROTECTED, Fate.UNREACHABLE):
        return Text(printable(row.why), "dim")
    reason = row.episode.close_reason
    said = "still open" if reason is None else CLOSED_BECAUSE[reason]
    text = Text(f"{said}, {duration(row.seconds_left)} later")
    if row.would_have_hurt:
        text.append(": WOULD HAVE HURT", "bold red")
    return text


def summary_lines(done: Replay) -> list[str]:
    """The totals of a project, and how far they can be trusted."""
    acted = len(done.of(Fate.ACTED_ON))
    of_which = ", ".join(f"{printable(name)} {n}" for name, n in sorted(done.by_policy.items()))
    lines = [f"would have been deleted: {acted}" + (f" ({of_which})" if acted else "")]
    if acted:
        cost = spend_text(done.further, unpriced=not done.is_priced)
        lines.append(f"which went on to cost:   {cost} (estimate)")
        avoided = ", ".join(
            f"{money(amount)} ({_BASIS[basis]})" for basis, amount in sorted(done.avoided.items())
        )
        nothing = money(Decimal(0)) if done.is_priced else UNPRICED
        lines.append(f"would count as avoided:  {avoided or nothing} (estimate)")
        lines.append(
            f"would have hurt:         {done.hurt} (a person was back within {duration(HURT_SECONDS)})"
        )
    others = Counter(row.fate for row in done.rows)
    lines.append(f"would have warned:       {others[Fate.WARNED]}")
    lines.append(
        f"not acted on:            {others[Fate.PROTECTED]} protected, {others[Fate.KEPT]} kept by a "
        f"policy, {others[Fate.UNREACHABLE]} unreachable"
    )
    lines.append(_sight_line(done.sight))
    if any(map(_is_vague, done.rows)):
        lines.append(
            "+ at the earliest: a part of that episode was not watched, and is no part of its age"
        )
    if done.by_wall_clock:
        lines.append(
            f"{counted(done.by_wall_clock, 'episode')} from before watched time was kept at the end: "
            "all of their time is taken as watched"
        )
    return lines


def _sight_line(sight: Sight | None) -> str:
    if sight is None or sight.blind_share is None:
        return "blind:                   not known; no tick is stored yet"
    return (
        f"blind:                   {percent(sight.blind_share)} of the time since the first tick "
        f"({duration(sight.blind_seconds)}): what was alone\n"
        "                         only then is not in here"
    )


# ---- for programs ----------------------------------------------------------------------------------


def _json(asked: Question, replays: tuple[Replay, ...]) -> dict[str, Any]:
    return {
        "policy_file": str(asked.policy_file) if asked.policy_file else None,
        "policies": list(asked.policies),
        "since": iso(asked.since),
        "hurt_within_seconds": HURT_SECONDS,
        "cannot_tell": CANNOT_TELL,
        "projects": [_replay_json(done) for done in replays],
    }


def _replay_json(done: Replay) -> dict[str, Any]:
    sight = done.sight
    return {
        "project": done.project,
        "considered": done.considered,
        "acted_on": len(done.of(Fate.ACTED_ON)),
        "by_policy": done.by_policy,
        "would_have_hurt": done.hurt,
        **_further_json(done),
        "would_have_warned": len(done.of(Fate.WARNED)),
        "kept": len(done.of(Fate.KEPT)),
        "protected": len(done.of(Fate.PROTECTED)),
        "unreachable": len(done.of(Fate.UNREACHABLE)),
        "by_wall_clock": done.by_wall_clock,
        "sight": {
            "as_of": iso(sight.as_of),
            "watched_seconds": sight.watched_seconds,
            "blind_seconds": sight.blind_seconds,
            "blind_share": sight.blind_share,
        }
        if sight
        else None,
        "episodes": [_row_json(row) for row in done.rows],
    }


def _row_json(row: Replayed) -> dict[str, Any]:
    return {
        "fate": row.fate.value,
        "policy": row.ruling.policy.name,
        "action": row.ruling.policy.action.value,
        "why": row.why,
        "why_due": row.ruling.why_due,
        "due_age_seconds": row.due_age,
        "moment": iso(row.moment),
        "moment_latest": iso(row.moment_latest),
        "until": iso(row.until),
        "seconds_left": row.seconds_left,
        **_further_json(row),
        "would_have_hurt": row.would_have_hurt,
        "by_wall_clock": row.by_wall_clock,
        "episode": episode_json(row.episode),
    }


def _further_json(what: Replay | Replayed) -> dict[str, Any]:
    """What it went on to cost and avoids; null, and not 0, where nothing of it has a price."""
    nothing = not what.is_priced and not (what.further.high or what.further.unverified)
    return {
        "further_cost": None if nothing else spend_json(what.further),
        "further_cost_is_complete": what.is_priced,
        "avoided": None if nothing else {basis: f"{usd:f}" for basis, usd in what.avoided.items()},
    }
