"""Sending events into rooms: messages, state, redactions; each transaction ID once.

Spec: client-server-api/#sending-events-to-a-room. Membership has rules of its own: see membership.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import DeviceID, EventID, RoomID, ServerName, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.errors import Forbidden, UserSuspended
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.partial_rooms import known_membership
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.draft_checks import (
    check_canonical_alias,
    check_redaction,
    check_relation,
    checked_member,
    named_redaction,
)
from homeserver.services.rooms.readers import NOT_IN_ROOM, Readers
from homeserver.storage.client_transactions import find_outcome, insert_outcome
from homeserver.storage.database import Transaction


@dataclass(frozen=True, slots=True)
class ClientTransaction:
    """A client's own name for a request: sent again, it does nothing again. `scope` is the path it was sent to."""

    device_id: DeviceID
    scope: str
    transaction_id: str

    def outcome(self, tx: Transaction, user_id: UserID, *, now_ms: int) -> str | None:
        """What it led to before; None if it is new."""
        return find_outcome(tx, user_id, self.device_id, self.scope, self.transaction_id, now_ms=now_ms)

    def note(self, tx: Transaction, user_id: UserID, outcome: str, *, now_ms: int) -> None:
        """Note what it led to, in the transaction in which it did."""
        insert_outcome(tx, user_id, self.device_id, self.scope, self.transaction_id, outcome=outcome, now_ms=now_ms)


class Sending:
    """Puts the events of local users into rooms."""

    def __init__(
        self,
        creation: EventCreation,
        readers: Readers,
        admission: Admission,
        clock: Clock,
        server_name: ServerName,
    ) -> None:
        self._creation = creation
        self._readers = readers
        self._admission = admission
        self._clock = clock
        self._server_name = server_name

    async def send_message(
        self,
        sender: UserID,
        room_id: RoomID,
        event_type: str,
        content: Mapping[str, Any],
        transaction: ClientTransaction | None,
        origin_server_ts: int | None = None,
        *,
        is_suspended: bool = False,
    ) -> EventID:
        """Send a message event: of those who are suspended, only redactions of what they sent themselves.

        Raises Forbidden, AuthRejected, EventTooLarge, BadJson, DuplicateAnnotation, UserSuspended.
        """
        if is_suspended and event_type != "m.room.redaction":
            raise UserSuspended
        draft = named_redaction(Draft(event_type, sender, content, origin_server_ts=origin_server_ts))
        await self._admission.may_send(room_id, draft)
        return await self._creation.write(self._send, room_id, draft, transaction, is_suspended=is_suspended)

    async def redact(
        self,
        sender: UserID,
        room_id: RoomID,
        event_id: EventID,
        content: Mapping[str, Any],
        transaction: ClientTransaction | None,
        *,
        is_suspended: bool = False,
    ) -> EventID:
        """Redact an event: one's own, or anybody's with the power level for it, unless one is suspended.

        Raises NotFound, Forbidden, UserSuspended.
        """
        draft = Draft("m.room.redaction", sender, content, redacts=event_id)
        await self._admission.may_send(room_id, draft)
        return await self._creation.write(self._send, room_id, draft, transaction, is_suspended=is_suspended)

    async def set_state(
        self, sender: UserID, room_id: RoomID, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> EventID:
        """Set state. Setting what is set already returns the event that did."""
        draft = Draft(event_type, sender, content, state_key=state_key)
        await self._admission.may_send(room_id, draft)
        return await self._creation.write(self._set_state, room_id, draft)

    async def may_send(self, room_id: RoomID, draft: Draft) -> None:
        """Ask about an event that is to be sent by `send_within`. Raises RefusedAsSpam."""
        await self._admission.may_send(room_id, draft)

    def send_within(self, tx: Transaction, room_id: RoomID, draft: Draft, *, sent_as: tuple[str, str]) -> EventID:
        """Send a message or set state within a write of the caller, which EventCreation has begun.

        `sent_as` is as for EventCreation.add. Raises what `send_message` and `set_state` may raise.
        """
        if draft.state_key is not None:
            return self._set_state(tx, room_id, draft, sent_as)
        return self._add_message(tx, room_id, named_redaction(draft), sent_as, is_suspended=False)

    def _send(
        self,
        tx: Transaction,
        room_id: RoomID,
        draft: Draft,
        transaction: ClientTransaction | None,
        *,
        is_suspended: bool,
    ) -> EventID:
        now_ms = self._clock.now_ms()
        known = None if transaction is None else transaction.outcome(tx, draft.sender, now_ms=now_ms)
        if known is not None:
            return EventID(known)
        sent_as = None if transaction is None else (transaction.device_id, transaction.transaction_id)
        event_id = self._add_message(tx, room_id, draft, sent_as, is_suspended=is_suspended)
        if transaction is not None:
            transaction.note(tx, draft.sender, event_id, now_ms=now_ms)
        return event_id

    def _add_message(
        self,
        tx: Transaction,
        room_id: RoomID,
        draft: Draft,
        sent_as: tuple[str, str] | None,
        *,
        is_suspended: bool,
    ) -> EventID:
        write = self._open(tx, room_id)
        check_redaction(write, draft, self._readers, is_suspended=is_suspended)
        check_relation(write, draft, self._readers)
        return self._say(write, draft, sent_as)

    def _set_state(
        self, tx: Transaction, room_id: RoomID, draft: Draft, sent_as: tuple[str, str] | None = None
    ) -> EventID:
        write = self._open(tx, room_id)
        key = (draft.type, draft.state_key or "")
        current = write.state((key,)).get(key)
        if draft.type == "m.room.member":
            draft = checked_member(write, draft, self._server_name)
        if current is not None and current.content == draft.content and current.sender == draft.sender:
            return current.event_id
        if draft.type == "m.room.member":
            self._count(tx, room_id, draft, None if current is None else current.content.get("membership"))
        check_redaction(write, draft, self._readers)
        if key == ("m.room.canonical_alias", ""):
            check_canonical_alias(write, draft.content, current)
        return self._say(write, draft, sent_as)

    def _count(self, tx: Transaction, room_id: RoomID, draft: Draft, was: object) -> None:
        """Count an invite or a join, by this way as by those that are made for it."""
        membership = draft.content.get("membership")
        if membership == "invite":
            self._admission.count_invites(tx, draft.sender, room_id, [UserID(draft.state_key or "")])
        elif membership == "join" and was != "join":
            self._admission.count_join(tx, draft.sender, room_id)

    def _say(self, write: RoomWrite, draft: Draft, sent_as: tuple[str, str] | None) -> EventID:
        """Say it. Who never had to do with the room is not told why it refuses, or that it exists."""
        try:
            return self._creation.say(write, draft, sent_as=sent_as)
        except AuthRejected:
            if known_membership(write.tx, write.room_id, draft.sender) is None:
                raise Forbidden(NOT_IN_ROOM) from None
            raise

    def _open(self, tx: Transaction, room_id: RoomID) -> RoomWrite:
        write = self._creation.writer.open(tx, room_id)
        if write is None:
            raise Forbidden(NOT_IN_ROOM)
        return write
