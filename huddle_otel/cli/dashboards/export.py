"""Boards and rules, written to a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import huddle_otel_dashboards
from huddle_otel_dashboards import Limits
from huddle_otel_dashboards.alerts import RUNBOOK, Fleet, render_routing, render_rules

RULES: Final = "alerts.yml"
"""Name of the file with the rules."""
_ROUTING: Final = "alertmanager.yml"


def export(folder: Path, *, fleet: Fleet | None, runbook_url: str, **choices: Any) -> list[Path]:
    """Write every board, the file that provisions them, and the rules they read.

    Args:
        folder: Where to; it is made if need be.
        fleet: Write the boards for a fleet, and what they read; None writes those that read each process.
        runbook_url: Where the links of boards and alerts lead; empty leaves what they have.
        choices: Further arguments of `huddle_otel_dashboards.export`.

    Returns:
        The files written.

    Raises:
        OSError: A file cannot be written.
    """
    written = huddle_otel_dashboards.export(folder, fleet=bool(fleet), runbook_url=runbook_url, **choices)
    rules = rule_files({}, fleet=fleet, runbook_url=runbook_url)[RULES]
    return [*written, *write(folder, {RULES: rules})]


def rule_files(limits: Mapping[str, float], *, fleet: Fleet | None, runbook_url: str) -> dict[str, str]:
    """Return name and text of the files with the rules and with Alertmanager's routing.

    Args:
        limits: Fields of `Limits` that are not to have their default.
        fleet: Record also what the boards for a fleet read; None does not.
        runbook_url: Where the links of alerts lead; empty leaves what they have.

    Raises:
        ValueError: A limit is out of its range.
    """
    rules = render_rules(Limits(**limits), fleet=fleet, runbook=runbook_url or RUNBOOK)
    return {RULES: rules, _ROUTING: render_routing()}


def write(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write files into a folder, which is made if need be. Returns their paths.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]
