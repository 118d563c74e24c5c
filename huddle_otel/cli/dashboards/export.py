"""Boards and rules, written to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import huddle_otel_dashboards
from huddle_otel_dashboards.alerts import render_rules

RULES: Final = "alerts.yml"
"""Name of the file with the rules."""


def export(folder: Path, *, runbook_url: str, **choices: Any) -> list[Path]:
    """Write every board, the file that provisions them, and the rules they read.

    Args:
        folder: Where to.
        runbook_url: Where the links of boards and alerts lead; empty leaves what they have.
        choices: Further arguments of `huddle_otel_dashboards.export`.

    Returns:
        The files written.

    Raises:
        OSError: A file cannot be written.
    """
    written = huddle_otel_dashboards.export(folder, runbook_url=runbook_url, **choices)
    rules = folder / RULES
    rules.write_text(render_rules(runbook=runbook_url) if runbook_url else render_rules(), encoding="utf-8")
    return [*written, rules]
