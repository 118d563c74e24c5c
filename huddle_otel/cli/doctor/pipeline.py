"""Checks of where spans and metrics would go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from typing import Final
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

from huddle_otel.cli.doctor import reach
from huddle_otel.cli.doctor.check import Check, Status

_ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
_TIMEOUT: Final = 1.0
_GRPC_PORT: Final = 4317


def providers() -> Iterator[Check]:
    """Look at the OpenTelemetry providers of this process, and at what would set some up."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        yield Check(
            name="telemetry",
            status=Status.PROBLEM,
            detail="OTEL_SDK_DISABLED=true: the SDK records nothing",
            fix="unset OTEL_SDK_DISABLED",
        )
        return
    ready = [
        kind
        for kind, provider, wanted in (
            ("spans", trace.get_tracer_provider(), TracerProvider),
            ("metrics", metrics.get_meter_provider(), MeterProvider),
        )
        if isinstance(provider, wanted)
    ]
    if len(ready) > 1:
        yield Check(name="telemetry", status=Status.OK, detail="this process has SDK providers for spans and metrics")
        return
    yield Check(
        name="telemetry",
        status=Status.WARN,
        detail=f"this process has SDK providers for {ready[0] if ready else 'neither spans nor metrics'}; instrument() "
        "uses those your app has set when it is called, and without any nothing is recorded",
        fix="set them in your app before instrument(), or start it with opentelemetry-instrument "
        "(it needs opentelemetry-distro)",
    )


def endpoints(*, network: bool) -> Iterator[Check]:
    """Look at the OTLP endpoints the environment names."""
    named = {name: value for name in _ENDPOINTS if (value := os.environ.get(name, "").strip())}
    if not named:
        yield Check(name="OTLP", status=Status.OK, detail="no endpoint is named in the environment")
        return
    if not any(_installed(f"opentelemetry-exporter-otlp-proto-{kind}") for kind in ("http", "grpc")):
        yield Check(
            name="OTLP",
            status=Status.WARN,
            detail="an endpoint is named, and no OTLP exporter is installed",
            fix="pip install 'huddle-otel[otlp]'",
        )
    for name, url in named.items():
        yield _endpoint(name, url, network=network)


def _endpoint(name: str, url: str, *, network: bool) -> Check:
    parts = urlsplit(url if "://" in url else f"//{url}")
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, _GRPC_PORT)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        detail = f"{name} is not a URL with a host and a port"
        return Check(name="OTLP", status=Status.PROBLEM, detail=detail, fix=f"for example {name}=http://localhost:4318")
    shown = f"{parts.hostname}, port {port} ({name})"  # without the rest: a URL may hold credentials
    if not network:
        return Check(name="OTLP", status=Status.SKIPPED, detail=shown)
    problem = reach.problem_with(parts.hostname, port, timeout=_TIMEOUT)
    if problem is None:
        return Check(name="OTLP", status=Status.OK, detail=f"{shown} takes connections")
    return Check(
        name="OTLP",
        status=Status.PROBLEM,
        detail=f"{shown}: {problem}; what is exported there is lost",
        fix="start the collector, or correct the endpoint",
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
