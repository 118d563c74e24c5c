"""The three functions behind the door. Everything heavy is imported when they are called, not with the package."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.settings import (
    BreakerPolicy,
    BulkheadPolicy,
    ContentPolicy,
    PriceOverride,
    RateLimitPolicy,
    RetryPolicy,
    Settings,
    SpendGuard,
    TimeoutPolicy,
)

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

_LOG: Final = logging.getLogger("huddle_otel")


class _Unset:
    """The default of every argument: not given, so the environment or the default decides."""

    def __repr__(self) -> str:
        return "<not given>"


_UNSET: Any = _Unset()


def instrument(  # noqa: PLR0913 - one door, all settings by name
    *,
    base_url: str = _UNSET,
    api_key: str | None = _UNSET,
    hosts: str | Iterable[str] = _UNSET,
    timeout: TimeoutPolicy | None = _UNSET,
    retry: RetryPolicy | None = _UNSET,
    breaker: BreakerPolicy | None = _UNSET,
    bulkhead: BulkheadPolicy | None = _UNSET,
    rate_limit: RateLimitPolicy | None = _UNSET,
    fallbacks: Mapping[str, tuple[str, ...]] = _UNSET,
    truncated_stream: str = _UNSET,
    prices: PriceOverride | None = _UNSET,
    spend_guard: SpendGuard | Iterable[SpendGuard] | None = _UNSET,
    tag_metrics: str | Iterable[str] = _UNSET,
    http_spans: bool = _UNSET,
    exporters: str | Iterable[str] = _UNSET,
    sigterm: bool = _UNSET,
    content: ContentPolicy | None = _UNSET,
    provider_name: str = _UNSET,
    tracer_provider: TracerProvider | None = _UNSET,
    meter_provider: MeterProvider | None = _UNSET,
    logger_provider: LoggerProvider | None = _UNSET,
) -> None:
    """Point the openai client at the gateway, with timeouts, retries, spans and metrics. Safe to call from any thread.

    Everything is optional. Arguments win over `HUDDLE_OTEL_*` variables, and these over the defaults. Called again with
    settings that come out the same, it does nothing; with other settings, the new ones are in force for calls made from
    then on, and calls under way finish under the old ones.

    Args:
        base_url: Where clients without an explicit base URL go. Default: Huddle01's gateway.
        api_key: The Huddle01 key. Default: `HUDDLE_API_KEY`, read when a client is made and when it calls.
        hosts: Other hosts whose clients get policies and telemetry, and keep their URL and key.
        timeout: The clocks of a call; None leaves the app's own timeouts alone.
        retry: The one retry loop; None is one attempt per call.
        breaker: When the circuit of a host, model and operation opens; None never.
        bulkhead: How many calls of a circuit may be under way at once; None is no bound.
        rate_limit: How calls wait after a 429; None is not at all.
        fallbacks: Models to try in place of another, `{"claude-sonnet-4.6": ("gpt-4.1",)}`, when its circuit is open or
            its attempts are spent.
        truncated_stream: `"raise"` when a stream ends without saying so, or only `"record"` it.
        prices: Your own prices, `{model: {"input": USD per 1M tokens, "output": …}}`.
        spend_guard: A limit on spend, or several: per day, per team, … Each warns or blocks.
        tag_metrics: Names of tags that also become metric attributes.
        http_spans: Whether each HTTP request has a span of its own below the call's, and carries `traceparent`. Where
            the app has httpx instrumented itself, its spans are taken.
        exporters: Where telemetry goes: `otlp`, `otlp-grpc`, `prometheus`, `console`, `ledger`, or only `none`.
            Providers the app has set stay in place. Default: those, or OTLP where `OTEL_EXPORTER_OTLP_*` names an
            endpoint.
        sigterm: Deliver what is recorded when a SIGTERM ends the process, which by itself loses it; a handler that the
            app has set is called after that.
        content: What of prompts and answers is recorded, and where; None is nothing, which is the default.
        provider_name: `gen_ai.provider.name` of calls to the gateway.
        tracer_provider: OpenTelemetry provider for spans. Default: the global one.
        meter_provider: OpenTelemetry provider for metrics. Default: the global one.
        logger_provider: OpenTelemetry provider for the log events that `content` may ask for. Default: the global one.

    Raises:
        ConfigurationError: A setting is not permitted; nothing has changed.
    """
    _put_in_force(Settings.load(**_given(locals())), redirect_defaults=True)


def instrument_client(client: Any) -> None:
    """Move one existing client, and copies made of it, to the gateway, whatever its base URL was.

    Without `instrument()` before it, settings come from the environment and every other client stays as it is.

    Raises:
        ConfigurationError: A setting in the environment is not permitted.
        MissingKeyError: There is no Huddle01 key.
        TypeError: Not a client of the openai package, or one of another kind of service (Azure).
    """
    import openai  # noqa: PLC0415 - see the module

    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI) or hasattr(client, "_azure_deployment"):
        message = f"instrument_client() takes an openai.OpenAI or openai.AsyncOpenAI, not a {type(client).__name__}"
        raise TypeError(message)
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module

    with patch.lock():
        if patch.active() is None:
            _put_in_force(Settings.load(), redirect_defaults=False)
        runtime = patch.active()
        if runtime is not None:
            runtime.targets.key()
            runtime.targets.redirect(client)


def uninstrument() -> None:
    """Take everything back: patched attributes are the very objects they were, moved clients are where they were."""
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module

    patch.remove()


def flush(timeout: float = 5.0) -> bool:
    """Deliver what has been recorded so far, before `os._exit` or a frozen process would lose it.

    What `exporters` sends, and settlements of shared spend limits; the app's own providers have their own
    `force_flush()`.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether all of it was delivered in time.
    """
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module

    runtime, until = patch.active(), time.monotonic() + timeout
    if runtime is None:
        return True
    settled = runtime.spending is None or runtime.spending.flush(until)
    delivered = runtime.pipeline is None or bool(runtime.pipeline.flush(max(until - time.monotonic(), 0.0)))
    return settled and delivered


def current_health() -> dict[str, Any]:
    """Return a snapshot for an app's own `/health`: whether we are in force, and every circuit's figures.

    Returns:
        `{"instrumented": bool, "circuits": [{"circuit": "host/model/operation", "state": "closed", "retry_in": s,
        "calls", "failures", "slow" of the window, "last_cause", "in_flight", "waiting", "limit", "retry_budget": n,
        "paused_for": s, "admitted", "ok", "failure", "ignored" so far}, …],
        "budgets": [{"budget": "day/team", "key": "search", "action": "warn", "limit", "spent", "reserved" in
        nano-dollars, "resets_in": s, "age": s since a shared account was last seen, else None}, …]}`
    """
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module

    runtime = patch.active()
    spending = runtime.spending if runtime is not None else None
    return {
        "instrumented": runtime is not None,
        "circuits": runtime.circuits.snapshot() if runtime is not None else [],
        "budgets": spending.snapshot() if spending is not None else [],
    }


def reset(circuit: str) -> None:
    """Close a circuit by hand and forget its window.

    Raises:
        KeyError: No such circuit; `current_health()` names them.
    """
    _force(circuit, None)


def force(circuit: str, state: str) -> None:
    """Put a circuit into a state by hand: `forced_open`, `disabled` (admit all) or `metrics_only`; until `reset()`.

    Raises:
        KeyError: No such circuit; `current_health()` names them.
        ValueError: Not one of these states.
    """
    _force(circuit, state)


def _force(circuit: str, state: str | None) -> None:
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module
    from huddle_otel.policy.breaker import State  # noqa: PLC0415 - see the module

    runtime = patch.active()
    if runtime is None:
        raise KeyError(circuit)
    runtime.circuits.force(circuit, None if state is None else State(state))


def _put_in_force(settings: Settings, *, redirect_defaults: bool) -> None:
    from huddle_otel.client import patch  # noqa: PLC0415 - see the module
    from huddle_otel.client.runtime import Runtime  # noqa: PLC0415 - see the module

    with patch.lock():
        settings, pipeline = _with_pipeline(settings)
        before = patch.active()
        if before is not None and before.settings == settings and before.targets.redirect_defaults == redirect_defaults:
            return
        if not patch.supported():
            return
        runtime = Runtime(settings, redirect_defaults=redirect_defaults, pipeline=pipeline)
        if before is not None:
            runtime.take_over(before)
            _LOG.info("huddle_otel: new settings are in force")
        patch.install(runtime)


def _with_pipeline(settings: Settings) -> tuple[Settings, Any]:
    """Set the exporters up and take their providers, where none were given; returns the pipeline, too."""
    if settings.tracer_provider is not None and settings.meter_provider is not None and not settings.exporters:
        return settings, None
    from huddle_otel_exporters import install_sigterm, set_up  # noqa: PLC0415 - see the module

    pipeline = set_up(settings.exporters)
    if settings.sigterm:
        install_sigterm(pipeline)
    return replace(
        settings,
        tracer_provider=settings.tracer_provider or pipeline.tracer_provider,
        meter_provider=settings.meter_provider or pipeline.meter_provider,
    ), pipeline


def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not _UNSET}
