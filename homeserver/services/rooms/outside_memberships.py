"""How users of this server stand to rooms that it is not in: invited, knocking, refused, or out again.

What is known of such a room is the membership event and the stripped state that came with it. To those who list the
rooms of a user it is a membership like any other.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from homeserver.core.client_event import stripped_state_event
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import ServerName, UserID
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.runtime.clock import Clock
from homeserver.services.events.news import News, RoomWritten
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import (
    Membership,
    MembershipChange,
    find_membership,
    insert_changes,
    store_memberships,
)
from homeserver.storage.remote_memberships import RemoteMembership, store_remote_membership

# JSON of other servers is `Any` in this file.

WRITTEN_AT_POSITION: Final = ("memberships", "membership_changes")
MOST_STRIPPED: Final = 50
MOST_STRIPPED_BYTES: Final = 256 * 1024  # together
LONGEST_KEY: Final = 255


class OutsideMemberships:
    """Notes them, and tells their users."""

    def __init__(self, news: News, clock: Clock, *, forgets_left_rooms: bool = False) -> None:
        self._news = news
        self._clock = clock
        self._forgets_left_rooms = forgets_left_rooms

    def put(
        self, tx: Transaction, encoded: EncodedEvent, told_by: ServerName, stripped_state: Sequence[Mapping[str, Any]]
    ) -> None:
        """Note the membership of the local user that an m.room.member event is about, in a room elsewhere.

        `told_by` is the server that can be asked about the room; `stripped_state` is what the user is shown of it.
        """
        event = encoded.event
        user_id = UserID(event.state_key or "")
        before = find_membership(tx, event.room_id, user_id)
        store_remote_membership(tx, user_id, RemoteMembership(encoded, told_by))
        tx.at_position(
            WRITTEN_AT_POSITION,
            lambda tx, position: self._write(tx, position, event, user_id, before, stripped_state),
        )

    def _write(
        self,
        tx: Transaction,
        position: int,
        event: Event,
        user_id: UserID,
        before: Membership | None,
        stripped_state: Sequence[Mapping[str, Any]],
    ) -> None:
        was = None if before is None else before.membership
        membership = str(event.content.get("membership"))
        shown = [*stripped_state, stripped_state_event(event)] if membership in ("invite", "knock") else None
        row = Membership(
            room_id=event.room_id,
            user_id=user_id,
            membership=membership,
            event_id=event.event_id,
            sender=event.sender,
            place=0,
            log_position=position,
            display_name=None,
            avatar_url=None,
            is_local=True,
            is_forgotten=self._forgets_left_rooms and membership in ("leave", "ban"),
            stripped_state=None if shown is None else orjson.dumps(shown),
            joined_place=None,
            was_joined=before is not None and (was == "join" or before.was_joined),
        )
        change = MembershipChange(user_id, position, event.room_id, was, membership, event.event_id)
        store_memberships(tx, [row])
        insert_changes(tx, [change], written_ms=self._clock.now_ms())
        written = RoomWritten(
            position=position,
            room_id=event.room_id,
            events=(),
            notified=(),
            root_before=EMPTY_ROOT,
            root_after=EMPTY_ROOT,
            memberships=(change,),
        )
        tx.after_commit(lambda: self._news.publish(written, {user_id}))


def stripped_of(given: object) -> list[dict[str, Any]]:
    """What may be shown of the state events that another server gives, whole or stripped; what is none is left out."""
    found: list[dict[str, Any]] = []
    size_bytes = 0
    for one in given[:MOST_STRIPPED] if isinstance(given, list) else ():
        match one:
            case {"type": str() as kind, "state_key": str() as key, "sender": str() as sender, "content": dict()}:
                shown = {"type": kind, "state_key": key, "sender": sender, "content": one["content"]}
                size_bytes += _size_of(shown)
                if max(len(kind), len(key), len(sender)) <= LONGEST_KEY and size_bytes <= MOST_STRIPPED_BYTES:
                    found.append(shown)
    return found


def _size_of(shown: Mapping[str, Any]) -> int:
    try:
        return len(orjson.dumps(shown))
    except orjson.JSONEncodeError:  # a number or a text that no client could be told
        return MOST_STRIPPED_BYTES + 1
