"""A real headless Chromium, and what it complained of: `make test-browser`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.exporters.conftest import missing

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en",
)
_DRAWN: Final = """
return [...document.querySelectorAll("canvas")].map((canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set();
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 3] === 255) colours.add(data[at] * 65536 + data[at + 1] * 256 + data[at + 2]);
  }
  return colours.size;
});
"""


@dataclass(frozen=True)
class Browser:
    """A window."""

    driver: Chrome

    def open(self, url: str) -> None:
        """Open a page, and forget what earlier ones did."""
        self.driver.get("about:blank")
        self.complaints()
        self.requests()
        self.driver.get(url)

    def look(
        self, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "", scale: float = 1
    ) -> None:
        """Set the screen, and what the reader prefers."""
        screen = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, *arguments: Any) -> Any:
        """Wait until a script's value is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20, poll_frequency=0.05).until(lambda _: self.js(script, *arguments), script)

    def text(self, selector: str = "body") -> str:
        """What a reader sees."""
        return str(self.js("return document.querySelector(arguments[0]).innerText", selector))

    def colours(self) -> list[int]:
        """Distinct opaque colours on every canvas."""
        drawn: list[int] = self.js(_DRAWN)
        return drawn

    def complaints(self) -> list[str]:
        """What the console has said since last asked: errors, warnings, violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """Every URL asked for since last asked."""
        entries = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]  # type: ignore[no-untyped-call]
        return [
            entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"
        ]

    def picture(self, file: Path, *, height: int | None = None) -> None:
        """Write a picture of the page, whole or its upper part, in CSS pixels."""
        import base64

        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        told = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        file.write_bytes(base64.b64decode(told["data"]))


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all tests."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None or find_spec("selenium") is None:
        missing("chromium, chromedriver or selenium")
    with chrome(tmp_path_factory.mktemp("profile")) as started:
        yield Browser(started)


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The window, on an ordinary screen."""
    window.look()
    return window


def chrome(profile: Path) -> Chrome:
    """Start Debian's Chromium with a new profile; it downloads nothing."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return Chrome(options, ChromeService(str(shutil.which("chromedriver"))))
