"""An app with a trace worth looking at: `python -m tests.exporters.phoenix_app OTLP-ENDPOINT`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, Final

import openai
from opentelemetry import trace

import huddle_otel
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import KEY

SAY: Final[dict[str, Any]] = {
    "model": "gpt-4.1",
    "messages": [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "How long is a day on Mars?"},
    ],
}


def main(endpoint: str) -> bool:
    """Call plainly, streamed, with a retry and in vain; return whether all of it was delivered."""
    # with an endpoint for traces alone, no metrics are sent: the trace UI takes none
    os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"{endpoint}/v1/traces"
    with Gateway(key=KEY) as gateway, openai.OpenAI(api_key="unused") as client:
        huddle_otel.instrument(
            base_url=gateway.url,
            api_key=KEY,
            content=huddle_otel.ContentPolicy(),
            retry=huddle_otel.RetryPolicy(base=0.01),
        )
        with trace.get_tracer("shop").start_as_current_span("answer a question"):
            with huddle_otel.tags(team="search"):
                client.chat.completions.create(**SAY, temperature=0.2)
                list(client.chat.completions.create(**SAY, stream=True))
            gateway.reset()
            gateway.script([Rule(faults.status(503), calls={0})])
            client.chat.completions.create(**SAY)
            gateway.script([Rule(faults.status(400))])
            with contextlib.suppress(openai.BadRequestError):
                client.chat.completions.create(**SAY)
        return huddle_otel.flush()


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1]))
