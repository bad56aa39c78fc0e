"""What a run of SyTest found, as told by its TAP with files, and the list of what must pass."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

FILE: Final = re.compile(r"# File: (?P<file>\S+)")
RESULT: Final = re.compile(r"(?P<not>not )?ok \d+ (?P<name>.*?)(?: \(\d+ subtests\))?(?P<skip> # skip.*)?")
HEAD: Final = """\
# The tests of SyTest that pass: file, tab, name. A run in which one of them fails is an error.
# Lines are added, by `sytest-compat/run --add CHECKOUT`; none is taken away.
"""


class Case(NamedTuple):
    """A test, or several in one file that share a name."""

    file: str
    name: str


def passed(tap: Iterable[str]) -> dict[Case, bool]:
    """Tell of each test that was run whether it passed. One that was skipped did not, nor did one of several."""
    found: dict[Case, bool] = {}
    file = ""
    for line in tap:
        if at := FILE.fullmatch(line):
            file = at["file"]
        elif result := RESULT.fullmatch(line):
            test = Case(file, result["name"])
            found[test] = found.get(test, True) and not result["not"] and not result["skip"]
    return found


def lacking(listed: Iterable[Case], found: Mapping[Case, bool]) -> list[Case]:
    """The listed tests that did not pass; those that were not run at all are among them."""
    return sorted(test for test in listed if not found.get(test, False))


def read(text: str) -> set[Case]:
    """The tests of a list."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {Case(*line.split("\t", 1)) for line in lines}


def write(tests: Iterable[Case]) -> str:
    """A list of tests, in the order of files and names."""
    return HEAD + "".join(f"{test.file}\t{test.name}\n" for test in sorted(tests))
