"""One call of the app, from the seam to its end: what the two drivers share, and what a stream leaves behind."""

from __future__ import annotations

import functools
import json
import random
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import openai

from huddle_otel.client.body import Body, Clocks, watched
from huddle_otel.client.circuits import Key, Pass, Ticket
from huddle_otel.client.clock import clock
from huddle_otel.client.failures import failure_of, refuses_stream_options, renewal_of
from huddle_otel.client.reading import StreamFold, account, does_work, headers_of, read_object, read_raw
from huddle_otel.client.request import RAW_HEADER, Attempts, asks_usage, describe, max_retries
from huddle_otel.client.transcribing import TranscribedFold, transcribe
from huddle_otel.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceeded,
    FirstTokenTimeout,
    MalformedResponseError,
    RateLimitedError,
    SpendLimitError,
)
from huddle_otel.events import AttemptFailed, Event, Failure, Finished, Outcome
from huddle_otel.policy.call import (
    BUDGET_EXCEEDED,
    Admit,
    Answered,
    Emit,
    Ended,
    Failed,
    Interrupted,
    Opened,
    Paid,
    Record,
    Reply,
    Reserve,
    Send,
    Withdraw,
    call,
)
from huddle_otel.spend import current_tags
from huddle_otel.telemetry.answer import Answer

if TYPE_CHECKING:
    from huddle_otel.client.runtime import Runtime
    from huddle_otel.client.spending import Reservation
    from huddle_otel.client.targets import Target

current: Final[ContextVar[Exchange | None]] = ContextVar("huddle_otel_exchange", default=None)
"""The call whose attempt is being sent; how the client's response handling finds its way back here."""


def resends() -> int:
    """Return the attempts that the current call made before the one being sent."""
    exchange = current.get()
    return exchange.number - 1 if exchange is not None else 0


_TICK: Final = 0.005
"""A socket's timeout may end this much before the clock's, s."""
_COMPARABLE: Final = frozenset({"chat", "text_completion"})
"""Operations whose answers from another model mean the same; an embedding's do not."""
_SAYS_WHEN_COMPLETE: Final = frozenset({"/chat/completions", "/completions", "/responses"})
"""Streams that say when they are complete."""


