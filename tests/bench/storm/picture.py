"""Goodput over time as one SVG: a panel per scenario, a line per contender. Readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.bench.storm.figures import Figures
from tests.bench.storm.scenarios import BY_NAME, FAULT_AT, TOTAL, Scenario

NAMES: Final = {"bare": "openai client, defaults", "otel": "openai client + OpenTelemetry", "ours": "huddle_otel"}
_DASHES: Final = {"bare": "5 3", "otel": "1.5 3", "ours": ""}
_STYLE: Final = """
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#24292f}
.page{fill:#ffffff}.title{font-weight:600;font-size:13px}.small{font-size:11px;fill:#57606a}
.grid{stroke:#d0d7de;stroke-width:1}.fault{fill:#cf222e;opacity:.10}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.bare{stroke:#bc4c00}.otel{stroke:#8250df}.ours{stroke:#0969da;stroke-width:2.5}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.page{fill:#0d1117}.small{fill:#9198a1}.grid{stroke:#3d444d}.fault{fill:#ff7b72;opacity:.16}
.bare{stroke:#f0883e}.otel{stroke:#bc8cff}.ours{stroke:#58a6ff}}
""".strip()

_WIDTH, _HEIGHT = 340, 130
"""Of a plot."""
_LEFT, _TOP, _GAP_X, _GAP_Y = 46, 78, 48, 66


def draw(runs: Sequence[Figures], note: str) -> str:
    """Return the picture of all runs; `note` goes below the headline."""
    scenarios = list(dict.fromkeys(run.scenario for run in runs))
    contenders = list(dict.fromkeys(run.contender for run in runs))
    columns = min(len(scenarios), 2)
    rows = -(-len(scenarios) // columns)
    width = max(_LEFT + columns * _WIDTH + (columns - 1) * _GAP_X + 16, 560)
    height = _TOP + rows * (_HEIGHT + _GAP_Y) - 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
        ' role="img" aria-labelledby="t d"><title id="t">Goodput through upstream faults</title>',
        f'<desc id="d">{_described(runs)}</desc><style>{_STYLE}</style>',
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<text x="{_LEFT}" y="20" class="title">Calls answered in time, % of those offered</text>',
        _legend(contenders, width),
        f'<text x="{_LEFT}" y="{height - 10}" class="small">{note}</text>',
    ]
    for place, name in enumerate(scenarios):
        x = _LEFT + place % columns * (_WIDTH + _GAP_X)
        y = _TOP + place // columns * (_HEIGHT + _GAP_Y)
        curves = {run.contender: run.curve for run in runs if run.scenario == name}
        parts.append(_panel(BY_NAME[name], curves, x, y))
    return "\n".join([*parts, "</svg>\n"])


def _legend(contenders: Sequence[str], width: int) -> str:
    step = min((width - _LEFT) // len(contenders), 230)
    return "".join(
        f'<line class="line {name}" stroke-dasharray="{_DASHES[name]}" x1="{x}" x2="{x + 26}" y1="38" y2="38"/>'
        f'<text x="{x + 32}" y="42">{NAMES[name]}</text>'
        for x, name in ((_LEFT + index * step, name) for index, name in enumerate(contenders))
    )


def _panel(scenario: Scenario, curves: Mapping[str, Sequence[float]], x: int, y: int) -> str:
    parts = [f'<g transform="translate({x} {y})"><text y="-9" class="title">{scenario.title}</text>']
    for phase in scenario.phases:
        left, right = _x(phase.after), _x(phase.until)
        parts.append(f'<rect class="fault" x="{left}" y="0" width="{right - left:.1f}" height="{_HEIGHT}"/>')
    for share in (0, 50, 100):
        level = _y(share / 100)
        parts.append(
            f'<line class="grid" x1="0" x2="{_WIDTH}" y1="{level}" y2="{level}"/>'
            f'<text class="small" x="-6" y="{level + 4}" text-anchor="end">{share}</text>'
        )
    for at in range(0, int(TOTAL) + 1, 12):
        seconds = at - int(FAULT_AT)
        label = f"{seconds} s" if seconds else "fault"
        parts.append(f'<text class="small" x="{_x(at)}" y="{_HEIGHT + 15}" text-anchor="middle">{label}</text>')
    for contender, curve in sorted(curves.items(), key=lambda each: each[0] == "ours"):
        points = " ".join(f"{_x(at + 0.5)},{_y(share)}" for at, share in enumerate(curve))
        parts.append(f'<polyline class="line {contender}" stroke-dasharray="{_DASHES[contender]}" points="{points}"/>')
    return "".join([*parts, "</g>"])


def _x(seconds: float) -> float:
    return round(seconds / TOTAL * _WIDTH, 1)


def _y(share: float) -> float:
    return round((1 - share) * _HEIGHT, 1)


def _described(runs: Sequence[Figures]) -> str:
    return "; ".join(
        f"{run.scenario}, {NAMES[run.contender]}: {run.during:.0%} during the fault, "
        + ("recovered never within the run" if run.recovery is None else f"recovered in {run.recovery:.0f} s")
        for run in runs
    )
