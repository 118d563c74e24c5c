"""For each alert: series on which it fires, and series that come close, on which it must stay silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Series = dict[str, str]
"""Selector -> values, as `promtool test rules` writes them: `0+5x60` starts at 0 and grows 60 times by 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What promtool is to find at one moment. Series have a sample a minute."""

    alert: str
    """Its key: the name, and what tells it from others of that name."""
    at: str
    labels: Mapping[str, str]
    """Of the one alert that fires, beside name, severity and role."""
    fires: Series
    silent: Mapping[str, Series]
    """Why it stays silent -> series."""
    look: str = "1m"
    """Time between two evaluations; longer where the windows are days."""


SHOP: Final = {"job": "shop"}
GPT: Final = {"job": "shop", "model": "gpt-4.1"}
CIRCUIT: Final = {**GPT, "circuit": "gw/gpt-4.1/chat"}


def series(name: str, values: str, **labels: str) -> Series:
    """Write one series of the job `shop`; an `instance` of its own tells processes apart."""
    given = {"job": "shop", "instance": "a", **labels}
    inside = ", ".join(f'{key}="{value}"' for key, value in given.items())
    return {f"{name}{{{inside}}}": values}


def calls(
    values: str, outcome: str = "ok", error_type: str = "", model: str = "gpt-4.1", instance: str = "a"
) -> Series:
    why = {"error_type": error_type} if error_type else {}
    return series("huddle_client_calls_total", values, instance=instance, model=model, huddle_outcome=outcome, **why)


def attempts(values: str, result: str = "ok", retry_class: str = "") -> Series:
    extra = {"result": result, "class": retry_class}
    return series("huddle_client_attempts_total", values, model="gpt-4.1", **extra)


def state(values: str, instance: str = "a") -> Series:
    return series("huddle_client_breaker_state", values, instance=instance, circuit=CIRCUIT["circuit"])


def transitions(values: str, before: str, after: str, instance: str = "a") -> Series:
    names = {"circuit": CIRCUIT["circuit"], "from": before, "to": after}
    return series("huddle_client_breaker_transitions_total", values, instance=instance, **names)


def retry_budget(values: str, instance: str = "a") -> Series:
    return series("huddle_client_retry_budget", values, instance=instance, circuit=CIRCUIT["circuit"])


def histogram(name: str, fast: str, slow: str, **labels: str) -> Series:
    """Write two buckets: what took up to 2.56 s, and all, of which the rest took up to 40.96 s."""
    whose = {"gen_ai_request_model": "gpt-4.1", **labels}
    bounds = {"2.56": fast, "40.96": slow, "+Inf": slow}
    buckets = [series(f"{name}_bucket", values, le=le, **whose) for le, values in bounds.items()]
    return merged(*buckets, series(f"{name}_count", slow, **whose))


def faults(values: str, kind: str) -> Series:
    return series("huddle_client_stream_faults_total", values, model="gpt-4.1", kind=kind)


def cost(values: str, model: str = "gpt-4.1", instance: str = "a") -> Series:
    return series("huddle_client_cost_usd_total", values, instance=instance, model=model, source="gateway")


def unknown(values: str) -> Series:
    return series("huddle_client_cost_unknown_total", values, model="my-model")


def guard(used: str, limit: str = "10x60") -> Series:
    whose = {"budget": "day/team", "key": "search"}
    return series("huddle_client_budget_used_usd", used, **whose) | series(
        "huddle_client_budget_limit_usd", limit, **whose
    )


def health(values: str, component: str = "spans", instance: str = "a") -> Series:
    return series("huddle_telemetry_errors_total", values, instance=instance, component=component)


def every(minutes: int, times: int) -> str:
    """Write a counter that grows by 1 every so many minutes."""
    return " ".join(f"{count}x{minutes - 1}" for count in range(times + 1))


def merged(*each: Series) -> Series:
    return {key: values for one in each for key, values in one.items()}


DURATION: Final = "gen_ai_client_operation_duration_seconds"
FIRST_CHUNK: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"

OBJECTIVE: Final = (
    Case(
        alert="HuddleErrorBudgetBurn/14.4",
        at="2h",
        labels={**SHOP, "burn": "14.4"},
        fires=calls("0+10x180") | calls("0+1x180", "error", "503"),  # 9 % of 11 calls a minute; the limit is 7.2 %
        silent={
            "5 % fail": calls("0+19x180") | calls("0+1x180", "error", "503"),
            "all of 15 calls an hour": calls("0x180") | calls(every(4, 40), "error", "503"),
            "three failures": calls(every(2, 80)) | calls("0x70 1x20 2x25 3x60", "error", "503"),
            "it began just now": calls("0x119 100x60") | calls("0x119 50x60", "error", "503"),
            "an hour was bad, five minutes are not": calls("0+10x180") | calls("0+3x112 336+0.5x70", "error", "503"),
            "five minutes are bad, the hour is not": calls("0+10x180") | calls("0x114 0+3x60", "error", "503"),
            "what failed is the app's own": calls("0+10x180") | calls("0+9x180", "error", "400"),
            "the app left": calls("0+10x180") | calls("0+9x180", "abandoned") | calls("0+9x180", "cancelled"),
            "a spend limit refused": calls("0+10x180") | calls("0+9x180", "blocked", "budget_exceeded"),
            "the app's code raised": calls("0+10x180") | calls("0+9x180", "error", "ValidationError"),
            "a process began anew": calls("0+10x100 0+10x80") | calls("90x100 0x80", "error", "503"),
        },
    ),
    Case(
        alert="HuddleErrorBudgetBurn/6",
        at="7h",
        labels={**SHOP, "burn": "6"},
        fires=calls("0+19x450") | calls("0+1x450", "rejected", "breaker_open"),  # 5 %; the limit is 3 %
        silent={
            "2 % fail": calls("0+49x450") | calls("0+1x450", "rejected", "breaker_open"),
            "all of 18 calls in six hours": calls(every(20, 30), "rejected", "breaker_open"),
            "three failures": calls(every(9, 60)) | calls("0x300 1x60 2x50 3x60", "rejected", "breaker_open"),
            "it began just now": calls("0x419 100x60") | calls("0x419 50x60", "rejected", "breaker_open"),
            "six hours were bad, half an hour is not": calls("0+19x450")
            | calls("0+5x380 1900+0.4x100", "rejected", "breaker_open"),
            "half an hour is bad, six hours are not": calls("0+49x450")
            | calls("0x380 0+5x80", "rejected", "breaker_open"),
        },
        look="5m",
    ),
    Case(
        alert="HuddleErrorBudgetBurn/3",
        at="12h",
        labels={**SHOP, "burn": "3"},
        fires=calls("0+49x750") | calls("0+1x750", "truncated", "stream_truncated"),  # 2 %; the limit is 1.5 %
        silent={
            "1 % fail": calls("0+99x750") | calls("0+1x750", "truncated", "stream_truncated"),
            "all of 15 calls in half a day": calls(every(45, 20), "truncated"),
            "three failures": calls(every(9, 90)) | calls("0x620 1x40 2x30 3x60", "truncated"),
            "it began just now": calls("0x719 100x60") | calls("0x719 50x60", "truncated"),
            "only the last three hours were bad": calls("0+49x750") | calls("0x540 0+2x210", "truncated"),
            "the last three hours were better": calls("0+49x750") | calls("0+3x540 1620+0.5x210", "truncated"),
        },
        look="5m",
    ),
    Case(
        alert="HuddleErrorBudgetBurn/1",
        at="20h",
        labels={**SHOP, "burn": "1"},
        fires=calls("0+129x1300") | calls("0+1x1300", "error", "read_timeout"),  # 0.8 %; the limit is 0.5 %
        silent={
            "0.4 % fail": calls("0+249x1300") | calls("0+1x1300", "error", "read_timeout"),
            "all of 17 calls in a day": calls(every(70, 20), "error", "read_timeout"),
            "three failures": calls(every(9, 150)) | calls("0x900 1x80 2x150 3x200", "error", "read_timeout"),
            "it began just now": calls("0x1199 100x60") | calls("0x1199 50x60", "error", "read_timeout"),
            "nothing has failed yet": calls("0+99x1300"),
            "only the last seven hours were bad": calls("0+99x1300") | calls("0x780 0+1x520", "error", "read_timeout"),
            "the last seven hours were better": calls("0+99x1300") | calls("0+2x780 1560+0.4x520", "error", "500"),
        },
        look="5m",
    ),
)

UPSTREAM: Final = (
    Case(
        alert="HuddleCircuitOpen",
        at="30m",
        labels=CIRCUIT,
        # open or half-open since the 26th minute, whichever a scrape sees, in one process of two
        fires=state("0x25 2 1 2 1 2") | state("0x40", "b") | transitions("_x25 1x10", "closed", "open"),
        silent={
            "it closes in between": state("0x26 2 1 0 2") | transitions("0+1x40", "half_open", "open"),
            "for two minutes": state("0x27 2x10") | transitions("_x28 1x10", "closed", "open"),
            "one process of three": merged(
                state("2x40"), state("0x40", "b"), state("0x40", "c"), transitions("0+1x40", "half_open", "open")
            ),
            "nobody has called for 20 minutes": state("0x5 1x40") | transitions("_x5 1 2 3 4x40", "half_open", "open"),
            "an operator forced it open": state("2x40") | transitions("1x40", "closed", "forced_open"),
        },
    ),
    Case(
        alert="HuddleAuthenticationFailing",
        at="40m",
        labels=GPT,
        fires=calls("0+9x60") | calls("_ 1+1x60", "error", "401"),
        silent={
            "4 % fail": calls("0+96x60") | calls("_ 1+4x60", "error", "403"),
            "four calls": calls("0+1x60") | calls("0x26 1x2 2x2 3x2 4x20", "error", "401"),
            "it began just now": calls("0+1x60") | calls("0x39 9x20", "error", "401"),
            "a new key has worked for 20 minutes": calls("0+9x60") | calls("0+9x20 180x40", "error", "401"),
            "other mistakes of the app": calls("0+9x60") | calls("_ 1+5x60", "error", "400"),
        },
    ),
    Case(
        alert="HuddleQuotaExhausted",
        at="40m",
        labels=GPT,
        fires=attempts(every(2, 30), "429", "E"),
        silent={
            "four requests": attempts(every(4, 20), "422", "E"),
            "it began just now": attempts("0x39 9x20", "429", "E"),
            "it was raised 20 minutes ago": attempts("0+9x20 180x40", "429", "E"),
            "rate limits that pass": attempts("_ 1+5x60", "429", "B"),
            "bad requests": attempts("_ 1+5x60", "400", "E"),
        },
    ),
    Case(
        alert="HuddleCircuitFlapping",
        at="130m",
        labels=CIRCUIT,
        fires=transitions("0x110 1x4 2x4 3x4 4x10", "half_open", "closed"),
        silent={
            "twice": transitions("0x110 1x4 2x40", "half_open", "closed"),
            "three times an hour": transitions(every(20, 8), "half_open", "closed"),
            "once in each of five processes": merged(
                *(transitions("0x110 1x40", "half_open", "closed", instance=name) for name in "abcde")
            ),
            "it only opens": transitions("0+1x150", "half_open", "open"),
        },
    ),
    Case(
        alert="HuddleTimeouts",
        at="30m",
        labels={**GPT, "result": "first_token_timeout"},
        fires=attempts("0+9x40") | attempts("0+1x40", "first_token_timeout", "C"),
        silent={
            "3 % of the requests": attempts("0+29x40") | attempts("0+1x40", "read_timeout", "C"),
            "few requests": attempts("0+1x40") | attempts("0+1x40", "read_timeout", "C"),
            "for two minutes": attempts("0+9x40") | attempts("0x27 0+3x10", "read_timeout", "C"),
            "over for six minutes": attempts("0+9x40") | attempts("0+1x22 22x20", "read_timeout", "C"),
            "other failures": attempts("0+9x40") | attempts("0+1x40", "503", "C"),
        },
    ),
    Case(
        alert="HuddleRateLimited",
        at="30m",
        labels=GPT,
        fires=calls("0+9x40") | calls("0+1x40", "rejected", "rate_limited"),
        silent={
            "3 % of the calls": calls("0+29x40") | calls("0+1x40", "error", "429"),
            "few calls": calls("0+1x40") | calls("0+1x40", "error", "429"),
            "for two minutes": calls("0+9x40") | calls("0x27 0+3x10", "error", "429"),
            "over for six minutes": calls("0+9x40") | calls("0+1x22 22x20", "error", "429"),
            "the upstream fails": calls("0+9x40") | calls("0+1x40", "error", "503"),
        },
    ),
    Case(
        alert="HuddleRetryBudgetEmpty",
        at="30m",
        labels=CIRCUIT,
        fires=retry_budget("10x22 0.5x20") | retry_budget("10x40", "b") | calls("0+1x40"),
        silent={
            "it is filling": retry_budget("0.5x24 0.9 1 1.1x10") | calls("0+1x40"),
            "for three minutes": retry_budget("10x26 0.5x20") | calls("0+1x40"),
            "nobody calls": retry_budget("10 5 0.5x40") | calls("9x40"),
            "one process of three": merged(
                retry_budget("0.5x40"), retry_budget("10x40", "b"), retry_budget("9x40", "c"), calls("0+1x40")
            ),
        },
    ),
    Case(
        alert="HuddleAmplification",
        at="40m",
        labels=GPT,
        fires=calls("0+10x60") | attempts("0+10x60") | attempts("0+2x60", "503", "C"),
        silent={
            "a retry in twenty calls": calls("0+20x60") | attempts("0+20x60") | attempts("0+1x60", "503", "C"),
            "few calls": calls("0+1x60") | attempts("0+3x60"),
            "for two minutes": calls("0+10x60") | attempts("0+10x60") | attempts("0x37 0+30x10", "503", "C"),
            "over for 16 minutes": calls("0+10x60") | attempts("0+10x60") | attempts("0+20x22 440x40", "503", "C"),
            "refused calls send nothing": calls("0+10x60", "rejected", "breaker_open") | attempts("0+1x60", "503", "C"),
        },
    ),
    Case(
        alert="HuddleLatencyHigh",
        at="60m",
        labels={**GPT, "gen_ai_request_model": "gpt-4.1"},
        fires=histogram(DURATION, "0+1x80", "0+3x80"),  # two in three above 2.56 s: p95 reads as 38 s
        silent={
            "11 s": histogram(DURATION, "0+187x80", "0+200x80"),
            "few answers": histogram(DURATION, "0+0x80", "0+1x80"),
            "for six minutes": histogram(DURATION, "0+3x53 159x20", "0+3x80"),
            "over for twelve minutes": histogram(DURATION, "0+1x48 48+3x40", "0+3x100"),
            "those that failed": histogram(DURATION, "0+1x80", "0+3x80", error_type="503"),
        },
    ),
    Case(
        alert="HuddleFirstTokenSlow",
        at="60m",
        labels={**GPT, "gen_ai_request_model": "gpt-4.1"},
        fires=histogram(FIRST_CHUNK, "0+2.835x80", "0+3x80"),  # 94.5 % within 2.56 s: p95 reads as 6 s
        silent={
            "2.4 s": histogram(FIRST_CHUNK, "0+96x80", "0+100x80"),
            "few streams": histogram(FIRST_CHUNK, "0+0x80", "0+1x80"),
            "for six minutes": histogram(FIRST_CHUNK, "0+3x53 159x20", "0+3x80"),
            "over for twelve minutes": histogram(FIRST_CHUNK, "0+1x48 48+3x40", "0+3x100"),
        },
    ),
    Case(
        alert="HuddleStreamsStalling",
        at="40m",
        labels=GPT,
        fires=calls("0+66x60") | faults("0+1x60", "stall"),  # 1.5 %
        silent={
            "0.7 %": calls("0+140x60") | faults("0+1x60", "stall"),
            "four streams": calls("0+1x60") | faults("0x26 1 2 3 4x30", "stall"),
            "for two minutes": calls("0+66x60") | faults("0x37 0+10x20", "stall"),
            "over for 16 minutes": calls("0+66x60") | faults("0+10x23 230x30", "stall"),
            "they are cut short": calls("0+66x60") | faults("0+1x60", "truncated"),
        },
    ),
    Case(
        alert="HuddleStreamsCutShort",
        at="40m",
        labels=GPT,
        fires=calls("0+66x60") | faults("0+1x60", "truncated"),
        silent={
            "0.7 %": calls("0+140x60") | faults("0+1x60", "disconnect"),
            "four streams": calls("0+1x60") | faults("0x26 1 2 3 4x30", "malformed"),
            "for two minutes": calls("0+66x60") | faults("0x37 0+10x20", "error_event"),
            "over for 16 minutes": calls("0+66x60") | faults("0+10x23 230x30", "truncated"),
            "they stall": calls("0+66x60") | faults("0+1x60", "stall"),
        },
    ),
)

SPEND: Final = (
    Case(
        alert="HuddleBudgetUsed",
        at="10m",
        labels={**SHOP, "budget": "day/team", "key": "search"},
        fires=guard("9 9.5 10x60"),
        silent={"99 %": guard("9.9x60"), "no guard": {}, "a limit of nothing": guard("1x60", "0x60")},
    ),
    Case(
        alert="HuddleDailyBudgetUsed",
        at="5h",
        labels=SHOP,
        fires=cost("0+0.1x300") | cost("0+0.1x300", "o3"),  # 60 USD in 5 hours; the limit is 50
        silent={"45 USD": cost("0+0.15x300"), "spent before it was seen": cost("900+0.1x300")},
        look="5m",
    ),
    Case(
        alert="HuddleBudgetNearlyUsed",
        at="5h",
        labels={**SHOP, "budget": "last 24 h"},
        fires=cost("0+0.15x300"),  # 45 of 50 USD
        silent={"36 USD": cost("0+0.12x300"), "a guard at 79 %": guard("7.9x300", "10x300")},
        look="5m",
    ),
    Case(
        alert="HuddleBudgetNearlyUsed",
        at="10m",
        labels={**SHOP, "budget": "day/team", "key": "search"},
        fires=guard("8.1x60"),
        silent={"no money is spent": guard("0x60") | cost("0x60")},
    ),
    Case(
        alert="HuddleSpendRateHigh",
        at="2h",
        labels=SHOP,
        fires=cost("0+0.06x180") | cost("0+0.06x180", "o3"),  # 7.2 USD an hour; the limit is 6.25
        silent={
            "4.8 USD an hour": cost("0+0.08x180"),
            "it began just now": cost("0x119 7x60"),
            "a process began anew": cost("100+0.08x100 0+0.08x80"),
        },
    ),
    Case(
        alert="HuddleSpendAnomaly",
        at="30h",
        labels=GPT,
        fires=cost("0+0.05x1740 87+0.225x100"),  # 3 USD an hour, then 13.5
        silent={
            "twice as much": cost("0+0.05x1740 87+0.1x100"),
            "ten times very little": cost("0+0.001x1740 1.74+0.01x100"),
            "half a day of history": cost("_x1100 0+0.01x640 6.4+0.1x100"),
            "it began just now": cost("0+0.01x1799 30x20"),
        },
        look="5m",
    ),
    Case(
        alert="HuddleUnpricedModel",
        at="10m",
        labels={"job": "shop", "model": "my-model"},
        fires=unknown("_ _ _ 1x20") | calls("_ _ _ 1x20", model="my-model"),  # one call, in its first scrape
        silent={"none": unknown("0x20") | calls("1x20", model="my-model")},
    ),
    Case(
        alert="HuddleUnpricedModel",
        at="2h",
        labels={"job": "shop", "model": "my-model"},
        fires=unknown("5x90 6x60") | calls("0x65 10x180", model="my-model"),
        silent={
            "over an hour ago": unknown("5x30 6x180") | calls("0+1x180", model="my-model"),
            "3 % of the calls": unknown("5x90 6x60") | calls("0x65 33x180", model="my-model"),
        },
    ),
)

TELEMETRY: Final = (
    Case(
        alert="HuddleTelemetryAbsent",
        at="40m",
        labels=SHOP,
        fires=health("0x20 stale") | {'huddle_telemetry_errors_total{job="other", component="spans"}': "0x60"},
        silent={
            "for five minutes": health("0x34 stale"),
            "one process is left": health("0x20 stale") | health("0x60", instance="b"),
            "they are back": health("0x20 stale _x5 0x40"),
        },
    ),
    Case(
        alert="HuddleTelemetryAbsent",
        at="40m",
        labels={},
        fires={},
        silent={"no calls yet": health("0x60")},
    ),
    Case(
        alert="HuddleScrapeDown",
        at="30m",
        labels={**SHOP, "instance": "a"},
        fires=series("up", "1x15 0x30") | health("0x15 stale"),
        silent={
            "for two minutes": series("up", "1x28 0x30") | health("0x28 stale"),
            "not one of ours": series("up", "0x40"),
        },
    ),
    Case(
        alert="HuddleTelemetryDropped",
        at="2h",
        labels={**SHOP, "component": "ledger"},
        fires=health("0x90 1x60", "ledger") | health("0x150"),
        silent={
            "none": health("0x150", "ledger"),
            "over an hour ago": health("6x30 7x150", "ledger"),
        },
    ),
    Case(
        alert="HuddleModelsOverflow",
        at="2h",
        labels=SHOP,
        fires=calls("_x90 1x60", model="other"),
        silent={
            "200 models": calls("0+5x150", model="model-200"),
            "over an hour ago": calls("4x30 5x150", model="other"),
        },
    ),
)

CASES: Final = OBJECTIVE + UPSTREAM + SPEND + TELEMETRY