class Exchange:
    """One call: its request, its programme, its span, and the answer as far as it is known."""

    __slots__ = (
        "_body",
        "_client",
        "_delivered",
        "_early",
        "_error",
        "_key",
        "_leave",
        "_lock",
        "_raw",
        "_rejected",
        "_reservation",
        "_response",
        "_runtime",
        "_sent",
        "_started",
        "_streamed",
        "_timeout",
        "_total",
        "answer",
        "ask_usage",
        "attempts",
        "number",
        "programme",
        "recording",
        "request",
        "sent",
    )

    def __init__(self, runtime: Runtime, client: Any, target: Target, options: Any, *, stream: bool) -> None:
        """Describe the call and start its span. Nothing is sent yet."""
        self._runtime = runtime
        self._client = client
        self._started = clock()
        self.number = 0
        self._response: Any = None
        self._body: Body | None = None
        self._delivered = False
        self._early: tuple[Outcome, Exception | None] | None = None
        self._error: Exception | None = None
        self._rejected: Failure | None = None
        self._key: Key = ("", "", "")
        self.sent: Any = None
        """The options of the last attempt."""
        self._leave: Pass | None = None
        self._reservation: Reservation | None = None
        self._sent = self._started
        self._lock = threading.Lock()
        headers = options.headers
        raw = headers.get(RAW_HEADER) if isinstance(headers, dict) else None
        self._raw = raw is not None
        self._streamed = raw == "stream"
        self.request = describe(options, target, stream=stream)
        settings = runtime.settings
        self._timeout = settings.timeout.of(self.request.model) if settings.timeout is not None else None
        self.attempts = Attempts(options, client, target, runtime.targets, settings.retry, self._timeout, stream=stream)
        self._total = self.attempts.total()
        self.ask_usage = asks_usage(options, stream=stream) and runtime.may_ask_usage(self.request)
        self.answer = Answer(tags=current_tags())  # also of a call that is refused before it is sent
        self.recording = runtime.recorder.start(self.request)
        if runtime.http_spans is not None:
            runtime.recorder.guard("http spans", runtime.http_spans.cover, client._client)
        fallbacks = settings.fallbacks.get(self.request.model, ()) if self.request.operation in _COMPARABLE else ()
        self.programme = call(
            (self.request.model, *fallbacks),
            settings.retry,
            settings.rate_limit,
            max_retries=max_retries(options, client),
            started=self._started,
            total=self._total,
            draw=random.random,
            guarded=runtime.spending is not None and does_work(self.request),
        )

    def perform(self, effect: Reserve | Admit | Record | Withdraw | Emit) -> Reply:
        """Do what takes no time."""
        if isinstance(effect, Reserve):
            return self._reserve()
        if isinstance(effect, Admit):
            return self._admit(effect)
        if isinstance(effect, Withdraw):
            return Paid(self._leave is None or self._runtime.circuits.withdraw(self._leave, ambiguous=effect.ambiguous))
        if isinstance(effect, Record):
            self._record(effect)
        else:
            self._emit(effect.event)
        return None

    # --- spend limits ------------------------------------------------------------------------------------------------

    def _reserve(self) -> Reply:
        """Ask the limits on spend; a fault of ours lets the call go on."""
        runtime = self._runtime
        spending, guard = runtime.spending, runtime.recorder.guard
        asked = guard("spend", spending.reserve, self.request, self._total) if spending is not None else None
        self._reservation, reply = asked or (None, None)
        return reply

    def _conclude(self, reservation: Reservation) -> Reply:
        """The wait for the store's word is over, one way or the other."""
        spending, guard = self._runtime.spending, self._runtime.recorder.guard
        return guard("spend", spending.conclude, reservation) if spending is not None else None

    # --- leave -------------------------------------------------------------------------------------------------------

    def _admit(self, effect: Admit) -> Reply:
        """Ask the circuit of a model for leave."""
        self._key = (self.request.host, effect.model, self.request.operation)
        circuits, caller = self._runtime.circuits, self.recording
        reply, self._leave = circuits.admit(self._key, past_gate=effect.past_gate, caller=caller)
        return reply

    @property
    def ticket(self) -> Ticket | None:
        """What resolves when there is a place, or the store has spoken."""
        if self._reservation is not None and self._reservation.waits:
            return self._reservation.ticket
        return self._leave.ticket if self._leave is not None else None

    def place(self) -> Reply:
        """The wait is over, one way or the other."""
        if self._reservation is not None and self._reservation.waits:
            return self._conclude(self._reservation)
        if self._leave is None:
            return None
        reply, self._leave = self._runtime.circuits.place(self._leave)
        return reply

    def _record(self, effect: Record) -> None:
        """Give the leave back."""
        if self._leave is not None:
            circuits, leave = self._runtime.circuits, self._leave
            if effect.failure is None and self._runtime.watches_limits and (wait := renewal_of(self.answer.headers)):
                circuits.pause(leave, wait)
            circuits.record(leave, effect.verdict, effect.failure, slow=effect.slow, error=_copied(self._error))

    def close(self) -> None:
        """Give back what is still held; for a call that is cut off between two effects."""
        if self._leave is not None and self._leave.ticket is not None:
            self._runtime.circuits.give_up(self._leave)
        if self._reservation is not None and self._runtime.spending is not None and not self._delivered:
            cost = None if self.number else 0
            self._runtime.recorder.guard("spend", self._runtime.spending.end, self._reservation, cost)

    # --- an attempt --------------------------------------------------------------------------------------------------

    def options(self, effect: Send) -> Any:
        """Return the request options of an attempt, and forget the one before."""
        self.number, self._response, self._body, self._early = effect.number, None, None, None
        self._sent = clock()
        self.answer = Answer(tags=self.answer.tags, sent_after=self._sent - self._started)
        if effect.probe and self._runtime.probe_timeout is not None and self._timeout is not None:
            self.attempts.first_token = min(self._timeout.first_token, self._runtime.probe_timeout)
        options = self.attempts.options(effect.number, effect.remaining, model=effect.model, ask_usage=self.ask_usage)
        self.answer.request_id = self.attempts.call_id
        self.sent = options
        return options

    def stream_cls(self, given: Any) -> Any:
        """Return the stream class to ask the client for."""
        return watched(given) if given is not None and self.request.stream else given

    def responded(self, response: Any) -> None:
        """Take note of a response with a good status, before the client makes anything of it."""
        self._response = response
        self.answer.headers = headers_of(response)
        self.answer.answered = True
        stream = self.request.stream
        if not (stream or self._streamed):
            self._read_whole(response)
        if response.is_closed:
            return
        kind = StreamFold if self.recording.asked is None else TranscribedFold
        fold = kind(
            self.answer,
            started=self._started,
            hide_usage=self.ask_usage,
            judged=not stream or self.request.path in _SAYS_WHEN_COMPLETE,
        )
        raises = self._runtime.settings.truncated_stream == "raise"
        settle = functools.partial(self._ended, self.number)
        self._body = Body(response, fold, settle, self._clocks(), raises=raises)
        if stream and self._timeout is not None:
            self.attempts.widen(response)
        if self._raw:
            self._body.tap(events=stream)

    def _read_whole(self, response: Any) -> None:
        """Read the body of a plain call with an eye on the clock; an upstream that drips resets every socket timeout.

        Raises:
            DeadlineExceeded: The total time is used up. Noticed at the next byte, or at the socket's timeout.
            openai.APIConnectionError: As the client itself would have raised, had it read the body.
        """
        if response.is_closed:  # the async client has read it, and its driver cancels in time
            return
        ends = self._started + self._total
        pieces: list[bytes] = []
        late = False
        try:
            for piece in response.iter_bytes():
                pieces.append(piece)
                late = clock() > ends
                if late:
                    break
        except Exception as error:
            kind = openai.APITimeoutError if type(error).__name__.endswith("Timeout") else openai.APIConnectionError
            raise kind(request=response.request) from error
        finally:
            response.close()
        if late:
            raise DeadlineExceeded(request=response.request, limit=self._total)
        response._content = b"".join(pieces)

    def _clocks(self) -> Clocks:
        policy = self._timeout
        if policy is None or not self.request.stream:
            return Clocks(started=self._started, total=self._total)
        return Clocks(
            sent=self._sent,
            first_token=self.attempts.first_token,
            stall=policy.stall,
            started=self._started,
            total=self._total,
        )

    @property
    def patience(self) -> float:
        """Seconds an attempt may take before its first content; for the driver that can cancel one."""
        remaining = self._started + self._total - clock()
        if not self.request.stream:
            return remaining
        return min(remaining, self.attempts.first_token)

    @property
    def open_body(self) -> Body | None:
        """The body of the last attempt, when it was still open as the client handed its result out."""
        return self._body

    def answered(self, result: Any) -> Reply:
        """Tell the programme of a result: complete, or with a body still to come."""
        if self._body is not None:
            return Opened(slow=False)
        if self._response is not None and self._raw:
            told = self._runtime.recorder.guard("reading", read_raw, self.answer, self._response)
        else:
            told = self._runtime.recorder.guard("reading", read_object, self.answer, result)
        if self.recording.asked is not None:
            raw = self._response if self._raw else None
            self._runtime.recorder.guard("content", transcribe, self.answer, result, raw)
        # the client raises for no failure that an answer only tells of: the app gets it as it is
        return Ended(Outcome.ERROR, told) if told is not None and does_work(self.request) else Answered()

    def primed(self) -> Reply:
        """Tell the programme that a stream's first content is there."""
        slow_after = self._runtime.slow_after
        return Opened(slow=slow_after is not None and clock() - self._sent > slow_after)

    def failed(self, error: Exception) -> Reply:
        """Tell the programme of an exception."""
        self._error = error
        answered = self._body is None and hasattr(self._response, "_content")
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
        """Return the error under its right name, or as it is."""
        if isinstance(error, json.JSONDecodeError) and self._response is not None:
            return MalformedResponseError(request=self._response.request, detail="the body")
        if not isinstance(error, openai.APITimeoutError) or type(error) is not openai.APITimeoutError:
            return error
        return self.late(error.request) or error

    def late(self, request: Any = None) -> Exception | None:
        """Return the error of the clock that has run out on the attempt, if one has."""
        now = clock()
        if request is None:  # cut off from outside, so the client has made no error that holds one
            request = self._client._client.build_request("POST", self._client._prepare_url(self.request.path))
        if now - self._started >= self._total - _TICK:
            return DeadlineExceeded(request=request, limit=self._total)
        limit = self.attempts.first_token
        if self.request.stream and self._timeout is not None and now - self._sent >= limit - _TICK:
            return FirstTokenTimeout(request=request, limit=limit)
        return None

    # --- the end -----------------------------------------------------------------------------------------------------

    def _emit(self, event: Event) -> None:
        """Hand an event to the recorder, with what is known of the answer."""
        runtime = self._runtime
        if isinstance(event, Finished):
            self._finish(event)
        elif isinstance(event, AttemptFailed):
            runtime.recorder.attempt_failed(self.recording, event)
        else:
            runtime.recorder.fell_back(self.recording, event)

    def _finish(self, event: Finished) -> None:
        runtime, request = self._runtime, self.request
        guard = runtime.recorder.guard
        self._rejected = event.failure if event.outcome in {Outcome.REJECTED, Outcome.BLOCKED} else None
        self._error = self._response = self._early = None  # an exception holds every frame it went through
        if self._body is not None:
            guard("reading", self._body.fold.settle)
        duration = clock() - self._started
        guard("spend", account, self.answer, request, runtime.prices, when=time.time() - duration)
        reservation, self._reservation = self._reservation, None
        if runtime.spending is not None and reservation is not None:
            guard("spend", runtime.spending.settle, reservation, event, self.answer)
        runtime.recorder.finish(self.recording, event, self.answer, duration=duration)

    def error(self, raised: BaseException | None) -> BaseException | None:
        """Return what the app is to be told: a policy's refusal, or what the last attempt raised."""
        return raised if self._rejected is None else self._rejection(self._rejected)

    def _rejection(self, failure: Failure) -> Exception:
        request = self._client._client.build_request("POST", self._client._prepare_url(self.request.path))
        if failure.error_type == BUDGET_EXCEEDED:
            return SpendLimitError(request=request, detail=failure.message, resets_in=failure.hint or 0.0)
        circuit = self._runtime.circuits.of(self._key)
        if failure.error_type == "breaker_open":
            return CircuitOpenError(
                request=request, circuit=circuit.name, retry_in=failure.hint or 0.0, last_cause=circuit.last_cause
            )
        if failure.error_type == "bulkhead_full":
            limit = int(circuit.bulkhead.limit) if circuit.bulkhead is not None else 0
            return BulkheadFullError(request=request, circuit=circuit.name, limit=limit)
        told = _copied(circuit.limited_by)
        if told is not None:
            return told
        return RateLimitedError(request=request, circuit=circuit.name, retry_in=failure.hint or 0.0)

    def delivered(self) -> None:
        """The app has the stream from here on; if it has ended by now, end the call."""
        # the body's finaliser holds us: with the response in hand, or an error whose frames hold the stream, a dropped
        # stream never ends
        self._response = self._error = None
        with self._lock:
            self._delivered = True
            early = self._early
        if early is not None:
            self._resume(*early)

    def _ended(self, number: int, outcome: Outcome, error: Exception | None) -> None:
        """A body has ended: keep it for the driver, or, when the app has it, end the call."""
        if number != self.number:
            return  # of an attempt that was given up
        with self._lock:
            if not self._delivered:
                self._early = (outcome, error)
                return
        self._resume(outcome, error)

    def _resume(self, outcome: Outcome, error: Exception | None) -> None:
        failure = None if error is None else failure_of(error, wall=time.time(), delivered=True)
        if outcome is Outcome.OK and self._body is not None and does_work(self.request):
            failure = self._body.fold.failure
            outcome = Outcome.OK if failure is None else Outcome.ERROR
        reply: Reply = Ended(outcome, failure)
        try:
            while True:
                effect = self.programme.send(reply)
                reply = self.perform(effect) if isinstance(effect, Emit | Record) else None
        except StopIteration:
            pass


def _copied(error: Exception | None) -> Exception | None:
    """Return a rate limit's error made anew: one that was raised holds every frame it went through."""
    if isinstance(error, openai.RateLimitError):
        return openai.RateLimitError(error.message, response=error.response, body=error.body)
    return None
