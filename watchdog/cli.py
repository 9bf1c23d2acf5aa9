"""The commands. Exit codes: 0 good, 1 the work failed, 2 usage or configuration."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from watchdog import __version__, acting, entry, listing, pricelist, replaying, spending, trynotify
from watchdog.clocks import SystemClock
from watchdog.core.errors import RoomServiceError, StoreError
from watchdog.core.model import TickResult
from watchdog.core.report import TickReport
from watchdog.expose.formats import Unpriced, backlog_json, orphan_json
from watchdog.expose.labels import RoomNames
from watchdog.expose.tables import rooms_table
from watchdog.inquiry import ProbeFinding, RoomFinding, find_room, probe_project, split_target
from watchdog.options import ConfigOption, JsonOption
from watchdog.printing import (
    explanation_json,
    finding_json,
    is_narrow,
    lacking,
    print_json,
    report_json,
    say,
    show,
    show_config,
    show_explanation,
    show_report,
    suspects_line,
    tick_json,
    tick_line,
)
from watchdog.reporting.stored import History, stored_orphans
from watchdog.settings import Settings, load_settings
from watchdog.settings.fields import parse_listen

app = typer.Typer(
    name="livekit-watchdog",
    help="Finds LiveKit rooms where only agents are left: since when, and what that costs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(db, name="db")


@app.callback(invoke_without_command=True)
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of the program itself."""
    if version:
        say(__version__)
        raise typer.Exit


@app.command()
def run(config: ConfigOption = None) -> None:
    """Watch until SIGTERM or SIGINT."""
    entry.run(config)


