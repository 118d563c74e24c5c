"""Change the policy in one place at a time and see whether its unit tests notice: `make mutate`.

mutmut makes the changes and runs the tests, in a copy of the tree. What survives has to be in docs/mutation.md, with
the reason; a survivor that is not there fails, and so does one that is there and does not survive any more.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).resolve().parents[1]
DOCUMENT = TREE / "docs" / "mutation.md"
REPORTS = TREE / ".reports"
COPY = REPORTS / "mutation"
COPIED = ("huddle_otel", "tests")
PROCESSES = 2
KILLED = {"killed", "timeout"}
NAME = re.compile("huddle_otel[.]policy[.](\\w+)[.]x(?:\u01c1(.+)\u01c1|_)(.+)__mutmut_\\d+")


class Mutant(NamedTuple):
    """One change, named by what it does: the numbers that mutmut gives change with the code."""

    place: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(
            [f"# {self.place}", *(f"- {each}" for each in self.before), *(f"+ {each}" for each in self.after)]
        )


def mutant(place: str, lines: list[str]) -> Mutant:
    """Read the `-` and `+` lines of one mutant."""
    before, after = (tuple(each[1:].strip() for each in lines if each.startswith(mark)) for mark in "-+")
    return Mutant(place, before, after)


def accepted() -> Counter[Mutant]:
    """Return the survivors that the document gives a reason for: a `-` line after a `+` line begins the next one."""
    found: Counter[Mutant] = Counter()
    for block in re.findall(r"^```diff\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        for part in re.split("^# ", block, flags=re.MULTILINE)[1:]:
            place, changes = part.split("\n", 1)
            found.update(
                mutant(place, each.splitlines())
                for each in re.findall(r"(?:^-.*\n)*(?:^[+].*\n)*", changes, re.MULTILINE)
                if each
            )
    return found


def mutmut(*arguments: str) -> str:
    """Run it in the copy; return what it printed."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    done = subprocess.run(command, cwd=COPY, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - literals
    if done.returncode != 0:
        sys.exit(f"mutmut {arguments[0]} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def results() -> dict[str, str]:
    """Make all mutants of the tree as it is now and test them; return the status of each."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(TREE / name, COPY / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TREE / "pyproject.toml", COPY)
    mutmut("run", "--max-children", str(PROCESSES))
    listed = (line.strip().partition(": ") for line in mutmut("results", "--all", "true").splitlines())
    return {name: status for name, _, status in listed if NAME.fullmatch(name)}


def shown(name: str) -> Mutant:
    """Return what a mutant changes."""
    module, owner, function = NAME.findall(name)[0]
    diff = [line for line in mutmut("show", name).splitlines() if not line.startswith(("---", "+++"))]
    return mutant(f"{module}.py: {owner + '.' if owner else ''}{function}", diff)


def main() -> int:
    """Test, compare, tell."""
    status = results()
    alive = Counter(shown(name) for name, what in status.items() if what not in KILLED)
    expected = accepted()
    new, gone = alive - expected, expected - alive
    for title, mutants in (
        ("survive without a reason in docs/mutation.md; add a test, or the reason", new),
        ("are in docs/mutation.md and do not survive any more; take them out", gone),
    ):
        if mutants:
            print(f"These {title}:\n")
            print("\n".join(str(each) for each in mutants.elements()), "\n")
    strange = Counter(what for what in status.values() if what not in {*KILLED, "survived"})
    killed = len(status) - alive.total()
    print(f"{len(status)} mutants, {killed} killed, {alive.total()} survive: {new.total()} unexplained")
    if strange or not status:
        print(f"Not every mutant was tested: {dict(strange)}")
    return 1 if new or gone or strange or not status else 0


if __name__ == "__main__":
    sys.exit(main())
