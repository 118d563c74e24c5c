"""The metrics of the contract, on one meter provider."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from opentelemetry.metrics import Histogram, MeterProvider

from huddle_otel.events import AttemptFailed, CircuitChanged, Fault, Finished, Outcome, Request
from huddle_otel.spend import usd
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.answer import Answer
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel.telemetry.tallies import Key, Tallies, observe
from huddle_otel.text import sound

MAX_MODELS: Final = 200
"""Models with series of their own; later ones share `other`. Model names are typed by users, so they are bounded."""

_STREAM_FAULTS: Final = {
    Fault.TRUNCATED: "truncated",
    Fault.STREAM_ERROR: "error_event",
    Fault.DISCONNECT: "disconnect",
    Fault.TIMEOUT: "stall",
    Fault.MALFORMED: "malformed",
}
_OUTCOME_FAULTS: Final = {Outcome.TRUNCATED: Fault.TRUNCATED}
"""Outcomes that are a fault of the stream though nothing was raised."""
_TOKEN_TYPES: Final = (
    ("input", "input_tokens"),
    ("output", "output_tokens"),
    ("cache_read", "cache_read_tokens"),
    ("cache_write", "cache_write_tokens"),
    ("reasoning", "reasoning_tokens"),
    ("input_audio", "input_audio_tokens"),
    ("input_image", "input_image_tokens"),
    ("output_audio", "output_audio_tokens"),
    ("output_image", "output_image_tokens"),
)
_ZEROED: Final = 50
"""Operations with models whose usual series start at 0: the SDK keeps 2,000 series of a metric, and lumps the rest."""
_USUAL_ERRORS: Final = ("429", "500", "502", "503", "504", "connect_error", "read_timeout", "first_token_timeout")
_WASTED: Final = (Outcome.ERROR, Outcome.TRUNCATED, Outcome.CANCELLED, Outcome.ABANDONED)
_REASONS: Final = {
    "breaker_open": "rejected",
    "bulkhead_full": "rejected",
    "rate_limited": "rejected",
    "budget_exceeded": "blocked",
}
"""Why a call is refused without a request -> its outcome."""
_COMPONENTS: Final = ("spans", "metrics", "reading", "spend", "content", "ledger", "store")
_LIMIT_HEADERS: Final = (
    ("requests", "x-ratelimit-remaining-requests"),
    ("tokens", "x-ratelimit-remaining-tokens"),
)


_CIRCUITS: Final = {contract.BREAKER: "state", contract.RETRY_BUDGET: "retry_budget"}
"""Metric -> field of a circuit's figures."""
_BUDGETS: Final = {contract.BUDGET_USED: ("spent", "reserved"), contract.BUDGET_LIMIT: ("limit",)}
"""Metric -> fields of an account's figures that make it up."""
_USUAL_TRANSITIONS: Final = (("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed"))
_STATES: Final[dict[Any, Any]] = {
    "closed": 0,
    "half_open": 1,
    "open": 2,
    "forced_open": 2,
    "disabled": 0,
    "metrics_only": 0,
}


