"""Everything a user can set: the policies and `Settings`, from arguments, the environment or defaults.

Data only. Every class is frozen and validates itself, so a `Settings` that exists is a `Settings` that works:
a bad value is refused where it was written, with the field (or the variable), the value and what is permitted.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, cast
from urllib.parse import urlsplit

from huddle_otel.errors import ConfigurationError

DEFAULT_BASE_URL: Final = "https://gru.huddle01.io/v1"
KEY_VARIABLE: Final = "HUDDLE_API_KEY"
PREFIX: Final = "HUDDLE_OTEL_"


class Secret:
    """A key that shows itself only to `reveal()`; every repr, str and format is a mask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap a key as it was given."""
        self._value = value

    def reveal(self) -> str:
        """Return the key itself. The only caller is the code that writes the `Authorization` header."""
        return self._value

    def __repr__(self) -> str:
        """Return the last four characters behind a mask, nothing at all of a short key."""
        return f"****{self._value[-4:]}" if len(self._value) >= 12 else "****"  # noqa: PLR2004 - shorter shows a third

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that equal settings are equal."""
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        """Hash by value, as equality demands."""
        return hash(self._value)


def _check(owner: object, name: str, *, low: float, high: float, above: bool = False) -> None:
    """Refuse a number outside [low, high], or ]low, high] with `above`; ints, floats, no NaN, no bool."""
    value = getattr(owner, name)
    permitted = f"a number {'above' if above else 'from'} {low:g} to {high:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(field=f"{type(owner).__name__}.{name}", value=value, permitted=permitted)
    if not (low <= value <= high) or (above and value == low):
        raise ConfigurationError(field=f"{type(owner).__name__}.{name}", value=value, permitted=permitted)


