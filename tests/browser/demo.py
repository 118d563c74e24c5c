"""A ledger as a small company's would be: a month, four teams, six models, some bad minutes, calls without price.

`python -m tests.browser.demo FILE` writes one that ends now; the same seed and time always give the same calls.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from huddle_otel.events import CallRecord
from huddle_otel_exporters.ledger.writer import Writer
from tests.exporters.test_ledger import RECORD

DAY: Final = 86_400.0
_NONE: Final[dict[str, Any]] = {
    "cost": None,
    "cost_input": None,
    "cost_output": None,
    "cost_estimate": None,
    "cost_source": "unknown",
    "input_tokens": None,
    "output_tokens": None,
    "cache_read_tokens": None,
    "reasoning_tokens": None,
    "answered": False,
    "first_chunk": None,
    "response_model": None,
    "response_id": None,
    "finish_reason": None,
}


@dataclass(frozen=True)
class Model:
    """How one model is used. Prices are nano-dollars per token."""

    name: str
    weight: int
    price_in: int
    price_out: int
    tokens_in: int
    tokens_out: int
    seconds: float


MODELS: Final = (
    Model("gpt-4.1-mini", 40, 400, 1600, 900, 180, 1.3),
    Model("gpt-4.1", 18, 2000, 8000, 1500, 320, 2.6),
    Model("claude-sonnet-4.6", 14, 3000, 15000, 2600, 520, 4.2),
    Model("gemini-2.5-flash", 20, 300, 2500, 1200, 260, 1.1),
    Model("deepseek-v3.2", 10, 280, 420, 1800, 600, 5.5),
    Model("text-embedding-3-large", 22, 130, 0, 600, 0, 0.25),
)
TEAMS: Final = ("search", "support", "growth", "platform")


def calls(*, now: float, days: float = 34.0, per_day: int = 900, seed: int = 7) -> Iterator[CallRecord]:
    """Yield calls in order of time, busier by day than by night, up to now."""
    random = Random(seed)
    moment = now - days * DAY
    for number in range(10**9):
        rhythm = 1 + 0.75 * math.sin((moment % DAY) / DAY * 2 * math.pi - 2)
        rhythm *= 0.35 if (moment // DAY + 4) % 7 in {0, 6} else 1.0  # 1970 began on a Thursday: 0 is Sunday
        recent = 40.0 if now - moment < 3600 else 1.0  # the last hour is what the live page shows
        moment += random.expovariate(per_day / DAY * rhythm * recent)
        if moment >= now - 1:
            return
        yield call(random, number, moment, bad=3 <= (now - moment) / 60 < 12)


def call(random: Random, number: int, started: float, *, bad: bool) -> CallRecord:
    """Return one call; on a bad day of its upstream more fail, and the circuit opens."""
    model = random.choices(MODELS, [each.weight for each in MODELS])[0]
    tokens_in = int(random.lognormvariate(math.log(model.tokens_in), 0.6))
    tokens_out = int(random.lognormvariate(math.log(model.tokens_out), 0.5)) if model.tokens_out else 0
    cost_in, cost_out = tokens_in * model.price_in, tokens_out * model.price_out
    duration = random.lognormvariate(math.log(model.seconds), 0.5)
    embeds = model.tokens_out == 0
    stream = not embeds and random.random() < 0.5
    identity = random.getrandbits(128)
    record = replace(
        RECORD,
        started=started,
        duration=duration,
        first_chunk=duration * random.uniform(0.1, 0.4) if stream else None,
        operation="embeddings" if embeds else "chat",
        model=model.name,
        response_model=model.name,
        provider="huddle01",
        host="gru.huddle01.io",
        stream=stream,
        outcome="ok",
        error_type=None,
        status=None,
        finish_reason=None if embeds else "stop",
        attempts=2 if random.random() < 0.03 else 1,
        waited=0.0,
        double_billing=random.random() < 0.002,
        answered=True,
        fell_back_from="gpt-4.1" if model.name == "gpt-4.1-mini" and random.random() < 0.01 else None,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=tokens_in // 3 if random.random() < 0.3 else 0,
        cache_write_tokens=0,
        reasoning_tokens=0,
        input_audio_tokens=None,
        input_image_tokens=None,
        output_audio_tokens=None,
        output_image_tokens=None,
        cost=cost_in + cost_out,
        cost_source="gateway" if random.random() < 0.8 else "catalogue",
        cost_input=cost_in,
        cost_output=cost_out,
        cost_cache_read=None,
        cost_cache_write=None,
        cost_estimate=cost_in + cost_out,
        request_id=f"req-{identity & 0xFFFFFFFFFFFF:012x}",
        response_id=f"resp-{number}",
        trace_id=identity,
        span_id=identity & 0xFFFFFFFFFFFFFFFF,
        tags={"team": random.choice(TEAMS), "release": f"2026.{40 + number // 8000}"},
    )
    return _ended(random, record, bad=bad and model.name == "claude-sonnet-4.6")


def _ended(random: Random, record: CallRecord, *, bad: bool) -> CallRecord:
    luck, changes = random.random(), dict[str, Any]()
    if bad and luck < 0.75:
        changes = {**_NONE, "outcome": "rejected", "error_type": "breaker_open", "duration": 0.001, "attempts": 0}
    elif bad or luck < 0.018:
        error = random.choice(["503", "503", "502", "429", "read_timeout"])
        status = int(error) if error.isdigit() else None
        changes = {**_NONE, "outcome": "error", "error_type": error, "status": status, "attempts": 3, "waited": 2.1}
    elif luck < 0.035 and record.stream:
        changes = {"outcome": random.choice(["truncated", "abandoned"]), "finish_reason": None}
    elif luck < 0.037:
        changes = {**_NONE, "outcome": "cancelled", "answered": True}
    elif luck < 0.039:
        changes = {
            "cost": None,
            "cost_source": "unknown",
            "cost_estimate": None,
            "cost_input": None,
            "cost_output": None,
        }
    return replace(record, **changes)


def write(path: Path, records: Iterator[CallRecord]) -> None:
    """Write calls into a ledger."""
    writer = Writer(path)
    writer.export(records)
    writer.shutdown()


def main() -> None:
    """Write a ledger that ends now."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    write(parser.parse_args().file, calls(now=time.time()))


if __name__ == "__main__":
    main()
