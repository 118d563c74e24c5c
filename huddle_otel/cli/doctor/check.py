"""A check, as data, and how a list of them is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from huddle_otel._version import __version__
from huddle_otel.cli.output import plain

if TYPE_CHECKING:
    from rich.console import Console


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It works, though perhaps not as meant."""
    PROBLEM = "problem"
    SKIPPED = "skipped"
    """Not asked for, or not possible before another check is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    detail: str
    fix: str = ""
    """What to do about it."""
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """What was seen, in the order seen."""


_STYLES: Final = {Status.OK: "green", Status.WARN: "yellow", Status.PROBLEM: "bold red", Status.SKIPPED: "dim"}
_INDENT: Final = 22
"""Columns before a check's detail."""


def exit_code(checks: Sequence[Check]) -> int:
    """Return 1 when there is a problem, else 0."""
    return int(any(check.status is Status.PROBLEM for check in checks))


def as_json(checks: Sequence[Check]) -> str:
    """Return the checks as one JSON object."""
    listed = [
        {
            "name": check.name,
            "status": str(check.status),
            "detail": check.detail,
            "fix": check.fix,
            "facts": dict(check.facts),
        }
        for check in checks
    ]
    return json.dumps({"version": __version__, "ok": not exit_code(checks), "checks": listed}, indent=2)


def show(checks: Sequence[Check], console: Console) -> None:
    """Print the checks for people, wrapped to the console's width."""
    for check in checks:
        head = plain(f"{check.status:<8}", _STYLES[check.status])
        head.append(f"{check.name:<{_INDENT - 8}}", "bold")
        lines = plain(check.detail).wrap(console, console.width - _INDENT)
        for index, line in enumerate(lines):
            console.print(head if index == 0 else plain(" " * _INDENT), line, sep="", soft_wrap=True)
        for name, value in check.facts.items():
            _hang(console, f"{name}: ", value, "dim")
        if check.fix:
            _hang(console, "fix: ", check.fix, "cyan")
    problems = sum(check.status is Status.PROBLEM for check in checks)
    warnings = sum(check.status is Status.WARN for check in checks)
    console.print(plain(f"\n{problems} problem{'s' * (problems != 1)}, {warnings} warning{'s' * (warnings != 1)}"))


def _hang(console: Console, label: str, text: str, style: str) -> None:
    """Print text under a check's detail, further lines two columns in."""
    for index, line in enumerate(plain(label + text, style).wrap(console, console.width - _INDENT - 2)):
        console.print(plain(" " * (_INDENT + 2 * (index > 0))), line, sep="", soft_wrap=True)
