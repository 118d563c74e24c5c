"""`huddle-otel prices`: what it shows, compares and fetches, and what it says of a gateway that does not tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.cli.prices import difference
from huddle_otel.cli.prices.litellm import price_of, prices_of
from huddle_otel.gateway import Gateway, Model, Rule
from huddle_otel.gateway.kinds import Reply
from huddle_otel.spend import Price, PriceTable, catalogue, entry_of, read_prices
from tests.cli.conftest import KEY

if TYPE_CHECKING:
    from tests.cli.conftest import Command

TODAY = datetime.now(UTC).date().isoformat()
OWN = {
    "gpt-4.1": {"input": 3, "output": 8, "cache_read": 0.5},
    "house": {
        "input": 1,
        "output": 2,
        "output_audio": 20,
        "request": "0.005",
        "tiers": [{"above": 200_000, "input": 4}],
        "as_of": "2026-01-31",
    },
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(OWN))
    monkeypatch.setenv("HUDDLE_OTEL_PRICES", str(path))
    return path


@pytest.fixture(autouse=True)
def no_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where genai-prices is not installed."""
    for module in ("force", "difference"):
        monkeypatch.setattr(f"huddle_otel.cli.prices.{module}.genai_table", lambda: None)


# --- list and show ----------------------------------------------------------------------------------------------------


def test_list_shows_every_model(command: Command) -> None:
    done = command("prices", "list")
    assert done.code == 0
    assert all(model.id in done.out for model in catalogue())
    assert max(map(len, done.out.splitlines())) <= 80
    assert done.out.count("unknown") == 2 * (len(catalogue()) - len(PriceTable.catalogue()))


def test_list_shows_every_rate_of_own_prices(command: Command, own: Path) -> None:
    lines = [line.split() for line in command("prices", "list").out.splitlines()]
    at = lines.index(["gpt-4.1", "override", "-", "$3.00", "$8.00"])
    assert lines[at + 1] == ["cache_read", "$0.50"]
    at = lines.index(["house", "override", "2026-01-31", "$1.00", "$2.00"])
    assert lines[at + 1 : at + 4] == [
        ["output_audio", "$20.00"],
        ["each", "call", "$0.005"],
        ["input", ">", "200,000", "$4.00", "$2.00"],
    ]


def test_list_as_json_says_prices_as_a_file_does(command: Command, own: Path) -> None:
    listed = {each["model"]: each for each in json.loads(command("prices", "list", "--format", "json").out)}
    assert listed["house"] == {
        "model": "house",
        "vendor": None,
        "source": "override",
        "price": {
            "input": "1",
            "output": "2",
            "output_audio": "20",
            "request": "0.005",
            "tiers": [{"above": 200_000, "input": "4"}],
            "as_of": "2026-01-31",
        },
    }
    assert listed["o3"]["price"] == {"input": "2", "output": "8", "as_of": "2026-04-08"}
    assert (listed["deepseek-chat"]["source"], listed["deepseek-chat"]["price"]) == (None, None)
    assert len(listed) == len(catalogue()) + 1


def test_show_says_which_rules_led_to_the_price(command: Command) -> None:
    done = command("prices", "show", "openai/gpt-4.1-2025-04-14")
    assert done.code == 0
    assert done.out.splitlines()[:4] == [
        "1. openai/gpt-4.1-2025-04-14 is not in the catalogue",
        "2. release date -2025-04-14 taken off: openai/gpt-4.1",
        "3. openai/ is OpenAI's prefix: gpt-4.1",
        "4. catalogue row: gpt-4.1",
    ]
    words = [line.split() for line in done.out.splitlines()]
    assert ["input", "$2.00"] in words
    assert ["output", "$8.00"] in words
    assert ["cache_read", "not", "stated,", "priced", "as", "input"] in words
    assert ["output_audio", "not", "stated,", "unknown"] in words


def test_show_has_a_column_for_each_tier(command: Command, own: Path) -> None:
    words = [line.split() for line in command("prices", "show", "house").out.splitlines()]
    assert ["1.", "your", "own", "price:", "house"] in words
    assert ["input", "$1.00", "$4.00"] in words
    assert ["each", "call,", "USD", "$0.005", "$0.005"] in words


def test_show_says_what_was_tried_for_a_model_without_a_price(command: Command) -> None:
    done = command("prices", "show", "house-llama[red]-20250101")
    assert done.code == 1
    assert done.out.splitlines()[:3] == [
        "1. house-llama[red]-20250101 is not in the catalogue",
        "2. release date -20250101 taken off: house-llama[red]",
        "3. house-llama[red] is not in the catalogue",
    ]
    assert "not as zero" in " ".join(done.out.split())


def test_what_is_explained_is_what_is_found() -> None:
    table = PriceTable.catalogue()
    for model in catalogue():
        for written in (model.id, f"hudl/{model.id}", f"{model.id}-2026-01-31", *model.aliases, f"x/{model.id}"):
            assert table.explain(written).price is table.find(written)


