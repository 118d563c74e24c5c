from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import huddle_otel
from huddle_otel.cli.commands import prices

if TYPE_CHECKING:
    from tests.cli.conftest import Command


def test_version(command: Command) -> None:
    done = command("--version")
    assert (done.code, done.out) == (0, f"huddle-otel {huddle_otel.__version__}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["prices"],
        ["prices", "show"],
        ["demo", "--seconds", "1"],
        ["demo", "--seconds", "soon"],
        ["demo", "--seconds", "nan"],
        ["doctor", "--no-network", "--chat", "gpt-4.1"],
    ],
)
def test_wrong_usage_is_exit_code_2(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert "usage: huddle-otel" in done.err


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["doctor", "--help"], ["prices", "list", "-h"]])
def test_help_fits(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_bad_setting_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", "ftp://example.com")
    done = command("demo", "--live")
    assert done.code == 2
    assert done.err.startswith("huddle-otel: HUDDLE_OTEL_BASE_URL")
    assert done.err.count("\n") == 1


def test_an_interrupt_is_exit_code_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(prices, "_run", interrupted)
    assert command("prices", "list").code == 130


def test_a_reader_that_leaves_early_is_no_crash() -> None:
    command = f"{sys.executable} -m huddle_otel.cli prices list | head -n 1"
    done = subprocess.run(command, check=True, capture_output=True, text=True, shell=True)  # noqa: S602 - a pipe is the point
    assert done.stdout.startswith("model")
    assert done.stderr == ""


def test_the_command_alone_imports_no_heavy_package() -> None:
    script = (
        "import sys; before = set(sys.modules); import huddle_otel; core = set(sys.modules);"
        "import huddle_otel.cli; print(sorted(m for m in set(sys.modules) - core if m.split('.')[0] == 'rich'"
        " or m.startswith(('huddle_otel.gateway', 'huddle_otel.client', 'opentelemetry.sdk'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
