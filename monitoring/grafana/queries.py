"""What a panel asks its data source."""

from __future__ import annotations

from grafana_foundation_sdk.builders import loki, prometheus
from grafana_foundation_sdk.cog import builder, variants
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${prometheus}")
LOKI = DataSourceRef(type_val="loki", uid="${loki}")
POSTGRES = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${postgres}")

Query = builder.Builder[variants.Dataquery]


def grown(counter: str, selector: str, by: str, window: str) -> str:
    """PromQL of how much a counter grew within `window`, summed by labels.

    increase() alone does not see the first error of its kind: the series begins with it. Here a series that was not
    there in the hour before the window has grown by its first value too.
    """
    series = f"{counter}{{{selector}}}"
    first = f"(min_over_time({series}[{window}]) unless last_over_time({series}[1h:10m] offset {window}))"
    more = f"increase({series}[{window}])"
    return f"sum by ({by}) (\n  {more} + {first}\n  or {first}\n  or {more}\n)"


def grown_a_second(counter: str, selector: str, by: str) -> str:
    """PromQL of the rate at which a counter grows, the first of its kind included; see `grown`."""
    return f"1000 / $__rate_interval_ms * {grown(counter, selector, by, '$__rate_interval')}"


def or_none(expr: str) -> str:
    """PromQL of a sum or count that is 0 where there is nothing to add up."""
    return f"({expr} or vector(0))"


def over_time(expr: str, legend: str = "__auto", *, exemplar: bool = False) -> Query:
    """PromQL over the shown range. With `exemplar`, request ids are drawn where the samples came from."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).exemplar(exemplar).range().datasource(PROMETHEUS)


def now(expr: str, legend: str = "__auto") -> Query:
    """PromQL at the end of the shown range, one number a series."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).instant().datasource(PROMETHEUS)


def rows(expr: str) -> Query:
    """PromQL at the end of the shown range, as a table with a column for each label."""
    return prometheus.Dataquery().expr(expr).format(PromQueryFormat.TABLE).instant().datasource(PROMETHEUS)


def buckets(histogram: str, selector: str) -> Query:
    """The growth of a histogram's buckets, for a heatmap, with exemplars."""
    expr = f"sum by (le) (increase({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    query = prometheus.Dataquery().expr(expr).legend_format("{{le}}").format(PromQueryFormat.HEATMAP)
    return query.exemplar(True).range().datasource(PROMETHEUS)


def percentiles(histogram: str, selector: str) -> list[Query]:
    """p50, p95 and p99 of a histogram, with exemplars."""
    by_bucket = f"sum by (le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return [
        over_time(f"histogram_quantile({quantile}, {by_bucket})", name, exemplar=True)
        for quantile, name in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))
    ]


def percentile_by(label: str, histogram: str, selector: str) -> Query:
    """p95 of a histogram for each value of a label, with exemplars."""
    by_bucket = f"sum by ({label}, le) (rate({histogram}_bucket{{{selector}}}[$__rate_interval]))"
    return over_time(f"histogram_quantile(0.95, {by_bucket})", f"{{{{{label}}}}}", exemplar=True)


def log_lines(expr: str) -> Query:
    """LogQL that gives lines, the newest first."""
    return loki.Dataquery().expr(expr).query_type("range").datasource(LOKI)


def log_counts(expr: str, legend: str) -> Query:
    """LogQL that counts over the shown range."""
    return loki.Dataquery().expr(expr).legend_format(legend).query_type("range").datasource(LOKI)


class _SqlQuery(variants.Dataquery):
    """What Grafana's PostgreSQL data source is asked."""

    def __init__(self, text: str, format_: str) -> None:
        self.text = text
        self.format = format_
        self.ref_id = ""

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": self.format,
            "rawQuery": True,
            "rawSql": self.text,
            "refId": self.ref_id,
        }


class _SqlBuilder(builder.Builder[variants.Dataquery]):
    def __init__(self, text: str, format_: str) -> None:
        self._query = _SqlQuery(text, format_)

    def ref_id(self, ref_id: str) -> _SqlBuilder:
        self._query.ref_id = ref_id
        return self

    def build(self) -> variants.Dataquery:
        return self._query


def sql(text: str) -> Query:
    """SQL whose rows are shown as they are."""
    return _SqlBuilder(_stripped(text), "table")


def sql_over_time(text: str) -> Query:
    """SQL with a column `time`; each other column is a series."""
    return _SqlBuilder(_stripped(text), "time_series")


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