_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutPolicy:
    """The clocks of a call, in seconds. An app's own, shorter `timeout` always wins.

    Raises:
        ConfigurationError: A value is not a number above 0 and up to a day, or a part is longer than `total`.
    """

    connect: float = 5.0
    """To a connection that is ready to send on."""
    first_token: float = 60.0
    """From sending to the first content of a stream."""
    stall: float = 30.0
    """Between two content events of a stream."""
    total: float = 600.0
    """The whole call: all attempts, all waits, and the stream to its end."""
    per_model: Mapping[str, TimeoutPolicy] = field(default_factory=dict[str, "TimeoutPolicy"])
    """Model -> its own clocks; reasoning models think long before their first token."""

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("connect", "first_token", "stall", "total"):
            _check(self, name, low=0, high=_DAY, above=True)
        given: Any = self.per_model
        if not isinstance(given, Mapping):
            raise ConfigurationError(
                field="TimeoutPolicy.per_model",
                value=given,
                permitted="a mapping of model names to TimeoutPolicy",
            )
        for model, policy in given.items():  # pyright: ignore[reportUnknownVariableType]
            if not isinstance(policy, TimeoutPolicy) or policy.per_model:
                raise ConfigurationError(
                    field=f"TimeoutPolicy.per_model[{model!r}]",
                    value=policy,  # pyright: ignore[reportUnknownArgumentType]
                    permitted="a TimeoutPolicy without a per_model of its own",
                )
        for name in ("connect", "first_token", "stall"):
            if getattr(self, name) > self.total:
                raise ConfigurationError(
                    field=f"TimeoutPolicy.{name}",
                    value=getattr(self, name),
                    permitted=f"at most TimeoutPolicy.total ({self.total:g})",
                )

    def of(self, model: str) -> TimeoutPolicy:
        """Return the clocks of a model."""
        return self.per_model.get(model, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudgetPolicy:
    """How many retries the successes of a circuit pay for: at most `per_success` of the load, plus `capacity`.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    per_success: float = 0.1
    """Tokens a success puts in."""
    capacity: float = 10.0
    """Tokens at most, and at the start."""
    ambiguous_cost: float = 2.0
    """Tokens a retry takes that may be billed twice; every other takes 1."""

    def __post_init__(self) -> None:
        """Validate."""
        _check(self, "per_success", low=0, high=1)
        _check(self, "capacity", low=1, high=1e6)
        _check(self, "ambiguous_cost", low=1, high=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The one retry loop. An app's own `max_retries` is an upper bound on it; `max_retries=0` means none.

    Raises:
        ConfigurationError: A value is out of its range, or `cap` is below `base`.
    """

    max_attempts: int = 3
    """Sends per call at most, the first one included."""
    base: float = 0.5
    """Upper bound of the first wait, s; it doubles with each retry. The wait is drawn evenly from 0 to the bound."""
    cap: float = 8.0
    """The bound stops growing here, s."""
    max_ambiguous: int = 1
    """Retries per call after a failure that may already have been billed (read timeouts, 500, 502, 504, …)."""
    gateway_retries: int | None = 0
    """Retries the gateway may add below ours (`x-litellm-num-retries`); None leaves its own default in force."""
    budget: RetryBudgetPolicy | None = field(default_factory=RetryBudgetPolicy)
    """What retries may add to a circuit's load; None: no bound but `max_attempts`."""

    def __post_init__(self) -> None:
        """Validate."""
        _check_int(self, "max_attempts", low=1, high=20)
        _check(self, "base", low=0, high=60)
        _check(self, "cap", low=0, high=600)
        _check_int(self, "max_ambiguous", low=0, high=20)
        if self.gateway_retries is not None:
            _check_int(self, "gateway_retries", low=0, high=20)
        _check_policy(self, "budget", RetryBudgetPolicy)
        if self.cap < self.base:
            raise ConfigurationError(
                field="RetryPolicy.cap", value=self.cap, permitted=f"at least RetryPolicy.base ({self.base:g})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkheadPolicy:
    """How many calls of a circuit may be under way at once.

    Raises:
        ConfigurationError: A value is out of its range, or `min_in_flight` is above `max_in_flight`.
    """

    max_in_flight: int = 100
    """Attempts under way at most; with `adaptive`, the most the limit grows to."""
    max_wait: float = 1.0
    """Seconds a call waits for a place before it is refused."""
    adaptive: bool = False
    """Find the limit: up by one per limit's worth of successes, down by `decrease` on 429, 503 and timeouts (AIMD)."""
    min_in_flight: int = 4
    """The adaptive limit never falls below."""
    decrease: float = 0.7
    """Factor on overload."""

    def __post_init__(self) -> None:
        """Validate."""
        _check_int(self, "max_in_flight", low=1, high=100_000)
        _check(self, "max_wait", low=0, high=3600)
        _check_int(self, "min_in_flight", low=1, high=100_000)
        _check(self, "decrease", low=0, high=1, above=True)
        if self.adaptive and self.min_in_flight > self.max_in_flight:
            raise ConfigurationError(
                field="BulkheadPolicy.min_in_flight",
                value=self.min_in_flight,
                permitted=f"at most BulkheadPolicy.max_in_flight ({self.max_in_flight})",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimitPolicy:
    """What a 429 that says when to come back does to the calls after it: they wait for that moment, in order.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    max_wait: float = 60.0
    """Seconds a call waits at most; one that would wait longer, or past its deadline, fails at once with the 429."""
    from_remaining: bool = True
    """Also pause when an answer says that nothing is left of the limit and when it is renewed."""

    def __post_init__(self) -> None:
        """Validate."""
        _check(self, "max_wait", low=0, high=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a circuit (host + model + operation) opens, and how it closes again.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    window: float = 30.0
    """Seconds of outcomes that count."""
    buckets: int = 10
    """Parts of the window; the oldest part is forgotten at once."""
    min_calls: int = 10
    """Calls in the window before rates count."""
    failure_rate: float = 0.5
    """Share of failures that opens."""
    slow_after: float | None = None
    """Time to the first content, s, above which a call is slow; None: no call is."""
    slow_rate: float | None = None
    """Share of slow calls that opens; None: slowness never does."""
    open_for: float = 5.0
    """Seconds open before a probe is let through."""
    backoff: float = 2.0
    """The open time grows by this factor with each failed round of probes …"""
    max_open: float = 10.0
    """… up to this, s."""
    jitter: float = 0.2
    """Share by which the open time varies both ways, so that many processes do not probe at once."""
    probes: int = 2
    """Good probes that close."""
    concurrent_probes: int = 1
    """Probes under way at a time."""
    max_half_open: float | None = None
    """Seconds a circuit may stay half-open before it opens again; None: a probe that hangs is replaced instead."""
    probe_first_token: float | None = 20.0
    """First-token timeout of probes, s; None: as every call's."""
    shadow: bool = False
    """Record and report, never reject."""

    def __post_init__(self) -> None:
        """Validate."""
        _check(self, "window", low=0, high=3600, above=True)
        _check_int(self, "buckets", low=1, high=1000)
        _check_int(self, "min_calls", low=1, high=1_000_000)
        for name in ("failure_rate", "slow_rate"):
            if getattr(self, name) is not None:
                _check(self, name, low=0, high=1, above=True)
        for name in ("slow_after", "max_half_open", "probe_first_token"):
            if getattr(self, name) is not None:
                _check(self, name, low=0, high=_DAY, above=True)
        _check(self, "open_for", low=0, high=_DAY, above=True)
        _check(self, "backoff", low=1, high=10)
        _check(self, "max_open", low=0, high=_DAY, above=True)
        _check(self, "jitter", low=0, high=0.9)
        _check_int(self, "probes", low=1, high=1000)
        _check_int(self, "concurrent_probes", low=1, high=1000)


def _check_int(owner: object, name: str, *, low: int, high: int) -> None:
    value = getattr(owner, name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigurationError(
            field=f"{type(owner).__name__}.{name}", value=value, permitted=f"a whole number from {low} to {high}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentPolicy:
    """What of prompts and answers is recorded, and where. Without such a policy: nothing, nowhere.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    spans: bool = True
    """As JSON on the span of the call."""
    events: bool = False
    """As a log event of OpenTelemetry, `gen_ai.client.inference.operation.details`."""
    redact: Callable[[str, Any], Any] | None = None
    """Given the attribute's name and its structured value (a list of messages or parts), returns what may be recorded;
    None drops it. When it raises, the call's content is not recorded."""
    max_chars: int = 65_536
    """Longest JSON per attribute; what is longer is cut inside its texts and stays valid JSON."""

    def __post_init__(self) -> None:
        """Validate."""
        for name in ("spans", "events"):
            _check_bool(f"ContentPolicy.{name}", getattr(self, name))
        _check_int(self, "max_chars", low=1000, high=10_000_000)
        if self.redact is not None and not callable(self.redact):
            raise ConfigurationError(field="ContentPolicy.redact", value=self.redact, permitted="a function, or None")


_PERIODS: Final = ("minute", "hour", "day", "month", "total")
_ACTIONS: Final = ("warn", "block")
_UNPRICED: Final = ("allow", "block")
MAX_LIMIT: Final = 1_000_000_000
"""Highest spend limit, USD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendGuard:
    """A limit on spend, for each value of a tag or model, in each calendar period (UTC). Kept by this process alone.

    Before a call its worst case is reserved, after it the reservation becomes what it cost, so that calls under way
    at once overshoot a limit by no more than they exceed their reservations.

    Raises:
        ConfigurationError: A value is not permitted.
    """

    limit: float | int | str | Decimal
    """USD per period."""
    per: str = "day"
    """`minute`, `hour`, `day`, `month`, or `total`: since the process began."""
    by: str = ""
    """Name of a tag, or `model`: each of its values has the limit to itself. Empty: all calls share it."""
    action: str = "warn"
    """At the limit: only `warn`, in the log and the metrics, or `block` the call before anything is sent."""
    output_tokens: int = 1024
    """What a call is taken to answer that does not bound its own answer (`max_tokens` and its like)."""
    unpriced: str = "allow"
    """A call whose model has no price: `allow` reserves nothing for it, `block` refuses it."""

    def __post_init__(self) -> None:
        """Validate."""
        try:
            usable = not isinstance(self.limit, bool) and 0 < Decimal(str(self.limit)) <= MAX_LIMIT
        except ArithmeticError:  # no number, or no number that can be compared
            usable = False
        if not usable:
            permitted = f"an amount above 0 and up to {MAX_LIMIT} (USD)"
            raise ConfigurationError(field="SpendGuard.limit", value=self.limit, permitted=permitted)
        for name, choices in (("per", _PERIODS), ("action", _ACTIONS), ("unpriced", _UNPRICED)):
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    field=f"SpendGuard.{name}", value=getattr(self, name), permitted=f"one of {', '.join(choices)}"
                )
        by: Any = self.by  # a user's value, whatever its annotation says
        if not isinstance(by, str):
            raise ConfigurationError(field="SpendGuard.by", value=by, permitted="the name of a tag, 'model', or empty")
        _check_int(self, "output_tokens", low=0, high=10_000_000)

    @property
    def name(self) -> str:
        """What metrics and errors call it: `day/team`."""
        return f"{self.per}/{self.by}" if self.by else self.per


PriceFunction = Callable[[str, Any, datetime], Mapping[str, Any] | None]
"""`(model, usage, when) -> price`; usage has the call's tokens (`huddle_otel.spend.Usage`), when is its start in UTC.
None: the next source knows. Called on the app's threads, at the end of each call."""
PriceOverride = Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]] | str | os.PathLike[str] | PriceFunction
"""`{model: {"input": USD per 1M tokens, "output": …}}` (docs/prices.md), a file of that, or a function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One validated set of settings. `Settings.load()` merges arguments, environment and defaults.

    Raises:
        ConfigurationError: From `__post_init__`, naming field, value and what is permitted.
    """

    base_url: str = DEFAULT_BASE_URL
    """Where default-targeted clients go. https, or http to a loopback address."""
    api_key: Secret | None = field(default=None)
    """The Huddle01 key; None means `HUDDLE_API_KEY` as it stands when a client is made."""
    hosts: tuple[str, ...] = ()
    """Other hosts (`name` or `name:port`) whose clients get policies and telemetry, and keep their URL and key."""
    timeout: TimeoutPolicy | None = field(default_factory=TimeoutPolicy)
    """None: only the app's own timeouts."""
    retry: RetryPolicy | None = field(default_factory=RetryPolicy)
    """None: one attempt per call."""
    breaker: BreakerPolicy | None = field(default_factory=BreakerPolicy)
    """None: no circuit ever opens."""
    bulkhead: BulkheadPolicy | None = field(default_factory=BulkheadPolicy)
    """None: no bound on calls under way."""
    rate_limit: RateLimitPolicy | None = field(default_factory=RateLimitPolicy)
    """None: a 429 concerns only the call that got it."""
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Model -> models to try in its place, in order, when its circuit is open or its attempts are spent."""
    truncated_stream: str = "raise"
    """`raise` a `StreamTruncatedError` when a stream ends without saying so, or only `record` it."""
    prices: PriceOverride | None = None
    """The user's own prices; they win over the catalogue and lose to what the gateway reports."""
    spend_guard: SpendGuard | tuple[SpendGuard, ...] | None = None
    """Limits on spend; None is none."""
    http_spans: bool = True
    """A span for each HTTP request below the call's, and `traceparent` on it."""
    provider_name: str = "huddle01"
    """`gen_ai.provider.name` of calls to the gateway."""
    tag_metrics: tuple[str, ...] = ()
    """Tags that also become metric attributes. Each multiplies the number of series."""
    exporters: tuple[str, ...] = ()
    """Where telemetry goes: `otlp`, `otlp-grpc`, `prometheus`, `console`, `ledger`, or only `none`. Empty: to the app's
    own providers, or by OTLP where the environment names an endpoint."""
    sigterm: bool = False
    """Deliver what is recorded when a SIGTERM ends the process, which by itself loses it."""
    content: ContentPolicy | None = None
    """None: no prompt and no answer is recorded."""
    tracer_provider: Any = None
    """OpenTelemetry provider to use; None is the global one."""
    meter_provider: Any = None
    """OpenTelemetry provider to use; None is the global one."""
    logger_provider: Any = None
    """OpenTelemetry provider to use; None is the global one."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    """Field -> where its value came from (`argument`, a variable's name); what is missing is a default."""

    def __post_init__(self) -> None:
        """Validate."""
        _check_url("base_url", self.base_url)
        for policy, kind in _POLICIES.items():
            _check_policy(self, policy, kind)
        _check_policy(self, "content", ContentPolicy)
        _check_fallbacks(self.fallbacks)
        _check_guards(self.guards)
        _check_prices(self.prices)
        if self.truncated_stream not in {"raise", "record"}:
            raise ConfigurationError(
                field="truncated_stream", value=self.truncated_stream, permitted="'raise' or 'record'"
            )
        for switch in ("http_spans", "sigterm"):
            _check_bool(switch, getattr(self, switch))
        name: Any = self.provider_name  # a user's value, whatever its annotation says
        if not name or not isinstance(name, str):
            raise ConfigurationError(field="provider_name", value=self.provider_name, permitted="a non-empty text")
        for name in ("hosts", "tag_metrics", "exporters"):
            values: Any = getattr(self, name)
            if not isinstance(values, tuple) or not all(
                isinstance(each, str) and each for each in cast("tuple[Any]", values)
            ):
                wrong: object = getattr(self, name)
                raise ConfigurationError(field=name, value=wrong, permitted="a tuple of non-empty texts")
        for host in self.hosts:
            if "/" in host or "@" in host:
                raise ConfigurationError(
                    field="hosts", value=host, permitted="`name` or `name:port`, no scheme or path"
                )

    @property
    def guards(self) -> tuple[SpendGuard, ...]:
        """The limits on spend."""
        given = self.spend_guard
        return given if isinstance(given, tuple) else () if given is None else (given,)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
        """Merge, in this order of strength: arguments, `HUDDLE_OTEL_*` variables, defaults.

        Args:
            environ: The environment to read; the process's own when None.
            arguments: Fields of `Settings` as the user gave them; a list or a text is taken where a tuple is meant.

        Raises:
            ConfigurationError: A value is not permitted; the variable is named when the value came from one.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for name, read in _READERS.items():
            read(environ, values, sources, name)
        for name, value in arguments.items():
            values[name] = _ARGUMENTS.get(name, _as_given)(value)
            sources[name] = "argument"
        try:
            return cls(**values, sources=sources)
        except ConfigurationError as error:
            raise error.named_after(sources) from None


_POLICIES: Final[Mapping[str, type]] = {
    "timeout": TimeoutPolicy,
    "retry": RetryPolicy,
    "breaker": BreakerPolicy,
    "bulkhead": BulkheadPolicy,
    "rate_limit": RateLimitPolicy,
}


def _check_policy(owner: object, name: str, kind: type) -> None:
    value = getattr(owner, name)
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(field=name, value=value, permitted=f"a {kind.__name__}, or None to turn it off")


def _check_fallbacks(given: Any) -> None:
    permitted = "a mapping of model names to tuples of other model names, without loops"
    if not isinstance(given, Mapping):
        raise ConfigurationError(field="fallbacks", value=given, permitted=permitted)
    fallbacks: Mapping[Any, Any] = given  # pyright: ignore[reportUnknownVariableType]
    for model, listed in fallbacks.items():
        others = cast("tuple[Any, ...]", listed)
        named = isinstance(listed, tuple | list) and all(isinstance(each, str) and each for each in others)
        # a call goes through one model's list only, yet two models that name each other are a slip of the pen
        looped = named and (model in others or any(model in fallbacks.get(other, ()) for other in others))
        if not isinstance(model, str) or not named or looped or len(set(others)) < len(others):
            raise ConfigurationError(field=f"fallbacks[{model!r}]", value=others, permitted=permitted)


def _check_guards(given: tuple[Any, ...]) -> None:
    names: set[str] = set()
    for guard in given:
        if not isinstance(guard, SpendGuard) or guard.name in names:
            permitted = "a SpendGuard, several that differ in `per` or `by`, or None"
            raise ConfigurationError(field="spend_guard", value=guard, permitted=permitted)
        names.add(guard.name)


def _check_prices(given: Any) -> None:
    if given is not None and (not isinstance(given, Mapping | str | os.PathLike) and not callable(given)):
        permitted = "a mapping of models to prices, the path of a file, a function, or None"
        raise ConfigurationError(field="prices", value=given, permitted=permitted)


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(field=name, value=value, permitted="True or False")


def is_loopback(host: str) -> bool:
    """Tell whether a host name is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_url(name: str, value: object) -> None:
    permitted = "an https:// URL (http:// only to a loopback address), without credentials or query"
    if not isinstance(value, str):
        raise ConfigurationError(field=name, value=value, permitted=permitted)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError(field=name, value=value, permitted=permitted) from None
    if "@" in parts.netloc:  # the value holds a password: it must not be shown
        raise ConfigurationError(field=name, value="(hidden: it has credentials)", permitted=permitted)
    plain_ok = parts.scheme == "http" and host is not None and is_loopback(host)
    if not host or (parts.scheme != "https" and not plain_ok) or parts.query or parts.fragment:
        raise ConfigurationError(field=name, value=value, permitted=permitted)


# --- arguments and environment --------------------------------------------------------------------------------------

_Reader = Callable[[Mapping[str, str], dict[str, Any], dict[str, str], str], None]


def _as_given(value: Any) -> Any:
    return value


def _names(value: str | Iterable[str]) -> Any:
    """Take `"a, b"`, a list or a tuple as a tuple of names; anything else is left for validation to refuse."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list | set | frozenset) else value


def _guards(value: Any) -> Any:
    return tuple(cast("Iterable[Any]", value)) if isinstance(value, list) else value


def _secret(value: Any) -> Any:
    return value if value is None or isinstance(value, Secret) else secret(value, field="api_key")


def secret(value: Any, *, field: str) -> Secret:
    """Return a key that can be sent in a header.

    Raises:
        ConfigurationError: It cannot; the message does not show it.
    """
    if not isinstance(value, str) or not value.strip() or not value.isascii() or any(c.isspace() for c in value):
        raise ConfigurationError(field=field, value="(hidden)", permitted="ASCII text without spaces")
    return Secret(value)


_ARGUMENTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "api_key": _secret,
    "hosts": _names,
    "tag_metrics": _names,
    "exporters": _names,
    "spend_guard": _guards,
}


def _read_text(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str], name: str) -> None:
    variable = PREFIX + name.upper()
    text = environ.get(variable, "").strip()
    if text:  # an empty variable is how a container file says "not set"
        values[name] = _ARGUMENTS.get(name, _as_given)(text)
        sources[name] = variable


def _read_switch(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str], name: str) -> None:
    variable = PREFIX + name.upper()
    text = environ.get(variable, "").strip()
    if text:
        values[name], sources[name] = _boolean(variable, text), variable


_CAPTURE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The conventions' own variable."""
_CAPTURES: Final[Mapping[str, ContentPolicy | None]] = {
    "NO_CONTENT": None,
    "FALSE": None,
    "SPAN_ONLY": ContentPolicy(),
    "TRUE": ContentPolicy(),
    "EVENT_ONLY": ContentPolicy(spans=False, events=True),
    "SPAN_AND_EVENT": ContentPolicy(events=True),
}


def _read_capture(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str], name: str) -> None:
    text = environ.get(_CAPTURE, "").strip().upper()
    if text:
        if text not in _CAPTURES:
            permitted = "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"
            raise ConfigurationError(field=_CAPTURE, value=text, permitted=permitted)
        values[name], sources[name] = _CAPTURES[text], _CAPTURE


def _policy_reader(kind: type) -> _Reader:
    """Read `HUDDLE_OTEL_RETRY=off` and `HUDDLE_OTEL_RETRY_MAX_ATTEMPTS=2` and their like."""

    def read(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str], name: str) -> None:
        switch = PREFIX + name.upper()
        state = environ.get(switch, "").strip().lower()
        if state in {"off", "false", "0", "none"}:
            values[name], sources[name] = None, switch
            return
        if state not in {"", "on", "true", "1"}:
            raise ConfigurationError(field=switch, value=environ[switch], permitted="on or off")
        given: dict[str, Any] = {}
        variables: dict[str, str] = {}
        for each in fields(kind):
            if "Policy" in str(each.type):
                continue  # a part that only code can say
            variable = f"{switch}_{each.name.upper()}"
            text = environ.get(variable, "").strip()
            if text:
                given[each.name] = _read_field(variable, text, str(each.type))
                variables[f"{kind.__name__}.{each.name}"] = variable
        if given:
            try:
                values[name] = kind(**given)
            except ConfigurationError as error:
                raise error.named_after(variables) from None
            sources[name] = ", ".join(variables.values())

    return read


def _read_field(variable: str, text: str, kind: str) -> Any:
    """Read a policy's field of the annotated kind."""
    if kind == "bool":
        return _boolean(variable, text)
    if kind == "str" or "Decimal" in kind:
        return text
    return _number(variable, text, whole="int" in kind, optional="None" in kind)


def _boolean(variable: str, text: str) -> bool:
    if text.lower() not in {"true", "false", "1", "0", "on", "off"}:
        raise ConfigurationError(field=variable, value=text, permitted="true or false")
    return text.lower() in {"true", "1", "on"}


def _number(variable: str, text: str, *, whole: bool, optional: bool) -> float | int | None:
    if optional and text.lower() == "none":
        return None
    try:
        return int(text) if whole else float(text)
    except ValueError:
        permitted = "a whole number" if whole else "a number"
        raise ConfigurationError(
            field=variable, value=text, permitted=f"{permitted} or none" if optional else permitted
        ) from None


_READERS: Final[Mapping[str, _Reader]] = {
    "base_url": _read_text,
    "hosts": _read_text,
    "provider_name": _read_text,
    "tag_metrics": _read_text,
    "truncated_stream": _read_text,
    "prices": _read_text,
    "http_spans": _read_switch,
    "exporters": _read_text,
    "sigterm": _read_switch,
    "content": _read_capture,
    "spend_guard": _policy_reader(SpendGuard),
    **{name: _policy_reader(kind) for name, kind in _POLICIES.items()},
}
