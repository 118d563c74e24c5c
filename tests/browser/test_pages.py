"""The HTML report and the live page in a real browser: drawn, quiet, alone on the network, and safe to read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from huddle_otel.cli import main
from huddle_otel.cli.serve.access import Access
from tests.browser import demo
from tests.browser.conftest import Browser
from tests.cli.serving import Served, put, serving
from tests.exporters.test_ledger import RECORD

pytestmark = pytest.mark.browser

TOKEN: Final = "correct-horse-battery"
HOSTILE: Final = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror='window.hacked=2'>",
    '"><svg onload=window.hacked=3>',
    "</title><b>bold",
    "=cmd|' /C calc'!A0",
    "evil\u202egnp.exe",
    "javascript:window.hacked=4",
    "x" * 10_240,
)
_OVERFLOWS: Final = "return document.documentElement.scrollWidth > window.innerWidth"
_UNNAMED: Final = """
return [...document.querySelectorAll("button, select, input, canvas, table, dialog")].filter((each) =>
  !(each.textContent.trim() || each.getAttribute("aria-label") || each.labels?.length || each.caption)).length
"""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of calls that ends now."""
    path = tmp_path_factory.mktemp("demo") / "ledger.db"
    demo.write(path, demo.calls(now=time.time()))
    return path


@pytest.fixture(scope="module")
def page(ledger: Path) -> str:
    """The report on it, by URL."""
    file = ledger.with_name("report.html")
    assert main(["report", "--ledger", str(ledger), "--since", "30d", "--by", "model,team", "--html", str(file)]) == 0
    return file.as_uri()


@pytest.fixture
def serve() -> Iterator[Any]:
    """`serve(path)`: serve a ledger until the end of the test."""
    with ExitStack() as stack:
        yield lambda path, access=None: stack.enter_context(serving(path, access))


@pytest.fixture
def live(browser: Browser, serve: Any, ledger: Path) -> Served:
    """The live page of the demo ledger, shown and drawn."""
    served: Served = serve(ledger)
    browser.open(served.server.url)
    browser.until("return document.querySelectorAll('canvas').length >= 4 && document.querySelector('#calls tbody')")
    return served


def contrasts(browser: Browser) -> list[tuple[str, float]]:
    """Return texts whose contrast with the card they are on is below WCAG's 4.5, with it."""
    return list(
        browser.js(
            """
            const light = (text) => {
              const [r, g, b] = text.match(/\\d+/g).map((each) => each / 255).map(
                (each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4));
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const behind = (each) => {
              for (; each; each = each.parentElement) {
                const colour = getComputedStyle(each).backgroundColor;
                if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
              }
              return "rgb(255, 255, 255)";
            };
            const poor = [];
            const texts = "h1, h2, p, dt, dd, th, td, summary, figcaption *, label, footer";
            for (const each of document.querySelectorAll(texts)) {
              const [a, b] = [light(getComputedStyle(each).color), light(behind(each))].sort((x, y) => y - x);
              const ratio = (a + 0.05) / (b + 0.05);
              if (ratio < 4.5) poor.push([each.textContent.slice(0, 40), ratio]);
            }
            return poor;
            """
        )
    )


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_is_drawn_from_a_file_alone(browser: Browser, page: str) -> None:
    browser.open(page)
    colours = browser.colours()
    assert len(colours) == 5
    assert min(colours) >= 4
    assert browser.js("return document.title").startswith("LLM calls, ")
    text = browser.text()
    for word in ("Spend by model", "Latency", "Outcomes", "Waste", "expected", "Dearest calls", "claude-sonnet-4.6"):
        assert word in text
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [page]


def test_the_report_runs_only_what_it_came_with(browser: Browser, page: str) -> None:
    browser.open(page)
    browser.js(
        """
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        new Image().src = "http://127.0.0.1:9/x.png";
        """
    )
    assert browser.js("return window.hacked") is None
    told = " ".join(browser.complaints())
    assert "violates the following Content Security Policy directive" in told
    assert "script-src" in told
    assert "img-src data:" in told


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_fits_and_can_be_read(browser: Browser, page: str, width: int, dark: bool) -> None:
    browser.look(width=width, dark=dark)
    browser.open(page)
    assert not browser.js(_OVERFLOWS)
    assert contrasts(browser) == []
    assert browser.js(_UNNAMED) == 0
    assert min(browser.colours()) >= 4


