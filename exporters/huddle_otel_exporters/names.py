"""From the names of exporters to a pipeline."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from huddle_otel.errors import ConfigurationError
from huddle_otel_exporters.environment import text

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from huddle_otel_exporters.part import Part
    from huddle_otel_exporters.pipeline import Pipeline

_LOG: Final = logging.getLogger("huddle_otel")


class MissingExtraError(ConfigurationError):
    """An exporter is named whose packages are not installed."""

    def __init__(self, *, name: str, extra: str) -> None:
        """Say what to install."""
        super().__init__(field="exporters", value=name, permitted=f"installed: pip install 'huddle-otel[{extra}]'")


def _otlp(name: str) -> Part:
    from huddle_otel_exporters import otlp  # noqa: PLC0415 - see the package

    return otlp.build(name)


def _otlp_grpc(name: str) -> Part:
    from huddle_otel_exporters import otlp  # noqa: PLC0415 - see the package

    return otlp.build(name, protocol="grpc")


def _prometheus(name: str) -> Part:
    from huddle_otel_exporters import prometheus  # noqa: PLC0415 - see the package

    return prometheus.build(name)


def _console(name: str) -> Part:
    from huddle_otel_exporters import console  # noqa: PLC0415 - see the package

    return console.build(name)


def _ledger(_name: str) -> Part:
    from huddle_otel_exporters.ledger import writer  # noqa: PLC0415 - see the package

    return writer.part()


BUILDERS: Final[dict[str, Callable[[str], Part]]] = {
    "console": _console,
    "ledger": _ledger,
    "otlp": _otlp,
    "otlp-grpc": _otlp_grpc,
    "prometheus": _prometheus,
}
"""Name -> what builds it. A new exporter is one line here, and one in `EXTRAS` if it needs packages of its own."""
EXTRAS: Final = {"otlp": "otlp", "otlp-grpc": "otlp", "prometheus": "prometheus"}
"""Name -> the extra of huddle-otel that brings its packages."""
NOTHING: Final = "none"
"""Alone, means no exporters, and no word about it; as in `OTEL_TRACES_EXPORTER`."""

_lock: Final = threading.Lock()
_current: tuple[tuple[str, ...], Pipeline] | None = None


def set_up(names: Sequence[str] = (), *, resource_attributes: Mapping[str, AttributeValue] | None = None) -> Pipeline:
    """Set up the OpenTelemetry SDK with exporters.

    Providers that the app has set stay in place: spans also go to the exporters, through the app's tracer provider;
    metrics of huddle_otel go to the exporters only, through a meter provider of their own. Without providers, ours
    become the global ones. Called again with the same names or none, it returns the same pipeline; with others,
    the old one is shut down.

    Args:
        names: `otlp`, `otlp-grpc`, `prometheus`, `console`, `ledger`; or only `none`. Empty: OTLP, if the app has set
            no provider and the environment names an endpoint.
        resource_attributes: What the telemetry is from. Wins over `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`,
            and counts for providers made here, when they are made.

    Returns:
        The pipeline; with providers of None when there is nothing to set up.

    Raises:
        ConfigurationError: Unknown name, or a variable the exporter cannot use; nothing has changed.
        MissingExtraError: The exporter's packages are not installed; the message says what to install.
    """
    global _current  # noqa: PLW0603 - the SDK's providers are global, so there is one pipeline
    from huddle_otel_exporters import providers  # noqa: PLC0415 - see the package
    from huddle_otel_exporters.pipeline import Pipeline  # noqa: PLC0415 - see the package

    wanted = _checked(names)
    with _lock:
        if text("OTEL_SDK_DISABLED").lower() == "true" or wanted == (NOTHING,):
            return Pipeline()
        running = _current[1] if _current is not None and not _current[1].is_shut_down else None
        if running is not None and _current is not None and wanted in ((), _current[0]):
            return running
        parts = [_build(name) for name in wanted] if wanted else _from_environment()
        if not parts:
            return Pipeline()
        if running is not None:
            running.shutdown()
        pipeline = providers.attach(parts, resource_attributes or {})
        _current = wanted, pipeline
        return pipeline


def _checked(names: Sequence[str]) -> tuple[str, ...]:
    given = [names] if isinstance(names, str) else names
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in given if name.strip()))
    for name in wanted:
        if name not in BUILDERS and wanted != (NOTHING,):
            permitted = f"one of {', '.join(sorted(BUILDERS))}; or only {NOTHING}"
            raise ConfigurationError(field="exporters", value=name, permitted=permitted)
    return wanted


def _build(name: str) -> Part:
    try:
        return BUILDERS[name](name)
    except ImportError as error:
        raise MissingExtraError(name=name, extra=EXTRAS[name]) from error


def _from_environment() -> list[Part]:
    """Return OTLP if it is asked for by the environment alone. Never raises: nothing in the app's code asks for it."""
    from huddle_otel_exporters import otlp, providers  # noqa: PLC0415 - see the package

    if providers.of_the_app():
        return []
    signals = otlp.named_by_environment()
    if not signals:
        _LOG.info(
            "huddle_otel: spans and metrics go nowhere yet. To see something: instrument(exporters=['console']) or "
            "HUDDLE_OTEL_EXPORTERS=console; to send them: OTEL_EXPORTER_OTLP_ENDPOINT, or providers of your own"
        )
        return []
    try:
        return [otlp.build("otlp", signals=signals)]
    except ImportError:
        _LOG.warning(
            "huddle_otel: the environment names an OTLP endpoint, and no exporter is installed: "
            "pip install 'huddle-otel[otlp]'"
        )
    except ConfigurationError as error:
        _LOG.warning("huddle_otel: no telemetry is sent: %s", error)
    return []
