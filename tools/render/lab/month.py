"""A simulated month of a shop, as Prometheus blocks: what boards over days and weeks are drawn from.

    python -m tools.render.lab.month FOLDER

Nothing here was measured. The same seed gives the same month: a daily rhythm, quiet weekends, three outages,
and on the last day a batch job that spends too much.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel_dashboards.alerts import Recording, rules
from huddle_otel_dashboards.series import label, series
from tools.render.lab.serve import serving

END: Final = datetime(2026, 11, 24, 17, 40, tzinfo=UTC)
"""The last moment: a Tuesday, so that the weekend shows in a week."""
DAYS: Final = 31
STEP: Final = 120
"""Seconds between samples: an `increase` over 5 minutes needs two."""
_TARGET: Final = {"job": "shop", "instance": "shop-1:9464"}
_TEAMS: Final = {"search": 0.5, "support": 0.35, "batch": 0.15}
_LIMITS: Final = {"search": 25, "support": 20, "batch": 10}
"""USD that each team may spend in a day."""
_DAY: Final = 86_400
_WEEKEND: Final = 5
_WARM_UP: Final = 2 * _DAY
"""Seconds at the end for which every metric is written. Before, only what the rules over 30 days need."""
_LARGE_BLOCKS: Final = "--max-block-duration=486h"
"""Prometheus' own steps are 2 h times a power of 3. The input is read once per block."""
_RATIO: Final = ":ratio"
_LONG: Final = (contract.CALLS, contract.COST_USD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model the shop calls. Tokens are those of a usual call, prices USD per 1M tokens."""

    name: str
    share: float
    input_tokens: int
    output_tokens: int
    input_price: float | None = None
    output_price: float | None = None
    source: str = "gateway"

    @property
    def cost(self) -> float | None:
        """USD of a usual call, None when nobody knows."""
        if self.input_price is None or self.output_price is None:
            return None
        return (self.input_tokens * self.input_price + self.output_tokens * self.output_price) / 1e6


HAIKU, MINI, DEEPSEEK, HOUSE = MODELS = (
    Model(name="claude-haiku-4.5", share=0.2, input_tokens=620, output_tokens=180, input_price=1, output_price=5),
    Model(name="gpt-4.1-mini", share=0.4, input_tokens=840, output_tokens=160, input_price=0.4, output_price=1.6),
    Model(
        name="deepseek-v3.2",
        share=0.3,
        input_tokens=500,
        output_tokens=240,
        input_price=0.299,
        output_price=0.437,
        source="catalogue",
    ),
    Model(name="house-llama", share=0.1, input_tokens=300, output_tokens=120),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Some hours in which a share of a model's calls end badly."""

    model: Model
    before: float
    """Hours before the end at which it begins."""
    hours: float
    share: float
    outcome: str
    error: str

    def now(self, moment: float, model: Model) -> bool:
        """Whether it hits that model, `moment` seconds before the end."""
        return model is self.model and self.before - self.hours < moment / 3600 <= self.before


INCIDENTS: Final = (
    Incident(model=MINI, before=18.2 * 24, hours=1.2, share=0.7, outcome="error", error="502"),
    Incident(model=HAIKU, before=9.1 * 24, hours=5, share=0.06, outcome="error", error="529"),
    Incident(model=DEEPSEEK, before=8.4, hours=0.6, share=0.35, outcome="error", error="503"),
    Incident(model=DEEPSEEK, before=7.8, hours=0.3, share=0.5, outcome="rejected", error="breaker_open"),
    Incident(model=MINI, before=3.5, hours=2.5, share=0.012, outcome="truncated", error="stream_truncated"),
)
_USUAL: Final = (
    ("error", "500", 0.0006),
    ("error", "timeout", 0.0003),
    ("truncated", "stream_truncated", 0.0002),
    ("cancelled", "", 0.002),
)
"""Outcome, cause and share of what always fails a little."""
SPIKE: Final = Incident(model=HAIKU, before=4.6, hours=2.1, share=0.8, outcome="ok", error="")
"""The batch job: calls beyond the usual ones, as a multiple of them."""


class Counters:
    """Counters by metric and labels, and how they are written."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[Metric, tuple[tuple[str, str], ...]], float] = defaultdict(float)

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Count."""
        self._values[metric, tuple(labels.items())] += amount

    def put(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[metric, tuple(labels.items())] = value

    def write(self, file: TextIO, at: int, *, everything: bool) -> None:
        """Write a sample of each series at a moment, s since the epoch."""
        for (metric, labels), value in self._values.items():
            if everything or metric in _LONG:
                named = ",".join(f'{name}="{text}"' for name, text in (*_TARGET.items(), *labels))
                file.write(f"{series(metric)}{{{named}}} {value:.10g} {at}\n")
        file.write(f'up{{job="{_TARGET["job"]}",instance="{_TARGET["instance"]}"}} 1 {at}\n')


def rhythm(moment: datetime) -> float:
    """Return the calls per second of all models at a moment: busiest at 14:00 UTC, halved at weekends."""
    hour = moment.hour + moment.minute / 60
    day = 0.55 - 0.45 * math.cos((hour - 2) / 24 * 2 * math.pi)
    return 1.4 * day * (0.45 if moment.weekday() >= _WEEKEND else 1)


def simulate(counters: Counters, draw: random.Random, *, days: float = DAYS) -> Iterator[int]:
    """Advance the counters step by step. Yields the moment of each, s since the epoch."""
    last = int(END.timestamp())
    for at in range(last - int(days * _DAY) // STEP * STEP, last + 1, STEP):
        left, usual = last - at, rhythm(datetime.fromtimestamp(at, UTC)) * STEP
        for model in MODELS:
            for team, share in _TEAMS.items():
                calls = _drawn(draw, usual * model.share * share)
                if team == "batch" and SPIKE.now(left, model):
                    calls += _drawn(draw, usual * SPIKE.share)
                _count(counters, draw, model, team, calls, left)
        if at % _DAY < STEP:
            _new_day(counters)
        yield at


def _count(counters: Counters, draw: random.Random, model: Model, team: str, calls: int, left: float) -> None:
    """Count one team's calls to a model in one step."""
    bad = [(each.outcome, each.error, each.share) for each in INCIDENTS if each.now(left, model)]
    for outcome, error, share in (*bad, *_USUAL):
        hit = min(calls, _drawn(draw, calls * share))
        calls -= hit
        _calls(counters, model, outcome, error, hit)
        if outcome == "truncated" and model.cost is not None:
            _spend(counters, model, team, hit)
            counters.add(contract.COST_WASTE, hit * model.cost, model=model.name, huddle_outcome=outcome)
    _calls(counters, model, "ok", "", calls)
    _spend(counters, model, team, calls)


def _calls(counters: Counters, model: Model, outcome: str, error: str, count: int) -> None:
    labels = {label(contract.OPERATION): "chat", "model": model.name, label(contract.OUTCOME): outcome}
    counters.add(contract.CALLS, count, **labels, **({label(contract.ERROR_TYPE): error} if error else {}))


def _spend(counters: Counters, model: Model, team: str, calls: int) -> None:
    """Count tokens, money where the price is known, and calls where it is not."""
    for kind, tokens in (
        ("input", model.input_tokens),
        ("output", model.output_tokens),
        ("cache_read", model.input_tokens // 5),
    ):
        counters.add(contract.TOKENS_USED, calls * tokens, model=model.name, type=kind, team=team)
    if model.cost is None:
        counters.add(contract.COST_UNKNOWN, calls, model=model.name)
        return
    usd = calls * model.cost
    counters.add(contract.COST_USD, usd, model=model.name, source=model.source, team=team)
    counters.add(contract.COST_DIFFERENCE, 0.004 * usd * (model.source == "gateway"), model=model.name)
    for budget, key, limit in (("day", "", 50), ("day/team", team, _LIMITS[team])):
        counters.add(contract.BUDGET_USED, usd, budget=budget, key=key)
        counters.put(contract.BUDGET_LIMIT, limit, budget=budget, key=key)


def _new_day(counters: Counters) -> None:
    for budget, key in (("day", ""), *(("day/team", team) for team in _TEAMS)):
        counters.put(contract.BUDGET_USED, 0, budget=budget, key=key)


def _drawn(draw: random.Random, mean: float) -> int:
    """Return a count around a mean, as rare or frequent events scatter."""
    if mean > 30:  # noqa: PLR2004 - where the bell curve is close enough to Poisson's
        return max(0, round(draw.gauss(mean, math.sqrt(mean))))
    count, product = 0, draw.random()
    while product > math.exp(-mean):
        count, product = count + 1, product * draw.random()
    return count


def make(folder: Path, *, seed: int = 11) -> None:
    """Write the month into a folder, with what the recording rules make of it. Leaves in `end` when it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    samples, end = folder / "samples.txt", int(END.timestamp())
    counters = Counters()
    with samples.open("w") as file:
        for at in simulate(counters, random.Random(seed)):  # noqa: S311 - a repeatable month, not secrets
            counters.write(file, at, everything=end - at <= _WARM_UP)
        file.write("# EOF\n")
    _blocks("openmetrics", str(samples), str(folder / "data"))
    samples.unlink()
    recorded = {rule.name: rule.expr for group in rules() for rule in group.rules if isinstance(rule, Recording)}
    while recorded:  # a rule that uses others needs those stored
        ready = {name: expr for name, expr in recorded.items() if not any(other in expr for other in recorded)}
        ratios = all(_RATIO in name for name in ready)  # read as they are, while others are summed over the month
        _record(folder, ready, start=end - (_WARM_UP if ratios else DAYS * _DAY), end=end)
        recorded = {name: expr for name, expr in recorded.items() if name not in ready}
    (folder / "end").write_text(f"{end}\n")


def _record(folder: Path, recorded: Mapping[str, str], *, start: int, end: int) -> None:
    """Work out some recording rules over the stored past, and store them beside it."""
    file, made = folder / "rules.json", folder / "made"
    entries = [{"record": name, "expr": expr} for name, expr in recorded.items()]
    file.write_text(json.dumps({"groups": [{"name": "recordings", "interval": "5m", "rules": entries}]}))  # YAML too
    with serving(folder) as url:
        _blocks("rules", f"--url={url}", f"--start={start}", f"--end={end}", f"--output-dir={made}", str(file))
    for block in made.iterdir():
        block.rename(folder / "data" / block.name)


def _blocks(*arguments: str) -> None:
    command = ["promtool", "tsdb", "create-blocks-from", "--quiet", _LARGE_BLOCKS, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours


def main() -> None:
    """Make the month in the folder given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)


if __name__ == "__main__":
    main()
