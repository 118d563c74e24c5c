"""Run a command while Prometheus serves a recording.

    python -m tools.render.lab.serve FOLDER COMMAND ...     # {url} and {end} stand for its URL and its last moment
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.render.lab.server import prometheus


def main() -> int:
    """Run the command; returns its exit code."""
    folder, *command = sys.argv[1:]
    end = (Path(folder) / "end").read_text().strip()
    with prometheus(Path(folder)) as url:
        return subprocess.run([part.format(url=url, end=end) for part in command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
