"""Panels as these dashboards use them: each says what it shows, in which unit, and what its absence means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"

AnyPanel = TypeVar("AnyPanel", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel and how its series are called."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What every panel has to say."""

    title: str
    description: str
    unit: str
    no_value: str


def steps(*at: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    """Colours from these values upwards; None: from the very bottom."""
    found = [model.Threshold(value=value, color=color) for value, color in at]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(found)


def rising(amber: float, red: float | None = None) -> dashboard.ThresholdsConfig:
    """Green, from a value on amber, and then red."""
    return steps((None, GREEN), (amber, AMBER), *([(red, RED)] if red is not None else []))


NEUTRAL = steps((None, BLUE))


def single(
    words: Words,
    queries: Sequence[Query],
    *,
    width: int,
    thresholds: dashboard.ThresholdsConfig = NEUTRAL,
    decimals: int | None = None,
    names: bool = False,
) -> stat.Panel:
    """Numbers of now; with `names` the series' names instead, for what is told by labels."""
    panel = _worded(stat.Panel(), words).height(4).span(width).thresholds(thresholds)
    for query, letter in zip(queries, "ABC", strict=False):
        panel.with_target(_target(query, letter).instant())
    if decimals is not None:
        panel.decimals(decimals)
    text = looks.BigValueTextMode.AUTO
    if names:
        text = looks.BigValueTextMode.NAME
    elif len(queries) > 1:
        text = looks.BigValueTextMode.VALUE_AND_NAME
    return (
        panel.text_mode(text)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False))
        .orientation(looks.VizOrientation.VERTICAL)
    )


def lines(
    words: Words,
    queries: Sequence[Query],
    *,
    width: int = 12,
    calcs: Sequence[str] = ("lastNotNull", "max"),
) -> timeseries.Panel:
    """Lines over time."""
    return (
        _over_time(words, queries, width, calcs)
        .draw_style(looks.GraphDrawStyle.LINE)
        .line_width(2)
        .fill_opacity(8)
    )


def bars(words: Words, queries: Sequence[Query], *, width: int = 12) -> timeseries.Panel:
    """Events counted in each interval, stacked; the legend adds them up over the range."""
    return (
        _over_time(words, queries, width, ("sum",))
        .interval("1m")
        .decimals(0)
        .draw_style(looks.GraphDrawStyle.BARS)
        .fill_opacity(80)
        .stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    )


def states(
    words: Words, query: Query, texts: Mapping[str, tuple[str, str]], *, width: int = 12
) -> statetimeline.Panel:
    """One band for each series; `texts` gives a value its word and colour."""
    panel = _worded(statetimeline.Panel(), words).height(8).span(width)
    options = {
        value: model.ValueMappingResult(text=text, color=color)
        for value, (text, color) in texts.items()
    }
    return (
        panel.with_target(_target(query, "A").range())
        .mappings([model.ValueMap(options=options)])
        .show_value(looks.VisibilityMode.NEVER)
        .row_height(0.7)
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table of merged queries; `field` is a label, or `Value #` and a query's letter."""

    field: str
    title: str
    unit: str = ""


def merged(
    words: Words, queries: Sequence[Query], columns: Sequence[Column], *, sort_by: str
) -> table.Panel:
    """A table whose rows join what several queries say of the same labels."""
    panel = _worded(table.Panel(), words).height(9).span(24)
    for query, letter in zip(queries, "ABC", strict=False):
        target = _target(query, letter).instant()
        panel.with_target(target.format(prometheus_model.PromQueryFormat.TABLE))
    for column in columns:
        if column.unit:
            unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
            panel.override_by_name(column.title, [unit])
    sort = common.TableSortByFieldState().display_name(sort_by).desc(desc=True)
    order = {
        "excludeByName": {"Time": True},
        "indexByName": {column.field: i for i, column in enumerate(columns)},
        "renameByName": {column.field: column.title for column in columns},
    }
    return (
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=order))
        .sort_by([sort])
    )


def _over_time(
    words: Words, queries: Sequence[Query], width: int, calcs: Iterable[str]
) -> timeseries.Panel:
    panel = _worded(timeseries.Panel(), words).height(8).span(width).min(0)
    for query, letter in zip(queries, "ABC", strict=False):
        panel.with_target(_target(query, letter).range())
    legend = (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
    )
    tooltip = common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
    return panel.legend(legend).tooltip(tooltip.sort(looks.SortOrder.DESCENDING))


def _worded(panel: AnyPanel, words: Words) -> AnyPanel:
    panel.title(words.title).description(words.description)
    panel.unit(words.unit).no_value(words.no_value)
    panel.datasource(DATASOURCE)
    return panel


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(letter).expr(query.expression).datasource(DATASOURCE)
    return target.legend_format(query.legend) if query.legend else target
