"""Pictures of our pages for the docs, of the demo ledger: `python -m tests.browser.pictures FOLDER`."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from huddle_otel.cli import main as command
from tests.browser import demo
from tests.browser.conftest import Browser, chrome
from tests.cli.serving import serving

PHONE = 390


def take(folder: Path, work: Path) -> None:
    """Write every picture into a folder."""
    ledger, report = work / "ledger.db", work / "report.html"
    demo.write(ledger, demo.calls(now=time.time()))
    command(["report", "--ledger", str(ledger), "--since", "30d", "--html", str(report)])
    with chrome(work / "profile") as driver, serving(ledger) as served:
        browser = Browser(driver)
        for name, url, width, dark, height in (
            ("report", report.as_uri(), 1100, False, None),
            ("report-phone", report.as_uri(), PHONE, True, 1500),
            ("serve", served.server.url, 1100, True, 1720),
            ("serve-phone", served.server.url, PHONE, False, 1500),
        ):
            browser.look(width=width, dark=dark)
            browser.open(url)
            browser.until("return document.querySelectorAll('canvas').length >= 4")
            if "serve" in name:
                browser.until("return document.querySelector('#calls tbody') && document.querySelector('#month dt')")
            browser.picture(folder / f"{name}.png", height=height)
        browser.look(width=1100)
        browser.open(served.server.url)
        browser.until("return document.querySelector('#calls tbody')")
        browser.js("document.querySelector('#calls tbody button').click()")
        browser.until("return document.querySelector('dialog').open")
        browser.picture(folder / "serve-call.png", height=900)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    with tempfile.TemporaryDirectory() as work:
        take(parser.parse_args().folder, Path(work))


if __name__ == "__main__":
    main()
