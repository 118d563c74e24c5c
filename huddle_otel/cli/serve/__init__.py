"""`huddle-otel serve`: the ledger as a live page, and as one `/metrics` for all processes of a machine.

`server` is the sockets, `access` who may ask, `site` the paths; `overview`, `days` and `calls` ask the ledger;
`counters` follow it for `metrics`.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import Final

from huddle_otel.cli.serve.access import decide
from huddle_otel.cli.serve.server import Server
from huddle_otel.cli.serve.site import Site
from huddle_otel.errors import ConfigurationError
from huddle_otel.telemetry import contract
from huddle_otel_dashboards.series import label
from huddle_otel_exporters.ledger import default_path

__all__ = ["run"]


_TAKEN: Final = frozenset({contract.MODEL, "source", "type"})
"""Labels that spend and tokens have anyway."""


def run(
    path: Path | None,
    *,
    host: str,
    port: int,
    allow_remote: bool,
    token_file: Path | None,
    tags: tuple[str, ...] = (),
) -> None:
    """Serve a ledger until interrupted.

    Args:
        path: The ledger; None is the usual one. It need not be there yet.
        host: The address to listen on.
        port: The port; 0 is any free one.
        allow_remote: Permit an address that is not loopback, and any name in `Host`; then a token is needed.
        token_file: Holds the token; None takes `HUDDLE_OTEL_SERVE_TOKEN`.
        tags: Names of tags that `/metrics` tells spend and tokens by.

    Raises:
        ConfigurationError: The address cannot be used, or not without a token; the token cannot be read; or two tags
            would be the same label, or one that is there anyway.
    """
    path = path or default_path()
    access = decide(host=host, allow_remote=allow_remote, token_file=token_file)
    labels = {label(name) for name in tags}
    if len(labels) < len(tags) or labels & _TAKEN or not all(map(str.isidentifier, labels)):
        permitted = f"names of tags that make different labels, none of {', '.join(sorted(_TAKEN))}"
        raise ConfigurationError(field="--tags", value=",".join(tags), permitted=permitted)
    site = Site(path, tags=tags)
    try:
        server = Server((host, port), site, access)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "one that is free; --port 0 finds one" if taken else f"one of this machine ({error.strerror})"
        raise ConfigurationError(
            field="--port" if taken else "--host", value=port if taken else host, permitted=why
        ) from None
    site.begin()
    print(f"{server.url} shows {path}; Ctrl-C ends it", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()
