"""What all dashboards have in common: variables, links to each other, rows on the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as model

from monitoring.grafana.panels import Panel
from monitoring.grafana.queries import LOKI, POSTGRES, PROMETHEUS

TAG = "reqtrail"
_SOURCES = {
    "prometheus": ("Prometheus", str(PROMETHEUS.type_val)),
    "loki": ("Loki", str(LOKI.type_val)),
    "postgres": ("PostgreSQL", str(POSTGRES.type_val)),
}


def _source(uid: str) -> builders.DatasourceVariable:
    """Return the variable that chooses a data source; it starts with the provisioned one, which has this uid."""
    label, type_ = _SOURCES[uid]
    variable = builders.DatasourceVariable(uid).label(label).type(type_)
    return variable.current(model.VariableOption(text=label, value=uid))


def label_values(name: str, label: str, of: str, description: str) -> builders.QueryVariable:
    """Return the variable that chooses among the values of a Prometheus label; All is every value."""
    variable = builders.QueryVariable(name).label(label).description(description).datasource(PROMETHEUS)
    variable.query({"query": f"label_values({of})", "refId": "A"})
    return _of_many(variable)


def services() -> builders.QueryVariable:
    """Return the variable that chooses among the services that write log lines."""
    variable = builders.QueryVariable("service").label("Service").datasource(LOKI)
    variable.description("Who wrote the log lines.").query({"label": "service", "refId": "A", "stream": "", "type": 1})
    return _of_many(variable)


def _of_many(variable: builders.QueryVariable) -> builders.QueryVariable:
    everything = model.VariableOption(text="All", value="$__all")
    variable.multi(True).include_all(True).all_value(".+").current(everything)
    return variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)


def request_id() -> builders.TextBoxVariable:
    """Return the variable that holds the id of a request; links between the dashboards carry it along."""
    variable = builders.TextBoxVariable("request_id").label("Request id").default_value("")
    return variable.description("The id of a request, as in its X-Request-ID header.")


def dashboard(
    uid: str,
    title: str,
    description: str,
    sources: Sequence[str],
    variables: Sequence[builders.QueryVariable],
    rows: Mapping[str, Sequence[Panel]],
) -> model.Dashboard:
    """Put panels on the grid, row by row.

    Args:
        uid: Part of its address; never changes.
        title: Its name.
        description: What it answers.
        sources: The data sources of its panels and of their links: "prometheus", "loki", "postgres".
        variables: Those of its own.
        rows: Title of a row to its panels, which fill lines of 24 columns.
    """
    made = builders.Dashboard(title).uid(uid).description(description).tags([TAG]).readonly()
    made.time("now-1h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.variables([*map(_source, sources), *variables, request_id()])
    others = builders.DashboardLink("reqtrail").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    made.link(others.keep_time(True).include_vars(True).as_dropdown(False).icon("dashboard"))
    next_id = 1
    for name, panels in rows.items():
        made.with_row(builders.Row(name).id(next_id))
        for panel in panels:
            next_id += 1
            made.with_panel(panel.id(next_id))
        next_id += 1
    return made.build()
