"""`huddle-otel demo --live`: one real call, the smallest there is, and its span."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import openai

import huddle_otel
from huddle_otel.cli.demo import screens
from huddle_otel.cli.demo.figures import Telemetry
from huddle_otel.cli.environment import without
from huddle_otel.cli.output import plain
from huddle_otel.client.failures import redact
from huddle_otel.errors import MissingKeyError
from huddle_otel.settings import KEY_VARIABLE, Settings

if TYPE_CHECKING:
    from rich.console import Console

_PATIENCE: Final = 30.0


def live(console: Console, *, model: str) -> int:
    """Make one call to the configured gateway and print its span. Returns the exit code: 1 when the call failed.

    Raises:
        ConfigurationError: A setting is not permitted.
        MissingKeyError: `HUDDLE_API_KEY` is not set.
    """
    settings = Settings.load()
    if not os.environ.get(KEY_VARIABLE, "").strip():
        raise MissingKeyError(host=settings.base_url)
    console.print(plain(f"One call to {model} at {settings.base_url}, one answered token at most.\n"))
    telemetry = Telemetry()
    try:
        error = _call(model, telemetry)
        for span in telemetry.spans:
            console.print(screens.span_tree(span))
    finally:
        telemetry.close()
    if error is None:
        return 0
    console.print(plain(f"\nThe call failed: {type(error).__name__}: {redact(str(error))}", "red"))
    console.print(plain("Find out more with: huddle-otel doctor", "dim"))
    return 1


def _call(model: str, telemetry: Telemetry) -> openai.OpenAIError | None:
    """Make the call, without retries: one was asked for. Returns its error."""
    with without("OPENAI_"):  # OPENAI_BASE_URL would be the app's own choice of another host
        try:
            huddle_otel.instrument(
                retry=None, tracer_provider=telemetry.tracer_provider, meter_provider=telemetry.meter_provider
            )
            with openai.OpenAI(timeout=_PATIENCE, max_retries=0) as client:
                client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
        except openai.OpenAIError as error:
            return error
        finally:
            huddle_otel.uninstrument()
    return None
