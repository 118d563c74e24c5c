"""The packaged catalogue and its generator."""

from __future__ import annotations

import importlib.util
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from huddle_otel.spend import PriceTable, catalogue
from huddle_otel.spend.money import nano
from huddle_otel.spend.names import VENDOR_PREFIXES

ROOT = Path(__file__).parents[2]
PACKAGED = Path(str(resources.files("huddle_otel.spend"))) / "catalogue.json"


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_catalogue", ROOT / "tools" / "make_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_forty_one_ids_of_which_forty_are_priced() -> None:
    models = catalogue()
    assert len({model.id for model in models}) == len(models) == 41
    unpriced = [model for model in models if model.input is None]
    assert [model.id for model in unpriced] == ["deepseek-chat"]
    assert unpriced[0].output is None
    assert unpriced[0].as_of is None
    assert not unpriced[0].estimate
    assert len(PriceTable.catalogue()) == 40


@pytest.mark.parametrize("model", catalogue(), ids=lambda model: model.id)
def test_every_row_is_sound(model: Any) -> None:
    assert (model.input is None) == (model.output is None)
    assert model.cache_read is None  # not stated by the source, which is not the same as free
    assert model.cache_write is None
    assert model.vendor in VENDOR_PREFIXES
    assert "/" not in model.id
    assert model.estimate == (model.input is not None)
    if model.input is not None:
        rate_in, rate_out = nano(model.input), nano(model.output)
        assert rate_in is not None
        assert rate_out is not None
        assert 0 < rate_in <= rate_out
        assert "2026-04-01" <= model.as_of <= "2026-04-30"
        assert model.max_output <= model.context_window


def test_the_file_states_where_it_comes_from() -> None:
    raw = json.loads(PACKAGED.read_text(encoding="utf-8"))
    assert raw["currency"] == "USD per 1M tokens"
    assert "not an official price list" in raw["provenance"]
    assert all(source.startswith("https://") for source in raw["sources"])


def test_the_committed_file_is_what_the_generator_writes() -> None:
    text = PACKAGED.read_text(encoding="utf-8")
    assert generator().render(json.loads(text)["models"]) == text


def test_the_generator_keeps_decimals_and_missing_values(tmp_path: Path) -> None:
    source, first, second = tmp_path / "source.json", tmp_path / "first.json", tmp_path / "second.json"
    source.write_text(
        '{"models": [{"id": "a-1.5", "vendor": "OpenAI", "input_per_1m": 0.0816, "output_per_1m": 15.0,'
        ' "cache_read_per_1m": 1e-3, "price_source_date": "2026-04-08T23:59:40+05:30", "aliases": ["a"],'
        ' "context_window": 10, "max_output_tokens": 5, "note": "dropped"},'
        ' {"id": "b", "vendor": "Meta", "input_per_1m": 100, "output_per_1m": null}]}'
    )
    tool = generator()
    tool.main([str(source), str(first)])
    tool.main([str(source), str(second)])
    assert first.read_bytes() == second.read_bytes()
    assert json.loads(first.read_text())["models"] == [
        {
            "id": "a-1.5",
            "vendor": "OpenAI",
            "input": "0.0816",
            "output": "15",
            "cache_read": "0.001",
            "cache_write": None,
            "context_window": 10,
            "max_output": 5,
            "aliases": ["a"],
            "as_of": "2026-04-08",
            "estimate": True,
        },
        {
            "id": "b",
            "vendor": "Meta",
            "input": "100",
            "output": None,
            "cache_read": None,
            "cache_write": None,
            "context_window": None,
            "max_output": None,
            "aliases": [],
            "as_of": None,
            "estimate": False,
        },
    ]
