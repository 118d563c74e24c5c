"""The upstream of one run, a process of its own: an embedded gateway that also notes which calls it began to work on.

Reads orders from stdin: `go SCENARIO` plays a script and prints its start on the monotonic clock, which processes of one
machine share; `report` prints `[[arrived after so many s, billed], …]`. Ends with its stdin.
"""

from __future__ import annotations

import json
import sys
import time

from huddle_otel.gateway import Gateway, embedded
from huddle_otel.gateway.server import Server
from huddle_otel.gateway.wire import Connection
from tests.bench.storm import scenarios

worked_on: set[int] = set()
"""Numbers of the calls that got a place; those answered 503 are told apart by their fault."""


class NotingServer(Server):
    """A server that notes when a call leaves the queue: from there on an upstream generates, and bills, tokens."""

    async def _enter(self, connection: Connection) -> bool:
        number = self._book._calls[-1].number  # recorded just now, in this turn of the loop
        entered = await super()._enter(connection)
        worked_on.add(number)
        return entered


def main(scale: float, capacity: int) -> None:
    """Serve until stdin ends."""
    vars(embedded)["Server"] = NotingServer
    models = [scenarios.model(scenarios.SERVICE / scale)]
    with Gateway(models=models, key=scenarios.KEY, capacity=capacity, remember=200_000) as gateway:
        born = time.monotonic()
        print(gateway.url, flush=True)
        began = born
        for line in sys.stdin:
            order, _, name = line.strip().partition(" ")
            if order == "go":
                gateway.reset()
                worked_on.clear()
                began = time.monotonic()
                gateway.script(scenarios.BY_NAME[name].rules(scale))
                print(began, flush=True)
            elif order == "report":
                calls = [
                    (round(call.at - (began - born), 4), call.number in worked_on and not _refused(call.fault))
                    for call in gateway.calls
                ]
                print(json.dumps(calls), flush=True)


def _refused(fault: str | None) -> bool:
    return fault is not None and fault.startswith("status_")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
