"""The two runs of the demo: the app with huddle_otel, and the same calls without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import openai
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

import huddle_otel
from huddle_otel.cli.demo import scenario, traffic
from huddle_otel.cli.environment import without
from huddle_otel.gateway import Gateway

KEY: Final = "sk-huddle-demo"
"""The embedded gateway's key. A real one, if there is one, stays out of the demo altogether."""
_LONGEST: Final = 20.0
"""Seconds that a gateway outlives its run, at most."""

Tick = Callable[[float, list[traffic.Result]], None]
"""Called about ten times a second with the seconds since the run's start and the results so far."""


class Providers(Protocol):
    """Where telemetry goes."""

    @property
    def tracer_provider(self) -> TracerProvider | None:
        """Where spans go."""

    @property
    def meter_provider(self) -> MeterProvider | None:
        """Where metrics go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run came to, as the app and the gateway saw it."""

    seconds: float
    """Length of the script, s."""
    began: float
    """Start, s since the epoch."""
    results: list[traffic.Result]
    upstream: int
    """Requests that reached the gateway."""
    outage: int
    """Of them, those for the model that was down, while it was."""


@contextmanager
def quiet() -> Generator[None]:
    """Hide what would change the demo, or be changed by it: keys, base URLs, settings, exporters, proxies."""
    with without("OPENAI_", "HUDDLE_", "OTEL_", proxies=True):
        yield


def instrumented(seconds: float, *, seed: int, telemetry: Providers, tick: Tick) -> Run:
    """Run the app with the one line added, on its defaults but for the breaker's times.

    The openai client is as it was when this returns.
    """
    with quiet(), _gateway(seconds) as gateway:
        try:
            huddle_otel.instrument(
                base_url=gateway.url,
                api_key=KEY,
                breaker=scenario.breaker(seconds),
                tracer_provider=telemetry.tracer_provider,
                meter_provider=telemetry.meter_provider,
            )
            with openai.OpenAI() as client:
                return _play(gateway, client, seconds, seed, tick)
        finally:
            huddle_otel.uninstrument()


def bare(seconds: float, *, seed: int, tick: Tick) -> Run:
    """Run the same app without it, on the openai client's defaults."""
    with quiet(), _gateway(seconds) as gateway, openai.OpenAI(base_url=gateway.url, api_key=KEY) as client:
        return _play(gateway, client, seconds, seed, tick)


def spans_of(phase: scenario.Phase, spans: list[ReadableSpan], run: Run) -> list[ReadableSpan]:
    """Return the spans of the calls that began in a phase."""
    return [
        span
        for span in spans
        if scenario.phase_at((span.start_time or 0) / 1e9 - run.began, run.seconds).name == phase.name
    ]


def _gateway(seconds: float) -> Gateway:
    return Gateway(models=scenario.MODELS, key=KEY, persona="litellm", max_seconds=seconds + _LONGEST)


def _play(gateway: Gateway, client: openai.OpenAI, seconds: float, seed: int, tick: Tick) -> Run:
    plan = scenario.plan(seconds, seed=seed)
    gateway.script(scenario.rules(seconds))  # its clock starts here
    began = time.time()
    results = traffic.play(client, plan, tick)
    calls = gateway.calls
    outage = sum(call.fault == scenario.OUTAGE.name for call in calls)
    return Run(seconds=seconds, began=began, results=results, upstream=len(calls), outage=outage)
