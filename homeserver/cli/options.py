"""Options that several commands take alike, declared together."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Command = TypeVar("Command", bound=Callable[..., Any])  # Any: whatever a command takes


class Declaring(Protocol):
    """What click.option and click.argument are: it lets a command take something."""

    def __call__(self, command: Command, /) -> Command: ...


def options(*declared: Declaring) -> Declaring:
    """All of them at once, in the order in which help tells of them."""

    def declare(command: Command, /) -> Command:
        for each in reversed(declared):
            command = each(command)
        return command

    return declare
