"""The proxy's own account of every request, kept by a callback inside it: LiteLLM's word on cost, past our client."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

MODULE: Final = '''
"""Writes down what the proxy's spend log would get: one line of JSON for each request it has dealt with."""

import json
import os

from litellm.integrations.custom_logger import CustomLogger

FIELDS = ("litellm_call_id", "model_group", "call_type", "stream", "status", "response_cost")
TOKENS = ("prompt_tokens", "completion_tokens")


class Book(CustomLogger):
    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        self._write(kwargs)

    async def async_log_failure_event(self, kwargs, response_obj, start_time, end_time):
        self._write(kwargs)

    def _write(self, kwargs):
        said = kwargs.get("standard_logging_object") or {}
        with open(os.environ["TEST_BOOK"], "a", encoding="utf-8") as book:
            book.write(json.dumps({name: said.get(name) for name in FIELDS + TOKENS}) + "\\n")


book = Book()
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the book."""

    call_id: str
    model: str
    status: str
    """`success` or `failure`."""
    cost: int | None
    """Nano-dollars; None: the proxy has no price."""
    tokens: tuple[int, int]
    """In and out."""


def read(path: Path) -> dict[str, list[Entry]]:
    """Return the lines by call id."""
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        said = json.loads(line)
        cost = said["response_cost"]
        entry = Entry(
            call_id=str(said["litellm_call_id"]),
            model=str(said["model_group"]),
            status=str(said["status"]),
            # a float counts as the decimal it prints as
            cost=None if cost is None else round(Decimal(repr(cost)) * 10**9),
            tokens=(said["prompt_tokens"] or 0, said["completion_tokens"] or 0),
        )
        entries[entry.call_id].append(entry)
    return dict(entries)
