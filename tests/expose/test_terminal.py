"""What a person sees: the demo, and the tables of the commands."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from tests.expose.builders import NASTY, at, closed, episode, failed, opened, orphan, report, usd
from watchdog.core.model import CloseReason, TickResult
from watchdog.core.report import Change, ChangeKind
from watchdog.expose.labels import RoomNames
from watchdog.expose.terminal import DemoView, PlainView, episode_lines, rooms_table

URL = "http://127.0.0.1:9779/metrics"


def console(width=80, height=24):
    return Console(
        width=width,
        height=height,
        file=io.StringIO(),
        force_terminal=True,
        color_system=None,
        legacy_windows=False,
    )


def drawn(renderable, width=80, height=24):
    """The lines this makes on a screen of that size."""
    screen = console(width, height)
    screen.print(renderable, height=height)
    return screen.file.getvalue().splitlines()


def shown(renderable, width=200):
    screen = console(width, 100)
    screen.print(renderable)
    return screen.file.getvalue()


def demo(width=80, height=24, **more):
    return DemoView(console(width, height), project="demo", speed=60, urls=(URL,), **more)


def busy(number=1, orphans=3, **more):
    views = tuple(
        orphan(i, room=f"call-{i}", age=100.0 * i, spend=usd("0.0123", "0.02"))
        for i in range(1, orphans + 1)
    )
    values = {
        "orphans": views,
        "orphaned_agents": {"support": orphans, "sales": 1},
        "spend": {"support": usd("1.5", "2.25")},
        "burn": {"support": usd("0.6", "0.9")},
    }
    return report(number, **(values | more))


def test_the_demo_says_what_it_is_and_how_fast_time_passes_there():
    view = demo(100)
    view.update(busy(), at(3600))
    text = "\n".join(drawn(view.render(), 100))
    for part in (
        "LiveKit agent watchdog",
        "1 s here = 60 s there",
        "project demo",
        "13:00:00",
        URL,
        "Ctrl-C ends",
    ):
        assert part in text


def test_the_demo_shows_the_numbers_and_the_rooms():
    view = demo(100)
    view.update(busy(changes=(opened(orphan(3, room="call-3")), closed(9, room="call-9"))), at(0))
    text = "\n".join(drawn(view.render(), 100))
    for part in ("$0.60 to $0.90/h now", "$1.50 to $2.25 so far", "attended", "orphaned"):
        assert part in text
    assert "call-3" in text
    assert "5m 00s" in text
    assert "$0.0123 to $0.02" in text
    assert "● call-3: only agents are left" in text
    assert "✔ call-9: a person came back after 3m 20s" in text


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 18)])
@pytest.mark.parametrize("orphans", [0, 3, 500])
def test_the_demo_fits_its_terminal(size, orphans):
    view = demo(*size)
    changes = tuple(opened(orphan(i, room="x" * 200)) for i in range(50))
    view.update(busy(orphans=orphans, changes=changes), at(0))
    lines = drawn(view.render(), *size)
    assert len(lines) == size[1]
    assert all(len(line) <= size[0] for line in lines)
    assert "Ctrl-C ends" in lines[-1]


def test_rooms_that_do_not_fit_are_counted():
    view = demo()
    view.update(busy(orphans=500), at(0))
    lines = drawn(view.render())
    first = next(i for i, line in enumerate(lines) if "alone for" in line)
    rooms = [line for line in lines[first + 1 :] if "call-" in line]
    assert f"and {500 - len(rooms)} more" in "\n".join(lines)
    assert len(rooms) >= 5


def test_before_the_first_good_look_nothing_is_claimed():
    view = demo(120)
    assert "waiting for the first good look" in "\n".join(drawn(view.render()))
    view.update(failed(1, error="ListRooms: cannot reach the server"), at(0))
    text = "\n".join(drawn(view.render(), 120))
    assert "cannot reach the server" in text
    assert "Nobody is left alone" not in text
    assert "attended" not in text


def test_a_failed_look_keeps_the_last_known_numbers_and_says_so():
    view = demo(120)
    view.update(busy(2, result=TickResult.FAILED, error="no answer within 10 s"), at(0))
    text = "\n".join(drawn(view.render(), 120))
    assert "The last look failed" in text
    assert "no answer within 10 s" in text
    assert "$1.50 to $2.25 so far" in text


def test_the_latest_change_comes_first():
    view = demo(100, 40)
    for i in range(1, 4):
        view.update(report(i, changes=(opened(orphan(i, room=f"call-{i}")),)), at(60 * i))
    lines = [line for line in drawn(view.render(), 100, 40) if "●" in line]
    assert ["call-3" in lines[0], "call-2" in lines[1], "call-1" in lines[2]] == [True] * 3


def test_unpriced_is_said_in_the_demo():
    view = demo(100, unpriced=lambda *_: True)
    free = orphan(1, spend=usd("0"))
    view.update(
        report(1, orphans=(free,), spend={"support": usd("0")}, burn={"support": usd("0")}), at(0)
    )
    text = "\n".join(drawn(view.render(), 100))
    assert text.count("unpriced") == 3
    assert "$0" not in text


def test_the_demo_runs_on_a_terminal_and_leaves_a_summary():
    screen = console()
    with DemoView(screen, project="demo", speed=60, urls=(URL,)) as view:
        view.update(busy(1, changes=(opened(orphan(1)),)), at(0))
        view.update(busy(5, changes=(closed(1),)), at(60))
    left = screen.file.getvalue().rpartition("\x1b[?1049l")[2]
    assert (
        "Watched 1m 00s: agents were left alone once, 1 of them over, 0 deleted. "
        "Estimated spend: $1.50 to $2.25." in " ".join(left.split())
    )


@pytest.mark.trap("T45")
def test_t45_no_name_steers_the_demo():
    view = demo(120, 60)
    views = tuple(
        orphan(i, room=text, agent=text, reason=text, age=float(i)) for i, text in enumerate(NASTY)
    )
    changes = tuple(opened(v, v.reason) for v in views)
    view.update(report(1, orphans=views, changes=changes), at(0))
    lines = drawn(view.render(), 120, 60)
    assert len(lines) == 60
    assert all(line.isprintable() for line in lines)
    assert any("[bold red]markup[/]" in line for line in lines)


def plain(*reports, **more):
    lines = []
    view = PlainView(lines.append, **more)
    with view:
        for i, one in enumerate(reports):
            view.update(one, at(60 * i))
    return lines


def test_without_a_terminal_each_change_is_a_line():
    lines = plain(
        busy(1, changes=(opened(orphan(1, room="call-1")),)),
        busy(2, changes=(closed(1, room="call-1", reason=CloseReason.ROOM_GONE),)),
    )
    assert lines == [
        "12:00:00 * call-1: only agents are left (support)  the last person left",
        (
            "12:00:00   rooms: 3 attended, 3 orphaned, 0 empty, 0 unknown; 4 agents alone, "
            "$0.60 to $0.90 an hour, $1.50 to $2.25 so far"
        ),
        "12:01:00 + call-1: the room is gone after 3m 20s",
        (
            "Watched 15s: agents were left alone once, 1 of them over, 0 deleted. "
            "Estimated spend: $1.50 to $2.25."
        ),
    ]


def test_a_summary_comes_every_so_many_ticks():
    lines = plain(*(busy(i) for i in range(1, 8)), summary_every=3)
    assert [line[:8] for line in lines if "rooms:" in line] == ["12:00:00", "12:03:00", "12:06:00"]


def test_trouble_is_said_once_while_it_lasts():
    lines = plain(report(1), failed(2), failed(3), report(4), summary_every=100)
    assert [line for line in lines if "!" in line] == [
        (
            "12:01:00 ! The last look failed, nothing changes because of it: "
            "ListRooms: no answer within 10 s"
        )
    ]


@pytest.mark.trap("T45")
@pytest.mark.parametrize("text", NASTY)
def test_t45_plain_lines_stay_one_line(text):
    view = orphan(1, room=text, agent=text)
    lines = plain(report(1, changes=(opened(view, text),)), failed(2, error=text))
    assert all(line.isprintable() for line in lines)


def test_an_agent_s_leaving_is_not_told_as_if_it_were_still_there():
    view = orphan(1, room="call-1")
    (span,) = view.episode.agents
    left = replace(span, bounds=replace(span.bounds, first_gone_at=at(5)))
    change = Change(ChangeKind.AGENTS, replace(view.episode, agents=(left,)), "the agents are gone")
    line = plain(report(1, changes=(change,)))[0]
    assert line == "12:00:00 ~ call-1: its agents changed  the agents are gone"


def test_a_reason_is_not_said_twice():
    change = closed(1, reason=CloseReason.ROOM_GONE)
    line = plain(report(1, changes=(replace(change, detail="the room is gone"),)))[0]
    assert line.count("the room is gone") == 1


def test_plain_signs_need_nothing_but_ascii():
    changes = tuple(Change(kind, episode(), "") for kind in ChangeKind)
    assert all(line.isascii() for line in plain(report(1, changes=changes)))


def test_the_rooms_command_shows_everything_of_a_room():
    view = orphan(1, room="call-7", age=7500, reason="1 agent, nobody else")
    text = shown(rooms_table([view, orphan(2, room="call-8", age=8000)]))
    for part in ("prod", "call-7", "support", "2h 05m", "$0.0123 to $0.02", "1 agent, nobody else"):
        assert part in text
    assert text.index("call-8") < text.index("call-7")
    assert "more" not in text


def test_the_rooms_command_hides_names_where_it_is_told_to():
    text = shown(rooms_table([orphan(1, room="call-4917")], room_names=RoomNames("masked")))
    assert "4917" not in text


def test_an_open_episode_is_explained_with_both_bounds():
    text = shown(
        episode_lines(episode(person_seen=None), age=200, reason="1 agent", spend=usd("0.5", "0.6"))
    )
    for part in (
        "call-1",
        "open",
        "3m 20s (watched)",
        "$0.50 to $0.60",
        "2026-09-01T11:59:45.000Z",
        "2026-09-01T12:00:00.000Z",
        "not over",
        "agent-AJ_0",
        "still there",
        "departure 3600 s, empty 300 s",
    ):
        assert part in text


def test_a_closed_episode_is_explained_with_its_end():
    text = shown(episode_lines(episode(gone=200), spend=usd("0")))
    for part in (
        "closed: a person came back",
        "3m 20s (wall clock)",
        "$0.00",
        "2026-09-01T12:03:20",
    ):
        assert part in text


def test_an_episode_without_a_price_is_unpriced():
    for more in ({"spend": None}, {"spend": usd("0"), "unpriced": lambda *_: True}):
        text = shown(episode_lines(episode(), **more))
        assert "unpriced" in text
        assert "$" not in text


@pytest.mark.trap("T45")
@pytest.mark.parametrize("text", NASTY)
def test_t45_no_name_steers_the_tables(text):
    view = orphan(1, room=text, agent=text, reason=text)
    for renderable in (rooms_table([view]), episode_lines(view.episode, reason=text)):
        lines = shown(renderable, 2000).split("\n")
        assert all(line.isprintable() for line in lines)
        # As it is, and not taken for markup: in the room's name, the agent's and the reason.
        times = sum(line.count(RoomNames().label(text).strip()) for line in lines)
        assert times >= 3 or len(text) > 128
