"""Write ``huddle_otel/spend/catalogue.json`` from a collected model list.

Usage::

    python tools/make_catalogue.py SOURCE.json [TARGET.json]

The same source always gives the same bytes: numbers are carried as the decimal text they were written in, rows keep
their order, and nothing of the clock or the machine goes in.
"""

from __future__ import annotations

import argparse
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TARGET: Final = Path(__file__).parent.parent / "huddle_otel" / "spend" / "catalogue.json"

HEADER: Final[Mapping[str, Any]] = {
    "currency": "USD per 1M tokens",
    "provenance": (
        "Estimates, not an official price list. Ids, prices and limits were read from the model table of a public "
        "client of the gateway, in its versions of April 2026, and compared with Huddle01's public model-switch skill "
        "of March 2026; rows without a price are named only in Huddle01's guide. The client lists every cache price as "
        "0, which is taken as not stated. What the gateway itself reports for a call always wins."
    ),
    "sources": [
        "https://github.com/OmGuptaIND/computer/blob/6fe2b57bfb9b86da33e791672e16efc127d98d19/packages/agent-core/src/anton-models.ts",
        "https://github.com/Huddle01/openclaw-skills/blob/89b05fddc2f7a634f4cfcfeecd12b80848072156/hudl-model-switch/references/models.md",
        "https://console.huddle01.com/docs/ai-how-to-use",
    ],
}


def price(value: Decimal | int | None) -> str | None:
    """Write a price as plain decimal text, without exponent or trailing zeros."""
    if value is None:
        return None
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def row(model: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce one source record to the fields the package uses."""
    stated = model.get("input_per_1m") is not None and model.get("output_per_1m") is not None
    dated = model.get("price_source_date")
    return {
        "id": model["id"],
        "vendor": model["vendor"],
        "input": price(model.get("input_per_1m")),
        "output": price(model.get("output_per_1m")),
        "cache_read": price(model.get("cache_read_per_1m")),
        "cache_write": price(model.get("cache_write_per_1m")),
        "context_window": model.get("context_window"),
        "max_output": model.get("max_output_tokens"),
        "aliases": list(model.get("aliases") or ()),
        "as_of": dated[:10] if stated and dated else None,
        "estimate": stated,
    }


def render(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the file: one model per line, so that a price change is a one-line diff."""
    head = json.dumps(HEADER, indent=2, ensure_ascii=False).removesuffix("\n}")
    body = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in rows)
    return f'{head},\n  "models": [\n{body}\n  ]\n}}\n'


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the source and write the target."""
    parser = argparse.ArgumentParser(description="Write the packaged model catalogue.")
    parser.add_argument("source", type=Path, help="collected model list, JSON with a 'models' array")
    parser.add_argument("target", type=Path, nargs="?", default=TARGET, help="file to write (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    # parse_float=Decimal keeps 0.0816 as written; a float would only print the same by luck.
    source = json.loads(chosen.source.read_text(encoding="utf-8"), parse_float=Decimal)
    chosen.target.write_text(render([row(model) for model in source["models"]]), encoding="utf-8")


if __name__ == "__main__":
    main()
