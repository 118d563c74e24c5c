"""Series made into Prometheus' blocks."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.boards.fleet import Line

BLOCK: Final = 6 * 3_600
"""Seconds of a block: what Prometheus itself makes of three of its first ones, of 2 h, soon after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Some series over a time that ends when the data does."""

    lines: Sequence[Line]
    seconds: int
    step: int
    """Seconds between two samples."""


def build(stretches: Sequence[Stretch], folder: Path, *, end: int) -> int:
    """Make the blocks one after the other, so that no file grows large.

    Args:
        stretches: What to make.
        folder: Where Prometheus will look for its data.
        end: Unix time of the last sample, s, a multiple of `BLOCK`.

    Returns:
        How many samples there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begin = end - max(stretch.seconds for stretch in stretches)
    text, count = folder.with_suffix(".om"), 0
    for start in range(begin, end, BLOCK):
        with text.open("w") as file:
            for stretch in stretches:
                times = range(max(start, end - stretch.seconds), min(start + BLOCK, end), stretch.step)
                file.writelines(line.text(times, begin) for line in stretch.lines if times)
                count += len(times) * len(stretch.lines)
            file.write("# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "--quiet", f"--max-block-duration={BLOCK}s", "openmetrics"]
        subprocess.run([*command, text, folder], check=True, stdout=subprocess.DEVNULL)
    text.unlink()
    return count
