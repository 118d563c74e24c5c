"""One call of the app, from the seam to its end: what the two drivers share, and what a stream leaves behind."""

from __future__ import annotations

import functools
import random
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import openai

from huddle_otel.client import reaper
from huddle_otel.client.body import Body, watched
from huddle_otel.client.failures import failure_of, refuses_stream_options
from huddle_otel.client.reading import StreamFold, headers_of, price, read_object, read_raw
from huddle_otel.client.request import RAW_HEADER, Attempts, asks_usage, describe, max_retries
from huddle_otel.errors import DeadlineExceeded
from huddle_otel.events import AttemptFailed, Event, Finished, Outcome
from huddle_otel.policy.call import Answered, Emit, Ended, Failed, Interrupted, Opened, Reply, call
from huddle_otel.spend import current_tags
from huddle_otel.telemetry.answer import Answer

if TYPE_CHECKING:
    from huddle_otel.client.runtime import Runtime
    from huddle_otel.client.targets import Target

clock: Final = time.perf_counter
"""The drivers' clock, s. Monotonic."""
current: Final[ContextVar[Exchange | None]] = ContextVar("huddle_otel_exchange", default=None)
"""The call whose attempt is being sent; how the client's response handling finds its way back here."""


class Exchange:
    """One call: its request, its programme, its span, and the answer as far as it is known."""

    __slots__ = (
        "_body",
        "_client",
        "_delivered",
        "_early",
        "_lock",
        "_number",
        "_raw",
        "_response",
        "_runtime",
        "_started",
        "_total",
        "answer",
        "ask_usage",
        "attempts",
        "programme",
        "request",
        "span",
    )

    def __init__(self, runtime: Runtime, client: Any, target: Target, options: Any, *, stream: bool) -> None:
        """Describe the call and start its span. Nothing is sent yet."""
        self._runtime = runtime
        self._client = client
        self._started = clock()
        self._number = 0
        self._response: Any = None
        self._body: Body | None = None
        self._delivered = False
        self._early: tuple[Outcome, Exception | None] | None = None
        self._lock = threading.Lock()
        headers = options.headers
        self._raw = isinstance(headers, dict) and RAW_HEADER in headers
        self.request = describe(options, target, stream=stream)
        self.attempts = Attempts(options, client, target, runtime.targets, runtime.settings, stream=stream)
        self._total = self.attempts.total()
        self.ask_usage = asks_usage(options, stream=stream) and runtime.may_ask_usage(self.request)
        self.answer = Answer()
        self.span = runtime.recorder.start(self.request)
        self.programme = call(
            runtime.settings.retry,
            max_retries=max_retries(options, client),
            started=self._started,
            total=self._total,
            draw=random.random,
        )

    # --- an attempt --------------------------------------------------------------------------------------------------

    def options(self, number: int, remaining: float) -> Any:
        """Return the request options of an attempt, and forget the one before."""
        self._number, self._response, self._body, self._early = number, None, None, None
        self.answer = Answer(tags=current_tags())
        options = self.attempts.options(number, remaining, ask_usage=self.ask_usage)
        self.answer.request_id = self.attempts.call_id
        return options

    def stream_cls(self, given: Any) -> Any:
        """Return the stream class to ask the client for."""
        return watched(given) if given is not None and self.request.stream else given

    def responded(self, response: Any) -> None:
        """Take note of a response with a good status, before the client makes anything of it."""
        self._response = response
        self.answer.headers = headers_of(response)
        self.answer.answered = True
        if response.is_closed:
            return
        reaper.ensure_running()
        fold = StreamFold(self.answer, started=self._started, hide_usage=self.ask_usage)
        self._body = Body(response, fold, functools.partial(self._ended, self._number))
        if self._raw:
            self._body.tap(events=self.request.stream)

    @property
    def open_body(self) -> Body | None:
        """The body of the last attempt, when it was still open as the client handed its result out."""
        return self._body

    def answered(self, result: Any) -> Reply:
        """Tell the programme of a result: complete, or with a body still to come."""
        if self._body is not None:
            return Opened()
        if self._response is not None and self._raw:
            self._runtime.recorder.guard("reading", read_raw, self.answer, self._response)
        else:
            self._runtime.recorder.guard("reading", read_object, self.answer, result)
        return Answered()

    def failed(self, error: Exception) -> Reply:
        """Tell the programme of an exception."""
        answered = self._response is not None and self._response.is_closed
        if answered:  # e.g. `parse()` refused the content: the tokens are billed all the same
            self._runtime.recorder.guard("reading", read_raw, self.answer, self._response)
        elif isinstance(error, openai.APIStatusError):
            self.answer.headers = headers_of(error.response)
        return Failed(failure_of(error, wall=time.time(), answered=answered), clock())

    def interrupted(self) -> Reply:
        """Tell the programme that the app gave up."""
        return Interrupted()

    def refused_usage(self, error: Exception) -> bool:
        """Tell whether the attempt is to be made again without asking for usage; remember it for the model."""
        if not (self.ask_usage and refuses_stream_options(error)):
            return False
        self.ask_usage = False
        self._runtime.never_ask_usage(self.request)
        return True

    def named(self, error: Exception) -> Exception:
        """Return the error under its right name: a timeout at the end of the total is the deadline's."""
        if isinstance(error, openai.APITimeoutError) and clock() - self._started >= self._total:
            return self.deadline_exceeded(error.request)
        return error

    def deadline_exceeded(self, request: Any = None) -> DeadlineExceeded:
        """Return the error of a call that has used up its total time."""
        if request is None:  # cut off from outside, so the client has made no error that holds one
            request = self._client._client.build_request("POST", self._client._prepare_url(self.request.path))
        return DeadlineExceeded(request=request, limit=self._total)

    # --- the end -----------------------------------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Hand an event to the recorder, with what is known of the answer."""
        runtime = self._runtime
        if isinstance(event, AttemptFailed):
            runtime.recorder.attempt_failed(self.span, self.request, event)
        else:
            self._finish(event)

    def _finish(self, event: Finished) -> None:
        runtime, request = self._runtime, self.request
        guard = runtime.recorder.guard
        if self._body is not None:
            guard("reading", self._body.fold.settle)
        guard("spend", price, self.answer, requested=request.model, stream=request.stream, table=runtime.prices)
        runtime.recorder.finish(self.span, request, event, self.answer, duration=clock() - self._started)

    def delivered(self) -> None:
        """The app has the stream from here on; if it has ended by now, end the call."""
        self._response = None  # the body's finaliser holds us: with the response in hand, a dropped stream never ends
        with self._lock:
            self._delivered = True
            early = self._early
        if early is not None:
            self._resume(*early)

    def _ended(self, number: int, outcome: Outcome, error: Exception | None) -> None:
        """A body has ended: keep it for the driver, or, when the app has it, end the call."""
        if number != self._number:
            return  # of an attempt that was given up
        with self._lock:
            if not self._delivered:
                self._early = (outcome, error)
                return
        self._resume(outcome, error)

    def _resume(self, outcome: Outcome, error: Exception | None) -> None:
        failure = None if error is None else failure_of(error, wall=time.time(), delivered=True)
        reply: Reply = Ended(outcome, failure)
        try:
            while True:
                effect = self.programme.send(reply)
                if isinstance(effect, Emit):
                    self.emit(effect.event)
                reply = None
        except StopIteration:
            pass
