"""Every query of every board and rule, run against a live Prometheus."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

import huddle_otel_dashboards
from huddle_otel.cli.prometheus import Prometheus, PrometheusError, QueryError
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel_dashboards import alerts
from huddle_otel_dashboards.alerts import Alert, Fleet, Recording
from huddle_otel_dashboards.alerts.fleet import AGGREGATES
from huddle_otel_dashboards.reading import Asked, asked
from huddle_otel_dashboards.series import every_name
from huddle_otel_dashboards.substitution import Window

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_NEEDS: Final[Mapping[Metric, str]] = {
    contract.BUDGET_USED: "no spend limit is set",
    contract.BUDGET_LIMIT: "no spend limit is set",
    contract.RATELIMIT: "the gateway states no limits",
    contract.TRANSITIONS: "no circuit has changed its state",
    contract.FIRST_CHUNK: "no streams",
    contract.ATTEMPT_CHUNK: "no streams",
    contract.PER_CHUNK: "no streams",
    contract.COST_USD: "no call has had a price",
}
"""Metrics that may be absent though all is well -> what that means."""
_MAY_LACK: Final = {name: why for metric, why in _NEEDS.items() for name in every_name(metric)}
_EMITTED: Final = frozenset(name for metric in contract.METRICS for name in every_name(metric))
_FLEETS: Final = frozenset(each.name for each in AGGREGATES)
RULES: Final = "rules"
"""Stands for a board in the checks of rules."""


class Status(StrEnum):
    """What came of a query."""

    OK = "ok"
    EMPTY = "empty"
    """It is in order, and there is nothing to show."""
    MISSING = "missing"
    """It asks for a metric of which Prometheus has no series."""
    ERROR = "error"
    """Prometheus refuses it."""
    SKIPPED = "skipped"
    """It is not for Prometheus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One query and what came of it."""

    board: str
    """A board's uid, or `rules`."""
    panel: str
    """A panel's title, or a rule's name."""
    query: str
    """As it was run."""
    status: Status
    missing: tuple[str, ...] = ()
    """Metrics of which there are no series."""
    note: str = ""

    def bad(self, *, strict: bool = False) -> bool:
        """Tell whether somebody should look; when strict, also where there is nothing to show."""
        return self.status in {Status.MISSING, Status.ERROR} or (strict and self.status is Status.EMPTY)


def validate(
    url: str,
    *,
    fleet: bool = False,
    token: str = "",
    seconds: float = 3_600.0,
    scrape: float = 15.0,
    now: float | None = None,
) -> list[Check]:
    """Run every query of every board and rule.

    Args:
        url: A Prometheus server's, or of what speaks its API.
        fleet: The boards for a fleet, and what is recorded for them.
        token: Bearer token; empty for none.
        seconds: How far the boards look back, s.
        scrape: Scrape interval, s, from which `$__rate_interval` follows.
        now: Unix time at which they look, s; the present when None.

    Returns:
        A check for each query, in the boards' order, then the rules'.

    Raises:
        PrometheusError: The server cannot be asked.
        ValueError: A number is out of its range.
    """
    window = Window(end=time.time() if now is None else now, seconds=seconds, scrape=scrape)
    rules = [rule for group in alerts.rules(fleet=Fleet() if fleet else None) for rule in group.rules]
    known = _EMITTED | {rule.name for rule in rules if isinstance(rule, Recording)}
    prometheus = Prometheus(url, token=token)
    try:
        absent = known.difference(prometheus.existing(known, start=window.start, end=window.end))
    except QueryError as error:
        raise PrometheusError(f"{prometheus.url} does not say which metrics it has: {error}") from None
    checks = [
        _of_panel(prometheus, name, each, absent)
        for name in huddle_otel_dashboards.names(fleet=fleet)
        for each in asked(json.loads(huddle_otel_dashboards.read(name)), window)
    ]
    return checks + [_of_rule(prometheus, rule, window.end, absent) for rule in rules]


def _of_panel(prometheus: Prometheus, board: str, each: Asked, absent: frozenset[str]) -> Check:
    check = Check(board=board, panel=each.panel, query=each.query, status=Status.OK)
    if each.source != "prometheus":
        return replace(check, status=Status.SKIPPED, note=f"for {each.source}")
    window = each.window
    at_its_end = partial(prometheus.instant, time=window.end)
    over_it = partial(prometheus.range, start=window.start, end=window.end, step=window.step)
    judged = _judged(check, at_its_end if each.instant else over_it, absent)
    quiet = each.mark and judged.status is Status.EMPTY
    return replace(judged, status=Status.OK, note="nothing to mark") if quiet else judged


def _of_rule(prometheus: Prometheus, rule: Alert | Recording, now: float, absent: frozenset[str]) -> Check:
    check = Check(board=RULES, panel=rule.name, query=rule.expr, status=Status.OK)
    judged = _judged(check, partial(prometheus.instant, time=now), absent)
    silent = isinstance(rule, Alert) and judged.status is Status.EMPTY
    return replace(judged, status=Status.OK, note="does not fire") if silent else judged


def _judged(check: Check, ask: Callable[[str], Sequence[object]], absent: frozenset[str]) -> Check:
    """Return a check with what came of it."""
    lacking = sorted(absent.intersection(_NAME.findall(_STRING.sub("", check.query))))
    try:
        found = ask(check.query)
    except QueryError as error:
        return replace(check, status=Status.ERROR, note=str(error))
    missing = tuple(name for name in lacking if name not in _MAY_LACK)
    if missing:
        return replace(check, status=Status.MISSING, missing=missing, note=_meaning(missing))
    if found:
        return check
    return replace(check, status=Status.EMPTY, note=", ".join(dict.fromkeys(_MAY_LACK[name] for name in lacking)))


def _meaning(missing: tuple[str, ...]) -> str:
    if not any(":" in name for name in missing):
        return ""
    option = "" if _FLEETS.isdisjoint(missing) else " --fleet"
    return f"the recording rules are not loaded: huddle-otel dashboards alerts{option}"
