"""The errors huddle_otel raises of its own. Every other error an app sees is the openai client's, untouched.

::

    openai.OpenAIError
    ├── ConfigurationError (also ValueError)     a setting is not permitted; names field, value, permitted
    │   └── MissingKeyError                      no Huddle01 key where one is needed
    └── openai.APIError
        ├── MalformedResponseError (also ValueError)   an answer, or a chunk of one, is not JSON
        ├── SpendLimitError                  refused: a limit on spend would be exceeded
        └── openai.APIConnectionError
            ├── CircuitOpenError                 refused: the circuit is open
            ├── BulkheadFullError                refused: too many calls under way
            ├── RateLimitedError                 refused: the limit is used up and renewed too late for this call
            ├── StreamTruncatedError             a stream ended without saying so
            └── openai.APITimeoutError
                ├── FirstTokenTimeout            no content in time
                ├── StallTimeout                 content stopped coming
                └── DeadlineExceeded             the call's total time is used up
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from typing import Self


class ConfigurationError(openai.OpenAIError, ValueError):
    """A setting is not permitted.

    Attributes:
        field: The field, argument or environment variable.
        value: What it was given. Never a key.
        permitted: What it may be, in words.
    """

    def __init__(self, *, field: str, value: object, permitted: str) -> None:
        """Say which field, what it was given, and what is permitted."""
        self.field, self.value, self.permitted = field, value, permitted
        super().__init__(f"{field} = {value!r} is not permitted: it must be {permitted}")

    def named_after(self, sources: Mapping[str, str]) -> Self:
        """Return the same error under the environment variable its value came from, if it came from one."""
        source = sources.get(self.field, "argument")
        if source == "argument":
            return self
        return type(self)(field=f"{source} ({self.field})", value=self.value, permitted=self.permitted)


class MissingKeyError(ConfigurationError):
    """A client is to call the gateway and there is no Huddle01 key."""

    def __init__(self, *, host: str) -> None:
        """Say which host needs the key and where to put it."""
        openai.OpenAIError.__init__(
            self,
            f"no Huddle01 key for {host}: set the environment variable HUDDLE_API_KEY, or pass "
            "api_key= to huddle_otel.instrument() (an OpenAI key is never sent to this gateway)",
        )
        self.field, self.value, self.permitted = "HUDDLE_API_KEY", None, "a Huddle01 key"


class MalformedResponseError(openai.APIError, ValueError):
    """An answer, or a chunk of a stream, is not JSON; the bare client raises `json.JSONDecodeError` (`ValueError`)."""

    def __init__(self, *, request: Any, detail: str) -> None:
        """Say what could not be read."""
        super().__init__(f"The upstream sent something that is not JSON: {detail}", request=request, body=None)


class CircuitOpenError(openai.APIConnectionError):
    """Refused without a request: calls like this one have been failing, and their circuit is open.

    Attributes:
        circuit: `host/model/operation`.
        retry_in: Seconds until a probe may be let through; infinity when forced open by hand.
        last_cause: `error.type` of the last failure counted, None if there was none.
    """

    def __init__(self, *, request: Any, circuit: str, retry_in: float, last_cause: str | None) -> None:
        """Say which circuit, for how long, and why."""
        self.circuit, self.retry_in, self.last_cause = circuit, retry_in, last_cause
        why = f", last failure: {last_cause}" if last_cause else ""
        super().__init__(message=f"Circuit {circuit} is open; next probe in {retry_in:.1f} s{why}.", request=request)


class BulkheadFullError(openai.APIConnectionError):
    """Refused without a request: as many calls as permitted are under way, and none ended in time.

    Attributes:
        circuit: `host/model/operation`.
        limit: Calls permitted at once.
    """

    def __init__(self, *, request: Any, circuit: str, limit: int) -> None:
        """Say which circuit and its limit."""
        self.circuit, self.limit = circuit, limit
        super().__init__(message=f"{limit} calls of {circuit} are under way; no place became free.", request=request)


class RateLimitedError(openai.APIConnectionError):
    """Refused without a request: an answer said that nothing is left of the limit. After a 429, that is raised instead.

    Attributes:
        circuit: `host/model/operation`.
        retry_in: Seconds until the limit is renewed.
    """

    def __init__(self, *, request: Any, circuit: str, retry_in: float) -> None:
        """Say which circuit and for how long."""
        self.circuit, self.retry_in = circuit, retry_in
        super().__init__(message=f"The rate limit of {circuit} is used up for {retry_in:.1f} s.", request=request)


class SpendLimitError(openai.APIError):
    """Refused without a request: a limit on spend would be exceeded. Trying again before the next period is no use.

    Attributes:
        resets_in: Seconds to the next period; infinity when the limit is for the whole life of the process.
    """

    def __init__(self, *, request: Any, detail: str, resets_in: float) -> None:
        """Say which limit, and until when."""
        self.resets_in = resets_in
        super().__init__(f"Blocked: {detail}.", request=request, body=None)


class StreamTruncatedError(openai.APIConnectionError):
    """A stream ended tidily, but without `finish_reason` and without `[DONE]`: the answer is not whole."""

    def __init__(self, *, request: Any) -> None:
        """Keep the request."""
        super().__init__(message="The stream ended without saying that it was complete.", request=request)


class _ClockError(openai.APITimeoutError):
    """One of the call's clocks ran out."""

    text = ""

    def __init__(self, *, request: Any, limit: float) -> None:
        """Keep the request, as every `openai.APITimeoutError` does, and the limit, s."""
        super().__init__(request=request)
        self.limit = limit
        self.message = self.text.format(limit=limit)
        self.args = (self.message,)


class FirstTokenTimeout(_ClockError):  # noqa: N818 - the field's name for it
    """No content within `TimeoutPolicy.first_token`.

    Attributes:
        limit: The limit that was in force, s.
    """

    text = "No content within {limit:g} s."


class StallTimeout(_ClockError):  # noqa: N818 - the field's name for it
    """No further content within `TimeoutPolicy.stall`.

    Attributes:
        limit: The limit that was in force, s.
    """

    text = "No further content within {limit:g} s."


class DeadlineExceeded(_ClockError):  # noqa: N818 - the field's name for it, as in gRPC
    """The total time of the call (`TimeoutPolicy.total`, or the app's own timeout) is used up.

    Attributes:
        limit: The total that was in force, s.
    """

    text = "Call exceeded its total time of {limit:g} s."
