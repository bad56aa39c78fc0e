"""The rooms of users as their lists know them, kept in memory: an answer reads anew only those in which something was.

What was written since is told by services/events/news.py. Of rooms that users are out of nothing is kept here: they can
be forgotten, and nobody is told of that.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.events.news import News, RoomBecameWhole, RoomWritten
from homeserver.storage.database import Database, Transaction
from homeserver.storage.room_index import ListedRoom, current_among, current_rooms

ROOM_BYTES: Final = 900
MOST_TOUCHED: Final = 100  # rooms that are read anew; for more of them, all are


@dataclass(frozen=True, slots=True)
class Listing:
    """A user's rooms in the order of their activity, as of a log position; all but the `touched` are the same later.

    That is true up to the position `upto`.
    """

    position: int
    rooms: tuple[ListedRoom, ...]
    touched: Collection[RoomID] = ()
    upto: int = 0


class RoomListings:
    """Keeps listings."""

    def __init__(self, database: Database, news: News, budget: CacheBudget) -> None:
        self._database = database
        self._news = news
        self._listings: BoundedCache[UserID, Listing] = BoundedCache(
            "room listings", budget, lambda listing: ROOM_BYTES * len(listing.rooms)
        )

    def known(self, user_id: UserID) -> Listing | None:
        """The user's rooms as far as they are known in memory. On the reactor thread."""
        listing, upto = self._listings.get(user_id), self._database.position
        changes = None if listing is None else self._news.since(user_id, listing.position)
        if listing is None or changes is None or upto < listing.position:
            return None
        touched = {change.room_id for change in changes if isinstance(change, RoomWritten | RoomBecameWhole)}
        if len(touched) > MOST_TOUCHED:
            return None
        return Listing(listing.position, listing.rooms, touched, upto)

    def read(self, tx: Transaction, user_id: UserID, known: Listing | None) -> list[ListedRoom]:
        """The rooms that the user is in, is invited to or knocks at, in the order of their activity."""
        position = tx.log_position
        if known is None or known.upto != position:
            rooms = current_rooms(tx, user_id)  # what was written meanwhile, nobody has heard of yet
        elif not known.touched:
            return list(known.rooms)
        else:
            rooms = current_among(tx, user_id, sorted(known.touched))
            rooms += [room for room in known.rooms if room.room_id not in known.touched]
        rooms.sort(key=lambda room: -room.active_position)
        listing = Listing(position, tuple(rooms))
        tx.after_commit(lambda: self._keep(user_id, listing))
        return rooms

    def _keep(self, user_id: UserID, listing: Listing) -> None:
        known = self._listings.get(user_id)
        if known is None or known.position <= listing.position:
            self._listings.put(user_id, listing)
