"""Whom the small signals in a room concern (receipts, typing), and that only who is in the room sends them."""

from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import Forbidden
from homeserver.services.events.notifying import Audience, Notifying
from homeserver.services.rooms.readers import NOT_IN_ROOM
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import find_head


def audience_with(tx: Transaction, notifying: Notifying, room_id: RoomID, user_id: UserID) -> Audience:
    """The joined members of this server, if the user is one of them.

    Raises Forbidden, alike for a room that does not exist.
    """
    head = find_head(tx, room_id)
    if head is None or head.is_blocked:
        raise Forbidden(NOT_IN_ROOM)
    audience = notifying.audience(tx, room_id, head.current_root)
    if user_id not in audience.members:
        raise Forbidden(NOT_IN_ROOM)
    return audience
