"""Write docs/telemetry.md from the telemetry contract: `python tools/make_telemetry_doc.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from huddle_otel.telemetry import contract, reference
from huddle_otel.telemetry.reference import Attribute

PAGE: Final = Path(__file__).parents[1] / "docs" / "telemetry.md"


def _table(rows: Iterable[Attribute]) -> str:
    lines = ["| attribute | type | when | example |", "|---|---|---|---|"]
    lines += [f"| `{row.name}` | {row.type} | {row.when} | `{row.example}` |" for row in rows]
    return "\n".join(lines)


def _metrics() -> str:
    lines = ["| metric | instrument, unit | attributes | what |", "|---|---|---|---|"]
    for metric in sorted(contract.METRICS, key=lambda each: each.name):
        attributes = ", ".join(f"`{name}`" for name in metric.attributes)
        lines.append(f"| `{metric.name}` | {metric.kind}, `{metric.unit}` | {attributes} | {metric.description} |")
    return "\n".join(lines)


def _events() -> str:
    return "\n\n".join(f"`{name}`: {when}.\n\n{_table(rows)}" for name, (when, rows) in reference.EVENTS.items())


def page() -> str:
    """Return the page."""
    buckets = " ".join(f"{bound:g}" for bound in contract.SECONDS)
    tokens = " ".join(f"{bound:.0f}" for bound in contract.TOKENS)
    errors = "\n".join(f"| {name} | {meaning} |" for name, meaning in reference.ERROR_TYPES.items())
    return f"""# Telemetry

Generated from `huddle_otel/telemetry/`; `python tools/make_telemetry_doc.py` writes it again. Names are those of the
OpenTelemetry GenAI conventions where there are any; everything else starts with `huddle.`.

## The span of a call

One per logical call, all attempts and waits inside, a stream to its end. Name `{{operation}} {{model}}`, kind CLIENT,
status ERROR when the call failed. Below it one span per HTTP request by OpenTelemetry's own httpx instrumentation,
with `http.request.resend_count` from the second attempt on; `traceparent` is sent. `http_spans=False` turns both off,
and where the app has httpx instrumented itself, its spans are used.

At the start, for samplers:

{_table(reference.START)}

From the answer:

{_table(reference.ANSWER)}

At the end:

{_table(reference.END)}

### Events on the span

{_events()}

### `error.type`

| value | what |
|---|---|
{errors}

## Prompts and answers

Not recorded, and not kept, unless you ask: `instrument(content=ContentPolicy())`, or
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` = `SPAN_ONLY`, `EVENT_ONLY` (log event
`{contract.CONTENT_EVENT}`) or `SPAN_AND_EVENT`. `ContentPolicy(redact=…)` is given the structured parts and returns
what may be recorded; when it raises, nothing is. Images, audio and files are replaced by a note; a value above
`max_chars` is cut inside its texts and stays valid JSON. Never on a metric.

{_table(reference.CONTENT)}

## Metrics

{_metrics()}

`tags` stands for the tags named in `tag_metrics=`. `class` is the retry class of a failed attempt, empty for others.
Buckets in seconds: {buckets}; in tokens: {tokens}. A model beyond the first 200 has `{contract.OTHER_MODEL}` for its
name on metrics; spans keep the real one. The usual series of an operation and model start at 0 with its first call,
so that `increase()` sees the first failure.

## Other instrumentations

Where another instrumentation has an open span for the same call (found by the current span, or util-genai's context
key), tokens and spend are put on that span if it lacks them, and ours keeps to attempts, circuit and gateway, without
`gen_ai.*`. Under util-genai its own `gen_ai.client.*` metrics are the ones recorded. `huddle.client.*` metrics are
always ours.

Not covered: the Realtime API and websockets, which do not go through the client's requests.

"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
