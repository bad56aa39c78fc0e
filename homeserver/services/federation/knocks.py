"""Users of other servers who knock upon rooms by way of this one. Spec: server-server-api/#knocking-upon-a-room"""

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from homeserver.core.canonical_json import encode_for
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.events.room_state import RoomStates
from homeserver.services.events.writing.shown import STRIPPED_TYPES
from homeserver.services.federation.joins import drawn_by_server
from homeserver.services.federation.membership_intake import MembershipIntake
from homeserver.services.federation.membership_templates import MembershipTemplates
from homeserver.services.rate_limits import RateLimits
from homeserver.storage.database import Database, Transaction
from homeserver.storage.pdus import joined_json
from homeserver.storage.rooms import find_head


class KnockServing:
    """Lets users of other servers knock."""

    def __init__(
        self,
        database: Database,
        templates: MembershipTemplates,
        intake: MembershipIntake,
        states: RoomStates,
        limits: RateLimits,
    ) -> None:
        self._database = database
        self._templates = templates
        self._intake = intake
        self._states = states
        self._limits = limits

    async def make(
        self, server: ServerName, room_id: RoomID, user_id: UserID, versions: Collection[str]
    ) -> dict[str, Any]:  # Any: JSON
        """A template of the knock. Raises what MembershipTemplates.template does, and LimitExceeded."""
        self._limits.check(drawn_by_server(server, room_id))
        return await self._templates.template(server, room_id, user_id, "knock", versions)

    async def send(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: Mapping[str, Any],  # Any: JSON
    ) -> orjson.Fragment:
        """Take the knock, and return the PDUs by which its user shall know the room.

        Raises what MembershipIntake.take does, and LimitExceeded: a knock counts like a join.
        """
        self._limits.draw(drawn_by_server(server, room_id))
        await self._intake.take(server, room_id, event_id, pdu, "knock")
        return orjson.Fragment(joined_json(await self._database.read(self._shown, room_id)))

    def _shown(self, tx: Transaction, room_id: RoomID) -> list[bytes]:
        head = find_head(tx, room_id)
        if head is None:
            return []
        keys = [(kind, "") for kind in STRIPPED_TYPES]
        state = self._states.select(tx, room_id, head.current_root, keys)
        return [encode_for(event.version, event.pdu) for event in state.values()]
