"""Ten bad minutes of a shop, played by the real client against the embedded gateway, and scraped.

    python -m tools.render.lab.outage FOLDER [--seconds 600]

Everything on the boards that comes of it was measured; only the gateway's misbehaviour is scripted.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import openai
from opentelemetry.sdk.trace import TracerProvider

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.cli.environment import without
from huddle_otel.cli.stack.processes import free_port
from huddle_otel.gateway import Gateway, Model, Rule, faults
from huddle_otel.spend import catalogue
from tools.render.lab.serve import serving

_KEY: Final = "sk-huddle-lab"
_PER_SECOND: Final = 5
_WORKERS: Final = 64
_TEAMS: Final = {"search": 5, "support": 3, "batch": 2}
"""Team -> its share of the calls."""


def _model(name: str, *, first_token: float, per_chunk: float) -> Model:
    row = next((row for row in catalogue() if row.id == name), None)
    rates = () if row is None or not row.input or not row.output else (Decimal(row.input), Decimal(row.output))
    return Model(name, *rates, first_token=first_token, per_chunk=per_chunk, chunks=14, cached_tokens=40)


HAIKU, MINI, DEEPSEEK, HOUSE = MODELS = (
    _model("claude-haiku-4.5", first_token=0.9, per_chunk=0.05),
    _model("gpt-4.1-mini", first_token=0.35, per_chunk=0.02),
    _model("deepseek-v3.2", first_token=0.6, per_chunk=0.04),
    _model("house-llama", first_token=0.2, per_chunk=0.015),  # in no price list: its spend is unknown
)
_SHARES: Final = (4, 8, 5, 3)
"""Of the calls, by model."""


def rules(seconds: float) -> Iterator[Rule]:
    """Yield the story, first to win first: an outage, a rate limit, broken streams, and an outage that still lasts."""
    at = seconds / 100  # the story is told in per cent of its length
    yield Rule(faults.bad_gateway(), model=MINI.id, after=18 * at, until=34 * at)
    for start in (46, 51, 56):  # a limit per minute: shut, open, shut again
        yield Rule(
            faults.rate_limited(retry_after=round(3 * at, 1)), model=HAIKU.id, after=start * at, until=(start + 3) * at
        )
    for fault, rate in (
        (faults.status(503, retry_after=0.5), 0.12),
        (faults.reset_before_first_byte(0.1), 0.05),
        (faults.cut(after=6), 0.06),
        (faults.reset(after=5), 0.05),
        (faults.stall(after=4, seconds=8), 0.04),
        (faults.error_frame(after=0), 0.05),
    ):
        yield Rule(fault, model=DEEPSEEK.id, after=66 * at, until=82 * at, rate=rate)
    yield Rule(faults.overloaded(), model=HAIKU.id, after=92 * at, rate=0.85)
    for model in MODELS:  # no two calls take the same time
        for factor, rate in ((8, 0.02), (4, 0.08), (2, 0.25)):
            yield Rule(faults.slow_success(model.first_token * factor), model=model.id, rate=rate)
    yield Rule(faults.status(500), rate=0.004)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call of the shop."""

    at: float
    """Seconds after the start."""
    model: str
    team: str
    stream: bool
    words: int
    max_tokens: int


def plan(seconds: float, *, seed: int) -> Iterator[Ask]:
    """Yield the calls in order of their time."""
    draw = random.Random(seed)  # noqa: S311 - repeatable traffic, not secrets
    at = 0.0
    while (at := at + draw.expovariate(_PER_SECOND)) < seconds:
        yield Ask(
            at=at,
            model=draw.choices(MODELS, _SHARES)[0].id,
            team=draw.choices(list(_TEAMS), list(_TEAMS.values()))[0],
            stream=draw.random() < 0.6,  # noqa: PLR2004 - a share
            words=draw.randrange(30, 180),
            max_tokens=draw.randrange(15, 60),
        )


def call(client: openai.OpenAI, ask: Ask) -> None:
    """Make one call as an app does, and leave its failure to the metrics."""
    create: Any = client.chat.completions.create  # whether it streams decides what it returns
    messages = [{"role": "user", "content": "word " * ask.words}]
    with huddle_otel.tags(team=ask.team):
        try:
            answer = create(model=ask.model, messages=messages, max_tokens=ask.max_tokens, stream=ask.stream)
            for _chunk in answer if ask.stream else ():
                pass
        except openai.OpenAIError:
            pass


def play(seconds: float, *, seed: int) -> float:
    """Make every call at its time. Returns when the last one began, s since the epoch: after it, all fades."""
    started = time.monotonic()
    with openai.OpenAI() as client, ThreadPoolExecutor(_WORKERS) as pool:
        for ask in plan(seconds, seed=seed):
            time.sleep(max(0.0, started + ask.at - time.monotonic()))
            pool.submit(call, client, ask)
        return time.time()


def record(folder: Path, *, seconds: float, seed: int = 7, rules_files: Sequence[Path] = ()) -> None:
    """Play the outage while Prometheus scrapes it. Leaves its data, and in `end` when it ended (s since the epoch)."""
    port = free_port()
    with (
        without("OPENAI_", "HUDDLE_", "OTEL_", proxies=True),
        Gateway(models=MODELS, key=_KEY, max_seconds=seconds + 60) as gateway,
        serving(folder, target=f"127.0.0.1:{port}", rules=rules_files),
    ):
        os.environ["OTEL_EXPORTER_PROMETHEUS_PORT"] = str(port)
        huddle_otel.instrument(
            base_url=gateway.url,
            api_key=_KEY,
            exporters=["prometheus"],
            tracer_provider=TracerProvider(),  # without traces a histogram has no exemplars
            tag_metrics=("team",),
            spend_guard=[SpendGuard(limit="0.2", per="day", by="team"), SpendGuard(limit=50, per="day")],
        )
        gateway.script(rules(seconds))
        try:
            end = play(seconds, seed=seed)
        finally:
            huddle_otel.uninstrument()
    (folder / "end").write_text(f"{end:.0f}\n")


def main() -> None:
    """Record into the folder given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rules", type=Path, nargs="*", default=[], help="files of alert and recording rules")
    arguments = parser.parse_args()
    record(arguments.folder, seconds=arguments.seconds, rules_files=arguments.rules)


if __name__ == "__main__":
    main()
