"""The telemetry contract against a table of its own, taken from the conventions: names, units, buckets, attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from huddle_otel import SpendGuard, tags
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.telemetry import contract
from tests.client.support import SAY, Instrument, Recorded

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SERIES = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.model",
    "server.address",
    "server.port",
}
CONVENTIONAL: list[tuple[str, str, tuple[float, ...], set[str]]] = [
    ("gen_ai.client.operation.duration", "s", SECONDS, SERIES | {"error.type"}),
    ("gen_ai.client.token.usage", "{token}", TOKENS, SERIES | {"gen_ai.token.type"}),
    ("gen_ai.client.operation.time_to_first_chunk", "s", SECONDS, SERIES),
    ("gen_ai.client.operation.time_per_output_chunk", "s", SECONDS, SERIES),
]
HISTOGRAMS = [*CONVENTIONAL, ("huddle.client.attempt.time_to_first_chunk", "s", SECONDS, SERIES)]
OWN: list[tuple[str, str, str]] = [
    ("huddle.client.calls", "counter", "{call}"),
    ("huddle.client.cost.usd", "counter", "{USD}"),
    ("huddle.client.cost.unknown", "counter", "{call}"),
    ("huddle.client.cost.waste.usd", "counter", "{USD}"),
    ("huddle.client.cost.difference.usd", "updowncounter", "{USD}"),
    ("huddle.client.wait", "counter", "s"),
    ("huddle.client.budget.used.usd", "gauge", "{USD}"),
    ("huddle.client.budget.limit.usd", "gauge", "{USD}"),
    ("huddle.client.tokens", "counter", "{token}"),
    ("huddle.client.attempts", "counter", "{attempt}"),
    ("huddle.client.in_flight", "updowncounter", "{call}"),
    ("huddle.client.stream.faults", "counter", "{fault}"),
    ("huddle.client.double_billing.possible", "counter", "{call}"),
    ("huddle.client.ratelimit.remaining", "gauge", "{unit}"),
    ("huddle.telemetry.errors", "counter", "{error}"),
]
BY_NAME = {metric.name: metric for metric in contract.METRICS}


@pytest.mark.parametrize(("name", "unit", "buckets", "attributes"), HISTOGRAMS, ids=[row[0] for row in HISTOGRAMS])
def test_histograms(name: str, unit: str, buckets: tuple[float, ...], attributes: set[str]) -> None:
    metric = BY_NAME[name]
    assert (metric.kind, metric.unit, metric.buckets) == ("histogram", unit, buckets)
    assert set(metric.attributes) == attributes


@pytest.mark.parametrize(("name", "kind", "unit"), OWN, ids=[row[0] for row in OWN])
def test_own_metrics(name: str, kind: str, unit: str) -> None:
    metric = BY_NAME[name]
    assert (metric.kind, metric.unit, metric.buckets) == (kind, unit, ())
    assert metric.attributes


def test_names_are_unique_and_nothing_of_ours_claims_to_be_conventional() -> None:
    names = [metric.name for metric in contract.METRICS]
    assert len(set(names)) == len(names)
    assert {name for name in names if name.startswith("gen_ai.")} == {row[0] for row in CONVENTIONAL}
    assert all(name.startswith(("gen_ai.", "huddle.")) for name in names)
    assert {row[0] for row in OWN} <= set(names)


def test_units_survive_a_scrape() -> None:
    """A bare `1` becomes `_ratio` on one path and nothing on the other; seconds and annotations agree on both."""
    assert all(metric.unit == "s" or metric.unit[0] + metric.unit[-1] == "{}" for metric in contract.METRICS)
    assert all(metric.description.endswith(".") for metric in contract.METRICS)


@pytest.fixture
def _everything(gateway: Gateway, instrument: Instrument, make: Callable[..., Any]) -> None:
    """Calls that touch every metric there is at this point."""
    instrument(tag_metrics=["team"], spend_guard=SpendGuard(limit=1))
    client = make(openai.OpenAI)
    gateway.script([Rule(faults.status(500), calls={0}), Rule(faults.error_frame(2), model="broken")])
    with tags(team="search", secret="not-on-metrics"):
        client.chat.completions.create(**SAY)
        list(client.chat.completions.create(**SAY, stream=True))
        client.chat.completions.create(**{**SAY, "model": "unpriced-model"})
        with pytest.raises(openai.APIError):
            list(client.chat.completions.create(**{**SAY, "model": "broken"}, stream=True))


@pytest.mark.usefixtures("_everything")
def test_what_is_emitted_is_what_the_contract_says(recorded: Recorded) -> None:
    """Names, units, buckets and attribute keys as they come out of the SDK."""
    emitted = recorded.metrics()
    by_name = {row[0]: row for row in CONVENTIONAL}
    units = {row[0]: row[2] for row in OWN}
    assert set(by_name) <= set(emitted)
    assert set(emitted) <= set(BY_NAME)
    assert {row[0] for row in OWN} - set(emitted) <= {"huddle.telemetry.errors"}
    for name, metric in emitted.items():
        allowed = set(BY_NAME[name].attributes)
        if "tags" in allowed:
            allowed = allowed - {"tags"} | {"team"}
        for point in metric.data.data_points:
            assert set(point.attributes) <= allowed, name
            assert "" not in point.attributes.values() or name == "huddle.client.attempts"
            if name in by_name:
                assert point.explicit_bounds == by_name[name][2]
        assert metric.unit == (by_name[name][1] if name in by_name else units.get(name, metric.unit))


@pytest.mark.usefixtures("_everything")
def test_streams_and_plain_calls_share_their_series(recorded: Recorded) -> None:
    points = recorded.points("gen_ai.client.operation.duration")
    (point,) = [point for key, point in points.items() if ("gen_ai.request.model", "gpt-4.1") in key]
    assert point.count == 2


@pytest.mark.usefixtures("_everything")
def test_only_allow_listed_tags_are_on_metrics_and_all_are_on_spans(recorded: Recorded) -> None:
    for name in ("huddle.client.cost.usd", "huddle.client.tokens"):
        assert {dict(key).get("team") for key in recorded.points(name)} == {"search"}
    assert "not-on-metrics" not in str(recorded.metrics())
    for span in recorded.spans:
        assert (span.attributes or {})["huddle.tag.team"] == "search"
        assert (span.attributes or {})["huddle.tag.secret"] == "not-on-metrics"
