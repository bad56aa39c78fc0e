"""The membership events that servers ask for: unsigned templates, which their own server finishes and hands over.

What is handed over is judged in membership_intake.py: nothing that is said here is a promise.
Spec: server-server-api/#joining-rooms, #leaving-rooms-rejecting-invites, #knocking-upon-a-room
"""

from collections.abc import Collection
from typing import Any, Final

from homeserver.core.auth_rules import authorise
from homeserver.core.auth_selection import CREATE, auth_types_for
from homeserver.core.event import view_event
from homeserver.core.event_building import EventTemplate, reference_to, unsigned_pdu
from homeserver.core.event_format import depth_limit
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of_user
from homeserver.runtime.clock import Clock
from homeserver.services.errors import Forbidden, IncompatibleRoomVersion, NotFound
from homeserver.services.events.persistence import RoomWrite, RoomWriter
from homeserver.services.federation.room_access import NO_ROOM, RoomAccess
from homeserver.services.rooms.restricted_joins import find_authoriser
from homeserver.storage.database import Database, Transaction

PROPOSED: Final = EventID("$proposed")  # it gets its ID from its own server
MEMBER: Final = "m.room.member"


class MembershipTemplates:
    """Makes membership events for users of other servers, as far as the room's rules allow them."""

    def __init__(
        self, database: Database, access: RoomAccess, writer: RoomWriter, clock: Clock, server_name: ServerName
    ) -> None:
        self._database = database
        self._access = access
        self._writer = writer
        self._clock = clock
        self._server_name = server_name

    async def template(
        self,
        server: ServerName,
        room_id: RoomID,
        user_id: UserID,
        membership: str,
        versions: Collection[str] | None = None,
    ) -> dict[str, Any]:  # Any: JSON
        """The template and the room's version, as they are answered. `versions` are those that the server knows.

        Raises NotFound, Forbidden, AuthRejected, IncompatibleRoomVersion, and what a restricted join may lack.
        """
        if server_name_of_user(user_id) != server:
            raise Forbidden("The user is not one of your server")
        return await self._database.read(self._template, server, room_id, user_id, membership, versions)

    def _template(
        self,
        tx: Transaction,
        server: ServerName,
        room_id: RoomID,
        user_id: UserID,
        membership: str,
        versions: Collection[str] | None,
    ) -> dict[str, Any]:  # Any: as above
        head = self._access.whole_room(tx, room_id, server)
        if versions is not None and head.version.name not in versions:
            raise IncompatibleRoomVersion(head.version.name)
        write = self._writer.open(tx, room_id)
        if write is None:
            raise NotFound(NO_ROOM)
        content: dict[str, Any] = {"membership": membership}
        if membership == "join":
            key = (MEMBER, user_id)
            authoriser = find_authoriser(write, user_id, write.state((key,)).get(key), self._server_name)
            if authoriser is not None:
                content["join_authorised_via_users_server"] = authoriser
        return {"room_version": head.version.name, "event": self._event(write, user_id, content)}

    def _event(self, write: RoomWrite, user_id: UserID, content: dict[str, Any]) -> dict[str, Any]:
        """The event, if the room's current state allows it. Raises AuthRejected."""
        version = write.version
        state = write.rules_state((*auth_types_for(MEMBER, user_id, user_id, content, version), CREATE))
        create = state.get(CREATE)
        if create is None:
            raise NotFound(NO_ROOM)
        if version.room_id_is_create_hash:
            del state[CREATE]
        template = EventTemplate(
            room_id=write.room_id,
            type=MEMBER,
            sender=user_id,
            content=content,
            state_key=user_id,
            prev_events=tuple(reference_to(stored.event) for stored in write.load(write.heads).values()),
            auth_events=tuple(reference_to(event) for event in state.values()),
            depth=min(write.depth + 1, depth_limit(version)),
            origin_server_ts=self._clock.now_ms(),
        )
        pdu = unsigned_pdu(template, version)
        authorise(view_event(pdu, version, event_id=PROPOSED), state, create)
        return {**pdu, "origin": self._server_name}
