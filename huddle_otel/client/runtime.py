"""What is in force between `instrument()` and `uninstrument()`."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Any, Final

from openai._types import Omit

from huddle_otel._version import __version__
from huddle_otel.client.circuits import Circuits
from huddle_otel.client.clock import clock
from huddle_otel.client.exchange import Exchange, resends
from huddle_otel.client.pricing import price_table
from huddle_otel.client.spending import Spending
from huddle_otel.client.targets import Targets
from huddle_otel.errors import ConfigurationError
from huddle_otel.events import Request
from huddle_otel.settings import Settings
from huddle_otel.telemetry.recorder import Recorder

_LOG: Final = logging.getLogger("huddle_otel")
_MAX_REFUSALS: Final = 1_000


class Runtime:
    """One set of settings at work."""

    def __init__(self, settings: Settings, *, redirect_defaults: bool, pipeline: Any = None) -> None:
        """Prepare; with `redirect_defaults` off only clients that are named are moved to the gateway.

        `pipeline` carries telemetry out, if we set it up (`huddle_otel_exporters.Pipeline`).
        """
        self.settings = settings
        self.targets = Targets(settings, redirect_defaults=redirect_defaults)
        self.pipeline = pipeline
        self.recorder = Recorder(settings, __version__, ledgers=pipeline.ledgers if pipeline is not None else ())
        self.circuits = Circuits(settings, clock, self.recorder.circuit_changed)
        self.http_spans = self.recorder.http_spans(resends) if settings.http_spans else None
        breaker, rate_limit = settings.breaker, settings.rate_limit
        self.slow_after = breaker.slow_after if breaker is not None else None
        self.probe_timeout = breaker.probe_first_token if breaker is not None else None
        self.watches_limits = rate_limit is not None and rate_limit.from_remaining
        self.prices = price_table(settings, self.recorder.trouble)
        failing = partial(self.recorder.count, "store")
        self.spending = Spending(settings.guards, self.prices, time.time, failing) if settings.guards else None
        self.recorder.watch(self.circuits.snapshot, self.spending.snapshot if self.spending is not None else list)
        self._refusals: set[tuple[str, str]] = set()
        self._warned = False

    def begin(self, client: Any, options: Any, *, stream: bool) -> Exchange | None:
        """Take a call in hand, or return None when it is none of ours.

        A fault of ours here costs the call its policies and telemetry, not its life.

        Raises:
            ConfigurationError: The call goes to the gateway and there is no usable Huddle01 key.
        """
        target = None
        try:
            target = self.targets.of(client, options.url)
            return None if target is None else Exchange(self, client, target, options, stream=stream)
        except ConfigurationError:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the app's call goes on
            if not self._warned:
                self._warned = True
                _LOG.warning("huddle_otel: a call could not be taken in hand and goes out as it is", exc_info=True)
            if target is not None:  # the client holds a stand-in: without the key the call would be refused
                given = options.headers if isinstance(options.headers, dict) else {}
                options.headers = self.targets.headers(client, target, given, Omit())
            return None

    def take_over(self, before: Runtime) -> None:
        """Go on from the settings that were in force before."""
        self.targets.take_over(before.targets)
        if before.spending is not None:
            if self.spending is not None:
                self.spending.take_over(before.spending)
            else:
                before.spending.close()
        if before.http_spans is not None:
            before.http_spans.remove()  # ours may go to another provider

    def close(self) -> None:
        """Leave clients as they were."""
        self.targets.restore()
        if self.spending is not None:
            self.spending.close()
        if self.http_spans is not None:
            self.http_spans.remove()

    def may_ask_usage(self, request: Request) -> bool:
        """Tell whether a stream of this model may be asked for its usage."""
        return (request.host, request.model) not in self._refusals

    def never_ask_usage(self, request: Request) -> None:
        """Remember that the upstream of a model refuses to be asked for usage."""
        if len(self._refusals) < _MAX_REFUSALS:
            self._refusals.add((request.host, request.model))