class Metrics:
    """Records calls. One instance per meter provider, for ever: OpenTelemetry cannot take an instrument back."""

    _made: ClassVar[weakref.WeakKeyDictionary[Any, Metrics]] = weakref.WeakKeyDictionary()

    def __init__(self, provider: MeterProvider, version: str) -> None:
        """Create every instrument of the contract."""
        meter = provider.get_meter(contract.SCOPE, version)
        self.tallies = Tallies()
        self._sources = {
            contract.TRANSITIONS: self._of_transitions,
            **dict.fromkeys(_CIRCUITS, self._of_circuits),
            **dict.fromkeys(_BUDGETS, self._of_budgets),
        }
        self.budgets: Callable[[], list[dict[str, Any]]] = list
        """Where the figures of limits on spend come from."""
        self.circuits: Callable[[], list[dict[str, Any]]] = list
        """Where the figures of circuits come from."""
        self._models: set[str] = set()
        self._begun: set[tuple[str, str]] = set()
        """Operations and models with series."""
        self._histograms: dict[str, Histogram] = {}
        for metric in contract.METRICS:
            if metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = meter.create_histogram(
                    metric.name,
                    unit=metric.unit,
                    description=metric.description,
                    explicit_bucket_boundaries_advisory=metric.buckets,
                )
            else:
                observe(meter, metric, self._sources.get(metric, self.tallies.read))

    @classmethod
    def on(cls, provider: MeterProvider, version: str) -> Metrics:
        """Return the metrics of a provider, made on first use."""
        made = cls._made.get(provider)
        if made is None:
            made = cls._made[provider] = cls(provider, version)
            made.tallies.add_all((contract.TELEMETRY_ERRORS, (("component", name),), 0) for name in _COMPONENTS)
        return made

    def model(self, name: str) -> str:
        """Return the model's name as metrics show it: its own for the first `MAX_MODELS`, then `other`."""
        name = sound(name)
        if name in self._models:
            return name
        if len(self._models) >= MAX_MODELS:
            return contract.OTHER_MODEL
        self._models.add(name)
        return name

    def _of_circuits(self, metric: Metric) -> dict[Key, float]:
        field = _CIRCUITS[metric]
        values: dict[str, Any] = {each["circuit"]: each[field] for each in self.circuits() if each[field] is not None}
        return {((contract.CIRCUIT, name),): float(_STATES.get(value, value)) for name, value in values.items()}

    def _of_transitions(self, metric: Metric) -> dict[Key, float]:
        """Return the counts; a circuit's usual ones from 0 on, as `_zeros` says why."""
        zeros = {
            _transition(each["circuit"], before, after): 0.0
            for each in self.circuits()
            for before, after in _USUAL_TRANSITIONS
        }
        return zeros | self.tallies.read(metric)

    def _of_budgets(self, metric: Metric) -> dict[Key, float]:
        values: dict[Key, float] = {}
        for each in self.budgets()[:MAX_MODELS]:
            whose = (("key", sound(each["key"])),) if each["key"] else ()
            values[(("budget", each["budget"]), *whose)] = usd(sum(each[name] for name in _BUDGETS[metric]))
        return values

    def circuit_changed(self, event: CircuitChanged) -> None:
        """Count a circuit's change of state."""
        self.tallies.add_all([(contract.TRANSITIONS, _transition(event.circuit, event.before, event.after), 1)])

    def started(self, request: Request) -> None:
        """Count a call in."""
        model = self.model(request.model)
        if (request.operation, model) not in self._begun and len(self._begun) < _ZEROED:
            self._begun.add((request.operation, model))
            self.tallies.add_all(_zeros(request.operation, model))
        self.tallies.add_all([(contract.IN_FLIGHT, ((contract.MODEL, model),), 1)])

    def attempt_failed(self, request: Request, event: AttemptFailed) -> None:
        """Count a failed attempt."""
        model = (contract.MODEL, self.model(request.model))
        changes: list[tuple[Metric, Key, float]] = [
            (
                contract.ATTEMPTS_MADE,
                (model, ("result", event.failure.error_type), ("class", str(event.retry_class))),
                1,
            )
        ]
        self.tallies.add_all(changes)

    def finished(
        self,
        request: Request,
        event: Finished,
        answer: Answer,
        *,
        duration: float,
        tag_names: tuple[str, ...],
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:
        """Count a call out, with everything it used, but for the histograms that are recorded elsewhere."""
        model = self.model(request.model)
        error_type = event.failure.error_type if event.failure is not None else ""
        self.tallies.add_all(_changes(request, event, answer, model, error_type, tag_names))
        limits = [
            (contract.RATELIMIT, ((contract.MODEL, model), ("type", name)), float(text))
            for name, header in _LIMIT_HEADERS
            if (text := answer.headers.get(header, "")).isdigit()
        ]
        if limits:
            self.tallies.put_all(limits)
        self._record(request, answer, model, error_type, duration, elsewhere)

    def _record(
        self,
        request: Request,
        answer: Answer,
        model: str,
        error_type: str,
        duration: float,
        elsewhere: frozenset[str],
    ) -> None:
        response_model = self.model(answer.model) if answer.model else ""
        series = (request.operation, request.provider, model, response_model, request.host, request.port)
        record = self._histograms
        if contract.DURATION.name not in elsewhere:
            record[contract.DURATION.name].record(duration, _series(*series, contract.ERROR_TYPE, error_type))
        usage = answer.usage
        if usage is not None and contract.TOKEN_USAGE.name not in elsewhere:
            tokens = record[contract.TOKEN_USAGE.name]
            if usage.input_tokens is not None:
                tokens.record(usage.input_tokens, _series(*series, contract.TOKEN_TYPE, "input"))
            if usage.output_tokens is not None:
                tokens.record(usage.output_tokens, _series(*series, contract.TOKEN_TYPE, "output"))
        if answer.first_chunk is not None:
            attributes = _series(*series, "", "")
            if contract.FIRST_CHUNK.name not in elsewhere:
                record[contract.FIRST_CHUNK.name].record(answer.first_chunk, attributes)
            record[contract.ATTEMPT_CHUNK.name].record(answer.first_chunk - answer.sent_after, attributes)
        if answer.per_chunk is not None:
            record[contract.PER_CHUNK.name].record(answer.per_chunk, _series(*series, "", ""))


def _transition(circuit: str, before: str, after: str) -> Key:
    return (contract.CIRCUIT, circuit), (contract.BREAKER_FROM, before), (contract.BREAKER_TO, after)


@lru_cache(maxsize=4096)
def _series(  # noqa: PLR0913, PLR0917 - flat and positional: the arguments are the key of the cache
    operation: str, provider: str, model: str, response_model: str, host: str, port: int | None, extra: str, value: str
) -> Mapping[str, Any]:
    """Return the attributes of one histogram series. Cached: a dict built per call costs more than a record."""
    attributes: dict[str, Any] = {
        contract.OPERATION: operation,
        contract.PROVIDER: provider,
        contract.REQUEST_MODEL: model,
        contract.RESPONSE_MODEL: response_model,
        contract.SERVER_ADDRESS: host,
        contract.SERVER_PORT: port,
        extra: value,
    }
    return {name: each for name, each in attributes.items() if name and each not in (None, "")}


def _zeros(operation: str, model: str) -> Iterator[tuple[Metric, Key, float]]:
    """Yield the usual series of a model at 0: what appears with its first increment, `increase()` does not see."""
    by_model = (contract.MODEL, model)
    ended = ((contract.OPERATION, operation), by_model)
    yield contract.CALLS, (*ended, (contract.OUTCOME, "ok")), 0
    for error_type in _USUAL_ERRORS:
        yield contract.CALLS, (*ended, (contract.OUTCOME, "error"), (contract.ERROR_TYPE, error_type)), 0
    for reason, outcome in _REASONS.items():
        yield contract.CALLS, (*ended, (contract.OUTCOME, outcome), (contract.ERROR_TYPE, reason)), 0
        yield contract.REJECTIONS, (by_model, ("reason", reason)), 0
    for kind in _STREAM_FAULTS.values():
        yield contract.STREAM_FAULTS, (by_model, ("kind", kind)), 0
    yield contract.DOUBLE_BILLINGS, (by_model,), 0
    for outcome in _WASTED:
        yield contract.COST_WASTE, (by_model, (contract.OUTCOME, str(outcome))), 0
    for outcome in (Outcome.OK, *_WASTED):
        yield contract.COST_UNKNOWN, (by_model, (contract.OUTCOME, str(outcome))), 0
    for metric in (contract.COST_DIFFERENCE, contract.WAITED):
        yield metric, (by_model,), 0


def _changes(
    request: Request, event: Finished, answer: Answer, model: str, error_type: str, tag_names: tuple[str, ...]
) -> Iterator[tuple[Metric, Key, float]]:
    """Yield what one ended call adds to the tallies."""
    by_model = (contract.MODEL, model)
    tags = tuple((name, answer.tags[name]) for name in tag_names if name in answer.tags)
    outcome = [(contract.OPERATION, request.operation), by_model, (contract.OUTCOME, str(event.outcome))]
    if error_type:
        outcome.append((contract.ERROR_TYPE, error_type))
    yield contract.CALLS, tuple(outcome), 1
    yield contract.IN_FLIGHT, (by_model,), -1
    if event.last_result:
        yield contract.ATTEMPTS_MADE, (by_model, ("result", event.last_result), ("class", "")), 1
    if event.outcome in {Outcome.REJECTED, Outcome.BLOCKED}:
        yield contract.REJECTIONS, (by_model, ("reason", error_type)), 1
    if event.double_billing:
        yield contract.DOUBLE_BILLINGS, (by_model,), 1
    if event.waited:
        yield contract.WAITED, (by_model,), event.waited
    fault = event.failure.fault if event.failure is not None else _OUTCOME_FAULTS.get(event.outcome)
    if request.stream and fault is not None and fault in _STREAM_FAULTS:
        yield contract.STREAM_FAULTS, (by_model, ("kind", _STREAM_FAULTS[fault])), 1
    ended = (by_model, (contract.OUTCOME, str(event.outcome)))
    if event.outcome is not Outcome.OK and answer.spend.total:
        yield contract.COST_WASTE, ended, usd(answer.spend.total)
    if answer.spend.total is None and (answer.answered or event.may_be_billed):
        yield contract.COST_UNKNOWN, ended, 1
    yield from _money(answer, by_model, tags)


def _money(
    answer: Answer, by_model: tuple[str, str], tags: Iterable[tuple[str, Any]]
) -> Iterator[tuple[Metric, Key, float]]:
    usage, spend = answer.usage, answer.spend
    if spend.total is not None:
        yield contract.COST_USD, (by_model, ("source", spend.source), *tags), usd(spend.total)
    if spend.source == "gateway" and spend.total is not None and spend.estimate is not None:
        yield contract.COST_DIFFERENCE, (by_model,), usd(spend.total - spend.estimate)
    if usage is None:
        return
    for name, field in _TOKEN_TYPES:
        count = getattr(usage, field)
        if count:
            yield contract.TOKENS_USED, (by_model, ("type", name), *tags), count
