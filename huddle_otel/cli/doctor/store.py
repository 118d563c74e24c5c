"""The check of the store that keeps shared limits on spend."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from huddle_otel.cli.doctor.check import Check, Status
from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import Settings, StoreUrl

_NAME: Final = "spend store"
_TOO_SLOW: Final = 0.5
"""Part of the time a call waits at most above which a round trip is worth a word."""


def checks(settings: Settings, *, network: bool) -> Iterator[Check]:
    """Look at the store, if limits name one: they name the same."""
    for guard in settings.guards:
        if isinstance(guard.store, StoreUrl):
            if network:
                yield _check(guard.store, guard.store_timeout)
            else:
                yield Check(name=_NAME, status=Status.SKIPPED, detail=f"{guard.store}: --no-network")
            return


def _check(url: StoreUrl, timeout: float) -> Check:
    try:
        from huddle_otel.client.connection import FAILURES, Connection  # noqa: PLC0415 - redis is an extra

        connection = Connection(url, timeout)
    except ModuleNotFoundError:
        fix = "pip install 'huddle-otel[redis]'"
        return Check(name=_NAME, status=Status.PROBLEM, detail=f"{url}: redis is not installed", fix=fix)
    except ConfigurationError as error:
        return Check(name=_NAME, status=Status.PROBLEM, detail=str(error), fix="correct its query")
    try:
        version = connection.version()
        begun = time.perf_counter()
        connection.send([])
        took = time.perf_counter() - begun
    except FAILURES as error:
        detail = f"{url}: {connection.reason(error)}; every process keeps its own accounts meanwhile, or blocks"
        return Check(name=_NAME, status=Status.PROBLEM, detail=detail, fix="start it, or correct the URL")
    finally:
        connection.drop()
    slow = took > timeout * _TOO_SLOW
    return Check(
        name=_NAME,
        status=Status.WARN if slow else Status.OK,
        detail=f"{url} answers in {took * 1e3:.1f} ms; a call waits {timeout * 1e3:g} ms at most",
        fix="raise SpendGuard.store_timeout, or bring the store nearer" if slow else "",
        facts={"version": version},
    )