def test_a_bad_file_of_own_prices_is_named(command: Command, own: Path) -> None:
    own.write_text('{"m": {"input": "free", "output": 1}}')
    done = command("prices", "list")
    assert done.code == 2
    assert done.err.startswith("huddle-otel: HUDDLE_OTEL_PRICES")
    assert "'free'" in done.err


# --- diff -------------------------------------------------------------------------------------------------------------


def test_diff_needs_something_to_compare_with(command: Command) -> None:
    done = command("prices", "diff")
    assert (done.code, done.out.split(":")[0]) == (0, "Nothing to compare with")


def test_diff_shows_what_is_stated_differently(command: Command, own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"o3": {"input": 2, "output": 4}}')
    done = command("prices", "diff", "--with", str(other))
    assert done.code == 1
    words = [line.split() for line in done.out.splitlines()]
    assert ["gpt-4.1", "input", "$2.00", "$3.00", "+50%"] in words
    assert ["o3", "output", "$8.00", "$4.00", "-50%"] in words
    assert "Not in the catalogue: house" in done.out
    assert not [line for line in words if line[:2] == ["gpt-4.1", "output"] or line[:2] == ["o3", "input"]]


def test_diff_of_equal_prices_is_exit_code_0(command: Command, own: Path) -> None:
    own.write_text('{"gpt-4.1": {"input": 2, "output": 8, "cache_read": 1}}')
    done = command("prices", "diff")
    assert done.code == 0
    assert "1 models in both, 0 rates differ" in done.out


