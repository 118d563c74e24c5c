"""Checks that open no connection: versions, the seam, settings, the key, other variables, other instrumentations."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import metadata
from typing import Any, Final, cast

from huddle_otel._version import __version__
from huddle_otel.cli.doctor.check import Check, Status
from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import KEY_VARIABLE, PREFIX, Secret, Settings

_LANES: Final = {1: "1.x, on httpx", 2: "2.x, on httpx", 3: "3.x, on httpx2"}
"""Major versions of openai that are tested."""
_LEAST: Final = (1, 109)
"""The oldest openai release that is tested."""
_SHOWN: Final = ("openai", "httpx", "httpx2", "opentelemetry-api", "opentelemetry-sdk", "wrapt")
_OTHERS: Final = re.compile(
    r"opentelemetry-instrumentation-(openai|genai-openai).*|openinference-instrumentation-openai.*|logfire|langfuse|openlit"
)
_NOT_SETTINGS: Final = frozenset({"sources", "api_key", "prices", "tracer_provider", "meter_provider"})
"""Fields of `Settings` that no variable sets."""


def versions() -> Iterator[Check]:
    """Look at Python and the packages."""
    found = {name: version for name in _SHOWN if (version := _version(name)) is not None}
    yield Check(
        name="versions",
        status=Status.OK,
        detail=f"huddle_otel {__version__} on Python {platform.python_version()}",
        facts=found,
    )
    numbers = tuple(int(part) for part in found.get("openai", "0").split(".")[:2] if part.isdigit())
    lane = _LANES.get(numbers[0])
    known = lane is not None and numbers >= _LEAST
    yield Check(
        name="openai lane",
        status=Status.OK if known else Status.WARN,
        detail=lane if known and lane is not None else f"openai {found.get('openai')} is not a version that is tested",
        fix="" if known else "pip install 'openai>=1.109.1,<4'",
    )


def seam() -> Iterator[Check]:
    """Look at whether the installed openai client can be instrumented, and whether it is."""
    from huddle_otel.client import patch  # noqa: PLC0415 - imports the client, which only this check needs

    problem = patch.unknown_shape()
    yield Check(
        name="openai client",
        status=Status.OK if problem is None else Status.PROBLEM,
        detail="has the shape instrument() needs" if problem is None else f"has an unknown shape: {problem}",
        fix="" if problem is None else "instrument() leaves this client untouched; install a tested openai version",
    )
    active = patch.active() is not None
    yield Check(
        name="instrumented",
        status=Status.OK,
        detail="yes, in this process" if active else "not in this process (your app calls instrument() in its own)",
    )


def settings() -> tuple[Settings | None, Check]:
    """Load the settings. They are None when a variable is not permitted."""
    try:
        loaded = Settings.load()
    except ConfigurationError as error:
        return None, Check(
            name="settings", status=Status.PROBLEM, detail=str(error), fix=f"change or unset {error.field.split()[0]}"
        )
    facts: dict[str, str] = {}
    for each in fields(loaded):
        if each.name not in _NOT_SETTINGS:
            value, source = getattr(loaded, each.name), loaded.sources.get(each.name, "default")
            facts[each.name] = f"{_show(value)}  ({source})"
    return loaded, Check(name="settings", status=Status.OK, detail="what instrument() would use here", facts=facts)


def key() -> Check:
    """Look at whether there is a key that can be sent."""
    value = os.environ.get(KEY_VARIABLE, "").strip()
    if not value:
        return Check(
            name="key",
            status=Status.PROBLEM,
            detail=f"{KEY_VARIABLE} is not set",
            fix=f"export {KEY_VARIABLE}=... with the key of Huddle01's AI gateway, or instrument(api_key=...)",
        )
    if not value.isascii() or any(character.isspace() for character in value):
        return Check(
            name="key",
            status=Status.PROBLEM,
            detail=f"{KEY_VARIABLE} has spaces or characters that are not ASCII: it cannot be sent",
            fix=f"copy the key again into {KEY_VARIABLE}",
        )
    return Check(name="key", status=Status.OK, detail=f"{KEY_VARIABLE} = {Secret(value)}")


def environment() -> Iterator[Check]:
    """Look for variables that are not what they seem."""
    known = set(_variables())
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            fix = f"set {KEY_VARIABLE}" if name == f"{PREFIX}API_KEY" else "check the spelling, or unset it"
            yield Check(name="environment", status=Status.WARN, detail=f"nothing reads {name}", fix=fix)
    if os.environ.get("HUDDLE_BASE_URL"):
        yield Check(
            name="environment",
            status=Status.WARN,
            detail="HUDDLE_BASE_URL is another Huddle01 product's and is not read here",
            fix=f"to change the gateway, set {PREFIX}BASE_URL",
        )
    if os.environ.get("OPENAI_BASE_URL"):
        yield Check(
            name="environment",
            status=Status.WARN,
            detail="OPENAI_BASE_URL is set: it counts as your own choice, so clients stay where it points",
            fix="unset OPENAI_BASE_URL to send them to the gateway, or name its host in instrument(hosts=...)",
        )


def others() -> Iterator[Check]:
    """Look for other instrumentations of the openai client."""
    names = {(each.metadata["Name"] or "").lower().replace("_", "-") for each in metadata.distributions()}
    found = sorted(name for name in names if _OTHERS.fullmatch(name))
    if found:
        yield Check(
            name="others",
            status=Status.WARN,
            detail=f"also installed: {', '.join(found)}; if it instruments openai too, every call is recorded twice",
            fix="switch off one of the two, for example with OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        )
    else:
        yield Check(name="others", status=Status.OK, detail="no other instrumentation of openai is installed")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _show(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return " ".join(f"{each.name}={getattr(value, each.name)}" for each in fields(value))
    if isinstance(value, tuple):
        return ", ".join(map(str, cast("tuple[object, ...]", value))) or "none"
    return "off" if value is None else str(value)


def _variables() -> Iterator[str]:
    """Yield the names of the variables that set something: one per field, and one per field of each policy."""
    defaults = Settings()
    for each in fields(defaults):
        if each.name in _NOT_SETTINGS:
            continue
        name = PREFIX + each.name.upper()
        yield name
        policy = getattr(defaults, each.name)
        if is_dataclass(policy):
            yield from (f"{name}_{part.name.upper()}" for part in fields(policy))
