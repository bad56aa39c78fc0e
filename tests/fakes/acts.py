"""A book of administrators' acts that is kept in memory."""

from dataclasses import dataclass, field

from homeserver.services.admin.admin_audit import BegunAct
from homeserver.storage.admin_audit import Act, End


class CannotBeWritten(Exception):  # noqa: N818 - named for what is the case
    """The book is out of reach."""


@dataclass
class NotedActs:
    """Remembers acts and their ends. With `is_broken` nothing can be written down."""

    acts: list[Act] = field(default_factory=list)
    ends: dict[int, End] = field(default_factory=dict)
    is_broken: bool = False

    async def begin(self, act: Act) -> BegunAct:
        """Write down what is about to be done."""
        if self.is_broken:
            raise CannotBeWritten
        self.acts.append(act)
        return BegunAct(len(self.acts) - 1, act)

    async def end(self, begun: BegunAct, end: End) -> None:
        """Write down how it ended."""
        assert begun.position not in self.ends
        self.ends[begun.position] = end

    async def note_done(self, act: Act, end: End) -> None:
        """Write down what was done."""
        await self.end(await self.begin(act), end)
