"""What a server gets that was away: all of it if that is little, else the newest of each room, room by room.

With the newest event of a room a server can ask for those before it. Receipts are not sent again: the next ones say
more. Spec: server-server-api/#transactions leaves this to servers.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import ServerName
from homeserver.services.federation.transactions import MOST_PDUS
from homeserver.storage.database import Transaction
from homeserver.storage.outgoing_events import newest_positions_for, positions_for

MOST_IN_FULL: Final = 200  # positions that are sent one after another


@dataclass(frozen=True, slots=True)
class Page:
    """Positions of which a server is sent what is there, in order; `is_last` when that is all there is for it."""

    positions: tuple[int, ...]
    is_last: bool


def read_page(tx: Transaction, destination: ServerName, *, after: int, upto: int) -> Page:
    """The next of what a server lacks in (after, upto].

    A page that is not the last goes up to its last position: rooms of which that was the newest event are done.
    """
    everything = positions_for(tx, destination, after=after, upto=upto, most=MOST_IN_FULL)
    if everything is not None:
        return Page(tuple(everything), is_last=True)
    newest = newest_positions_for(tx, destination, after=after, upto=upto, limit=MOST_PDUS)
    return Page(tuple(newest), is_last=len(newest) < MOST_PDUS)
