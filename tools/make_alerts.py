"""Write the generated alert rules and Alertmanager's routing for the default limits: `python tools/make_alerts.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import huddle_otel_dashboards
from huddle_otel_dashboards.alerts import render_routing, render_rules

FOLDER: Final = Path(huddle_otel_dashboards.__file__).parent / "generated"


def files() -> dict[str, str]:
    """Return name and text of each file."""
    return {"alerts.yml": render_rules(), "alertmanager.yml": render_routing()}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
