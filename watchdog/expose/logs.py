"""Logging: JSON where a machine reads, plain lines where a person does; one line per change, not per tick."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import EventDict, Processor

from watchdog.core.gates import LIMITS
from watchdog.core.model import TickResult
from watchdog.core.report import Backlog, Change, ChangeKind, TickReport
from watchdog.expose.formats import BACKLOG_NAMED, agent_names, backlog_count, iso, wall_seconds
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable

LogFormat = Literal["auto", "json", "console"]

OTHERS = ("apscheduler", "asyncio", "livekit", "uvicorn", "uvicorn.error", "uvicorn.access")
"""Libraries whose own loggers speak only from WARNING on."""

_FAILING = frozenset({TickResult.FAILED, TickResult.BACKING_OFF})

_EVENTS = {
    ChangeKind.OPENED: "episode opened",
    ChangeKind.CLOSED: "episode closed",
    ChangeKind.AGENTS: "agents changed",
    ChangeKind.STRANDED: "room stranded",
    ChangeKind.REACHABLE: "room reachable again",
    ChangeKind.DUE: "episode due",
    ChangeKind.WOULD_DELETE: "would delete",
    ChangeKind.DELETION_SENT: "deletion sent",
    ChangeKind.NOT_DELETED: "not deleted",
    ChangeKind.WARNED: "agents warned",
    ChangeKind.DISPATCH_ENDED: "dispatch ended",
}


def configure_logging(
    format: LogFormat = "auto",  # noqa: A002 - the setting's own name
    level: str = "INFO",
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process to `stream` (stderr), ours from `level` on.

    `auto` is for people on a terminal and JSON otherwise. Control characters are written out in both.
    """
    out = stream or sys.stderr
    is_terminal = out.isatty()
    as_json = format == "json" or (format == "auto" and not is_terminal)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _harmless,
    ]
    renderers: list[Processor] = (
        [_in_order, structlog.processors.JSONRenderer()]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=is_terminal,
                pad_event_to=24,
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("watchdog").setLevel(level)
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str = "watchdog") -> BoundLogger:
    """A logger of ours; names start with `watchdog`."""
    return structlog.stdlib.get_logger(name)


def log_report(
    logger: BoundLogger,
    report: TickReport,
    previous: TickReport | None,
    room_names: RoomNames,
) -> None:
    """Write down what this tick changed, against the project's `previous` report.

    A failure is written when it begins, with its hint, and when it ends; a suspicious list, and rooms
    that could not be looked at in a tick that was good otherwise, when they begin.
    """
    _log_result(logger, report, previous)
    _log_held(logger, report, previous)
    for suspect in report.new_suspects:
        logger.warning(
            "suspect room",
            project=report.project,
            room=room_names.label(suspect.room_name),
            reason=suspect.reason,
            since=iso(suspect.since),
        )
    if report.backlog is not None:
        _log_backlog(logger, report.project, report.backlog, room_names)
    ages = {view.episode.id: view.age for view in report.orphans} if report.changes else {}
    for change in report.changes:
        _log_change(logger, change, report, ages, room_names)


def _log_result(logger: BoundLogger, report: TickReport, previous: TickReport | None) -> None:
    was_failing = previous is not None and previous.result in _FAILING
    is_failing = report.result in _FAILING
    if is_failing and not was_failing:
        logger.error("project not observed", project=report.project, error=report.error)
    elif was_failing and not is_failing:
        logger.info(
            "project observed again",
            project=report.project,
            blind_since=iso(previous.last_success_at if previous else None),
        )
    was_suspicious = previous is not None and previous.result is TickResult.SUSPICIOUS
    if report.result is TickResult.SUSPICIOUS and not was_suspicious:
        logger.warning(
            "suspicious room list: nothing changes until later lists agree",
            project=report.project,
            why=report.error,
        )
    if report.money_fault and not (previous is not None and previous.money_fault):
        logger.error(
            "spend could not be reckoned: it stays at what was last known, and all else goes on",
            project=report.project,
            error=report.money_fault,
            cure="please report this",
        )
    if _is_partial(report) and not (previous is not None and _is_partial(previous)):
        logger.warning("some rooms not looked at", project=report.project, error=report.error)


def _log_held(logger: BoundLogger, report: TickReport, previous: TickReport | None) -> None:
    """Say once that too many rooms wait, and once that it is over: a person has to look at that."""
    held, was_held = (r is not None and r.gates.get(LIMITS, False) for r in (report, previous))
    if held and not was_held:
        why = next((word.why for word in report.holds if word.gate == LIMITS), "")
        logger.warning("deletions held", project=report.project, why=why)
    elif was_held and not held:
        logger.info("deletions no longer held", project=report.project)


def _log_backlog(
    logger: BoundLogger, project: str, backlog: Backlog, room_names: RoomNames
) -> None:
    """Say once what a change of mode makes deletable, while there is still time to take it back."""
    logger.warning(
        "mode changed",
        project=project,
        before=backlog.before.value,
        now=backlog.now.value,
        why=f"mode changed from {backlog.before} to {backlog.now}: {backlog_count(backlog)} and will be "
        "acted on once every gate holds",
        waiting=len(backlog.rooms),
        rooms=[
            {
                "room": room_names.label(view.episode.room_name),
                "age_seconds": round(view.age, 1),
                "policy": view.policy,
            }
            for view in backlog.rooms[:BACKLOG_NAMED]
        ],
    )


def _is_partial(report: TickReport) -> bool:
    return report.result is TickResult.OK and bool(report.error)


def _log_change(
    logger: BoundLogger,
    change: Change,
    report: TickReport,
    ages: Mapping[str, float],
    room_names: RoomNames,
) -> None:
    episode = change.episode
    write = logger.warning if change.kind is ChangeKind.STRANDED else logger.info
    # A closed episode is in no list any more: how long it lasted is known from its own bounds.
    age = ages.get(episode.id, wall_seconds(episode))
    write(
        _EVENTS[change.kind],
        project=report.project,
        room=room_names.label(episode.room_name),
        episode=episode.id,
        agents=[printable(name, MAX_LABEL) for name in agent_names(episode)],
        why=change.detail,
        age_seconds=round(age, 1),
        **({"reason": episode.close_reason.value} if episode.close_reason else {}),
    )


def _in_order(_: Any, __: str, event: EventDict) -> MutableMapping[str, Any]:
    """When, how bad and what, before everything else: that is how a line is read."""
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _harmless(_: Any, __: str, event: EventDict) -> MutableMapping[str, Any]:
    # A traceback keeps its lines; everything else is one line.
    trace = event.pop("exception", None)
    harmless: EventDict = {key: _escaped(value) for key, value in event.items()}
    if isinstance(trace, str):
        harmless["exception"] = "\n".join(printable(line) for line in trace.split("\n"))
    return harmless


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_escaped(item) for item in value]
    return value
