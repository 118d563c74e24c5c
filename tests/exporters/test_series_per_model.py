"""What each model that is called costs a Prometheus in series: docs/dashboards.md says so, and it must not creep up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai

from huddle_otel_exporters.exposition import Exposition
from tests.client.support import SAY, Instrument, Recorded

MODELS = 10


def test_series_grow_with_models_by_as_much_as_the_docs_say(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    client = make(openai.OpenAI)

    def call(*, stream: bool) -> None:
        for number in range(MODELS):
            answer = client.chat.completions.create(**{**SAY, "model": f"model-{number}"}, stream=stream)
            if stream:
                list(answer)

    def series() -> tuple[int, int]:
        """All of models, and those of the conventions' histograms among them."""
        families = list(Exposition(recorded.reader.get_metrics_data).collect())
        ours = [family for family in families if family.name not in {"target", "huddle_telemetry_errors"}]
        conventional = [family for family in ours if family.name.startswith("gen_ai_")]
        return sum(len(each.samples) for each in ours), sum(len(each.samples) for each in conventional)

    call(stream=False)
    assert series() == (97 * MODELS, 51 * MODELS)
    call(stream=True)
    assert series() == (148 * MODELS, 85 * MODELS)
