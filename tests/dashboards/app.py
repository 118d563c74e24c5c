"""An app whose bad quarter of a minute the boards show: `python -m tests.dashboards.app SECONDS`.

Prints a line when its traffic is over, then stays to be scraped until its input ends.
"""

from __future__ import annotations

import sys

import openai

import huddle_otel
from huddle_otel.cli.demo import scenario, traffic
from huddle_otel.gateway import Gateway
from huddle_otel_exporters import set_up


def main(seconds: float) -> None:
    """Play the demo's traffic against the demo's gateway."""
    pipeline = set_up(("prometheus",))
    with Gateway(scenario.rules(seconds), models=scenario.MODELS, max_seconds=120) as gateway:
        huddle_otel.instrument(
            base_url=gateway.url,
            api_key="sk-huddle-test",
            breaker=scenario.breaker(seconds),
            meter_provider=pipeline.meter_provider,
            spend_guard=huddle_otel.SpendGuard(limit=1, per="day", by="team", action="warn"),
            tag_metrics=("team",),
        )
        # in the whole process: each call has a thread of its own, and those do not inherit a `with`
        with openai.OpenAI() as client:
            traffic.play(client, scenario.plan(seconds, seed=1), lambda _seconds, _results: None)
        print("done", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]))
