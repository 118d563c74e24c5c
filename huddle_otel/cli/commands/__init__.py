"""What each subcommand takes, one module each: `add` says it to argparse, `_run` imports what does the work.

Importing these costs next to nothing, so that every command starts as fast as it can.
"""

from __future__ import annotations

from typing import Final

from huddle_otel.cli.commands import dashboards, demo, doctor, prices, report, serve

COMMANDS: Final = (demo, doctor, prices, report, serve, dashboards)
"""In the order `--help` lists them."""
