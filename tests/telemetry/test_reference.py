"""docs/telemetry.md is what the contract says, and the contract's every name is in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import openai
import pytest

from huddle_otel import ContentPolicy, tags
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.telemetry import contract, reference
from tests.client.support import SAY, Instrument, Recorded

TREE = Path(__file__).parents[2]
KNOWN = {row.name for row in (*reference.START, *reference.ANSWER, *reference.END, *reference.CONTENT)}


def _generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_telemetry_doc", TREE / "tools" / "make_telemetry_doc.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    generator = _generator()
    assert generator.page() == (TREE / "docs" / "telemetry.md").read_text(encoding="utf-8"), (
        "run tools/make_telemetry_doc.py"
    )


def test_every_name_of_the_contract_is_explained() -> None:
    page = _generator().page()
    names: set[str] = set()
    for value in (value for name, value in vars(contract).items() if name.isupper()):
        names |= {value} if isinstance(value, str) else set(value.values()) if isinstance(value, dict) else set()
    dotted = {name for name in names if name.startswith(("gen_ai.", "huddle.", "openai.", "http.", "error."))}
    assert {name for name in dotted if f"`{name}" not in page} == set()
    assert all(f"`{metric.name}`" in page for metric in contract.METRICS)


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_on_a_span_that_is_not_explained(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, stream: bool
) -> None:
    gateway.script([Rule(faults.status(503), calls={0}), Rule(faults.status(500), model="down")])
    instrument(content=ContentPolicy(), fallbacks={"down": ("gpt-4.1",)})
    with openai.OpenAI() as client, tags(team="search"):
        for model in ("gpt-4.1", "down"):
            answer: Any = client.chat.completions.create(
                **{**SAY, "model": model}, stream=stream, temperature=0.5, max_tokens=9, stop=["x"], n=1, seed=1
            )
            if stream:
                list(answer)
    for span in recorded.spans:
        assert {name for name in span.attributes or {} if not name.startswith(contract.TAG_PREFIX)} <= KNOWN
        for event in span.events:
            _, rows = reference.EVENTS[event.name]
            assert set(event.attributes or {}) <= {row.name for row in rows}