@app.command()
def once(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One pass over every project, and what it found; beside a `run`, nothing is stored."""
    from watchdog.expose.logs import configure_logging

    settings = load_settings(config)
    configure_logging(settings.log.format, "CRITICAL")  # what it has to say is the command's output
    reports, unpriced = _do(_once(settings))
    if as_json:
        print_json([report_json(report, unpriced) for report in reports])
    else:
        for report in reports:
            show_report(report, unpriced)
    if any(r.result in (TickResult.FAILED, TickResult.BACKING_OFF) for r in reports):
        raise typer.Exit(1)


async def _once(settings: Settings) -> tuple[list[TickReport], Unpriced]:
    from watchdog.app import opened_daemon

    async with opened_daemon(settings, SystemClock(), beside_a_run=True) as daemon:
        reports = await asyncio.gather(*(daemon.tick(w) for w in daemon.watched.values()))
        return list(reports), daemon.unpriced


@app.command()
def demo(
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="End after so many seconds.", show_default=False)
    ] = None,
    speed: Annotated[float, typer.Option(min=1, max=600, help="How much faster than life.")] = 60,
    seed: Annotated[int, typer.Option(help="Another seed tells another story.")] = 1,
    listen: Annotated[str, typer.Option(help="Where /metrics is served.")] = "127.0.0.1:9779",
) -> None:
    """Watch agents being stranded on a simulated server. Needs no server, no key and no file."""
    from watchdog import demo as scene
    from watchdog.expose.logs import configure_logging

    configure_logging("auto", "ERROR")
    try:
        address = parse_listen(listen)
    except ValueError as error:
        raise typer.BadParameter(f"{listen!r} {error}", param_hint="--listen") from None
    if address is None:
        raise typer.BadParameter(
            'the demo is there to be looked at; write it like "127.0.0.1:9779"',
            param_hint="--listen",
        )
    console = Console()
    _do(
        scene.demo(
            console,
            seconds=seconds,
            speed=speed,
            seed=seed,
            listen=address,
        )
    )


@app.command()
def simulate(
    rooms: Annotated[int, typer.Option(min=1, max=200_000, help="About how many rooms.")] = 50,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 7890,
    seed: Annotated[int, typer.Option(help="Another seed tells another story.")] = 1,
    api_key: Annotated[str, typer.Option(help="The key it accepts.")] = "devkey",
    api_secret: Annotated[str, typer.Option(help="The secret of that key.")] = "s" * 32,
) -> None:
    """Serve a simulated LiveKit Room Service on loopback, for trying things out."""
    from watchdog import demo as scene

    _do(scene.simulate(rooms=rooms, port=port, seed=seed, key=api_key, secret=api_secret, say=say))


@app.command("check-config")
def check_config(
    config: ConfigOption = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Also ask every server: key, clock, what would match now."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read the configuration and say what it means; with --probe ask the servers, too."""
    from watchdog.configured import senders_of
    from watchdog.reading import read_backlogs, tariffs_of
    from watchdog.store.database import check

    settings = load_settings(config)
    projects = settings.require_projects()
    tariffs = tariffs_of(settings)
    services = [service for service, _ in senders_of(settings)]
    _do(check(settings.database))
    backlogs = _do(read_backlogs(settings, SystemClock().now()))
    room_names = RoomNames(settings.privacy.room_names)
    probed = _do(_probe_all(settings)) if probe else {}
    if as_json:
        print_json(
            {
                "config_file": str(settings.config_file) if settings.config_file else None,
                "mode": settings.mode,
                "notify": services,
                "projects": [
                    {
                        "name": p.name,
                        "url": p.url,
                        "profile": tariffs[p.name].default.profile,
                        "profiles": [t.profile for t in tariffs[p.name]],
                        "plan": tariffs[p.name].default.plan,
                        "unpriced": list(tariffs[p.name].unpriced),
                        "unseen": list(tariffs[p.name].unseen),
                        "backlog": backlog_json(backlogs[p.name], room_names)
                        if p.name in backlogs
                        else None,
                        "probe": finding_json(probed[p.name]) if probe else None,
                    }
                    for p in projects
                ],
            }
        )
    else:
        show_config(settings, tariffs, probed, backlogs, services)
    if any(isinstance(found, RoomServiceError) for found in probed.values()):
        raise typer.Exit(1)


async def _probe_all(settings: Settings) -> dict[str, ProbeFinding | RoomServiceError]:
    from watchdog.configured import gateway_of, rules_of

    found: dict[str, ProbeFinding | RoomServiceError] = {}
    for project in settings.require_projects():
        gateway = gateway_of(settings, project, SystemClock())
        try:
            found[project.name] = await probe_project(gateway, rules_of(settings))
        except RoomServiceError as error:
            found[project.name] = error
        finally:
            await gateway.aclose()
    return found


@app.command()
def rooms(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The orphaned rooms as the database has them: works beside a running daemon."""
    from watchdog.configured import policies_by_project
    from watchdog.reading import read_stored, tariffs_of

    settings = load_settings(config)
    tariffs = tariffs_of(settings)
    stored = _do(read_stored(settings))
    ticks = stored.ticks
    views = stored_orphans(
        stored.episodes,
        ticks,
        tariffs,
        policies=policies_by_project(settings),
        steering=stored.steering,
        now=SystemClock().now(),
    )
    if as_json:
        print_json(
            {
                "projects": {name: tick_json(tick) for name, tick in ticks.items()},
                "rooms": [orphan_json(view, unpriced=lacking(tariffs)) for view in views],
            }
        )
        return
    if not ticks:
        say("No tick has been stored yet: start `livekit-watchdog run`.")
    for name, tick in sorted(ticks.items()):
        say(tick_line(name, tick))
    if views:
        show(rooms_table(views, unpriced=lacking(tariffs), narrow=is_narrow()))
    elif ticks:
        say("No orphaned rooms.")
    for name, tick in sorted(ticks.items()):
        if line := suspects_line(name, tick):
            say(line)


@app.command()
def explain(
    target: Annotated[
        str, typer.Argument(metavar="PROJECT/ROOM", help="A room's name, or its SID.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What a room is now and why, asked of the server, and its stored episodes."""
    settings = load_settings(config)
    names = tuple(project.name for project in settings.require_projects())
    project, room = split_target(target, names)
    finding, failure = _do(_find(settings, project, room))
    name = finding.room.name if finding and finding.room else room
    history = _do(_history(settings, project, name))
    if as_json:
        print_json(explanation_json(finding, failure, history, SystemClock().now()))
    else:
        show_explanation(
            project,
            room,
            finding=finding,
            failure=failure,
            history=history,
            now=SystemClock().now(),
        )
    if (finding is None or finding.room is None) and not history.episodes:
        raise typer.Exit(1)


async def _find(
    settings: Settings, project: str, room: str
) -> tuple[RoomFinding | None, RoomServiceError | None]:
    from watchdog.configured import gateway_of, rules_of

    found = next(p for p in settings.require_projects() if p.name == project)
    gateway = gateway_of(settings, found, SystemClock())
    try:
        return await find_room(gateway, room, rules_of(settings)), None
    except RoomServiceError as error:
        return None, error
    finally:
        await gateway.aclose()


async def _history(settings: Settings, project: str, room: str) -> History:
    from watchdog.configured import policies_of, tariffs_for
    from watchdog.steering import read_steering
    from watchdog.store.database import open_for_reading
    from watchdog.store.episodes import EpisodeStore

    found = next(p for p in settings.projects if p.name == project)
    try:
        async with await open_for_reading(settings.database) as database:
            store = EpisodeStore(database)
            episodes = await store.episodes_of_room(project, room, limit=5)
            ticks = await store.last_ticks()
            steering = await read_steering(database, settings, found)
    except StoreError as error:
        return History(problem=str(error))
    tariffs = tariffs_for(settings, found)
    return History(episodes, ticks.get(project), tariffs, policies_of(settings, found), steering)


acting.register(app)
listing.register(app)
trynotify.register(app)
replaying.register(app)
spending.register(app)
pricelist.register(app)


@db.command("upgrade")
def db_upgrade(config: ConfigOption = None) -> None:
    """Create the database or bring it to the newest schema; a copy is kept first."""
    from watchdog.store.database import upgrade

    done = _do(upgrade(load_settings(config).database))
    if not done.changed:
        say(f"The database is at revision {done.to_revision} already.")
        return
    copy = f"; a copy of it as it was is {done.backup}" if done.backup else ""
    say(f"The database went from {done.from_revision or 'nothing'} to {done.to_revision}{copy}.")


@db.command("current")
def db_current(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The schema's revision, and the one this version needs."""
    from watchdog.store.database import current

    found, head = _do(current(load_settings(config).database))
    if as_json:
        print_json({"revision": found, "needed": head})
    else:
        say(f"revision {found or 'none: there is no database yet'}; this version needs {head}")


# ---- how it is shown ------------------------------------------------------------------------------


T = TypeVar("T")


def _do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