def test_diff_compares_with_the_lists_of_genai_prices(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = PriceTable({"gpt-4.1": Price(input=10**9, output=8 * 10**9, source="genai-prices")})
    monkeypatch.setattr(difference, "genai_table", lambda: listed)
    done = command("prices", "diff")
    assert done.code == 1
    assert ["gpt-4.1", "input", "$2.00", "$1.00", "-50%"] in [line.split() for line in done.out.splitlines()]


# --- update -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def reached(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    yield gateway
    assert {call.headers.get("authorization") for call in gateway.calls} <= {f"Bearer {KEY}", "Bearer sk-wrong-012345"}


def test_update_writes_what_the_gateway_charges(command: Command, reached: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "new" / "prices.json"
    done = command("prices", "update", "--output", str(path))
    assert done.code == 0
    assert json.loads(path.read_text())["deepseek-v3.2"] == {"input": "0.299", "output": "0.437", "as_of": TODAY}
    table = PriceTable({}).with_overrides(read_prices(path))
    assert {name: (price.input, price.output) for name, price in table.items()} == {
        "gpt-4.1": (2 * 10**9, 8 * 10**9),
        "gpt-4.1-mini": (400_000_000, 1_600_000_000),
        "claude-sonnet-4.6": (3 * 10**9, 15 * 10**9),
        "deepseek-v3.2": (299_000_000, 437_000_000),
        "text-embedding-3-small": (20_000_000, 0),
    }
    said = " ".join(done.out.split())
    assert "unpriced-model: listed at $0" in said
    assert str(path) in done.out.replace("\n", "")
    assert [call.path for call in reached.calls] == ["/v1/models", "/v1/model/info"]


def test_update_keeps_what_was_there_before(command: Command, reached: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text("my own")
    assert command("prices", "update", "--output", str(path)).code == 0
    assert (tmp_path / "prices.json.before").read_text() == "my own"
    assert command("prices", "update", "--output", str(path)).code == 0
    assert (tmp_path / "prices.json.before").read_text() == "my own"  # it said the same: nothing to keep
    assert sorted(each.name for each in tmp_path.iterdir()) == ["prices.json", "prices.json.before"]


def test_update_has_a_usual_place(
    command: Command, reached: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert command("prices", "update").code == 0
    assert (tmp_path / "huddle-otel" / "prices.json").is_file()


def test_update_without_a_key_asks_nobody(command: Command, reached: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUDDLE_API_KEY")
    done = command("prices", "update")
    assert done.code == 2
    assert done.err.startswith("huddle-otel: HUDDLE_API_KEY")
    assert reached.calls == []


def test_update_says_that_the_key_is_refused(
    command: Command, reached: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", "sk-wrong-012345")
    done = command("prices", "update", "--output", str(tmp_path / "prices.json"))
    assert done.code == 1
    said = " ".join(done.out.split())
    assert "refuses the key ****2345" in said
    assert "(401)" in said
    assert "sk-wrong-012345" not in done.out + done.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(name="forbidden", code=403, message="no"), "refuses the key ****cdef for"),
        (Reply(name="gone", code=404, message="no"), "does not tell prices this way"),
        (Reply(name="broken", code=500, message="no"), "with 500"),
        (Reply(name="moved", code=302, message="no"), "with 302"),
        (Reply(name="odd", code=200, body=b"[1, 2", bare=True), "prices none of its 6 models"),
        (Reply(name="odder", code=200, body=b'{"data": [1, {"model_name": 3}]}', bare=True), "prices none of its 6"),
    ],
    ids=lambda value: value.name if isinstance(value, Reply) else "",
)
def test_update_says_what_a_gateway_without_prices_answers(
    command: Command, reached: Gateway, tmp_path: Path, reply: Reply, told: str
) -> None:
    reached.script([Rule(reply, path="*/model/info")])
    done = command("prices", "update", "--output", str(tmp_path / "prices.json"))
    assert done.code == 1
    assert told in " ".join(done.out.split())
    assert "Nothing is written" in " ".join(done.out.split())
    assert not list(tmp_path.iterdir())


def test_update_says_that_nobody_answers(
    command: Command, reached: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached.pause()
    done = command("prices", "update", "--output", str(tmp_path / "prices.json"))
    assert done.code == 1
    assert "no answer from" in done.out
    assert "(ConnectError)" in " ".join(done.out.split())


def test_update_says_that_the_file_cannot_be_written(command: Command, reached: Gateway, tmp_path: Path) -> None:
    done = command("prices", "update", "--output", str(tmp_path / "own.json" / "x.json"))
    assert done.code == 0
    (tmp_path / "file").write_text("")
    done = command("prices", "update", "--output", str(tmp_path / "file" / "x.json"))
    assert done.code == 1
    assert "cannot be written" in " ".join(done.out.split())


# --- what LiteLLM says ------------------------------------------------------------------------------------------------

INFO: dict[str, Any] = json.loads(
    """{
    "key": "claude-sonnet-4-5", "mode": "chat", "max_tokens": 64000, "litellm_provider": "anthropic",
    "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
    "cache_creation_input_token_cost": 3.75e-06, "cache_read_input_token_cost": 3e-07,
    "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
    "cache_read_input_token_cost_above_200k_tokens": 6e-07, "input_cost_per_token_above_1000k_tokens": 7e-06,
    "cache_creation_input_token_cost_above_1hr": 6e-06, "input_cost_per_token_batches": 1e-06,
    "output_cost_per_reasoning_token": 1.7e-05, "input_cost_per_audio_token": 1e-04,
    "output_cost_per_audio_token": 2e-04, "input_cost_per_image_token": 1e-05, "output_cost_per_image_token": 4e-05,
    "input_cost_per_request": 0.005, "output_cost_per_character": null, "supports_vision": true
    }""",
    parse_float=Decimal,
)


def test_every_price_of_litellm_is_converted_exactly() -> None:
    assert price_of(INFO) == {
        "input": "3",
        "output": "15",
        "cache_write": "3.75",
        "cache_read": "0.3",
        "reasoning": "17",
        "input_audio": "100",
        "output_audio": "200",
        "input_image": "10",
        "output_image": "40",
        "request": "0.005",
        "tiers": [
            {"above": 200_000, "input": "6", "output": "22.5", "cache_read": "0.6"},
            {"above": 1_000_000, "input": "7"},
        ],
    }
    assert isinstance(entry_of("m", price_of(INFO)), Price)


def deployment(name: Any, **info: Any) -> dict[str, Any]:
    return {"model_name": name, "model_info": {"output_cost_per_token": Decimal("2e-6"), **info}}


def test_a_price_is_taken_only_when_it_is_clear() -> None:
    one, two = Decimal("1e-6"), Decimal("2e-6")
    found = prices_of(
        [
            deployment("plain", input_cost_per_token=one),
            deployment("twice", input_cost_per_token=one),
            deployment("twice", input_cost_per_token=one),
            deployment("torn", input_cost_per_token=one),
            deployment("torn", input_cost_per_token=two),
            deployment("odd", input_cost_per_token=Decimal(-1)),
            deployment("word", input_cost_per_token="cheap"),
            deployment("yes", input_cost_per_token=True),
            deployment("half", input_cost_per_token=None),
            deployment("free", input_cost_per_token=0, output_cost_per_token=0),
            deployment("openai/*", input_cost_per_token=one),
            deployment(7, input_cost_per_token=one),
            {"model_name": "bare"},
            "text",
        ],
        as_of="2026-11-01",
    )
    price = {"input": "1", "output": "2", "as_of": "2026-11-01"}
    assert found.prices == {"plain": price, "twice": price}
    assert found.unclear == {"torn", "odd", "word", "yes"}
    assert found.free == {"free"}


def test_the_embedded_gateway_tells_its_cache_price(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [Model("m", Decimal("0.123"), Decimal("4.5"), cached_per_1m=Decimal("0.0123"))]
    with Gateway(key=KEY, models=models) as gateway:
        monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
        monkeypatch.setenv("HUDDLE_API_KEY", KEY)
        assert command("prices", "update", "--output", str(tmp_path / "p.json")).code == 0
    price = {"input": "0.123", "output": "4.5", "cache_read": "0.0123", "as_of": TODAY}
    assert json.loads((tmp_path / "p.json").read_text()) == {"m": price}
