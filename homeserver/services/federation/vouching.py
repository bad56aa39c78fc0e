"""This server's word for those who join a restricted room by way of it: one of its users, who may invite, lets them in.

Which user that is, and who may come in so, is in services/rooms/restricted_joins.py.
Spec: server-server-api/#restricted-rooms
"""

from typing import Any, Final

from homeserver.core.event import Event
from homeserver.core.identifiers import ServerName, UserID, server_name_of
from homeserver.core.signing import Signer, sign_event
from homeserver.services.errors import NotFound
from homeserver.services.events.persistence import RoomWriter
from homeserver.services.federation.room_access import NO_ROOM
from homeserver.services.rooms.restricted_joins import find_authoriser
from homeserver.storage.database import Transaction

AUTHORISER: Final = "join_authorised_via_users_server"


class Vouching:
    """Signs the joins of other servers' users that name a user of this one."""

    def __init__(self, writer: RoomWriter, signer: Signer, server_name: ServerName) -> None:
        self._writer = writer
        self._signer = signer
        self._server_name = server_name

    def is_wanted(self, event: Event) -> bool:
        """Whether an event names a user of this server as the one who lets the sender in."""
        authoriser = event.content.get(AUTHORISER)
        return (
            event.version.restricted_joins
            and event.content.get("membership") == "join"
            and isinstance(authoriser, str)
            and server_name_of(UserID(authoriser)) == self._server_name
        )

    def check(self, tx: Transaction, event: Event) -> None:
        """Raises what a restricted join may lack. That the named user may invite is for the room's rules to say."""
        write = self._writer.open(tx, event.room_id)
        if write is None:
            raise NotFound(NO_ROOM)
        key = ("m.room.member", event.sender)
        find_authoriser(write, event.sender, write.state((key,)).get(key), self._server_name)

    def signed(self, event: Event) -> dict[str, Any]:  # Any: JSON
        """The event with this server's signature: of one that was checked, and of nothing else."""
        return sign_event(event.pdu, event.version, self._server_name, self._signer)
