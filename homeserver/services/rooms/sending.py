"""Sending events into rooms: messages, state, redactions; each transaction ID once.

Spec: client-server-api/#sending-events-to-a-room. Membership has rules of its own: see membership.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.errors import BadIdentifier
from homeserver.core.event import Event
from homeserver.core.identifiers import DeviceID, EventID, RoomAlias, RoomID, UserID, parse_room_alias
from homeserver.core.power_levels import read_power_levels
from homeserver.core.relations import may_be_annotated, may_be_thread_root, relation_of
from homeserver.runtime.clock import Clock
from homeserver.services.errors import BadAlias, DuplicateAnnotation, Forbidden, InvalidParameter, NotFound
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.readers import NOT_IN_ROOM
from homeserver.storage.aliases import find_alias
from homeserver.storage.client_transactions import find_outcome, insert_outcome
from homeserver.storage.database import Database, Transaction
from homeserver.storage.relations import has_annotated


@dataclass(frozen=True, slots=True)
class ClientTransaction:
    """A client's own name for a request: sent again, it does nothing again. `scope` is the path it was sent to."""

    device_id: DeviceID
    scope: str
    transaction_id: str


class Sending:
    """Puts the events of local users into rooms."""

    def __init__(self, database: Database, creation: EventCreation, clock: Clock) -> None:
        self._database = database
        self._creation = creation
        self._clock = clock

    async def send_message(
        self,
        sender: UserID,
        room_id: RoomID,
        event_type: str,
        content: Mapping[str, Any],
        transaction: ClientTransaction | None,
        origin_server_ts: int | None = None,
    ) -> EventID:
        """Send a message event. Raises Forbidden, AuthRejected, EventTooLarge, BadJson, DuplicateAnnotation."""
        draft = Draft(event_type, sender, content, origin_server_ts=origin_server_ts)
        return await self._database.write(self._send, room_id, draft, transaction)

    async def redact(
        self,
        sender: UserID,
        room_id: RoomID,
        event_id: EventID,
        content: Mapping[str, Any],
        transaction: ClientTransaction | None,
    ) -> EventID:
        """Redact an event: one's own, or anybody's with the power level for it. Raises NotFound, Forbidden."""
        draft = Draft("m.room.redaction", sender, content, redacts=event_id)
        return await self._database.write(self._send, room_id, draft, transaction)

    async def set_state(
        self, sender: UserID, room_id: RoomID, event_type: str, state_key: str, content: Mapping[str, Any]
    ) -> EventID:
        """Set state. Setting what is set already returns the event that did."""
        draft = Draft(event_type, sender, content, state_key=state_key)
        return await self._database.write(self._set_state, room_id, draft)

    def _send(self, tx: Transaction, room_id: RoomID, draft: Draft, transaction: ClientTransaction | None) -> EventID:
        if transaction is not None:
            outcome = find_outcome(
                tx, draft.sender, transaction.device_id, transaction.scope, transaction.transaction_id
            )
            if outcome is not None:
                return EventID(outcome)
        write = self._open(tx, room_id)
        if draft.redacts is not None:
            self._check_redaction(write, draft.sender, draft.redacts)
        else:
            self._check_relation(write, draft)
        sent_as = None if transaction is None else (transaction.device_id, transaction.transaction_id)
        stored = self._creation.add(write, draft, sent_as=sent_as)
        write.finish()
        event_id = stored.event.event_id
        if transaction is not None:
            insert_outcome(
                tx,
                draft.sender,
                transaction.device_id,
                transaction.scope,
                transaction.transaction_id,
                outcome=event_id,
                now_ms=self._clock.now_ms(),
            )
        return event_id

    def _set_state(self, tx: Transaction, room_id: RoomID, draft: Draft) -> EventID:
        write = self._open(tx, room_id)
        key = (draft.type, draft.state_key or "")
        current = write.state((key,)).get(key)
        if current is not None and current.content == draft.content and current.sender == draft.sender:
            return current.event_id
        if key == ("m.room.canonical_alias", ""):
            self._check_canonical_alias(tx, write, draft.content, current)
        stored = self._creation.add(write, draft)
        write.finish()
        return stored.event.event_id

    def _open(self, tx: Transaction, room_id: RoomID) -> RoomWrite:
        write = self._creation.writer.open(tx, room_id)
        if write is None:
            raise Forbidden(NOT_IN_ROOM)
        return write

    @staticmethod
    def _check_redaction(write: RoomWrite, sender: UserID, target_id: EventID) -> None:
        member_key = ("m.room.member", sender)
        state = write.state((CREATE, POWER_LEVELS, member_key))
        member = state.get(member_key)
        if member is None or member.content.get("membership") != "join":
            raise Forbidden(NOT_IN_ROOM)
        target = write.load((target_id,)).get(target_id)
        if target is None or target.event.room_id != write.room_id or target.verdict:
            raise NotFound("There is no such event in this room")
        # Room versions 3 and later let any user of the sender's server redact: among our own, only the sender may.
        levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), write.version)
        if target.event.sender != sender and levels.user_level(sender) < levels.redact:
            raise Forbidden("You may not redact this event")
        if target.event.type == "m.room.create":
            raise Forbidden("The event that created a room cannot be redacted")

    @staticmethod
    def _check_relation(write: RoomWrite, draft: Draft) -> None:
        relation = relation_of(draft.content)
        if relation is None:
            return
        parent = write.load((relation.event_id,)).get(relation.event_id)
        content = parent.event.content if parent is not None and parent.event.room_id == write.room_id else {}
        if relation.rel_type == "m.annotation":
            if not may_be_annotated(content):
                raise InvalidParameter("An annotation or a replacement cannot be annotated")
            if relation.key is not None and has_annotated(
                write.tx,
                relation.event_id,
                sender=draft.sender,
                event_type=draft.type,
                aggregation_key=relation.key,
            ):
                raise DuplicateAnnotation
        elif relation.rel_type == "m.thread" and not may_be_thread_root(content):
            raise InvalidParameter("A thread cannot begin at an event that relates to another")

    @staticmethod
    def _check_canonical_alias(
        tx: Transaction, write: RoomWrite, content: Mapping[str, Any], current: Event | None
    ) -> None:
        """Each alias that was not there before must point to this room."""
        before = set() if current is None else set(_aliases_in(current.content))
        for alias in _aliases_in(content):
            try:
                room_alias: RoomAlias = parse_room_alias(alias)
            except BadIdentifier:
                raise InvalidParameter(f"{alias!r:.80} is not a room alias") from None
            if alias in before:
                continue
            found = find_alias(tx, room_alias)
            if found is None or found.room_id != write.room_id:
                raise BadAlias(f"{alias} does not point to this room")


def _aliases_in(content: Mapping[str, Any]) -> list[str]:
    """All aliases of an m.room.canonical_alias. Raises InvalidParameter for what is no string."""
    main, others = content.get("alias"), content.get("alt_aliases")
    aliases = [] if main is None or main == "" else [main]
    if others is not None:
        if not isinstance(others, list):
            raise InvalidParameter("alt_aliases is not a list")
        aliases += others
    if not all(isinstance(alias, str) for alias in aliases):
        raise InvalidParameter("A room alias is not a string")
    return aliases
