"""docs/report.md and the code say the same."""

import re
from pathlib import Path

from watchdog.reporting.causes import Cause
from watchdog.reporting.focus import COLUMNS
from watchdog.reporting.report import By

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_every_focus_column_is_on_the_page():
    assert sorted(first_cells("FOCUS")) == sorted(COLUMNS)


def test_every_cause_is_on_the_page():
    assert sorted(first_cells("Likely causes")) == sorted(Cause)


def test_what_sums_can_be_grouped_by_is_on_the_page():
    assert f"`{','.join(By)}`" in PAGE
