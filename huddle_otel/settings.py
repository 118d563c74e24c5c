"""Everything a user can set: the policies and `Settings`, from arguments, the environment or defaults.

Data only. Every class is frozen and validates itself, so a `Settings` that exists is a `Settings` that works:
a bad value is refused where it was written, with the field (or the variable), the value and what is permitted.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
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

    def __post_init__(self) -> None:
        """Validate."""
        for each in fields(self):
            _check(self, each.name, low=0, high=_DAY, above=True)
        for name in ("connect", "first_token", "stall"):
            if getattr(self, name) > self.total:
                raise ConfigurationError(
                    field=f"TimeoutPolicy.{name}",
                    value=getattr(self, name),
                    permitted=f"at most TimeoutPolicy.total ({self.total:g})",
                )


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

    def __post_init__(self) -> None:
        """Validate."""
        _check_int(self, "max_attempts", low=1, high=20)
        _check(self, "base", low=0, high=60)
        _check(self, "cap", low=0, high=600)
        _check_int(self, "max_ambiguous", low=0, high=20)
        if self.gateway_retries is not None:
            _check_int(self, "gateway_retries", low=0, high=20)
        if self.cap < self.base:
            raise ConfigurationError(
                field="RetryPolicy.cap", value=self.cap, permitted=f"at least RetryPolicy.base ({self.base:g})"
            )


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


PriceOverride = Mapping[str, Mapping[str, Any]]
"""`{model: {"input": USD per 1M tokens, "output": …, "cache_read": …, "cache_write": …}}`."""


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
    prices: PriceOverride | None = None
    """The user's own prices; they win over the catalogue and lose to what the gateway reports."""
    provider_name: str = "huddle01"
    """`gen_ai.provider.name` of calls to the gateway."""
    tag_metrics: tuple[str, ...] = ()
    """Tags that also become metric attributes. Each multiplies the number of series."""
    tracer_provider: Any = None
    """OpenTelemetry provider to use; None is the global one."""
    meter_provider: Any = None
    """OpenTelemetry provider to use; None is the global one."""
    sources: Mapping[str, str] = field(default_factory=dict[str, str], compare=False, repr=False)
    """Field -> where its value came from (`argument`, a variable's name); what is missing is a default."""

    def __post_init__(self) -> None:
        """Validate."""
        _check_url("base_url", self.base_url)
        _check_type(self, "timeout", TimeoutPolicy)
        _check_type(self, "retry", RetryPolicy)
        name: Any = self.provider_name  # a user's value, whatever its annotation says
        if not name or not isinstance(name, str):
            raise ConfigurationError(field="provider_name", value=self.provider_name, permitted="a non-empty text")
        for name in ("hosts", "tag_metrics"):
            values: Any = getattr(self, name)
            if not isinstance(values, tuple) or not all(
                isinstance(each, str) and each for each in cast("tuple[Any]", values)
            ):
                raise ConfigurationError(field=name, value=values, permitted="a tuple of non-empty texts")
        for host in cast("tuple[str, ...]", self.hosts):
            if "/" in host or "@" in host:
                raise ConfigurationError(
                    field="hosts", value=host, permitted="`name` or `name:port`, no scheme or path"
                )

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


def _check_type(settings: Settings, name: str, kind: type) -> None:
    value = getattr(settings, name)
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(field=name, value=value, permitted=f"a {kind.__name__}, or None to turn it off")


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


def _secret(value: Any) -> Any:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip() or not value.isascii() or any(c.isspace() for c in value):
        raise ConfigurationError(field="api_key", value="(hidden)", permitted="ASCII text without spaces")
    return Secret(value)


_ARGUMENTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "api_key": _secret,
    "hosts": _names,
    "tag_metrics": _names,
}


def _read_text(environ: Mapping[str, str], values: dict[str, Any], sources: dict[str, str], name: str) -> None:
    variable = PREFIX + name.upper()
    text = environ.get(variable, "").strip()
    if text:  # an empty variable is how a container file says "not set"
        values[name] = _ARGUMENTS.get(name, _as_given)(text)
        sources[name] = variable


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
            variable = f"{switch}_{each.name.upper()}"
            text = environ.get(variable, "").strip()
            if text:
                given[each.name] = _number(
                    variable, text, whole="int" in str(each.type), optional="None" in str(each.type)
                )
                variables[f"{kind.__name__}.{each.name}"] = variable
        if given:
            try:
                values[name] = kind(**given)
            except ConfigurationError as error:
                raise error.named_after(variables) from None
            sources[name] = ", ".join(variables.values())

    return read


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
    "timeout": _policy_reader(TimeoutPolicy),
    "retry": _policy_reader(RetryPolicy),
}
