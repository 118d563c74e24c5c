"""The same door for `opentelemetry-instrument` (entry point `huddle`) and for code that treats instrumentors alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]  # not in __all__

from huddle_otel.door import instrument, uninstrument


class HuddleInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # so its type is unknown
    """`HuddleInstrumentor().instrument(**settings)` is `huddle_otel.instrument(**settings)`."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed for the auto-instrumentation to pick us."""
        return ("openai >= 1.109.1, < 4",)

    def _instrument(self, **kwargs: Any) -> None:
        # opentelemetry-instrument passes a word of its own to every instrumentor
        instrument(**{name: value for name, value in kwargs.items() if name != "skip_dep_check"})

    def _uninstrument(self, **_kwargs: Any) -> None:
        uninstrument()
