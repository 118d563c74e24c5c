"""The exporters by way of `instrument()` and the environment, as an app uses them."""

from __future__ import annotations

from typing import Any, Final

import pytest

import huddle_otel
from huddle_otel.errors import ConfigurationError
from tests.client.support import Instrument, Recorded
from tests.exporters.collector import Rotel
from tests.exporters.conftest import Run, warnings_of

GO: Final = (
    "import huddle_otel, os\n"
    "def go(**settings):\n"
    "    settings = {'base_url': os.environ['APP_GATEWAY'], 'api_key': os.environ['APP_KEY'], **settings}\n"
    "    huddle_otel.instrument(**settings)\n"
)


@pytest.mark.parametrize("how", ["argument", "variable", "endpoint alone"])
def test_one_line_sends_spans_and_metrics(how: str, rotel: Rotel, run: Run) -> None:
    variables: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": rotel.http}
    if how == "variable":
        variables["HUDDLE_OTEL_EXPORTERS"] = "otlp"
    argument = "exporters='otlp'" if how == "argument" else ""
    done = run(f"{GO}go({argument}); call(2); say(huddle_otel.flush())", **variables)
    assert done.stdout.split() == ["True"]
    assert len(rotel.calls) == 2
    assert set(rotel.last("huddle.client.calls").values()) == {2}
    assert not warnings_of(done.stderr)


def test_several_at_once_and_a_summary_at_exit(rotel: Rotel, run: Run) -> None:
    done = run(f"{GO}go(exporters=['otlp', 'console']); call(3)", OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    rotel.wait_for(lambda: len(rotel.calls) == 3)
    assert "3 calls" in done.stderr


def test_called_again_with_the_same_it_does_nothing(rotel: Rotel, run: Run) -> None:
    code = (
        f"{GO}go(exporters='otlp')\nfrom huddle_otel.client import patch\nbefore = patch.active()\n"
        "go(exporters='otlp'); say(patch.active() is before); call(1)"
    )
    done = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http)
    assert done.stdout.split() == ["True"]
    rotel.wait_for(lambda: len(rotel.calls) == 1)


def test_nothing_to_send_is_delivered(instrument: Instrument, recorded: Recorded) -> None:
    assert huddle_otel.flush()
    instrument()
    assert huddle_otel.flush(0.1)
    assert recorded.spans == ()


def test_an_unknown_exporter_changes_nothing(instrument: Instrument) -> None:
    with pytest.raises(ConfigurationError, match="exporters"):
        instrument(exporters="carrier-pigeon")
    assert not huddle_otel.current_health()["instrumented"]