def test_every_chart_has_its_figures_as_a_table(browser: Browser, page: str) -> None:
    browser.open(page)
    assert browser.js("return [...document.querySelectorAll('figure')].every((each) => each.querySelector('td'))")
    browser.js("document.querySelector('figure summary').click()")
    assert "$" in browser.text("figure details table")


def test_the_report_is_redrawn_for_dark_and_for_paper(browser: Browser, page: str) -> None:
    pixels = "return document.querySelector('canvas').toDataURL()"
    browser.open(page)
    light = browser.js(pixels)
    browser.look(dark=True)
    browser.until(f"{pixels} !== arguments[0]", light)
    dark = browser.js(pixels)
    browser.look(dark=True, media="print")
    browser.until(f"{pixels} !== arguments[0]", dark)
    assert browser.js("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_names_do_nothing_in_the_report(browser: Browser, tmp_path: Path) -> None:
    path, file = tmp_path / "ledger.db", tmp_path / "report.html"
    now = time.time()
    put(path, *(replace(RECORD, started=now - 60, model=name, outcome=name, tags={"team": name}) for name in HOSTILE))
    command = ["report", "--ledger", str(path), "--by", "model,team,outcome", "--top", "50", "--html", str(file)]
    assert main(command) == 0
    browser.open(file.as_uri())
    assert browser.js("return window.hacked") is None
    assert browser.js("return document.querySelectorAll('img, svg, b, main script').length") == 0
    assert "<script>window.hacked=1</script>" in browser.text()
    assert "\u202e" not in browser.text()
    assert len(browser.text()) < 20_000
    assert browser.complaints() == []
    assert min(browser.colours()) >= 4
    browser.look(width=390)
    assert not browser.js(_OVERFLOWS)


# --- the live page ----------------------------------------------------------------------------------------------------


def test_the_live_page_is_drawn_and_quiet(browser: Browser, live: Served) -> None:
    browser.until("return document.querySelectorAll('#month dt').length === 3")
    assert min(browser.colours()) >= 4
    text = browser.text()
    for word in ("Calls a minute", "Spend today", "This month, expected", "By model", "Calls, newest first"):
        assert word in text
    assert "Refused by open circuits, last 10 minutes" in text
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith(("data:", live.server.url))} == set()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_live_page_fits_and_can_be_read(browser: Browser, live: Served, width: int, dark: bool) -> None:
    browser.look(width=width, dark=dark)
    assert not browser.js(_OVERFLOWS)
    assert contrasts(browser) == []
    assert browser.js(_UNNAMED) == 0


