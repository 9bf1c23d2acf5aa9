"""Every query of every dashboard, asked of a real Prometheus that scraped a real `run`."""

from collections.abc import Iterator

import pytest

from tests.cli.program import eventually
from tests.grafana.boards import LABEL_VALUES, BoardQuery, filled, queries
from tests.grafana.world import DELETED, ENFORCED, OBSERVED, Scene, scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480), pytest.mark.xdist_group("dashboards")]

EMPTY: dict[tuple[str, str, str], str] = {}
"""Why a query (dashboard, panel, letter) gives nothing in this world; one that does give data must not
be here."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The story of `tests.grafana.world`, watched once for all the tests here."""
    with scene(tmp_path_factory.mktemp("dashboards")) as found:
        yield found


def asked(scene: Scene, query: BoardQuery, **chosen: str) -> list:
    """What Prometheus answers, as Grafana would ask it."""
    if of_variable := LABEL_VALUES.fullmatch(query.expression):
        selector = filled(of_variable["selector"], scene.seconds, **chosen)
        path = f"label/{of_variable['label']}/values"
        return list(scene.prometheus.get(path, **{"match[]": selector}))
    expression = filled(query.expression, scene.seconds, **chosen)
    if query.instant:
        return scene.prometheus.query(expression)
    return scene.prometheus.query_range(expression, seconds=scene.seconds, step=5)


def the(board: str, of: str, letter: str = "A") -> BoardQuery:
    """One query by its place."""
    [found] = [q for q in queries() if (q.board, q.of, q.letter) == (board, of, letter)]
    return found


def by(label: str, answer: list) -> dict[str, float]:
    """The newest value of each series, by one of its labels."""
    return {
        series["metric"].get(label, ""): float((series.get("values") or [series["value"]])[-1][1])
        for series in answer
    }


def summed(label: str, answer: list) -> dict[str, float]:
    """What each series of a range adds up to."""
    return {
        series["metric"].get(label, ""): sum(float(value) for _, value in series["values"])
        for series in answer
    }


def test_every_query_is_accepted_and_gives_data_or_has_a_reason_for_none(seen, record_property):
    empty = set()
    for query in queries():
        if not asked(seen, query):
            empty.add((query.board, query.of, query.letter))
    assert empty == set(EMPTY)
    of_panels = [
        (q.board, q.of) for q in queries() if not q.of.startswith(("variable ", "annotation "))
    ]
    record_property("exercised: panels asked of a real Prometheus", len(set(of_panels)))
    record_property("exercised: queries of dashboards it answered", len(queries()))


def test_numbers_are_numbers(seen):
    odd = []
    for query in queries():
        if LABEL_VALUES.fullmatch(query.expression) or not query.instant:
            continue
        odd += [
            (str(query), series)
            for series in asked(seen, query)
            if series["value"][1] in ("NaN", "+Inf", "-Inf")
        ]
    assert odd == []


def test_the_variables_offer_what_is_there(seen):
    assert set(asked(seen, the("overview", "variable project"))) == {ENFORCED, OBSERVED}
    assert set(asked(seen, the("overview", "variable agent"))) == {
        "support",
        "greeter",
        "sales",
        "agent",
    }
    only = asked(seen, the("overview", "variable agent"), project=OBSERVED)
    assert only == ["sales"]


def test_every_deletion_is_counted_the_first_one_too(seen):
    outcomes = summed("outcome", asked(seen, the("overview", "Deletions by outcome")))
    assert outcomes["deleted"] == len(DELETED)
    assert outcomes["would_delete"] == 1
    marks = asked(seen, the("overview", "annotation Deletions"))
    assert summed("policy", marks) == {"quick": len(DELETED)}
    assert {series["metric"]["project"] for series in marks} == {ENFORCED}


def test_rare_events_are_counted_each_time(seen):
    assert summed("result", asked(seen, the("health", "Webhooks by result"))) == {
        "accepted": 1,
        "forged": 1,
    }
    failed = summed("result", asked(seen, the("health", "Ticks by result")))["failed"]
    assert failed >= 1
    refused = asked(seen, the("health", "API errors"))
    assert summed("code", refused)["unavailable"] >= 1
    [share] = by("", asked(seen, the("health", "Ticks that were not good"))).values()
    assert 0 < share < 0.5
    ended = summed("close_reason", asked(seen, the("overview", "How orphaned rooms ended")))
    assert ended == {"deleted": len(DELETED), "person_returned": 1}


def test_the_table_shows_each_room_once_in_every_column(seen):
    columns = [asked(seen, the("overview", "Oldest orphaned rooms", letter)) for letter in "ABC"]
    rooms = {"demo-hall", "demo-kiosk", "demo-tour", "call-1004", "call-1005", "call-2001"}
    for column in columns:
        assert {series["metric"]["room"] for series in column} == rooms
    assert len({frozenset(map(str, column[0]["metric"])) for column in columns}) == 1


def test_a_choice_of_project_and_agent_narrows_what_is_shown(seen):
    rooms = the("overview", "Orphaned rooms")

    def counted() -> bool:
        every, one, other = (
            by("", asked(seen, rooms, project=project))[""]
            for project in (".*", ENFORCED, OBSERVED)
        )
        return (every, one, other) == (6, 5, 1)

    eventually(counted)
    agents = the("overview", "Orphaned agents")
    assert by("", asked(seen, agents, agent="greeter")) == {"": 2}
    assert by("", asked(seen, agents, agent="nobody")) == {"": 0}


def test_the_process_panels_show_the_watchdog_alone(seen):
    for title in ("CPU", "Memory"):
        assert len(asked(seen, the("health", title))) == 1
