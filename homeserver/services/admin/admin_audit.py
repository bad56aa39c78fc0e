"""The book in which each act of an administrator is written down.

An act begins with a row and ends with another. The first is committed before anything is done: what cannot be written
down is not done. Act and end cannot be one transaction, for an act may be many, or wait for other servers. So an act
without an end is one that still goes on, or of which nobody was left to say how it ended: the server was killed, or its
database could not be reached any more. Such an act may have been done, wholly or in part; that it was begun, by whom
and with what, is known in any case. Rows are only added: nothing here changes one, and triggers in the database refuse
whoever tries it beside the server.

What counts as an act, and what is told of it, is in http/administrative_acts.py; that every one comes by here is seen
to in http/door.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.runtime.clock import Clock
from homeserver.services.errors import InvalidParameter
from homeserver.storage.admin_audit import Act, End, NotedAct, Wanted, insert_act, insert_end, newest_acts
from homeserver.storage.database import Database, Transaction

MOST_PER_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class BegunAct:
    """An act that is written down, and whose end is not yet."""

    position: int
    act: Act


class AdminAudit:
    """Writes acts down and reads them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def begin(self, act: Act) -> BegunAct:
        """Write down what is about to be done. Only if this returns may it be."""
        return BegunAct(await self._database.write(insert_act, act, at_ms=self._clock.now_ms()), act)

    async def end(self, begun: BegunAct, end: End) -> None:
        """Write down how it ended."""
        await self._database.write(insert_end, begun.position, begun.act, end, at_ms=self._clock.now_ms())

    async def note_done(self, act: Act, end: End) -> None:
        """Write down, begin and end together, what was done before it was known who did it."""
        await self._database.write(_insert_both, act, end, at_ms=self._clock.now_ms())

    async def page(self, wanted: Wanted, *, before: int | None, limit: int) -> Sequence[NotedAct]:
        """Acts, the newest first, from the newest of all or below the position `before`. Raises InvalidParameter."""
        if not 1 <= limit <= MOST_PER_PAGE:
            raise InvalidParameter(f"A page has between 1 and {MOST_PER_PAGE} acts")
        return await self._database.read(newest_acts, wanted, before=before, limit=limit)


def _insert_both(tx: Transaction, act: Act, end: End, *, at_ms: int) -> None:
    insert_end(tx, insert_act(tx, act, at_ms=at_ms), act, end, at_ms=at_ms)
