"""The kinds of panels, each with the project's conventions: a description, a unit and limits on every one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    logs,
    piechart,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as model
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Threshold, ThresholdsMode

from monitoring.grafana import links
from monitoring.grafana.queries import Query

HALF, THIRD, QUARTER, FULL = 12, 8, 6, 24

Panel = Any
"""A panel's builder. Each kind has a class of its own in the SDK, without a common one that has what they share."""


@dataclass(frozen=True)
class Limits:
    """Where a panel turns yellow and red. With `low` small values are the bad ones. Without numbers it stays green."""

    warning: float | None = None
    critical: float | None = None
    low: bool = False

    def steps(self) -> builders.ThresholdsConfig:
        """Return them as Grafana's thresholds."""
        rising = [(self.warning, "yellow"), (self.critical, "red")]
        base = "green"
        if self.low:
            base = "red" if self.critical is not None else "yellow"
            rising = [(self.critical, "yellow" if self.warning is not None else "green"), (self.warning, "green")]
        colours = [Threshold(value=value, color=colour) for value, colour in rising if value is not None]
        config = builders.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
        return config.steps([Threshold(value=None, color=base), *colours])

    @property
    def drawn(self) -> bool:
        """Whether there is a line to draw."""
        return self.warning is not None or self.critical is not None


NONE = Limits()


def _furnish(
    panel: Panel,
    title: str,
    description: str,
    unit: str,
    queries: Sequence[Query],
    limits: Limits,
    size: tuple[int, int],
) -> Panel:
    panel.title(title).description(description).unit(unit).thresholds(limits.steps()).span(size[0]).height(size[1])
    built = [query.build() for query in queries]
    panel.datasource(built[0].to_json()["datasource"])  # type: ignore[attr-defined]  # all queries have it
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(query.ref_id(letter))  # type: ignore[attr-defined]  # all builders of queries have it
    return panel


def over_time(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limits: Limits = NONE,
    width: int = THIRD,
    stacked: bool = False,
    link: links.Link | None = None,
) -> Panel:
    """Lines over time. Limits are drawn."""
    panel = timeseries.Panel().min(0).fill_opacity(10).show_points(model.VisibilityMode.NEVER)
    _furnish(panel, title, description, unit, queries, limits, (width, 8))
    legend = (
        common.VizLegendOptions().display_mode(model.LegendDisplayMode.TABLE).placement(model.LegendPlacement.BOTTOM)
    )
    panel.legend(legend.show_legend(True).calcs(["mean", "max", "lastNotNull"]))
    panel.tooltip(common.VizTooltipOptions().mode(model.TooltipDisplayMode.MULTI).sort(model.SortOrder.DESCENDING))
    if limits.drawn:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(model.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(common.StackingConfig().mode(model.StackingMode.NORMAL))
    if link is not None:
        panel.override_by_regexp(".*", [DynamicConfigValue(id_val="links", value=[link])])
    return panel


def number(
    title: str, description: str, unit: str, query: Query, *, limits: Limits = NONE, width: int = QUARTER
) -> Panel:
    """One number, coloured by its limits."""
    panel = _furnish(stat.Panel(), title, description, unit, [query], limits, (width, 4))
    return panel.graph_mode(model.BigValueGraphMode.NONE).reduce_options(_last_value())


def shares(title: str, description: str, unit: str, query: Query, *, width: int = THIRD) -> Panel:
    """Parts of a whole."""
    panel = _furnish(piechart.Panel(), title, description, unit, [query], NONE, (width, 8))
    return panel.reduce_options(_last_value())


def bars(title: str, description: str, unit: str, query: Query, *, limits: Limits = NONE, width: int = THIRD) -> Panel:
    """One bar a series."""
    panel = _furnish(bargauge.Panel().min(0), title, description, unit, [query], limits, (width, 8))
    return panel.reduce_options(_last_value()).orientation(model.VizOrientation.HORIZONTAL)


def _last_value() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def latency_map(title: str, description: str, unit: str, query: Query, *, width: int = HALF) -> Panel:
    """How often each latency occurred, over time, from the buckets of a histogram."""
    return _furnish(heatmap.Panel().calculate(False), title, description, unit, [query], NONE, (width, 8)).y_axis(
        heatmap.YAxisConfig().unit(unit)
    )


def latency_map_of_rows(title: str, description: str, unit: str, query: Query, *, width: int = HALF) -> Panel:
    """How often each latency occurred, over time, from single measurements."""
    scale = common.ScaleDistributionConfig().type(model.ScaleDistribution.LOG).log(2)
    by_size = common.HeatmapCalculationBucketConfig().scale(scale)
    panel = heatmap.Panel().calculate(True).calculation(common.HeatmapCalculationOptions().y_buckets(by_size))
    return _furnish(panel, title, description, unit, [query], NONE, (width, 8)).y_axis(heatmap.YAxisConfig().unit(unit))


def states(title: str, description: str, query: Query, *, width: int = HALF) -> Panel:
    """A band a series that is green at 1 and red at 0."""
    limits = Limits(critical=1, low=True)
    return _furnish(statetimeline.Panel(), title, description, "bool_on_off", [query], limits, (width, 8))


def lines(title: str, description: str, query: Query, *, width: int = FULL, height: int = 10) -> Panel:
    """Log lines, the newest first, with what they carry to unfold."""
    panel = logs.Panel().show_time(True).wrap_log_message(True).enable_log_details(True).prettify_log_message(False)
    panel.sort_order(model.LogsSortOrder.DESCENDING).dedup_strategy(model.LogsDedupStrategy.NONE)
    return _furnish(panel, title, description, "string", [query], NONE, (width, height))


def grid(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    units: Mapping[str, str] | None = None,
    limits: Limits = NONE,
    limited: str | None = None,
    width: int = FULL,
) -> Panel:
    """Rows and columns.

    Args:
        title: What it shows.
        description: What that means, and what to do with it.
        unit: That of the numbers in columns that `units` does not name.
        query: Where the rows come from.
        units: Column to its unit.
        limits: Colour the cells of the column `limited`.
        limited: The column that has limits.
        width: Of 24.

    A column request_id links to the log lines of the request and to its look-up; the column endpoint to its errors.
    """
    panel = _furnish(table.Panel(), title, description, unit, [query], limits, (width, 9))
    to_request = [links.to_logs_of("${__value.raw}"), links.to_request("${__value.raw}")]
    panel.override_by_name("request_id", [DynamicConfigValue(id_val="links", value=to_request)])
    panel.override_by_name(
        "endpoint", [DynamicConfigValue(id_val="links", value=[links.to_errors_of("${__value.raw}")])]
    )
    panel.override_by_name("Time", [DynamicConfigValue(id_val="custom.hidden", value=True)])
    for column, its_unit in (units or {}).items():
        panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=its_unit)])
    if limited is not None:
        coloured = {"type": "color-background", "mode": "basic"}
        panel.override_by_name(limited, [DynamicConfigValue(id_val="custom.cellOptions", value=coloured)])
    return panel
