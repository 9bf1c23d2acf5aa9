"""The command `replay`: another policy file, applied to what the database remembers."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from watchdog.acting import UsageError, projects_of
from watchdog.core.model import Episode
from watchdog.core.records import Spend, TickRecord
from watchdog.expose.formats import UNPRICED, duration, iso, spend_json, spend_text
from watchdog.expose.labels import MAX_LABEL, printable
from watchdog.options import ConfigOption, JsonOption
from watchdog.printing import print_json, say, show
from watchdog.reporting.replay import Replay, Replayed, replay
from watchdog.settings import Settings, load_settings, parse_duration

NOT_TOLD = (
    "Holds, recordings, limits and stored lists of that time are not in the history: each of them would have "
    "kept more."
)


def register(app: typer.Typer) -> None:
    """Add this command to the program's."""
    app.command("replay")(_replay)


def _replay(
    policy_file: Annotated[
        Path | None,
        typer.Argument(metavar="POLICY_FILE", help="Its [[policies]] and [protect]; else yours."),
    ] = None,
    since: Annotated[
        str, typer.Option("--since", help='How far back: "7d", or a date like 2026-11-01.')
    ] = "30d",
    project: Annotated[str | None, typer.Option("--project", help="Only this one.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What policies would have done to the stored history, and whom it would have hurt."""
    from watchdog.configured import policies_of, tariff_of

    settings = load_settings(config)
    if project is not None:
        projects_of(settings, project)
    given = load_settings(policy_file) if policy_file is not None else settings
    # The daemon polls as it is configured to, whatever else the other file says.
    given = given.model_copy(update={"poll_interval": settings.poll_interval})
    now = datetime.now(UTC)
    episodes, ticks = asyncio.run(_history(settings, project, _since(since, now)))
    result = replay(
        episodes,
        policies_of(given),
        ticks={name: tick for name, tick in ticks.items() if project in (None, name)},
        tariffs={p.name: tariff_of(settings, p) for p in settings.projects},
        protected=given.protect.rooms,
        poll=settings.poll_interval.total_seconds(),
    )
    if as_json:
        print_json(replay_json(result))
        return
    if result.deleted:
        show(replay_table(result.deleted))
    for line in replay_lines(result):
        say(line)


async def _history(
    settings: Settings, project: str | None, at: datetime
) -> tuple[tuple[Episode, ...], dict[str, TickRecord]]:
    from watchdog.store.database import open_for_reading
    from watchdog.store.episodes import EpisodeStore

    async with await open_for_reading(settings.database) as database:
        store = EpisodeStore(database)
        return await store.episodes_since(at, project), await store.last_ticks()


def _since(given: str, now: datetime) -> datetime:
    """A moment, or so long ago. Raises UsageError."""
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        try:
            return now - parse_duration(given)
        except (ValueError, OverflowError) as error:
            raise UsageError(f"--since: {given!r} {error}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def replay_table(deleted: tuple[Replayed, ...]) -> Table:
    """The rooms that would have been deleted, the oldest first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("room", "policy", "would be deleted (UTC)", "went on", "for", "then"):
        table.add_column(column, overflow="fold")
    for one in deleted:
        assert one.at is not None
        table.add_row(
            Text(printable(one.episode.room_name, MAX_LABEL)),
            one.policy.name,
            f"{one.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            duration(_went_on(one)),
            _cost(one.after),
            Text(_then(one), "bold red" if one.hurt else ""),
        )
    return table


def _went_on(one: Replayed) -> float:
    end = one.episode.bounds.first_gone_at or one.episode.bounds.last_seen_orphaned_at
    return max(0.0, (end - one.at).total_seconds()) if one.at else 0.0


def _cost(after: Spend | None) -> str:
    return UNPRICED if after is None else spend_text(after)


def _then(one: Replayed) -> str:
    if one.returned is not None:
        return f"a person was back after {duration(one.returned)}"
    return "still open" if one.episode.is_open else (one.episode.close_reason or "")


def replay_lines(result: Replay) -> list[str]:
    """The totals, and what they must not be taken for."""
    every, deleted = result.episodes, result.deleted
    hurt = [one for one in deleted if one.hurt]
    priced = all(one.after is not None for one in deleted)
    lines = [
        (
            f"{len(every)} episodes: {len(deleted)} would have been deleted, "
            f"{sum(one.warned for one in every)} warned of, "
            f"{sum(one.protected is not None for one in every)} were protected."
        ),
        f"They went on to cost {_cost(result.after if priced else None)} after that moment (an estimate).",
        f"To {len(hurt)} of them a person came back within 5 minutes: these would have hurt.",
    ]
    for name, blind in sorted(result.blindness.items()):
        lines.append(
            f"{printable(name)}: not watched for {duration(blind.blind)} of "
            f"{duration(blind.watched + blind.blind)} ({blind.share:.1%}); what happened then is not here."
        )
    if any(one.by_the_wall for one in every):
        lines.append(
            "Older episodes did not keep how long they were watched: the wall clock stands in."
        )
    return [*lines, NOT_TOLD]


def replay_json(result: Replay) -> dict[str, Any]:
    """All of it for programs."""
    priced = all(one.after is not None for one in result.deleted)
    return {
        "episodes": [_one_json(one) for one in result.episodes],
        "would_delete": len(result.deleted),
        "would_have_hurt": sum(one.hurt for one in result.deleted),
        "cost_after": spend_json(result.after) if priced else None,
        "projects": {
            printable(name): {
                "watched_seconds": blind.watched,
                "blind_seconds": blind.blind,
                "blind_share": blind.share,
            }
            for name, blind in result.blindness.items()
        },
        "not_told": NOT_TOLD,
    }


def _one_json(one: Replayed) -> dict[str, Any]:
    episode = one.episode
    return {
        "episode": episode.id,
        "project": printable(episode.project),
        "room_name": printable(episode.room_name),
        "policy": one.policy.name,
        "action": one.policy.action.value,
        "due_age_seconds": None if one.due_age == float("inf") else one.due_age,
        "watched_seconds": one.watched,
        "watched_is_wall_time": one.by_the_wall,
        "protected_by": one.protected,
        "acted_at": iso(one.at),
        "cost_after": spend_json(one.after) if one.after is not None else None,
        "returned_after_seconds": one.returned,
        "would_have_hurt": one.hurt,
        "close_reason": episode.close_reason.value if episode.close_reason else None,
    }
