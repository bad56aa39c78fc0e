"""Doing something to each of some users or rooms, one after another."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from homeserver.cli.configuration import CommandFailed
from homeserver.cli.output import Output, Row, printable

COLUMNS: Final = ("User or room", "What came of it")


# Any: the server's JSON, here and below
def for_each(output: Output, targets: Sequence[str], act: Callable[[str], tuple[Any, str]]) -> None:
    """Act on each, also if one is refused. `act` returns an answer, and what is true of the target now ("is locked").

    Raises CommandFailed in the end if one was refused.
    """
    if len(targets) == 1:
        answer, told = act(targets[0])
        output.say(f"{printable(targets[0])} {told}.", answer)
        return
    refused: list[str] = []
    output.tell(COLUMNS, _rows(targets, act, refused))
    if refused:
        raise CommandFailed(f"it was refused {len(refused)} of {len(targets)} times")


def _rows(targets: Sequence[str], act: Callable[[str], tuple[Any, str]], refused: list[str]) -> Iterator[Row]:
    for target in targets:
        shown = printable(target)
        try:
            answer, told = act(target)
        except CommandFailed as failure:
            refused.append(target)
            told = f"NOT done: {failure.reason}"
            yield Row({"target": target, "reason": failure.reason}, f"{shown}: {told}", (target, told))
        else:
            yield Row(answer, f"{shown} {told}.", (target, told))
