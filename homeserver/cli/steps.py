"""What the server does in steps of bounded length: `next` in an answer is where the following one begins."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

# Asks for the step that begins where this says, by the name that it has in a query or a body. Any: the server's JSON.
Asking: TypeAlias = Callable[[Mapping[str, str]], Any]


def steps(ask_for: Asking) -> Iterator[Any]:
    """The answers, until all is done."""
    begin: Mapping[str, str] = {}
    while True:
        step = ask_for(begin)
        yield step
        if step["next"] is None:
            return
        begin = {"from": step["next"]}
