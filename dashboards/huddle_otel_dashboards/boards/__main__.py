"""`python -m huddle_otel_dashboards.boards`: write the JSON of every board into the package, in both flavours."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from huddle_otel_dashboards.boards.catalogue import boards, text
from huddle_otel_dashboards.boards.queries import Reader
from huddle_otel_dashboards.boards.readers import Raw, Recorded

GENERATED: Final = Path(__file__).parents[1] / "generated"
FLAVOURS: Final[dict[str, Reader]] = {"boards": Raw(), "fleet": Recorded()}
"""Folder -> how its boards read."""

if __name__ == "__main__":
    for folder, read in FLAVOURS.items():
        for board in boards(read=read):
            (GENERATED / folder / f"{board.uid}.json").write_text(text(board), encoding="utf-8")
