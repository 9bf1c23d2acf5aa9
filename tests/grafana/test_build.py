"""The dashboards as files: made by the code, and naming nothing that does not exist."""

import re
import subprocess

import pytest
import yaml

from grafana import build
from grafana.expressions import grown
from tests.cli.program import ROOT
from tests.grafana.boards import (
    LABEL_VALUES,
    NAMES,
    board,
    filled,
    panel_queries,
    panels,
    queries,
)
from tests.needs import tool
from tests.promql import EXPORTED, OF_PROMETHEUS, OF_TARGETS, names_of, problems

WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
OUTERMOST = re.compile(r"(?:histogram_quantile\([\d.]+, )?(?:sum|max) by \(([^)]*)\)")
KNOWN = (
    EXPORTED
    | OF_PROMETHEUS
    | {
        name: frozenset[str]()
        for name in ("process_cpu_seconds_total", "process_resident_memory_bytes")
    }
)


def faults(expression: str) -> list[str]:
    """The metrics and labels in an expression that the program does not export."""
    if of_variable := LABEL_VALUES.fullmatch(expression):
        expression = f"sum by ({of_variable['label']}) ({of_variable['selector']})"
    return problems(filled(expression, 60), KNOWN)


def test_the_committed_files_are_what_the_code_makes(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_a_file_that_is_out_of_date_is_told_and_written_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "DASHBOARDS", tmp_path)
    (tmp_path / "overview.json").write_text("{}\n")
    assert build.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "overview.json is out of date" in said
    assert "health.json is out of date" in said
    assert build.main([]) == 0
    assert build.main(["--check"]) == 0


@pytest.mark.parametrize("query", queries(), ids=str)
def test_every_expression_names_only_what_is_exported(query):
    assert faults(query.expression) == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("sum(livekit_watchdog_romos)", "no metric livekit_watchdog_romos"),
        ("rate(livekit_watchdog_ticks[5m])", "no metric livekit_watchdog_ticks"),
        ('livekit_watchdog_rooms{agent="x"}', "livekit_watchdog_rooms has no agent"),
        (
            "sum by (agent) (livekit_watchdog_rooms)",
            "no label agent: sum by (agent) (livekit_watchdog_rooms)",
        ),
        (
            "label_values(livekit_watchdog_rooms, agent_name)",
            "no label agent_name: sum by (agent_name) (livekit_watchdog_rooms)",
        ),
        (
            "sum by (le) (livekit_watchdog_tick_duration_seconds)",
            "no metric livekit_watchdog_tick_duration_seconds",
        ),
        ("node_load1 * 2", "no metric node_load1"),
    ],
)
def test_what_is_not_exported_is_found(expression, said):
    assert said in faults(expression)


@pytest.mark.parametrize("query", [q for q in queries() if q.legend], ids=str)
def test_a_legend_names_only_labels_that_its_series_keep(query):
    outermost = OUTERMOST.match(query.expression)
    if outermost:
        kept = set(WORD.findall(outermost[1])) - {"le"}
    else:
        named = [KNOWN[s.metric] for s in names_of(filled(query.expression, 60)).selectors]
        kept = OF_TARGETS.union(*named)
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= kept


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_in_which_unit_and_what_its_absence_means(name):
    assert len(panels(name)) > 10
    for panel in panels(name):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_an_estimate_is_called_one(name):
    for panel in panels(name):
        if any("_usd" in query.expression for query in panel_queries(name, panel)):
            assert "estimate" in panel["description"], panel["title"]
            if panel["type"] != "table":
                assert "(estimate)" in panel["title"], panel["title"]
                share = "as a share" in panel["description"]
                unit = "percentunit" if share else "currencyUSD"
                assert panel["fieldConfig"]["defaults"]["unit"] == unit, panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_places_of_their_own(name):
    taken: dict[tuple[int, int], int] = {}
    for panel in board(name)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]
    for what in ("id", "title"):
        found = [panel[what] for panel in board(name)["panels"]]
        assert len(set(found)) == len(found)


def test_the_dashboards_lead_to_each_other_and_to_the_runbook():
    boards = [board(name) for name in NAMES]
    assert len({found["uid"] for found in boards}) == len(NAMES)
    for found in boards:
        to_dashboards, to_runbook = found["links"]
        assert to_dashboards["type"] == "dashboards"
        assert set(to_dashboards["tags"]) <= set.intersection(*(set(b["tags"]) for b in boards))
        [runbook] = [v for v in found["templating"]["list"] if v["name"] == "runbook"]
        assert to_runbook["url"] == "${runbook}"
        assert runbook["query"].endswith("docs/runbook.md")


def test_grafana_is_told_where_the_dashboards_and_the_data_source_are():
    provisioning = ROOT / "grafana" / "provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards" / "watchdog.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["type"] == "prometheus"


GROWTHS = [
    # (what is scraped each 15 s, when it is asked, what it grew by in the minute before)
    ("_ _ _ _ _ 1+0x20", "2m", 1),  # appears with its first event
    ("_ _ _ _ _ 1+0x20", "3m", 0),
    # Appears with the first scrape of the minute, and grows in it.
    ("_ _ _ _ _ 1 3+0x20", "2m10s", 3),
    ("_ _ _ _ _ 1 3+0x20", "2m15s", 2),  # the 1 fell to the minute before
    ("7+0x4 9+0x20", "2m", 2),
    ("7+0x4 9+0x20", "5m", 0),
    ("7+1x20", "30s", 2),  # Prometheus has come only now: the 7 are old
    ("7+0x20", "15s", 0),
    ("5+0x4 _ _ _ _ _ _ _ _ 5+0x20", "3m30s", 0),  # was not scraped for two minutes
    ("7+0x4 9 stale _ _ _ _ _ _ _ _ _ 9+0x20", "2m", 2),  # and is not scraped just when it is asked
    ("7+0x4 stale _ _ _ _ 9+0x20", "2m45s", 2),  # grows while it is not scraped
    ("5+0x4 2+0x20", "2m", 2),  # a restart, and two events since
    ("5+0x4 2+0x20", "4m", 0),
    ("5+0x4 stale _ _ _ _ _ _ _ 1+0x20", "3m30s", 1),  # a restart, and an event later
]


@pytest.mark.parametrize(("scraped", "at", "grew"), GROWTHS)
def test_a_counter_grows_by_what_happened_and_its_first_event_counts(tmp_path, scraped, at, grew):
    asked = {"expr": f"sum({grown('events_total', '1m')})", "eval_time": at}
    asked["exp_samples"] = [{"labels": "{}", "value": grew}]
    build, of = "livekit_watchdog_build_info", '{job="j", instance="i"}'
    series = [
        {"series": f"events_total{of}", "values": scraped},
        {"series": build + of, "values": "1+0x40"},
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [asked]}
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
