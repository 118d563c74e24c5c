"""An app with a bad quarter of a minute for the boards to show: `python -m tests.dashboards.app SECONDS`.

Says `done` when its traffic is over, then stays to be scraped until its input ends.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import openai

import huddle_otel
from huddle_otel.cli.demo import scenario, traffic
from huddle_otel.gateway import Gateway
from huddle_otel_exporters import set_up


def main(seconds: float) -> None:
    """Play the demo's calls, for two teams, against the demo's gateway."""
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
        with openai.OpenAI() as client, ThreadPoolExecutor(32) as workers:
            began = time.monotonic()
            for number, question in enumerate(scenario.plan(seconds, seed=1)):
                time.sleep(max(0.0, began + question.at - time.monotonic()))
                workers.submit(_ask, client, question, ("search", "support")[number % 2])
        print("done", flush=True)  # noqa: T201 - the test waits for it
        sys.stdin.read()


def _ask(client: openai.OpenAI, question: scenario.Ask, team: str) -> None:
    with huddle_otel.tags(team=team), suppress(openai.OpenAIError):
        traffic.ask(client, question)


if __name__ == "__main__":
    main(float(sys.argv[1]))
