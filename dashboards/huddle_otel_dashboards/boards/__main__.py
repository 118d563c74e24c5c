"""`python -m huddle_otel_dashboards.boards`: write every board's JSON into the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from huddle_otel_dashboards.boards.catalogue import boards, text

GENERATED: Final = Path(__file__).parents[1] / "generated"

if __name__ == "__main__":
    for board in boards():
        (GENERATED / f"{board.uid}.json").write_text(text(board), encoding="utf-8")
