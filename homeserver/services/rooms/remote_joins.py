"""Coming into a room by way of a server that is in it: the join is made here, and the room's state is given.

Of a large room its members are not asked for at first, so that nobody waits for them: the room is known in part then,
and services/federation/room_completion.py fetches the rest.
Spec: server-server-api/#joining-rooms. Which rooms are joined so is decided in remote_membership.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from homeserver.core.errors import ProtocolError
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_format import parse_and_encode
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of, server_name_of_user
from homeserver.core.membership_templates import AUTHORISER, MembershipWish
from homeserver.core.policy_servers import POLICY, PolicyServer, read_policy
from homeserver.core.room_versions import ROOM_VERSIONS, RoomVersion
from homeserver.outbound.errors import RemoteNonsense
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.events.creation import EventCreation
from homeserver.services.events.intake import Outcome
from homeserver.services.events.policy_signatures import adopted_signature
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.rooms.given_rooms import GivenRooms
from homeserver.services.rooms.remote_templates import made_from_template
from homeserver.services.rooms.several_servers import candidates, first_answer
from homeserver.services.rooms.third_party_invites import Redeemed

# JSON of other servers is `Any` in this file.

# That a room is said to be on: each is written to, whatever it is, on the word of one server, until the members are
# known. Those that are left out of a larger room fetch what they lack when they hear of what came after it.
MOST_SERVERS: Final = 1_000


class RemoteJoins:
    """Joins rooms through other servers."""

    def __init__(
        self,
        client: FederationClient,
        creation: EventCreation,
        receipt: Receipt,
        given_rooms: GivenRooms,
        clock: Clock,
        *,
        omits_members: bool,
    ) -> None:
        """`omits_members`: other servers are told that they need not tell who is in a room."""
        self._client = client
        self._creation = creation
        self._receipt = receipt
        self._given_rooms = given_rooms
        self._clock = clock
        self._omits_members = omits_members

    async def join_through(
        self,
        server: ServerName,
        room_id: RoomID,
        user_id: UserID,
        content: Mapping[str, Any],
        known_version: RoomVersion | None,
    ) -> None:
        """Join a room that no user of this server is in, and keep what `server` gives of it.

        `content` is what the join says of the user. Raises RemoteError when this server is of no use, so that another
        may be.
        """
        wish = MembershipWish(room_id, user_id, "join", content, self._clock.now_ms())
        made = await made_from_template(
            self._client, self._creation, server, wish, known_version, versions=ROOM_VERSIONS, ignores_backoff=True
        )
        given = self._given_rooms.begin()
        rest = await self._client.send_join(
            server,
            room_id,
            made.event.event_id,
            made.event.pdu,
            given.take,
            omit_members=self._omits_members,
            ignores_backoff=True,
        )
        join = await self._joined(made, rest)
        policy = _policy_in(given.state_events())
        if policy is not None:
            join = replace(join, encoded=adopted_signature(policy, join.encoded, rest.get("event")))
        omits_members, servers = self._omitted(rest, server, join.encoded.event)
        if not omits_members and not _has_member_of(server, given.state_events()):
            # Whoever is in the room would be told nothing that is said there: better another server, or none.
            raise RemoteNonsense(f"{server} lets users into a room in which it has none itself")
        outcome = await self._given_rooms.enter(
            given, made.event.version, join, server, servers if omits_members else None
        )
        if outcome is not Outcome.ACCEPTED:
            raise RemoteNonsense(f"{server} let the user in, against the state that it gives")

    async def redeem(self, room_id: RoomID, invite: Redeemed, *, ignores_backoff: bool) -> None:
        """Have the invite of an address turned into one of the user, by the server of whoever sent it."""
        event = {
            "type": "m.room.member",
            "room_id": room_id,
            "sender": invite.sender,
            "state_key": invite.target,
            "content": invite.content(),
        }

        async def exchange(server: ServerName) -> None:
            await self._client.exchange_third_party_invite(server, room_id, event, ignores_backoff=ignores_backoff)

        await first_answer([server_name_of_user(invite.sender)], exchange)

    async def _joined(self, made: EncodedEvent, rest: Mapping[str, Any]) -> Received:
        """The join as it goes into the room: with the signature of the server that vouches for it, if one does."""
        event, pdu = made.event, dict(made.event.pdu)
        if AUTHORISER in event.content:
            voucher = server_name_of_user(UserID(event.content[AUTHORISER]))
            pdu["signatures"] = {**pdu["signatures"], voucher: _signatures_of(rest.get("event"), event, voucher)}
        [checked] = await self._receipt.check([pdu], event.version)
        if not isinstance(checked, Received):
            raise RemoteNonsense(f"the join cannot be used: {checked.reason}")
        return checked

    def _omitted(self, rest: Mapping[str, Any], server: ServerName, join: Event) -> tuple[bool, frozenset[ServerName]]:
        """Whether members were left out of the state, and on which servers they are then. Raises RemoteNonsense."""
        if rest.get("members_omitted") is not True:
            return False, frozenset()
        if not self._omits_members:
            raise RemoteNonsense(f"{server} left out members, which it was not to do")
        told = rest.get("servers_in_room")
        names = [name for name in told if isinstance(name, str)] if isinstance(told, list) else []
        own = server_name_of_user(join.sender)
        return True, frozenset(candidates(own, [server], names[:MOST_SERVERS]))


def _policy_in(state: Iterable[Any]) -> PolicyServer | None:
    """The policy server that a room seems to have: the server that let the user in will have asked it."""
    for pdu in state:
        if isinstance(pdu, dict) and (pdu.get("type"), pdu.get("state_key")) == POLICY:
            content = pdu.get("content")
            return read_policy(content) if isinstance(content, dict) else None
    return None


def _has_member_of(server: ServerName, state: Iterable[Any]) -> bool:
    """Whether somebody of a server is joined by a state that nobody has looked at."""
    for pdu in state:
        if isinstance(pdu, dict) and pdu.get("type") == "m.room.member" and isinstance(pdu.get("content"), dict):
            target = pdu.get("state_key")
            is_theirs = isinstance(target, str) and server_name_of(UserID(target)) == server
            if is_theirs and pdu["content"].get("membership") == "join":
                return True
    return False


def _signatures_of(returned: Any, event: Event, server: ServerName) -> Mapping[str, Any]:
    """The signatures of `server` on an event that it returned, if it is the event that was sent. Raises RemoteNonsense.

    That they are right is verified with the event.
    """
    try:
        same = parse_and_encode(returned, event.version).event
        is_same = reference_hash(same.pdu, event.version) == reference_hash(event.pdu, event.version)
    except ProtocolError as error:
        raise RemoteNonsense(f"the join came back damaged: {error.reason}") from error
    if not is_same:
        raise RemoteNonsense("another event came back than the join that was sent")
    signatures: Mapping[str, Any] = same.pdu["signatures"].get(server, {})
    return signatures
