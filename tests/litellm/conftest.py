"""A real LiteLLM proxy between the instrumented client and a scripted upstream, started once per test run.

The proxy lives in a virtual environment of its own, since its dependencies and those of a client need not agree;
`make test-litellm` builds it and names its `bin` folder in HUDDLE_TEST_LITELLM. The upstream is the embedded gateway in
its `openai` persona. Each row of `cases` gets models of its own: after some errors (401 and 404 of the upstream) the
proxy lets no call through to a model for 5 s.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from huddle_otel.gateway import Gateway, Model
from tests.litellm.cases import PLAIN, STATUSES, STREAMS
from tests.litellm.lab import MESSAGES, Lab
from tests.litellm.mix import KINDS
from tests.litellm.proxy import LIFETIME_SECONDS, Deployment, Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.litellm.cases import Case

VARIABLE: Final = "HUDDLE_TEST_LITELLM"
DRIVERS: Final = ("sync", "async")
MODES: Final = ("plain", "stream")

PRICES: Final = {
    "input_cost_per_token": 3e-6,
    "output_cost_per_token": 15e-6,
    "cache_read_input_token_cost": 3e-7,
}
_OTHERS: Final = (
    Deployment("priced", prices=PRICES),
    Deployment("cached", prices=PRICES),
    Deployment("unpriced"),
    Deployment("glm-5"),  # in our catalogue, without a price at the gateway
    Deployment("no-requests", prices=PRICES, extra={"rpm": 0}),
    *(Deployment(f"cooling.{driver}", prices=PRICES) for driver in DRIVERS),
)


def model_of(case: Case, mode: str, driver: str) -> str:
    """The model that only this row asks for, in this mode, by this driver."""
    return f"{case.name}.{mode}.{driver}"


def _deployments() -> list[Deployment]:
    table = [(case, mode) for mode, own in zip(MODES, (PLAIN, STREAMS), strict=True) for case in (*STATUSES, *own)]
    return [
        *_OTHERS,
        *(kind.deployment for kind in KINDS),
        *(
            Deployment(model_of(case, mode, driver), prices=PRICES, extra=dict(case.extra))
            for case, mode in table
            for driver in DRIVERS
        ),
    ]


@pytest.fixture(scope="session")
def upstream() -> Iterator[Gateway]:
    """What stands for the model provider. It takes any key: the gateway's own for its upstream is no concern here."""
    mixed = {kind.name: kind.model for kind in KINDS}
    models = [
        Model(each.name, cached_tokens=3, reasoning_tokens=4) if each.name == "cached" else Model(each.name)
        for each in _deployments()
        if each.name not in mixed
    ]
    models += mixed.values()
    with Gateway(persona="openai", key=None, models=models, max_seconds=LIFETIME_SECONDS) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def proxy(upstream: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """The gateway, ready and warm."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        reason = f"needs a LiteLLM proxy: run `make test-litellm`, or set {VARIABLE} to its environment's bin folder"
        # where the proof is made, a back end that is not there is a failure, not a choice
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    program = Path(folder) / "litellm"
    with Proxy(program, tmp_path_factory.mktemp("litellm"), upstream.url, _deployments()) as proxy:
        _warm_up(proxy)
        yield proxy


def _warm_up(proxy: Proxy) -> None:
    """Take the gateway's first calls, which import half of it, out of the tests' clocks."""
    with openai.OpenAI(base_url=proxy.url, api_key=proxy.key()) as client:
        client.chat.completions.create(model="priced", messages=MESSAGES)
        list(client.chat.completions.create(model="priced", messages=MESSAGES, stream=True))


@pytest.fixture(scope="session")
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="session")
def tracer_provider(spans: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider


@pytest.fixture(params=DRIVERS)
def lab(
    request: pytest.FixtureRequest,
    proxy: Proxy,
    upstream: Gateway,
    tracer_provider: TracerProvider,
    spans: InMemorySpanExporter,
) -> Iterator[Lab]:
    """A client of either kind; when a test fails, what the gateway wrote meanwhile is in its report."""
    lab = Lab(request.param, proxy, upstream, tracer_provider, spans)
    lab.script()
    written = proxy.written()
    yield lab
    print(proxy.output(since=written))  # noqa: T201 -- pytest shows it with a failed test only


# --- what a run is to print -------------------------------------------------------------------------------------------

_REPORT: Final = pytest.StashKey[list[str]]()


@pytest.fixture
def report(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """`report(text)`: have it printed at the end of the run, so that it is in the log of a good one, too."""
    return pytestconfig.stash.setdefault(_REPORT, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what tests have to report."""
    texts = config.stash.get(_REPORT, [])
    if texts:
        terminalreporter.section("reconciliation")
        terminalreporter.write_line("\n\n".join(texts))
