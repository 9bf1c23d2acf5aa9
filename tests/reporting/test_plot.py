"""The pictures of a report."""

import sys
from xml.etree import ElementTree as ET

import pytest

from tests.reporting.test_report import HISTORY, report
from watchdog.core.errors import ConfigurationError, WatchdogError
from watchdog.reporting.plot import draw


def test_an_svg_shows_spend_by_day_and_ages(tmp_path):
    file = tmp_path / "report.svg"
    draw(report(*HISTORY), file)
    text = " ".join(filter(None, (e.text for e in ET.parse(file).iter())))
    for part in ("Spend on orphaned agents by UTC day", "2026-09-02", "USD", "8-24h", "episodes"):
        assert part in text


def test_the_same_report_draws_the_same_svg(tmp_path):
    one, two = tmp_path / "1.svg", tmp_path / "2.svg"
    for file in (one, two):
        draw(report(*HISTORY), file)
    assert one.read_bytes() == two.read_bytes()


def test_a_png_is_a_png(tmp_path):
    file = tmp_path / "report.PNG"
    draw(report(*HISTORY), file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_nothing_can_be_drawn_too(tmp_path):
    draw(report(), tmp_path / "empty.svg")
    assert (tmp_path / "empty.svg").stat().st_size > 1000


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(WatchdogError, match=r"nowhere.a\.svg cannot be written: No such file"):
        draw(report(), tmp_path / "nowhere" / "a.svg")


def test_without_matplotlib_it_says_the_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'livekit-agent-watchdog\[plot\]'"):
        draw(report(), tmp_path / "a.svg")
