"""Renew the chart library that our pages carry, `huddle_otel/cli/page/static/chart.*`, from npm.

Usage::

    python tools/vendor_charts.py [VERSION]

Runs `npm pack`, so a machine's own registry settings hold. Without a version it fetches again the one on record, which
proves the record: the same version always gives the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

STATIC: Final = Path(__file__).parent.parent / "huddle_otel" / "cli" / "page" / "static"
RECORD: Final = "chart.json"
PACKAGE: Final = "chart.js"
FILES: Final = {"package/dist/chart.umd.min.js": "chart.umd.min.js", "package/LICENSE.md": "chart.LICENSE.md"}
"""Member of the package -> our file."""
_SOURCE_MAP: Final = re.compile(rb"\n//# sourceMappingURL=.*")
"""A developer's tools would ask for it, and we do not carry it."""


def fetch(version: str) -> dict[str, bytes]:
    """Return our files of a version of the package."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed, and not installed")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", "--silent", f"{PACKAGE}@{version}"]
        packed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)  # noqa: S603 - a literal and a version
        with tarfile.open(Path(folder, packed.stdout.split()[-1])) as archive:
            found = {name: archive.extractfile(member) for member, name in FILES.items()}
            return {name: _SOURCE_MAP.sub(b"", file.read()) for name, file in found.items() if file is not None}


def main() -> None:
    """Fetch, write, record."""
    recorded = STATIC / RECORD
    version = sys.argv[1] if len(sys.argv) > 1 else json.loads(recorded.read_text("utf-8"))["version"]
    files = fetch(version)
    for name, content in files.items():
        (STATIC / name).write_bytes(content)
    record = {
        "package": PACKAGE,
        "version": version,
        "license": "MIT",
        "sha256": {name: sha256(content).hexdigest() for name, content in files.items()},
    }
    recorded.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    print(f"{recorded}: {PACKAGE} {version}")


if __name__ == "__main__":
    main()
