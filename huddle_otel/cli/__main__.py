"""`python -m huddle_otel.cli`, where the installed command is not on the path."""

from __future__ import annotations

import sys

from huddle_otel.cli import main

if __name__ == "__main__":
    sys.exit(main())
