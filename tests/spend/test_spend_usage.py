"""Usage folding, on the SDK's own types and on plain mappings."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage
from openai.types.create_embedding_response import Usage as EmbeddingUsage
from openai.types.responses import ResponseUsage

from huddle_otel.spend import Usage, usage_of
from huddle_otel.spend.usage import MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAT: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "cost": 1.41e-4,
    "prompt_tokens_details": {
        "cached_tokens": 30,
        "cache_creation_tokens": 20,
        "audio_tokens": 4,
        "image_tokens": 5,
        "text_tokens": 91,
    },
    "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 2, "image_tokens": 1, "text_tokens": 29},
}
FOLDED = Usage(
    input_tokens=100,
    output_tokens=40,
    cache_read_tokens=30,
    cache_write_tokens=20,
    reasoning_tokens=8,
    input_audio_tokens=4,
    input_image_tokens=5,
    input_text_tokens=91,
    output_audio_tokens=2,
    output_image_tokens=1,
    output_text_tokens=29,
    cost=141_000,
)
BAD = [-1, MAX_TOKENS + 1, True, 12.0, math.nan, math.inf, "12", b"1", [], {}, object()]


def renamed(usage: Mapping[str, Any]) -> dict[str, Any]:
    """The same usage in the responses shape."""
    names = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
    names.update({f"{old}_details": f"{new}_details" for old, new in names.items()})
    return {names.get(key, key): value for key, value in usage.items()}


@pytest.mark.parametrize(
    "usage",
    [
        CompletionUsage.model_validate(CHAT),
        CompletionUsage.construct(**CHAT),
        CHAT,
        MappingProxyType(CHAT),
        SimpleNamespace(**CHAT),
        ResponseUsage.construct(**renamed(CHAT)),
        renamed(CHAT),
    ],
    ids=["validated", "constructed", "dict", "mapping", "namespace", "responses", "responses-dict"],
)
def test_one_record_for_every_shape(usage: object) -> None:
    assert usage_of(usage) == FOLDED


def test_a_model_without_extras() -> None:
    usage = CompletionUsage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    assert usage_of(usage) == Usage(input_tokens=3, output_tokens=2)


def test_extras_may_be_unset_or_no_dict() -> None:
    assert usage_of(SimpleNamespace(prompt_tokens=3, __pydantic_extra__=None)) == Usage(input_tokens=3)
    assert usage_of(SimpleNamespace(prompt_tokens=3, __pydantic_extra__="odd")) == Usage(input_tokens=3)


def test_anthropic_style_extras() -> None:
    usage = CompletionUsage.construct(
        prompt_tokens=100, completion_tokens=5, cache_read_input_tokens=60, cache_creation_input_tokens=7
    )
    folded = usage_of(usage)
    assert folded == Usage(input_tokens=100, output_tokens=5, cache_read_tokens=60, cache_write_tokens=7)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"cached_tokens": 0, "cache_write_tokens": 1, "cache_creation_tokens": 2}, (0, 1)),
        ({"cached_tokens": -1, "cache_write_tokens": "x", "cache_creation_tokens": 2}, (60, 2)),
        ({"cached_tokens": None}, (60, 7)),
        ("odd", (60, 7)),
    ],
)
def test_the_shapes_own_detail_wins_unless_it_is_bad(details: object, expected: tuple[int, int]) -> None:
    folded = usage_of(
        {
            "prompt_tokens": 100,
            "prompt_tokens_details": details,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 7,
        }
    )
    assert folded is not None
    assert (folded.cache_read_tokens, folded.cache_write_tokens) == expected


def test_images_and_transcriptions() -> None:
    image = {"input_tokens": 50, "output_tokens": 9, "input_tokens_details": {"image_tokens": 40, "text_tokens": 10}}
    assert usage_of(image) == Usage(input_tokens=50, output_tokens=9, input_image_tokens=40, input_text_tokens=10)
    audio = {"input_tokens": 50, "output_tokens": 9, "input_token_details": {"audio_tokens": 50}, "type": "tokens"}
    assert usage_of(audio) == Usage(input_tokens=50, output_tokens=9, input_audio_tokens=50)
    assert usage_of({"type": "duration", "seconds": 3.5}) is None


def test_sound_by_the_second_has_no_tokens() -> None:
    assert usage_of({"type": "duration", "seconds": 5}) is None


@pytest.mark.parametrize(
    ("usage", "split"),
    [
        (Usage(input_tokens=3, output_tokens=1, input_image_tokens=1, input_text_tokens=2, output_text_tokens=1), True),
        (Usage(input_tokens=3, output_tokens=0, input_audio_tokens=3), True),
        (Usage(input_tokens=3, output_tokens=1, input_audio_tokens=3), False),
        (Usage(input_tokens=3, output_tokens=0), False),
        (Usage(input_tokens=3, output_tokens=0, input_text_tokens=4), False),
        (Usage(), False),
    ],
)
def test_whether_every_token_has_its_kind(usage: Usage, split: bool) -> None:
    assert usage.is_split is split


def test_embeddings_have_no_output() -> None:
    assert usage_of(EmbeddingUsage(prompt_tokens=9, total_tokens=9)) == Usage(input_tokens=9, output_tokens=0)


@pytest.mark.parametrize(
    ("extra", "output"),
    [
        ({"total_tokens": 9}, 0),
        ({"total_tokens": 9, "completion_tokens": None}, 0),
        ({"total_tokens": 9, "completion_tokens": "bad"}, None),
        ({"total_tokens": 12}, None),  # something was generated, and nobody says how it was counted
        ({"total_tokens": True}, None),
        ({}, None),
    ],
)
def test_output_is_zero_only_when_the_total_proves_it(extra: dict[str, Any], output: int | None) -> None:
    assert usage_of({"prompt_tokens": 9, **extra}) == Usage(input_tokens=9, output_tokens=output)


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_bad_counters_are_dropped_one_by_one(bad: object) -> None:
    assert usage_of({"prompt_tokens": bad, "completion_tokens": 2}) == Usage(output_tokens=2)
    assert usage_of({"prompt_tokens": 1, "completion_tokens": bad}) == Usage(input_tokens=1)
    everywhere = dict.fromkeys(CHAT["prompt_tokens_details"], bad)
    assert usage_of(
        {
            "prompt_tokens": 1,
            "completion_tokens": 2,
            "prompt_tokens_details": everywhere,
            "completion_tokens_details": dict.fromkeys(CHAT["completion_tokens_details"], bad),
            "cache_read_input_tokens": bad,
            "cache_creation_input_tokens": bad,
        }
    ) == Usage(input_tokens=1, output_tokens=2)


def test_the_largest_counter() -> None:
    assert usage_of({"prompt_tokens": MAX_TOKENS}) == Usage(input_tokens=MAX_TOKENS)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [(0, 0), (0.0, 0), ("0.000129", 129_000), (1, 10**9), (1.29e-4, 129_000)],
)
def test_reported_cost(cost: object, expected: int) -> None:
    assert usage_of({"cost": cost}) == Usage(cost=expected)


@pytest.mark.parametrize("cost", [-0.1, math.nan, math.inf, True, "free", [], {}, 1e300])
def test_bad_cost_is_dropped(cost: object) -> None:
    assert usage_of({"cost": cost}) is None
    assert usage_of({"prompt_tokens": 1, "cost": cost}) == Usage(input_tokens=1)


@pytest.mark.parametrize("value", [None, 0, 5, "text", b"", [], (), object(), CompletionUsage, {}, {"a": 1}, 1.5, len])
def test_what_is_no_usage_is_none(value: object) -> None:
    assert usage_of(value) is None


KEYS = st.sampled_from([*CHAT, *renamed(CHAT), *CHAT["prompt_tokens_details"], "reasoning_tokens", "other"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON))
def test_nothing_raises_and_everything_kept_is_in_range(raw: dict[str, Any]) -> None:
    for shape in (raw, CompletionUsage.construct(**raw), ResponseUsage.construct(**raw)):
        folded = usage_of(shape)
        if folded is None:
            continue
        for field in fields(folded):
            value = getattr(folded, field.name)
            assert value is None or (type(value) is int and value >= 0)


@given(st.integers(0, MAX_TOKENS), st.integers(0, MAX_TOKENS))
def test_counters_pass_unchanged(tokens_in: int, tokens_out: int) -> None:
    usage = CompletionUsage(prompt_tokens=tokens_in, completion_tokens=tokens_out, total_tokens=0)
    assert usage_of(usage) == Usage(input_tokens=tokens_in, output_tokens=tokens_out)


def test_usage_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        FOLDED.cost = 1  # type: ignore[misc]
