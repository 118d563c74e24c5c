"""The errors huddle_otel raises of its own. Every other error an app sees is the openai client's, untouched.

::

    openai.OpenAIError
    ├── ConfigurationError (also ValueError)     a setting is not permitted; names field, value, permitted
    │   └── MissingKeyError                      no Huddle01 key where one is needed
    └── openai.APIError
        └── openai.APIConnectionError
            └── openai.APITimeoutError
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


class DeadlineExceeded(openai.APITimeoutError):
    """The total time of the call (`TimeoutPolicy.total`, or the app's own timeout) is used up.

    Attributes:
        limit: The total that was in force, s.
    """

    def __init__(self, *, request: Any, limit: float) -> None:
        """Keep the request, as every `openai.APITimeoutError` does, and the limit."""
        super().__init__(request=request)
        self.limit = limit
        self.message = f"Call exceeded its total time of {limit:g} s."
        self.args = (self.message,)
