"""One `/metrics` from the ledger: the figures of a scrape of each process, in counters that never fall."""

from __future__ import annotations

import json
import math
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import HistogramDataPoint
from prometheus_client.openmetrics.parser import text_string_to_metric_families

import huddle_otel
from huddle_otel.cli.serve.counters import Counters
from huddle_otel.cli.serve.measures import COUNTED, MEASURED, MONEY
from huddle_otel.cli.serve.metrics import exposition
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.spend import nano
from huddle_otel.telemetry import contract
from huddle_otel_exporters import names
from huddle_otel_exporters.part import Part
from tests.cli.serving import put, serving
from tests.client.support import SAY, Instrument, Recorded
from tests.exporters.test_ledger import RECORD

OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
CALLS: Final = "huddle_client_calls_total"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def follow(path: Path) -> Callable[[], Counters]:
    """`follow()`: begin to count where the ledger ends."""

    def begin() -> Counters:
        counters = Counters(path)
        counters.begin()
        return counters

    return begin


def scrape(counters: Counters) -> Samples:
    """Scrape in OpenMetrics, whose parser is strict, and return every sample."""
    body, kind = exposition(counters, OPENMETRICS)
    assert kind.startswith("application/openmetrics-text")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(value for (each, has), value in samples.items() if each == name and labels.items() <= set(has))


def test_the_ledger_counts_as_the_process_does(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, path: Path, make: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.setitem(names.BUILDERS, "kept", lambda _: Part(ledger=lambda record: put(path, record)))
    monkeypatch.setattr(names, "_current", None)
    instrument(exporters="kept", prices={"gpt-4.1": {"input": 2, "output": 8}}, tag_metrics=("team", "feature"))
    counters, client = Counters(path, tags=("team", "feature")), make(openai.OpenAI)
    counters.begin()
    with huddle_otel.tags(team="search", user="u-1"):
        client.chat.completions.create(**SAY)
    list(client.chat.completions.create(**SAY, stream=True))
    client.chat.completions.create(**SAY, stream=True).close()
    gateway.script([Rule(faults.status(503), calls={0})])
    client.chat.completions.create(**SAY)
    gateway.script([Rule(faults.status(400), calls={0})])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**SAY)
    client.embeddings.create(model="text-embedding-3-small", input="hi")
    huddle_otel.flush()
    counters.catch_up()
    for metric in COUNTED:
        here = {frozenset(labels): amount for labels, amount in counters.sums[metric].items() if amount}
        there = {labels: value for labels, value in recorded.points(metric.name).items() if value}
        assert here == {labels: nano(value) if metric in MONEY else value for labels, value in there.items()}, (
            metric.name
        )
    for metric in MEASURED:
        points: dict[Any, HistogramDataPoint] = {
            frozenset((name, value) for name, value in key if name != contract.SERVER_PORT): point
            for key, point in recorded.points(metric.name).items()
        }
        assert {frozenset(key) for key in counters.histograms[metric]} == set(points), metric.name
        for key, histogram in counters.histograms[metric].items():
            point = points[frozenset(key)]
            assert histogram.counts == list(point.bucket_counts)
            assert math.isclose(histogram.total, point.sum, rel_tol=1e-9)
    assert counters.sums[contract.CALLS]


def test_counting_begins_at_zero_with_the_series_that_were_there(path: Path, follow: Callable[[], Counters]) -> None:
    put(path, *[RECORD] * 5, replace(RECORD, outcome="error", error_type="503", cost=None, answered=False))
    counters = follow()
    samples = scrape(counters)
    assert len([key for key in samples if key[0] == CALLS]) == 2
    assert set(samples.values()) == {0.0}
    put(path, RECORD)
    samples = scrape(counters)
    assert total(samples, CALLS, huddle_outcome="ok", model="gpt-4.1") == 1
    assert total(samples, "huddle_client_cost_usd_total", source="gateway") == 0.000088
    assert total(samples, "huddle_client_tokens_total", type="cache_read") == 4
    assert total(samples, "gen_ai_client_operation_duration_seconds_bucket", le="1.28") == 0
    assert total(samples, "gen_ai_client_operation_duration_seconds_bucket", le="2.56") == 1
    assert total(samples, "gen_ai_client_operation_duration_seconds_count") == 1
    assert total(samples, "gen_ai_client_operation_duration_seconds_sum") == 1.5


