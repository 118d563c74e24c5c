"""The boards as they are shipped: JSON that Grafana takes, written from `boards` and kept with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

_PROVIDER: Final = """\
# Put this file into Grafana's provisioning/dashboards, and change the path if Grafana sees the boards elsewhere.
apiVersion: 1
providers:
  - name: huddle_otel
    folder: {folder}
    type: file
    allowUiUpdates: true
    options:
      path: {path}
"""
PROVIDER: Final = "provider.yaml"
"""Name of the file that tells Grafana where the boards are."""


def names(*, fleet: bool = False) -> tuple[str, ...]:
    """Return the uid of every board, in order of the alphabet.

    Args:
        fleet: Of the boards that read what rules record of all processes together.
    """
    return tuple(sorted(file.name.removesuffix(".json") for file in _folder(fleet=fleet).iterdir()))


def read(name: str) -> str:
    """Return a board's JSON.

    Args:
        name: Its uid, one of `names()` or of `names(fleet=True)`.

    Raises:
        KeyError: There is no such board; the message lists those there are.
    """
    for fleet in (False, True):
        if name in names(fleet=fleet):
            return _folder(fleet=fleet).joinpath(f"{name}.json").read_text(encoding="utf-8")
    raise KeyError(f"no board {name!r}; there are {', '.join((*names(), *names(fleet=True)))}")


def export(
    folder: Path,
    *,
    fleet: bool = False,
    datasource_uid: str = "",
    traces_uid: str = "",
    grafana_folder: str = "huddle_otel",
    runbook_url: str = "",
) -> list[Path]:
    """Write every board, and the file with which Grafana provisions them.

    Args:
        folder: Where to; it is made if need be.
        fleet: The boards that read what rules record of all processes together.
        datasource_uid: The Prometheus data source that is chosen when a board is opened; empty is Grafana's default.
        traces_uid: The same for the Tempo data source.
        grafana_folder: The folder in Grafana.
        runbook_url: Where the links to the runbook lead.

    Returns:
        The files written.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"datasource": datasource_uid, "traces": traces_uid, "runbook": runbook_url}
    written: list[Path] = []
    for name in names(fleet=fleet):
        written.append(folder / f"{name}.json")
        written[-1].write_text(_choose(read(name), chosen), encoding="utf-8")
    written.append(folder / PROVIDER)
    provider = _PROVIDER.format(folder=json.dumps(grafana_folder), path=json.dumps(str(folder.resolve())))
    written[-1].write_text(provider, encoding="utf-8")
    return written


def _choose(text: str, values: dict[str, str]) -> str:
    """Return a board with some of its variables set."""
    board: dict[str, Any] = json.loads(text)
    for variable in board["templating"]["list"]:
        value = values.get(variable["name"])
        if not value:
            continue
        variable["current"] = {"text": value, "value": value, "selected": True}
        if variable["type"] == "constant":
            variable["query"], variable["options"] = value, [variable["current"]]
    return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def _folder(*, fleet: bool) -> Traversable:
    return files("huddle_otel_dashboards").joinpath("generated", "fleet" if fleet else "boards")