def test_a_new_call_appears_by_itself(browser: Browser, serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    browser.open(serve(path).server.url)
    browser.until("return document.querySelector('#notice').innerText.includes('No ledger yet')")
    assert not browser.js("return document.querySelector('#all').checkVisibility()")
    put(path, replace(RECORD, started=time.time(), model="first-of-all"))
    browser.until("return document.querySelector('#calls').innerText.includes('first-of-all')")
    browser.until("return document.querySelector('#notice').hidden")
    put(path, replace(RECORD, started=time.time(), model="second"))
    browser.until("return document.querySelector('#calls').innerText.includes('second')")
    assert browser.complaints() == []


def test_searching_and_paging(browser: Browser, live: Served) -> None:
    browser.js(
        """
        const words = document.querySelector("#words");
        words.value = "SONNET";
        words.dispatchEvent(new Event("input"));
        """
    )
    models = "[...document.querySelectorAll('#calls td:nth-child(2)')].map((each) => each.innerText)"
    browser.until(f"return {models}.length === 25 && {models}.every((each) => each === 'claude-sonnet-4.6')")
    first = browser.text("#calls tbody")
    browser.js("document.querySelector('#older').click()")
    browser.until("return document.querySelector('#calls tbody').innerText !== arguments[0]", first)
    assert browser.js(f"return {models}.every((each) => each === 'claude-sonnet-4.6')")
    browser.js("document.querySelector('#newest').click()")
    browser.until("return document.querySelector('#newest').hidden")
    browser.js(
        """
        const outcome = document.querySelector("#outcome");
        outcome.value = "rejected";
        outcome.dispatchEvent(new Event("change"));
        """
    )
    browser.until("return document.querySelector('#calls tbody').innerText.includes('rejected: breaker_open')")
    browser.js(
        "const words = document.querySelector('#words'); words.value = 'no such thing';"
        "words.dispatchEvent(new Event('input'))"
    )
    browser.until("return document.querySelector('#found').innerText === '0 calls'")


def test_a_call_is_shown_whole(browser: Browser, live: Served) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.js("document.querySelector('#pause').click()")
    first = browser.driver.find_element("css selector", "#calls tbody button")
    first.send_keys(Keys.ENTER)  # by keyboard
    browser.until("return document.querySelector('dialog').open")
    text = browser.text("dialog")
    for column in ("trace_id", "cost_estimate", "request_id", "tags", "nano-dollars", "team"):
        assert column in text
    browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    browser.until("return !document.querySelector('dialog').open")


def test_another_window_of_time_is_drawn(browser: Browser, live: Served) -> None:
    before = browser.text("figure figcaption")
    browser.js(
        "const window_ = document.querySelector('#window'); window_.value = '30d';"
        "window_.dispatchEvent(new Event('change'))"
    )
    browser.until("return document.querySelector('figure figcaption').innerText !== arguments[0]", before)
    assert "a day" in browser.text("figure figcaption")


def test_hostile_names_do_nothing_on_the_live_page(browser: Browser, serve: Any, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    for name in HOSTILE:
        bad = replace(RECORD, started=time.time(), model=name, host=name, operation=name, tags={name: name})
        put(path, bad, replace(bad, outcome="rejected", error_type="breaker_open"))
    browser.open(serve(path).server.url)
    browser.until("return document.querySelectorAll('canvas').length >= 2 && document.querySelector('#calls tbody')")
    browser.js("document.querySelector('#calls tbody button').click()")
    browser.until("return document.querySelector('dialog').open")
    assert browser.js("return window.hacked") is None
    assert browser.js("return document.querySelectorAll('img, svg, b, main script').length") == 0
    assert "\u202e" not in browser.text()
    assert browser.complaints() == []
    browser.look(width=390)
    assert not browser.js(_OVERFLOWS)


def test_the_policy_stops_what_would_get_in(browser: Browser, live: Served) -> None:
    browser.js("document.querySelector('#pause').click()")
    browser.js("document.body.innerHTML += '<img src=x onerror=\"window.hacked=1\"><style>body{display:none}</style>'")
    browser.until("return document.querySelector('img').complete")
    assert browser.js("return window.hacked") is None
    assert browser.js("return getComputedStyle(document.body).display") == "block"
    assert "Content Security Policy" in " ".join(browser.complaints())


def test_the_token_is_asked_for_once(browser: Browser, serve: Any, ledger: Path) -> None:
    served = serve(ledger, Access(remote=False, token=TOKEN))
    browser.open(served.server.url)
    field = browser.driver.find_element("name", "token")
    field.send_keys(TOKEN)
    field.submit()
    browser.until("return document.querySelector('#calls tbody')")
    assert browser.driver.current_url == served.server.url
    assert browser.js("return document.cookie") == ""
    browser.driver.get(served.server.url)
    browser.until("return document.querySelector('#calls tbody')")


def test_a_server_that_stops_is_said_and_its_return_noticed(browser: Browser, ledger: Path) -> None:
    with serving(ledger) as served:
        browser.open(served.server.url)
        browser.until("return document.querySelector('#calls tbody')")
    browser.until("return document.querySelector('#notice').innerText.includes('No answer')")
    with serving(ledger, port=served.port):
        browser.until("return document.querySelector('#notice').hidden")