def test_a_cost_nobody_knows_is_counted_and_not_added(path: Path, follow: Callable[[], Counters]) -> None:
    counters = follow()
    put(path, replace(RECORD, cost=None, cost_source="unknown"))
    samples = scrape(counters)
    assert total(samples, "huddle_client_cost_unknown_total", model="gpt-4.1") == 1
    assert not [key for key in samples if key[0] == "huddle_client_cost_usd_total"]


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(["call", "trim", "empty", "replace", "remove", "scrape"]), max_size=12))
def test_counters_never_fall_and_miss_no_call(steps: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    counters = Counters(path)
    counters.begin()
    seen, made = 0.0, 0
    for step in [*steps, "call", "scrape"]:
        if step == "call":
            made += 1
            put(path, replace(RECORD, started=RECORD.started + made))
        elif step == "scrape":
            now = total(scrape(counters), CALLS)
            assert now >= seen
            assert now == made
            seen = now
        elif path.exists():
            assert total(scrape(counters), CALLS) == made  # what is not read before it goes is gone
            seen = made
            _harm(path, step)


def _harm(path: Path, step: str) -> None:
    if step in {"remove", "replace"}:
        path.rename(path.with_name(f"{time.monotonic_ns()}.old"))  # the inode stays taken
    if step == "replace":
        put(path)
    if step in {"trim", "empty"}:
        with closing(sqlite3.connect(path)) as connection, connection:
            kept = 0 if step == "empty" else 1
            connection.execute("DELETE FROM calls WHERE id <= (SELECT max(id) FROM calls) - ?", (kept,))


def test_models_are_bounded(path: Path, follow: Callable[[], Counters]) -> None:
    counters = follow()
    put(path, *(replace(RECORD, model=f"model-{number}", response_model=None) for number in range(250)))
    samples = scrape(counters)
    assert total(samples, CALLS) == 250
    assert total(samples, CALLS, model="other") == 50


def test_spend_and_tokens_are_told_by_the_tags_that_are_asked_for(path: Path) -> None:
    counters = Counters(path, tags=("team", "paid", "feature.name"))
    counters.begin()
    sets: list[dict[str, Any]] = [{"team": "ads", "paid": True, "user": "u"}, {"feature.name": 'a"b', "team": 7}, {}]
    put(path, *(replace(RECORD, tags=tags) for tags in sets))
    samples = scrape(counters)
    cost = "huddle_client_cost_usd_total"
    told = {frozenset(dict(labels).items()) for name, labels in samples if name == cost}
    same = {"model": "gpt-4.1", "source": "gateway"}
    assert told == {
        frozenset({**same, "team": "ads", "paid": "true"}.items()),
        frozenset({**same, "team": "7", "feature_name": 'a"b'}.items()),
        frozenset(same.items()),
    }
    assert total(samples, "huddle_client_tokens_total", type="input", team="ads") == 12
    assert total(samples, CALLS) == 3
    assert not [key for key in samples if key[0] == CALLS and "team" in dict(key[1])]


def test_sets_of_tags_are_bounded(path: Path) -> None:
    counters = Counters(path, tags=("user",))
    counters.begin()
    put(path, *(replace(RECORD, tags={"user": f"u-{number}"}) for number in range(250)), replace(RECORD, tags={}))
    samples = scrape(counters)
    assert math.isclose(total(samples, "huddle_client_cost_usd_total"), 251 * 0.000088)
    assert math.isclose(total(samples, "huddle_client_cost_usd_total", user="other"), 50 * 0.000088)
    assert len([key for key in samples if key[0] == "huddle_client_cost_usd_total"]) == 202


@pytest.mark.parametrize("text", ["{", "[]", "null", "7", '{"team": null}'])
def test_tags_that_no_writer_of_ours_makes_are_survived(path: Path, text: str) -> None:
    put(path)
    counters = Counters(path, tags=("team",))
    counters.begin()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO calls (model, outcome, cost, tags) VALUES ('m', 'ok', 5, ?)", (text,))
    assert total(scrape(counters), CALLS) == 1


@pytest.mark.parametrize("tags", ["model", "team,source", "a.b,a_b", "9th", "type"])
def test_a_tag_that_cannot_be_a_label_is_refused(command: Any, path: Path, tags: str) -> None:
    done = command("serve", "--ledger", str(path), "--port", "0", "--tags", tags)
    assert (done.code, done.out) == (2, "")
    assert "--tags" in done.err
    assert "different labels, none of model, source, type" in done.err


def test_hostile_names_stay_labels(path: Path, follow: Callable[[], Counters]) -> None:
    counters = follow()
    put(path, replace(RECORD, model='a"} 1\n# HELP x\\'))
    samples = scrape(counters)
    assert total(samples, CALLS, model='a"} 1\n# HELP x\\') == 1


def test_both_text_formats_are_served(path: Path) -> None:
    put(path, RECORD)
    with serving(path) as served:
        plain, strict = served.ask("/metrics"), served.ask("/metrics", Accept=OPENMETRICS)
    assert plain.headers["Content-Type"].startswith("text/plain")
    assert strict.headers["Content-Type"].startswith("application/openmetrics-text")
    assert strict.text.endswith("# EOF\n")
    for name in ("huddle_client_calls", "gen_ai_client_operation_duration_seconds"):
        assert f"# TYPE {name}" in plain.text
        assert f"# TYPE {name}" in strict.text


def test_without_a_ledger_there_are_no_samples_yet(path: Path) -> None:
    with serving(path) as served:
        assert not [line for line in served.ask("/metrics").text.splitlines() if not line.startswith("#")]
        put(path, RECORD)
        assert 'model="gpt-4.1"} 1.0' in served.ask("/metrics").text


def test_a_missing_extra_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.exposition", None)
    with serving(path) as served:
        told = served.ask("/metrics")
    assert told.status == 501
    assert told.text == "/metrics needs prometheus-client: pip install 'huddle-otel[prometheus]'\n"


def test_names_are_the_contracts() -> None:
    assert {metric.name for metric in (*COUNTED, *MEASURED)} <= {metric.name for metric in contract.METRICS}
    assert json.dumps(sorted(metric.name for metric in MONEY)) == json.dumps(
        sorted(metric.name for metric in COUNTED if metric.unit == "{USD}")
    )
