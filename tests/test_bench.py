"""The benchmark measures what it says: a small run has every row, with the right requests and rows.

No time is asserted: how long something takes is the machine's business.
"""

from typing import Any

import pytest

from benchmarks.scale.__main__ import ROWS, bench
from benchmarks.scale.report import BEGIN, END, draw, rows_table, targets, write_page

ROOMS, ORPHANED = 200, 10
BUDGET = 25
"""Requests that a poll of 15 s refills, the list included."""


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return bench((ROOMS,), polls=0)


@pytest.fixture(scope="module")
def rows(results: dict[str, Any]) -> dict[str, Any]:
    return dict(results["rooms"][str(ROOMS)])


def test_every_row_saw_every_room(rows: dict[str, Any]) -> None:
    assert tuple(rows) == ROWS
    assert {name: row["rooms"] for name, row in rows.items() if name != "churn"} == dict.fromkeys(
        [name for name in ROWS if name != "churn"], ROOMS
    )


def test_bare_calls_are_one_request_each(rows: dict[str, Any]) -> None:
    assert [rows[name]["calls"] for name in ("bare", "fields")] == [1, 1]


def test_the_naive_poller_asks_about_every_room(rows: dict[str, Any]) -> None:
    assert rows["naive"]["calls"] == 1 + ROOMS
    assert rows["naive"]["orphaned"] == ORPHANED


def test_a_steady_tick_asks_once_and_writes_one_row(rows: dict[str, Any]) -> None:
    steady = rows["steady"]
    assert (steady["calls"], steady["rows"], steady["times"]) == (1, 1, 5)
    assert (steady["orphaned"], steady["due"]) == (ORPHANED, 0)


def test_so_does_one_whose_orphans_are_all_due(rows: dict[str, Any]) -> None:
    assert (rows["due"]["calls"], rows["due"]["due"]) == (1, ORPHANED)


def test_the_looks_keep_to_the_budget(rows: dict[str, Any]) -> None:
    assert 1 < rows["steady"]["sweep"]["calls"] <= BUDGET
    assert 1 < rows["churn"]["calls"] <= BUDGET
    assert 1 < rows["first"]["calls"] <= 40  # the burst that a start has


def test_what_holds_the_loop_and_the_scrapes_is_measured(rows: dict[str, Any]) -> None:
    for name in ("first", "steady", "churn", "due"):
        loop = rows[name]["loop"]
        assert loop["own"] > 0
        assert loop["wall"] > 0
    assert rows["steady"]["scrapes"]["met"] > 0


def test_every_target_is_held_against_a_measurement(results: dict[str, Any]) -> None:
    found = list(targets(results))
    assert len(found) == 11  # growth needs a second size
    assert all(target.measured >= 0 for target in found)
    assert results["idle"]["first_verdict"] > 0


def test_the_page_and_the_picture_are_made_of_it(results: dict[str, Any], tmp_path: Any) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "picture.svg"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_page(results, page)
    text = page.read_text()
    assert rows_table(results) in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "stale" not in text
    draw(results, picture)
    assert picture.stat().st_size > 1000
