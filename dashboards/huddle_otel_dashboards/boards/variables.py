"""What can be chosen at the top of every board, and what is marked in every graph."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.models import dashboard as model

from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts import RUNBOOK
from huddle_otel_dashboards.boards.panels import METRICS
from huddle_otel_dashboards.boards.queries import JOB, Reader
from huddle_otel_dashboards.series import label

ALL: Final = ".*"
"""Matches a series without the label, too."""


def common(read: Reader) -> list[model.VariableModel]:
    """Return the variables of all boards."""
    calls, chosen = read.counter(contract.CALLS), f"{{{read.target}}}"
    instance = _values("instance", "Instance", f"label_values({calls}{{{JOB}}}, instance)")
    return [
        source("datasource", "Metrics", "prometheus"),
        _values("job", "Job", f"label_values({calls}, job)"),
        *([instance] if "$instance" in read.target else []),
        _values("model", "Model", f"label_values({calls}{chosen}, {label(contract.MODEL)})"),
        _values("operation", "Operation", f"label_values({calls}{chosen}, {label(contract.OPERATION)})"),
        _constant("runbook", RUNBOOK),  # `huddle-otel dashboards export --runbook-url` sets it
    ]


def upstream_of_model(read: Reader) -> str:
    """Return the link from a model's name in a table to what its upstream does."""
    board = f"/d/{read.prefix}-upstream?var-model=${{__value.raw:percentencode}}"
    return f"{board}&${{datasource:queryparam}}&${{job:queryparam}}&${{__url_time_range}}"


def text(name: str, title: str, value: str, description: str) -> model.VariableModel:
    """Return a variable that is typed in."""
    return model.VariableModel(
        type_val=model.VariableType.TEXTBOX,
        name=name,
        label=title,
        description=description,
        query=value,
        current=_option(value),
        options=[_option(value)],
    )


def marks(read: Reader) -> list[model.AnnotationQuery]:
    """Return the marks: a circuit opened, a circuit closed again."""
    state, circuit = read.levels(contract.BREAKER, "max"), label(contract.CIRCUIT)
    before = f"{state} offset $__interval"
    # compared before they are put together: most circuits are closed, and then there is nothing to put together
    opened = f"max by ({circuit}) ({state} == 2) unless max by ({circuit}) ({before} == 2)"
    closed = f"max by ({circuit}) ({state} == 0 and {before} > 0) unless max by ({circuit}) ({state} > 0)"
    return [_mark("Circuit opened", "red", opened), _mark("Circuit closed", "green", closed)]


def _mark(title: str, colour: str, expr: str) -> model.AnnotationQuery:
    return model.AnnotationQuery(
        name=title,
        datasource=METRICS,
        icon_color=colour,
        expr=expr,
        title_format=title,
        text_format=f"{{{{{label(contract.CIRCUIT)}}}}}",
        tag_keys=label(contract.CIRCUIT),
        use_value_for_time=False,
    )


def source(name: str, title: str, kind: str) -> model.VariableModel:
    """Return a variable that chooses among the data sources of a kind."""
    return model.VariableModel(
        type_val=model.VariableType.DATASOURCE,
        name=name,
        label=title,
        query=kind,
        refresh=model.VariableRefresh.ON_DASHBOARD_LOAD,
    )


def _values(name: str, title: str, query: str) -> model.VariableModel:
    return model.VariableModel(
        type_val=model.VariableType.QUERY,
        name=name,
        label=title,
        datasource=METRICS,
        query={"query": query, "refId": "StandardVariableQuery"},
        definition=query,
        refresh=model.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=model.VariableSort.ALPHABETICAL_ASC,
        multi=True,
        include_all=True,
        all_value=ALL,
        current=model.VariableOption(selected=True, text=["All"], value=["$__all"]),
        options=[],
    )


def _constant(name: str, value: str) -> model.VariableModel:
    return model.VariableModel(
        type_val=model.VariableType.CONSTANT,
        name=name,
        hide=model.VariableHide.HIDE_VARIABLE,
        query=value,
        current=_option(value),
        options=[_option(value)],
        skip_url_sync=True,
    )


def _option(value: str) -> model.VariableOption:
    return model.VariableOption(selected=True, text=value, value=value)
