"""Invites across servers: those that users of this server receive to rooms elsewhere, and those that they send.

Spec: server-server-api/#inviting-to-a-room. How an invite is shown and declined: outside_memberships.py,
remote_membership.py.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from homeserver.core.auth_selection import CREATE
from homeserver.core.errors import AuthRejected, ProtocolError
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.event_format import parse_and_encode, parse_event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of, server_name_of_user
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import Signer, sign_event
from homeserver.outbound.errors import RemoteError, RemoteNonsense, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound, RemoteFailed, RoomIsPartial
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.intake import Intake, Outcome
from homeserver.services.events.receipt import Receipt, Received
from homeserver.services.rate_limits import RateLimits
from homeserver.services.rooms.admission import Admission, invite_draws
from homeserver.services.rooms.ended_knocks import EndedKnocks
from homeserver.services.rooms.invite_permission import check_accepts_invites
from homeserver.services.rooms.membership import RoomMembership
from homeserver.services.rooms.outside_memberships import MOST_STRIPPED, OutsideMemberships, stripped_of
from homeserver.services.rooms.readers import NOT_IN_ROOM
from homeserver.services.rooms.several_servers import failure_of
from homeserver.services.rooms.third_party_invites import check_may_be_redeemed
from homeserver.services.spam_checks import SpamChecks
from homeserver.services.spam_checks import checked as checked_event
from homeserver.storage.accounts import find_account
from homeserver.storage.blocked_rooms import find_block
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import Form
from homeserver.storage.remote_memberships import RemoteMembership, find_remote_membership
from homeserver.storage.room_servers import is_server_in_room

# JSON of other servers is `Any` in this file.

INVITE_TIMEOUT_S: Final = 20.0
BARRED: Final = "This server takes no invites from there"


class RemoteInvites:
    """Receives invites, and what ends them."""

    def __init__(
        self,
        database: Database,
        receipt: Receipt,
        outside: OutsideMemberships,
        knocks: EndedKnocks,
        limits: RateLimits,
        checks: SpamChecks,
        server_name: ServerName,
        signer: Signer,
        *,
        bars_invite: Callable[[UserID, RoomID], bool] = lambda _sender, _room_id: False,
    ) -> None:
        self._database = database
        self._receipt = receipt
        self._outside = outside
        self._knocks = knocks
        self._limits = limits
        self._checks = checks
        self._server_name = server_name
        self._signer = signer
        self._bars_invite = bars_invite

    async def receive(
        self,
        origin: ServerName,
        room_id: RoomID,
        event_id: EventID,
        version: RoomVersion,
        pdu: object,
        room_state: object,
    ) -> dict[str, Any]:
        """An invite of a user of this server, with this server's signature beside that of `origin`, which brings it.

        Raises ProtocolError for what is no event of the room version, Forbidden for one that is not rightly signed,
        InvalidParameter for one that is no such invite, NotFound when there is no such user, InviteBlocked,
        LimitExceeded when the user, or the room, has had too many.
        """
        parse_event(pdu, version)  # which says what is wrong
        [checked] = await self._receipt.check([pdu], version)
        if not isinstance(checked, Received):
            raise Forbidden(f"The invite is not to be trusted: {checked.reason}")
        if checked.form is not Form.FULL:
            raise InvalidParameter("The invite's content is not that of its hash")
        event = checked.encoded.event
        target = self._target(event)
        if self._bars_invite(event.sender, event.room_id):
            raise Forbidden(BARRED)
        if (event.room_id, event.event_id) != (room_id, event_id) or server_name_of_user(event.sender) != origin:
            raise InvalidParameter("This is not the invite, or not the inviting server")
        if version.room_id_is_create_hash:
            await self._check_state(room_state, room_id, version)
        await self._checks.ask("may_receive_invite", checked_event(event))
        await self._checks.ask("may_invite", event.sender, target, room_id)
        signed = parse_and_encode(sign_event(event.pdu, version, self._server_name, self._signer), version)
        await self._database.write(self._receive, signed, target, origin, stripped_of(room_state))
        return dict(signed.event.pdu)

    async def hear(self, room_id: RoomID, pdu: Mapping[str, Any]) -> bool:
        """Look whether an event takes back the invite of a user here to a room that this server is not in.

        Removals and bans do, and refusals of knocks. Only the server that invited the user, or let the knock in, is
        believed; of a knock that another one says to be refused, that server is asked. False when it changes nothing.
        """
        target = pdu.get("state_key")
        if pdu.get("type") != "m.room.member" or not isinstance(target, str) or pdu.get("sender") == target:
            return False
        if server_name_of(UserID(target)) != self._server_name:
            return False
        known = await self._database.read(self._find_ended, room_id, UserID(target))
        if known is None:
            return False
        [checked] = await self._receipt.check([pdu], known.encoded.event.version)
        if not isinstance(checked, Received) or checked.form is not Form.FULL:
            return False
        event = checked.encoded.event
        if event.content.get("membership") not in ("leave", "ban") or event.room_id != room_id:
            return False
        if server_name_of_user(event.sender) != known.told_by and not await self._is_refused(UserID(target), known):
            return False
        return await self._database.write(self._rescind, checked.encoded, known, UserID(target))

    async def _is_refused(self, target: UserID, known: RemoteMembership) -> bool:
        is_knock = known.encoded.event.content.get("membership") == "knock"
        return is_knock and await self._knocks.has_ended(target, known)

    def _target(self, event: Event) -> UserID:
        key = event.state_key
        if event.type != "m.room.member" or event.content.get("membership") != "invite" or key is None:
            raise InvalidParameter("This is no invite")
        if server_name_of(UserID(key)) != self._server_name:
            raise InvalidParameter("The user is not of this server")
        return UserID(key)

    async def _check_state(self, room_state: object, room_id: RoomID, version: RoomVersion) -> None:
        """From room version 12 on the room must show itself to be the one of its ID."""
        pdus = room_state if isinstance(room_state, list) else []
        if len(pdus) > MOST_STRIPPED:
            raise InvalidParameter("invite_room_state has too many events")
        checked = await self._receipt.check(pdus, version)
        events = [one.encoded.event for one in checked if isinstance(one, Received)]
        if len(events) < len(pdus) or any(event.room_id != room_id for event in events):
            raise InvalidParameter("invite_room_state has what is no event of the room")
        if not any((event.type, event.state_key) == CREATE for event in events):
            raise InvalidParameter("invite_room_state lacks m.room.create")

    def _receive(
        self,
        tx: Transaction,
        signed: EncodedEvent,
        target: UserID,
        origin: ServerName,
        stripped_state: Sequence[Mapping[str, Any]],
    ) -> None:
        account = find_account(tx, target)
        if account is None or account.is_deactivated:
            raise NotFound("There is no such user here")
        check_accepts_invites(tx, target, signed.event.sender)
        if find_block(tx, signed.event.room_id) is not None:
            raise Forbidden("This server takes no part in the room")
        draws = invite_draws(signed.event.room_id, [target])
        self._limits.check(*draws)
        tx.after_commit(partial(self._limits.note, *draws))
        # Into a room that this server is in, the invite comes with the room's other events.
        if not is_server_in_room(tx, signed.event.room_id, self._server_name):
            self._outside.put(tx, signed, origin, stripped_state)

    def _rescind(self, tx: Transaction, encoded: EncodedEvent, known: RemoteMembership, target: UserID) -> bool:
        now_known = self._find_ended(tx, encoded.event.room_id, target)
        if now_known is None or now_known.encoded.event.event_id != known.encoded.event.event_id:
            return False
        self._outside.put(tx, encoded, known.told_by, ())
        return True

    def _find_ended(self, tx: Transaction, room_id: RoomID, target: UserID) -> RemoteMembership | None:
        """What there is to end: an invite or a knock that is known from outside the room alone."""
        known = find_remote_membership(tx, room_id, target)
        if known is None or known.encoded.event.content.get("membership") not in ("invite", "knock"):
            return None
        return None if is_server_in_room(tx, room_id, self._server_name) else known


class RemoteInviting:
    """Invites users, of this server or others, into rooms that this server is in."""

    def __init__(
        self,
        database: Database,
        client: FederationClient,
        creation: EventCreation,
        receipt: Receipt,
        intake: Intake,
        membership: RoomMembership,
        admission: Admission,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._client = client
        self._creation = creation
        self._receipt = receipt
        self._intake = intake
        self._membership = membership
        self._admission = admission
        self._server_name = server_name

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        """Invite a user; one of another server once that server has signed the invite.

        Raises Forbidden, AuthRejected, InviteBlocked, RemoteFailed, LimitExceeded.
        """
        await self._admission.may_invite(sender, target, room_id)
        if server_name_of_user(target) == self._server_name:
            await self._membership.invite(sender, room_id, target, reason)
        else:
            await self.invite_elsewhere(sender, room_id, target, {} if reason is None else {"reason": reason})

    async def invite_elsewhere(
        self, sender: UserID, room_id: RoomID, target: UserID, content: Mapping[str, Any]
    ) -> None:
        """Invite a user of another server. `content` is what else the invite says."""
        made, shown = await self._creation.write(self._build, sender, room_id, target, content)
        if made is None:
            return
        event, server = made.event, server_name_of_user(target)
        try:
            returned = await self._client.invite(
                server,
                room_id,
                event.event_id,
                event.pdu,
                event.version,
                [dict(one.pdu) for one in shown],
                ignores_backoff=True,
                timeout_s=INVITE_TIMEOUT_S,
            )
            signed = await self._cosigned(made, returned, server)
        except RemoteRefused as refused:
            raise failure_of([refused]) from refused
        except RemoteError as failure:
            raise RemoteFailed(failure.reason) from failure
        outcomes = await self._intake.take(
            room_id, event.version, [Received(signed, Form.FULL)], received_from=None, relays=True
        )
        if outcomes[event.event_id] is not Outcome.ACCEPTED:
            raise Forbidden("The room has changed meanwhile, and does not allow the invite any more")

    def _build(
        self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, content: Mapping[str, Any]
    ) -> tuple[EncodedEvent | None, list[Event]]:
        """The invite, and the state that the invited user is to be shown. Nothing is written.

        None for one that is to reach nobody.
        """
        write = self._creation.writer.open(tx, room_id)
        keys = (("m.room.member", sender), ("m.room.member", target))
        state = {} if write is None else write.state(keys)
        memberships = [None if key not in state else state[key].content.get("membership") for key in keys]
        is_redeemed = "third_party_invite" in content
        if write is None or (memberships[0] != "join" and not is_redeemed):
            raise Forbidden(NOT_IN_ROOM)
        if is_redeemed:
            check_may_be_redeemed(memberships[0])
        if write.is_partial:
            raise RoomIsPartial(room_id)  # the invite comes back as an event of another server, which would wait
        if memberships[1] == "join":
            raise Forbidden(f"{target} is already in the room")
        create = write.state((CREATE,))[CREATE]
        home = server_name_of_user(create.sender)
        if create.content.get("m.federate") is False and server_name_of_user(target) != home:
            raise AuthRejected("the room is closed to other servers")
        if not is_redeemed:
            self._admission.count_invites(tx, sender, room_id, [target])
        draft = Draft("m.room.member", sender, {**content, "membership": "invite"}, state_key=target)
        if self._creation.reaches_nobody(sender):
            self._creation.rehearse(write, draft)
            return None, []
        return self._creation.build(write, draft), write.shown_state(sender)

    async def _cosigned(self, made: EncodedEvent, returned: Mapping[str, Any], server: ServerName) -> EncodedEvent:
        """The invite as it was sent, with the signatures of `server` and nothing else of what came back."""
        version = made.event.version
        try:
            same = parse_and_encode(dict(returned), version).event
            if reference_hash(same.pdu, version) != reference_hash(made.event.pdu, version):
                raise RemoteNonsense(f"{server} returned another event than the invite")
            sent = made.event.pdu["signatures"]
            # Where it is the room's policy server too, it has signed already.
            signatures = {**sent, server: {**same.pdu["signatures"].get(server, {}), **sent.get(server, {})}}
            signed = parse_and_encode({**made.event.pdu, "signatures": signatures}, version)
        except ProtocolError as error:
            raise RemoteNonsense(f"{server} returned the invite damaged: {error.reason}") from error
        if not await self._receipt.is_signed_by(signed.event, server):
            raise RemoteNonsense(f"{server} has not signed the invite")
        return signed
