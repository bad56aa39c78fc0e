"""A room's heads made one, at an administrator's word.

Synapse, asked for the same, forgets all heads but the newest. What was forgotten so would be missing from the state of
this server's room alone, until somebody else builds on it: two servers that agreed would agree no longer. Here nothing
is taken away. One of this server's users in the room sends an event that says nothing on top of all heads, as the
server does of itself when there are too many (services/events/joining_heads.py): every server learns of it, and each
merges the same.
"""

from homeserver.services.admin.local_powers import by_local_power, local_powers
from homeserver.services.admin.named_rooms import named_room
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.joining_heads import DUMMY_EVENT
from homeserver.storage.database import Transaction


class RoomHeads:
    """Joins heads."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def join(self, room: str) -> int:
        """Have the room of this ID or alias built on by one event, if it has several heads. How many fewer it has.

        Raises NotFound; Forbidden where nobody of this server may say anything.
        """
        return await by_local_power(self._creation, self._join, room)

    def _join(self, tx: Transaction, room: str) -> int:
        powers = local_powers(tx, self._creation, named_room(tx, room))
        heads = len(powers.write.heads)
        if heads <= 1:
            return 0
        self._creation.add(powers.write, Draft(DUMMY_EVENT, powers.strongest, {}), notifies=False)
        powers.write.finish()
        return heads - len(powers.write.heads)
