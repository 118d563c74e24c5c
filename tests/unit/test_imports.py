"""What may import what, and what no file may contain."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TREE = Path(__file__).resolve().parents[2]
SKIPPED_FOLDERS = {
    ".git", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".reports", ".ruff_cache", ".venv",
    "__pycache__", "build", "dist", "htmlcov", "node_modules",
}  # fmt: skip
IMPURE = {
    "_thread", "anyio", "asyncio", "concurrent", "contextvars", "datetime", "httpx", "httpx2", "logging",
    "multiprocessing", "openai", "opentelemetry", "os", "queue", "random", "sched", "secrets", "select", "selectors",
    "signal", "socket", "subprocess", "threading", "time", "uuid",
}  # fmt: skip

# Character classes keep the patterns from matching this file.
UNWANTED = {
    "a registry host": re.compile(
        r"p[y]pi\.(?:org|io|python\.org)|p[y]thonhosted\.|npm[j]s\.(?:org|com)|deb\.debia[n]\.org"
    ),
    "a machine's path": re.compile(r"(?<![\w.:/~$}-])/(?:hom[e]|op[t]|roo[t]|tm[p]|User[s]|wor[k])/[\w.]"),
}


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without running it."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.origin is not None, f"{name} has no __init__.py"
    return Path(spec.origin).parent


def top_level_imports(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """The first name of every absolute import under `node`, without those that only a type checker sees."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), orelse=orelse):
                for statement in orelse:
                    yield from top_level_imports(ast.Module([statement], []), inside_functions=inside_functions)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if not inside_functions:
                continue
            case _:
                yield from top_level_imports(child, inside_functions=inside_functions)


def offenders(folder: Path, banned: set[str], *, inside_functions: bool) -> list[str]:
    """Each banned import of the modules under `folder`, as `file: name`."""
    modules = sorted(folder.rglob("*.py"))
    assert modules, f"{folder} holds no module"
    return [
        f"{module.relative_to(folder)}: {name}"
        for module in modules
        for name in top_level_imports(ast.parse(module.read_text("utf-8")), inside_functions=inside_functions)
        if name in banned
    ]


def tracked_files() -> list[Path]:
    """The files of the project: git's where there is a repository, else those outside of generated folders."""
    if (TREE / ".git").exists():
        command = ["git", "-C", str(TREE), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        candidates = [TREE / name for name in listed.split("\0") if name]
    else:
        candidates = [path for path in TREE.rglob("*") if SKIPPED_FOLDERS.isdisjoint(path.relative_to(TREE).parts)]
    return sorted(path for path in candidates if path.is_file())


def test_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=TREE, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def test_policy_has_no_clock_no_lock_no_randomness_and_no_io() -> None:
    assert offenders(package_folder("huddle_otel") / "policy", IMPURE, inside_functions=True) == []


def test_the_core_imports_no_http_client_at_module_level() -> None:
    assert offenders(package_folder("huddle_otel"), {"httpx", "httpx2"}, inside_functions=False) == []


@pytest.mark.parametrize("what", sorted(UNWANTED))
def test_no_file_names(what: str) -> None:
    found: list[str] = []
    for path in tracked_files():
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # a picture, or other binary data
        found += [
            f"{path.relative_to(TREE)}:{n}: {hit[0]}"
            for n, line in enumerate(lines, 1)
            if (hit := UNWANTED[what].search(line))
        ]
    assert found == []


def test_the_scan_for_unwanted_text_finds_it() -> None:
    host, path = "https://files.python" + "hosted.org/x", "open('" + "/tm" + "p/x')"
    assert UNWANTED["a registry host"].search(host)
    assert UNWANTED["a machine's path"].search(path)
    assert not UNWANTED["a machine's path"].search("https://example.com/opt-in and docs/home/x")


@pytest.mark.parametrize(
    ("source", "everywhere", "names"),
    [
        ("import time", True, ["time"]),
        ("from concurrent.futures import Future", True, ["concurrent"]),
        ("def f():\n    import random", True, ["random"]),
        ("def f():\n    import httpx", False, []),
        ("try:\n    import httpx\nexcept ImportError:\n    import httpx2", False, ["httpx", "httpx2"]),
        ("if TYPE_CHECKING:\n    import httpx\nelse:\n    import openai", False, ["openai"]),
        ("from . import time", True, []),
    ],
)
def test_the_import_walk(source: str, everywhere: bool, names: list[str]) -> None:
    assert list(top_level_imports(ast.parse(source), inside_functions=everywhere)) == names
