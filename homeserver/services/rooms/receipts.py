"""Receipts and read markers: up to where users say that they have read a room.

Spec: client-server-api/#receipts, #fully-read-markers. What is unread since then: services/sync/unread.py.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import orjson

from homeserver.core.identifiers import EventID, RoomID, UserID, parse_event_id
from homeserver.runtime.clock import Clock
from homeserver.services.errors import InvalidParameter, NotFound, NotThread
from homeserver.services.events.news import AccountDataWritten, News, OutgoingWritten, ReceiptWritten
from homeserver.services.events.notifying import Audience, Notifying
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.audiences import audience_with
from homeserver.services.rooms.readers import Readers
from homeserver.storage.account_data import AccountData, find_account_data, store_account_data
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import memberships_in_room
from homeserver.storage.receipts import Receipt, find_receipt, store_receipts
from homeserver.storage.relations import is_thread_root
from homeserver.storage.rooms import find_head

READ: Final = "m.read"
READ_PRIVATE: Final = "m.read.private"
FULLY_READ: Final = "m.fully_read"
MAIN: Final = "main"  # the thread ID of what is in no thread


@dataclass(frozen=True, slots=True)
class Marker:
    """Up to which event a user has read: `marker_type` is that of a receipt, or m.fully_read."""

    marker_type: str
    event_id: EventID
    thread_id: str | None = None


@dataclass(frozen=True, slots=True)
class RemoteReceipt:
    """A receipt that all may see, as the server of its user tells it."""

    user_id: UserID
    event_id: EventID
    thread_id: str | None
    ts: int


@dataclass(frozen=True, slots=True)
class _Moved:
    """What of a user's receipts and read marker in a room moves forward."""

    receipts: Sequence[Receipt]
    fully_read: EventID | None


