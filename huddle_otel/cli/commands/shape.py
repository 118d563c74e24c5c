"""What the subcommands have in common."""

from __future__ import annotations

import argparse
from typing import Final, TypeAlias

USAGE: Final = 2
"""Exit code of a command that cannot run as asked."""
PROMETHEUS_TOKEN: Final = "HUDDLE_OTEL_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name
"""Environment variable of the bearer token for Prometheus: arguments are seen by everyone on a machine."""
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
"""What `add_subparsers` returns; argparse has no public name for it."""


def names(text: str) -> tuple[str, ...]:
    """Return names that commas separate, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
