"""What the dashboards have in common: their variables, links and annotations."""

from collections.abc import Iterable, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.expressions import PROJECT, grown, series
from grafana.panels import DATASOURCE

TAG = "livekit-watchdog"
RUNBOOK = "docs/runbook.md"

Row = tuple[str, Sequence[Builder[model.Panel]]]


def framed(
    uid: str, title: str, description: str, rows: Iterable[Row], *, by_agent: bool
) -> dashboard.Dashboard:
    """A dashboard of rows of panels; `by_agent` where the panels can be narrowed down to agents."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(_other_dashboards())
        .link(_runbook())
        .annotation(_deletions())
    )
    for variable in _variables(by_agent=by_agent):
        board.with_variable(variable)
    number = 0
    for name, panels in rows:
        number += 1
        board.with_row(dashboard.Row(name).id(number))
        for panel in panels:
            number += 1
            # The id of a panel is part of links to it.
            built = panel.build()
            built.id_val = number
            board.with_panel(_Built(built))
    return board


class _Built(Builder[model.Panel]):
    """A panel that is complete."""

    def __init__(self, panel: model.Panel) -> None:
        self._panel = panel

    def build(self) -> model.Panel:
        """The panel."""
        return self._panel


def _variables(*, by_agent: bool) -> list[Builder[model.VariableModel]]:
    found: list[Builder[model.VariableModel]] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        # mode_info is there before the first good tick, and as long as the project is configured.
        _label_values("project", "Project", series("mode_info", ""), "project"),
    ]
    if by_agent:
        agents = _label_values("agent", "Agent", series("orphaned_agents"), "agent_name")
        found.append(agents.description("Agents that were left alone within the range."))
    runbook = dashboard.TextBoxVariable("runbook").label("Runbook").default_value(RUNBOOK)
    runbook.description(f"The address at which your people find {RUNBOOK}.")
    found.append(runbook)
    return found


def _label_values(name: str, title: str, selector: str, label: str) -> dashboard.QueryVariable:
    everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
    query = f"label_values({selector.removesuffix('{}')}, {label})"
    return (
        dashboard.QueryVariable(name)
        .label(title)
        .datasource(DATASOURCE)
        .query({"qryType": 1, "query": query, "refId": f"values-of-{name}"})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(everything)
    )


def _other_dashboards() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Watchdog dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )


def _runbook() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("Runbook")
        .type(model.DashboardLinkType.LINK)
        .icon("doc")
        .tooltip(f"What to do about what is shown here: {RUNBOOK}")
        .url("${runbook}")
        .target_blank(target_blank=True)
    )


def _deletions() -> dashboard.AnnotationQuery:
    deleted = grown(series("deletions_total", PROJECT))
    return (
        dashboard.AnnotationQuery()
        .name("Deletions")
        .datasource(DATASOURCE)
        .enable(enable=True)
        .hide(hide=False)
        .icon_color("purple")
        .expr(f"sum by (project, policy) ({deleted}) > 0")
    )
