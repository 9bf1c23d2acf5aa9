"""One line per change, and nothing in a line that could steer a terminal."""

import io
import json
import logging

import pytest
import structlog

from tests.expose.builders import NASTY, at, closed, failed, opened, orphan, report
from watchdog.core.deletion import Mode
from watchdog.core.model import TickResult
from watchdog.core.records import Suspect
from watchdog.core.report import Backlog, Change, ChangeKind
from watchdog.expose.labels import RoomNames
from watchdog.expose.logs import OTHERS, configure_logging, get_logger, log_report


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def logging_as_it_was():
    """Logging belongs to the whole process: give it back as it was found."""
    names = ("", "watchdog", *OTHERS, "apscheduler.scheduler")
    before = {
        n: (
            logging.getLogger(n).level,
            list(logging.getLogger(n).handlers),
            logging.getLogger(n).propagate,
        )
        for n in names
    }
    # A test of the schedule before us has made it quieter.
    logging.getLogger("apscheduler.scheduler").setLevel(logging.NOTSET)
    yield
    structlog.reset_defaults()
    for name, (level, handlers, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


def written(*reports, policy="full"):
    """The lines, as JSON, that these reports of one project leave in the log."""
    out = io.StringIO()
    configure_logging("json", "INFO", out)
    previous = None
    for one in reports:
        log_report(get_logger(), one, previous, RoomNames(policy))
        previous = one
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_suspect_is_one_line_when_it_becomes_one():
    new = (Suspect("odd-1", "RM_1", "silent", at(0)),)
    (line,) = written(report(1, suspects=new, new_suspects=new), report(2, suspects=new))
    assert (line["room"], line["reason"]) == ("odd-1", "silent")


def test_a_tick_that_changes_nothing_writes_nothing():
    assert written(report(1, orphans=(orphan(),)), report(2, orphans=(orphan(),))) == []


def test_a_change_is_one_line_that_tells_where_who_and_why():
    view = orphan(1, room="call-7", age=12.34)
    (line,) = written(report(1, orphans=(view,), changes=(opened(view, "the last person left"),)))
    line.pop("timestamp")
    assert line == {
        "event": "episode opened",
        "level": "info",
        "logger": "watchdog",
        "project": "prod",
        "room": "call-7",
        "episode": "ep-00001",
        "agents": ["support"],
        "why": "the last person left",
        "age_seconds": 12.3,
    }


def test_a_closed_episode_tells_how_long_it_lasted_and_how_it_ended():
    (line,) = written(report(1, changes=(closed(1, lasted=200),)))
    assert (line["event"], line["reason"], line["age_seconds"]) == (
        "episode closed",
        "person_returned",
        200,
    )


def test_every_kind_of_change_has_a_line():
    changes = tuple(Change(kind, orphan().episode, "") for kind in ChangeKind)
    events = [line["event"] for line in written(report(1, changes=changes))]
    assert len(set(events)) == len(ChangeKind)


def test_a_failure_is_written_once_with_its_hint_and_once_when_it_ends():
    hint = "ListRooms: the server answered 401 unknown (the key or secret is not valid)"
    lines = written(
        report(1),
        failed(2, error=hint, last_success_at=at(15)),
        failed(3, result=TickResult.BACKING_OFF, error="", last_success_at=at(15)),
        failed(4, error=hint, last_success_at=at(15)),
        report(5),
        report(6),
    )
    assert [(line["event"], line["level"]) for line in lines] == [
        ("project not observed", "error"),
        ("project observed again", "info"),
    ]
    assert lines[0]["error"] == hint
    assert lines[1]["blind_since"] == "2026-09-01T12:00:15.000Z"


def test_a_failure_of_the_first_tick_is_written_too():
    assert [line["event"] for line in written(failed(1), failed(2))] == ["project not observed"]


def test_a_second_failure_is_written_again():
    lines = written(failed(1), report(2), failed(3), failed(4))
    assert [line["event"] for line in lines] == [
        "project not observed",
        "project observed again",
        "project not observed",
    ]


def test_a_suspicious_list_is_written_once():
    doubt = {"result": TickResult.SUSPICIOUS, "error": "ListRooms named 0 rooms where 9 were known"}
    lines = written(
        report(1), report(2, **doubt), report(3, **doubt), report(4), report(5, **doubt)
    )
    assert [line["why"] for line in lines] == [doubt["error"]] * 2


def test_rooms_that_could_not_be_looked_at_are_told_once():
    partial = {"error": "ListParticipants: the key's token lacks the grant"}
    lines = written(report(1), report(2, **partial), report(3, **partial), report(4))
    assert [(line["event"], line["error"]) for line in lines] == [
        ("some rooms not looked at", partial["error"])
    ]


def after_change_of_mode(count, room="call-{}"):
    """A report with the backlog that so many due rooms are."""
    views = [
        orphan(n, room=room.format(n), age=3600 + n, policy="default") for n in range(count, 0, -1)
    ]
    return report(1, backlog=Backlog.after_change(Mode.OBSERVE, Mode.ENFORCE, views))


def test_a_change_of_mode_tells_once_what_it_will_act_on():
    (line,) = written(after_change_of_mode(2), report(2))
    line.pop("timestamp")
    assert line == {
        "event": "mode changed",
        "level": "warning",
        "logger": "watchdog",
        "project": "prod",
        "before": "observe",
        "now": "enforce",
        "why": "mode changed from observe to enforce: 2 rooms are past their threshold and will be "
        "acted on once every gate holds",
        "waiting": 2,
        "rooms": [
            {"room": "call-2", "age_seconds": 3602, "policy": "default"},
            {"room": "call-1", "age_seconds": 3601, "policy": "default"},
        ],
    }


def test_of_a_long_backlog_the_twenty_oldest_are_named_as_privacy_allows():
    (line,) = written(after_change_of_mode(25, "+49171{}"), policy="masked")
    assert (line["waiting"], len(line["rooms"])) == (25, 20)
    assert line["rooms"][0] == {"room": "+******", "age_seconds": 3625, "policy": "default"}


def test_room_names_follow_the_privacy_policy():
    change = opened(orphan(1, room="call-+4917612345678"))
    (line,) = written(report(1, changes=(change,)), policy="masked")
    assert line["room"] == "ca*****"


@pytest.mark.trap("T45")
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("text", NASTY)
def test_t45_whatever_a_name_holds_the_log_stays_one_harmless_line(form, text):
    out = io.StringIO()
    configure_logging(form, "INFO", out)
    view = orphan(1, room=text, agent=text)
    log_report(get_logger(), report(1, changes=(opened(view, text),)), None, RoomNames())
    line = out.getvalue().removesuffix("\n")
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["room"] == RoomNames().label(text)


def test_without_a_terminal_lines_are_json_and_on_one_they_are_for_reading():
    for out, is_json in ((io.StringIO(), True), (Terminal(), False)):
        configure_logging("auto", "INFO", out)
        get_logger().info("hello", project="prod")
        assert out.getvalue().startswith("{") == is_json
        assert "hello" in out.getvalue()


def test_the_format_can_be_chosen_whatever_the_stream():
    for form, out, is_json in (("json", Terminal(), True), ("console", io.StringIO(), False)):
        configure_logging(form, "INFO", out)
        get_logger().info("hello")
        assert out.getvalue().startswith("{") == is_json


def test_without_a_terminal_there_are_no_colours():
    out = io.StringIO()
    configure_logging("console", "INFO", out)
    get_logger().error("hello", project="prod")
    assert "\x1b" not in out.getvalue()


def test_our_level_is_the_operator_s_choice():
    out = io.StringIO()
    configure_logging("json", "WARNING", out)
    get_logger("watchdog.daemon").info("not this")
    get_logger("watchdog.daemon").warning("this")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["this"]


@pytest.mark.parametrize("name", ["apscheduler.scheduler", "uvicorn.error", "livekit", "asyncio"])
def test_libraries_speak_from_warning_on_and_in_our_format(name):
    out = io.StringIO()
    configure_logging("json", "DEBUG", out)
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("job %s \x1b[31mmissed", "tick")
    (line,) = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (line["event"], line["level"], line["logger"]) == (
        "job tick \\x1b[31mmissed",
        "warning",
        name,
    )


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_keeps_its_lines_and_steers_nothing(form):
    out = io.StringIO()
    configure_logging(form, "INFO", out)
    try:
        int("bad \x1b]0;title\x07", base=10)
    except ValueError:
        logging.getLogger("apscheduler.executors").exception("job failed")
    text = out.getvalue()
    assert "ValueError: invalid literal" in text
    assert all(c.isprintable() or c == "\n" for c in text)


def test_setting_up_twice_does_not_write_twice():
    out = io.StringIO()
    configure_logging("json", "INFO", out)
    configure_logging("json", "INFO", out)
    get_logger().info("once")
    assert len(out.getvalue().splitlines()) == 1