class Receipts:
    """Moves receipts and read markers."""

    def __init__(
        self,
        database: Database,
        readers: Readers,
        states: RoomStates,
        notifying: Notifying,
        news: News,
        clock: Clock,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self._shadow_bans = shadow_bans
        self._database = database
        self._readers = readers
        self._states = states
        self._notifying = notifying
        self._news = news
        self._clock = clock

    async def mark(self, user_id: UserID, room_id: RoomID, markers: Sequence[Marker]) -> None:
        """Move receipts and the read marker of a user; one that would move backwards stays where it is.

        Raises Forbidden for who is not in the room, NotFound for an event that is not in it or that the user may not
        see, NotThread, InvalidParameter.
        """
        for marker in markers:
            _check(marker)
        if user_id in self._shadow_bans:
            markers = _seen_by_oneself(markers)
        await self._database.write(self._mark, user_id, room_id, markers)

    def _mark(self, tx: Transaction, user_id: UserID, room_id: RoomID, markers: Sequence[Marker]) -> None:
        audience = audience_with(tx, self._notifying, room_id, user_id)
        receipts: list[Receipt] = []
        fully_read: EventID | None = None
        for marker in markers:
            stored = self._readers.find_visible(tx, room_id, user_id, marker.event_id)
            if stored is None or stored.place is None:
                raise NotFound("There is no such event in this room")
            if marker.marker_type == FULLY_READ:
                if self._is_after_marker(tx, user_id, room_id, stored.place):
                    fully_read = marker.event_id
                continue
            if marker.thread_id is not None:
                _check_thread(tx, stored, marker.thread_id)
            before = find_receipt(tx, room_id, user_id, marker.marker_type, marker.thread_id)
            if before is None or before.place is None or before.place < stored.place:
                receipts.append(self._receipt(user_id, room_id, marker, stored.place))
        if receipts or fully_read is not None:
            moved = _Moved(receipts, fully_read)
            tx.at_position(
                ("receipts", "account_data"),
                partial(self._store, user_id=user_id, room_id=room_id, moved=moved, audience=audience),
            )

    async def mark_remote(self, room_id: RoomID, told: Sequence[RemoteReceipt]) -> None:
        """Move receipts of users of other servers, as far as these are in the room and the receipts can be right.

        One for an event that has not come yet is kept, unless it is for a thread.
        """
        await self._database.write(self._mark_remote, room_id, told)

    def _mark_remote(self, tx: Transaction, room_id: RoomID, told: Sequence[RemoteReceipt]) -> None:
        head = find_head(tx, room_id)
        if head is None or head.is_blocked:
            return
        members = memberships_in_room(tx, room_id, [one.user_id for one in told])
        receipts: dict[tuple[UserID, str | None], Receipt] = {}
        for one in told:
            if one.user_id in members and members[one.user_id].membership == "join":
                receipt = self._moved_remotely(tx, room_id, one)
                if receipt is not None:
                    receipts[one.user_id, one.thread_id] = receipt
        if receipts:
            audience = self._notifying.audience(tx, room_id, head.current_root)
            moved = list(receipts.values())
            tx.at_position(("receipts",), partial(self._store_remote, receipts=moved, audience=audience))

    def _moved_remotely(self, tx: Transaction, room_id: RoomID, told: RemoteReceipt) -> Receipt | None:
        """The receipt as it is to be kept; None if it would move backwards, or is for nothing in the room."""
        stored = self._states.load(tx, [told.event_id]).get(told.event_id)
        if stored is None:
            if told.thread_id not in (None, MAIN):
                return None  # there may be any number of threads that are not here
        elif stored.event.room_id != room_id or not _may_be_in_thread(tx, stored, told.thread_id):
            return None
        place = None if stored is None else stored.place
        before = find_receipt(tx, room_id, told.user_id, READ, told.thread_id)
        if before is not None and (
            before.event_id == told.event_id
            or (before.place is not None and place is not None and before.place >= place)
        ):
            return None
        return Receipt(room_id, told.user_id, READ, told.thread_id, told.event_id, place, told.ts, 0)

    def _store_remote(self, tx: Transaction, position: int, *, receipts: Sequence[Receipt], audience: Audience) -> None:
        store_receipts(tx, [replace(receipt, log_position=position) for receipt in receipts])

        def publish() -> None:
            for one in receipts:
                written = ReceiptWritten(
                    position, one.room_id, one.user_id, one.receipt_type, one.thread_id, one.event_id, one.ts
                )
                self._news.publish(written, audience.members.keys())

        tx.after_commit(publish)

    def _store(
        self, tx: Transaction, position: int, *, user_id: UserID, room_id: RoomID, moved: _Moved, audience: Audience
    ) -> None:
        receipts = [replace(receipt, log_position=position) for receipt in moved.receipts]
        store_receipts(tx, receipts)
        if moved.fully_read is not None:
            content = orjson.dumps({"event_id": moved.fully_read})
            store_account_data(tx, user_id, AccountData(room_id, FULLY_READ, content), log_position=position)
        tx.after_commit(lambda: self._publish(position, user_id, room_id, replace(moved, receipts=receipts), audience))

    def _publish(self, position: int, user_id: UserID, room_id: RoomID, moved: _Moved, audience: Audience) -> None:
        for receipt in moved.receipts:
            written = ReceiptWritten(
                position, room_id, user_id, receipt.receipt_type, receipt.thread_id, receipt.event_id, receipt.ts
            )
            is_private = receipt.receipt_type == READ_PRIVATE
            self._news.publish(written, (user_id,) if is_private else audience.members.keys())
            if not is_private and audience.joined_count > len(audience.members):
                self._news.publish(OutgoingWritten(position, is_urgent=False), ())
        if moved.fully_read is not None:
            self._news.publish(AccountDataWritten(position, user_id, room_id, FULLY_READ), (user_id,))

    def _receipt(self, user_id: UserID, room_id: RoomID, marker: Marker, place: int) -> Receipt:
        return Receipt(
            room_id=room_id,
            user_id=user_id,
            receipt_type=marker.marker_type,
            thread_id=marker.thread_id,
            event_id=marker.event_id,
            place=place,
            ts=self._clock.now_ms(),
            log_position=0,  # given when it is written
        )

    def _is_after_marker(self, tx: Transaction, user_id: UserID, room_id: RoomID, place: int) -> bool:
        content = find_account_data(tx, user_id, room_id, FULLY_READ)
        if content is None:
            return True
        event_id = EventID(orjson.loads(content)["event_id"])
        before = self._states.load(tx, [event_id]).get(event_id)
        return before is None or before.place is None or before.place < place


def _check(marker: Marker) -> None:
    if marker.marker_type not in (READ, READ_PRIVATE, FULLY_READ):
        raise InvalidParameter(f"There are no receipts of type {marker.marker_type!r:.60}")
    if marker.thread_id is None:
        return
    if marker.marker_type == FULLY_READ:
        raise InvalidParameter("m.fully_read is for the whole room: it takes no thread_id")
    if marker.thread_id != MAIN:
        parse_event_id(marker.thread_id)


def _seen_by_oneself(markers: Sequence[Marker]) -> Sequence[Marker]:
    """Markers that nobody else sees. Of two that are the same then the private one counts."""
    private = {marker.thread_id for marker in markers if marker.marker_type == READ_PRIVATE}
    return [
        replace(marker, marker_type=READ_PRIVATE) if marker.marker_type == READ else marker
        for marker in markers
        if marker.marker_type != READ or marker.thread_id not in private
    ]


def _may_be_in_thread(tx: Transaction, stored: StoredEvent, thread_id: str | None) -> bool:
    if thread_id is None:
        return True
    try:
        _check_thread(tx, stored, thread_id)
    except NotThread:
        return False
    return True


def _check_thread(tx: Transaction, stored: StoredEvent, thread_id: str) -> None:
    """Raises NotThread when the event is not in the thread.

    The root of a thread is in the main timeline, but may be marked as read in its thread too: there, nothing comes
    before it.
    """
    event_id = stored.event.event_id
    if thread_id in ((MAIN, event_id) if stored.thread_id is None else (stored.thread_id,)):
        if thread_id != event_id:
            return
        if is_thread_root(tx, stored.event.room_id, event_id):
            return
    raise NotThread
