"""What `homeserver admin` prints: JSON for scripts, lines where nobody looks, tables at a terminal.

How a table is drawn is in tables.py, which is loaded when one is: that takes a while.
"""

import importlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One thing of a list, in the three ways in which it is told."""

    json: Any  # what the server said
    line: str
    cells: Sequence[str]


class Output:
    """Tells what came of a command."""

    def __init__(self, *, as_json: bool) -> None:
        self.is_json = as_json

    def say(self, sentence: str, answer: Any) -> None:  # Any: JSON
        """Tell one thing: a sentence, or `answer`."""
        print(json.dumps(answer) if self.is_json else sentence, flush=True)

    def tell(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Tell of things, each as soon as it is known, but for a table, which is drawn at the end."""
        if not self.is_json and sys.stdout.isatty():
            drawn = [[printable(cell) for cell in row.cells] for row in rows]
            if not drawn:
                print("There is nothing to show.", file=sys.stderr)
            _tables().print_table(columns, drawn)
            return
        for row in rows:
            print(json.dumps(row.json) if self.is_json else row.line, flush=True)

    def describe(self, fields: Sequence[tuple[str, str]], answer: Any) -> None:
        """Tell of one thing what is known of it, field by field; what is empty is left out. As JSON: `answer`."""
        known = [(name, printable(told)) for name, told in fields if told]
        if self.is_json:
            print(json.dumps(answer), flush=True)
        elif sys.stdout.isatty():
            _tables().print_table(("Field", "Value"), known)
        else:
            print("\n".join(f"{name}: {told}" for name, told in known), flush=True)

    def progress(self, what: str) -> AbstractContextManager[Callable[[str], None]]:
        """Show, where somebody looks at it, that work goes on; call what comes to say how far it is."""
        if not self.is_json and sys.stdout.isatty() and sys.stderr.isatty():
            shown: AbstractContextManager[Callable[[str], None]] = _tables().show_progress(what)
            return shown
        return _unseen()

    def bar(self, what: str) -> AbstractContextManager[Callable[[int, int | None], None]]:
        """As `progress`, with a bar; call what comes to say how much is done, and of how much, if that is known."""
        if not self.is_json and sys.stdout.isatty() and sys.stderr.isatty():
            shown: AbstractContextManager[Callable[[int, int | None], None]] = _tables().show_bar(what)
            return shown
        return _unseen_bar()


def printable(text: str) -> str:
    """`text`, in which nothing can speak to a terminal: others have typed it."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def time_of(milliseconds: int | None) -> str:
    """A moment for people; nothing for None."""
    if milliseconds is None:
        return ""
    return f"{datetime.fromtimestamp(milliseconds // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def _unseen() -> Iterator[Callable[[str], None]]:
    yield lambda _: None


@contextmanager
def _unseen_bar() -> Iterator[Callable[[int, int | None], None]]:
    yield lambda _, __: None


def _tables() -> Any:  # Any: a module
    return importlib.import_module("homeserver.cli.tables")
