"""The summary adds up what happened."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.metrics import Metrics
from huddle_otel_exporters.console import ConsoleSummary


def test_the_summary_adds_everything_up(capsys: pytest.CaptureFixture[str]) -> None:
    provider = MeterProvider([ConsoleSummary()])
    made = Metrics.on(provider, "1")
    model = (contract.MODEL, "gpt-4.1")
    outcome = contract.OUTCOME
    made.tallies.add_all(
        [
            (contract.CALLS, (model, (outcome, "ok")), 90),
            (contract.CALLS, (model, (outcome, "error")), 7),
            (contract.CALLS, (model, (outcome, "rejected")), 3),
            (contract.ATTEMPTS_MADE, (model, ("result", "ok")), 90),
            (contract.ATTEMPTS_MADE, (model, ("result", "503")), 19),
            (contract.TOKENS_USED, (model, ("type", "input")), 12_345),
            (contract.TOKENS_USED, (model, ("type", "output")), 678),
            (contract.COST_USD, (model, ("source", "gateway")), 0.5),
            (contract.COST_USD, (model, ("source", "catalogue")), 0.25),
            (contract.COST_UNKNOWN, (model,), 2),
            (contract.TRANSITIONS, ((contract.BREAKER_FROM, "closed"), (contract.BREAKER_TO, "open")), 1),
            (contract.TRANSITIONS, ((contract.BREAKER_FROM, "open"), (contract.BREAKER_TO, "half_open")), 1),
        ]
    )
    duration = made._histograms[contract.DURATION.name]
    for seconds in [0.1] * 90 + [1.0] * 10:
        duration.record(seconds, {"model": f"m{seconds}"})
    provider.get_meter("another").create_counter("huddle.client.calls").add(1000)
    provider.shutdown()
    first, second = capsys.readouterr().err.splitlines()
    # rank 95 is the fifth of ten in ]0.64, 1.28], which ends at the longest call: 0.64 + 0.36 * 5 / 10
    assert first == "huddle_otel: 100 calls, 10 errors (7 error, 3 rejected), 12 retried, p95 0.82 s"
    assert second == (
        "huddle_otel: 12,345 tokens in, 678 out, 0.7500 USD and 2 calls nobody could price, circuits opened: 1"
    )


def test_no_calls_are_said_to_be_none(capsys: pytest.CaptureFixture[str]) -> None:
    reader = ConsoleSummary()
    provider = MeterProvider([reader])
    provider.shutdown()
    reader.show()
    assert capsys.readouterr().err == "huddle_otel: no calls\n"
