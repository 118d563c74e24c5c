"""The upstream of one run, an embedded gateway in a process of its own.

Reads orders from stdin: `go SCENARIO` plays a script and prints its start on the monotonic clock, which the processes
of a machine share; `report` prints `[[arrived after so many s, billed], …]`. Ends with its stdin.
"""

from __future__ import annotations

import json
import sys
import time

from huddle_otel.gateway import Gateway
from tests.bench.storm import scenarios


def main(scale: float, capacity: int) -> None:
    """Serve until stdin ends."""
    born = time.monotonic()
    models = [scenarios.model(scenarios.SERVICE / scale)]
    with Gateway(models=models, key=scenarios.KEY, capacity=capacity, remember=200_000) as gateway:
        print(gateway.url, flush=True)
        began = born
        for line in sys.stdin:
            order, _, name = line.strip().partition(" ")
            if order == "go":
                gateway.reset()
                began = time.monotonic()
                gateway.script(scenarios.BY_NAME[name].rules(scale))
                print(began, flush=True)
            elif order == "report":
                calls = [
                    (round(call.at - (began - born), 4), call.served and call.fault != scenarios.REFUSAL.name)
                    for call in gateway.calls
                ]
                print(json.dumps(calls), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
