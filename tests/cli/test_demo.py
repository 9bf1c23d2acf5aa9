"""`demo`: nothing is needed, something is seen at once, nothing is left behind."""

import re
import signal

import pytest

from tests.cli.program import ENTERS, HIDES, LEAVES, SHOWS, Terminal, get, sample

ANY_PORT = ("--listen", "127.0.0.1:0")


def test_without_a_terminal_it_writes_plain_lines(bare):
    # 60 times as fast as life: the first agent is left behind within seconds.
    result = bare("demo", "--seconds", "8", *ANY_PORT)
    assert (result.code, result.err) == (0, "")
    first, *lines = result.out.splitlines()
    assert re.fullmatch(
        r"demo: a simulated day, 1 s here is 60 s there; http://127\.0\.0\.1:\d+/metrics", first
    )
    opened = [line for line in lines if re.match(r"\d\d:\d\d:\d\d \* ", line)]
    assert opened
    assert all(re.search(r"only agents are left \(.+\)  \d+ agent.*no person$", o) for o in opened)
    assert any("rooms: " in line and "$" in line for line in lines)
    assert lines[-1].startswith("Watched ")
    assert "\x1b" not in result.out
    assert not list(bare.directory.iterdir()), "it left something behind"


def test_it_serves_its_metrics_meanwhile(bare):
    with bare.started("demo", *ANY_PORT) as running:
        found = running.eventually(lambda: re.search(r"http://\S+(?=/metrics)", running.out))
        url = found[0]
        running.eventually(
            lambda: (
                (sample(f"{url}/metrics", "rooms", project="default", verdict="orphaned") or 0) >= 1
            )
        )
        assert get(f"{url}/readyz").status == 200
        assert "livekit" in get(f"{url}/").text.lower()
        ended = running.stop()
    assert ended.code == 0
    assert ended.out.splitlines()[-1].startswith("Watched ")


def test_a_port_in_use_is_no_obstacle(bare):
    with bare.started("demo", *ANY_PORT) as first:
        taken = first.eventually(lambda: re.search(r"http://([\d.:]+)/metrics", first.out))[1]
        second = bare("demo", "--seconds", "0.5", "--listen", taken)
    assert second.code == 0
    assert f"http://{taken}/" not in second.out


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_on_a_terminal_it_draws_and_leaves_it_as_it_was(bare, columns, lines):
    terminal = Terminal(bare, "demo", "--seconds", "5", *ANY_PORT, columns=columns, lines=lines)
    try:
        assert terminal.read_to_end() == 0
        for part in ("LiveKit agent watchdog", "agents left alone", "alone for", "Ctrl-C ends"):
            assert part in terminal.text
        assert_restored(terminal)
        after = terminal.raw.rpartition(LEAVES)[2]
        assert re.search(r"Watched .*agents were left alone", after)
    finally:
        terminal.close()


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_ended_early_it_leaves_the_terminal_as_it_was(bare, how):
    terminal = Terminal(bare, "demo", *ANY_PORT)
    try:
        terminal.read_until("agents left alone")
        if how == "Ctrl-C":
            terminal.type("\x03")
        else:
            terminal.process.send_signal(signal.SIGTERM)
        assert terminal.read_to_end() == 0
        assert_restored(terminal)
        assert "Traceback" not in terminal.text
    finally:
        terminal.close()


def assert_restored(terminal):
    assert terminal.raw.count(ENTERS) == 1
    assert terminal.raw.count(LEAVES) == 1
    assert terminal.raw.index(ENTERS) < terminal.raw.index(LEAVES)
    assert terminal.raw.rindex(SHOWS) > terminal.raw.rindex(HIDES), "the cursor stays hidden"
    assert terminal.after == terminal.before
