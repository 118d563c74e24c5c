"""`huddle-otel doctor`: what works here, what does not, and what to do about it. Keys are never shown."""

from __future__ import annotations

import os
from dataclasses import replace

from huddle_otel.cli.doctor import gateway, local, pipeline, store
from huddle_otel.cli.doctor.check import Check, Status, as_json, exit_code, show
from huddle_otel.settings import KEY_VARIABLE, Secret

__all__ = ["Check", "Status", "as_json", "examine", "exit_code", "show"]


def examine(*, network: bool, chat: str | None) -> list[Check]:
    """Make every check.

    Args:
        network: Whether checks may open connections.
        chat: A model to make one smallest call to; None: no call.
    """
    settings, loaded = local.settings()
    key = local.key()
    checks = [*local.versions(), *local.seam(), loaded, key, *local.environment()]
    if not network:
        checks.append(Check(name="gateway", status=Status.SKIPPED, detail="--no-network"))
    elif settings is None:
        checks.append(Check(name="gateway", status=Status.SKIPPED, detail="the settings come first"))
    else:
        checks += gateway.checks(settings, key=key.status is Status.OK, chat=chat)
    if settings is not None:
        checks += store.checks(settings, network=network)
    checks += [*pipeline.providers(), *pipeline.endpoints(network=network), *local.others()]
    return [_without_key(check) for check in checks]


def _without_key(check: Check) -> Check:
    """Mask the key wherever a check may have picked it up: in an upstream's words, in a mistyped variable."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        return check
    mask = str(Secret(key))
    return replace(
        check,
        detail=check.detail.replace(key, mask),
        fix=check.fix.replace(key, mask),
        facts={name: value.replace(key, mask) for name, value in check.facts.items()},
    )
