"""Membership events that servers hand over for rooms which they are not in, or not any more.

Each is looked at as though nobody had made a template for it: that it is of this room, this kind and this server, that
its signatures are right, and that the room allows it. Then it is sent on to the other servers in the room, which its
own server may not know. Spec: server-server-api/#joining-rooms, #leaving-rooms-rejecting-invites
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_format import parse_event
from homeserver.core.identifiers import EventID, RoomID, ServerName, server_name_of_user
from homeserver.core.policy_servers import PolicyServer
from homeserver.core.room_versions import RoomVersion
from homeserver.services.errors import Forbidden, InvalidParameter
from homeserver.services.events.intake import Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.federation.policy_servers import PolicyServers
from homeserver.services.federation.room_access import RoomAccess
from homeserver.services.federation.vouching import Vouching
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import Form
from homeserver.storage.room_servers import servers_in_room


@dataclass(frozen=True, slots=True)
class TakenMembership:
    """An event that was accepted, and which servers were in the room before."""

    encoded: EncodedEvent
    version: RoomVersion
    servers_before: frozenset[ServerName]


@dataclass(frozen=True, slots=True)
class _Room:
    version: RoomVersion
    servers: frozenset[ServerName]
    policy: PolicyServer | None


class MembershipIntake:
    """Takes membership events from the servers of their users."""

    def __init__(
        self,
        database: Database,
        access: RoomAccess,
        vouching: Vouching,
        receipt: Receipt,
        policies: PolicyServers,
        intake: Intake,
    ) -> None:
        self._database = database
        self._access = access
        self._vouching = vouching
        self._receipt = receipt
        self._policies = policies
        self._intake = intake

    async def take(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: Mapping[str, Any],  # Any: JSON
        membership: str,
    ) -> TakenMembership:
        """Take an event in which a user of `server` gives themselves a membership. Taking it again changes nothing.

        A restricted join in the name of a user of this server is signed by it too; and the room's policy server, if it
        has one, is asked for its signature where that is missing.
        Raises NotFound, BadEvent, InvalidParameter, Forbidden, NotRecommended, and what a restricted join may lack.
        """
        room = await self._database.read(self._room, server, room_id)
        event = parse_event(pdu, room.version)
        _check(event, server, room_id, event_id, membership)
        await self._database.read(self._check_place, event)
        signed = event.pdu
        if self._vouching.is_wanted(event):
            await self._database.read(self._vouching.check, event)
            # Of all that was checked: nothing else that a server hands over is ever signed here.
            signed = self._vouching.signed(event)
        (received,) = await self._receipt.check([signed], room.version)
        if not isinstance(received, Received):
            raise Forbidden(f"The event is not to be trusted: {received.reason}")
        if received.form is not Form.FULL:
            raise InvalidParameter("The event's content is not that of its hash")
        if room.policy is not None:
            received = await self._policies.signed(room.policy, received)
        outcomes = await self._intake.take(room_id, room.version, [received], received_from=server, relays=True)
        if outcomes.get(event_id) is not Outcome.ACCEPTED:
            raise Forbidden("The room does not allow this")
        return TakenMembership(received.encoded, room.version, room.servers)

    def _room(self, tx: Transaction, server: ServerName, room_id: RoomID) -> _Room:
        head = self._access.whole_room(tx, room_id, server)
        servers, policy = frozenset(servers_in_room(tx, room_id)), self._policies.find(tx, room_id)
        return _Room(head.version, servers, policy)

    def _check_place(self, tx: Transaction, event: Event) -> None:
        """Refuse an event that would have to wait for others: its server asks now. Raises InvalidParameter."""
        named = dict.fromkeys((*event.prev_event_ids, *event.auth_event_ids))
        known = {one: self._access.find_event(tx, event.room_id, one) for one in named}
        if not event.prev_event_ids or any(stored is None for stored in known.values()):
            raise InvalidParameter("The event is not built on events of this room that are known here")
        previous = [known[one] for one in event.prev_event_ids]
        if any(stored is None or stored.root_before is None for stored in previous):
            raise InvalidParameter("The event is not built on events of this room that are known here")


def _check(event: Event, server: ServerName, room_id: RoomID, event_id: EventID, membership: str) -> None:
    """Refuse whatever is not the event that the request says it is. Raises InvalidParameter, Forbidden."""
    if event.event_id != event_id:
        raise InvalidParameter("The event's ID is not that of the path")
    if event.room_id != room_id:
        raise InvalidParameter("The event's room is not that of the path")
    if event.type != "m.room.member" or event.content.get("membership") != membership:
        raise InvalidParameter(f"The event is not one of m.room.member with the membership {membership}")
    if event.state_key != event.sender:
        raise InvalidParameter("The event is about somebody else than its sender")
    if server_name_of_user(event.sender) != server:
        raise Forbidden("The sender is not a user of your server")
