"""What the event stream tells: what happened since a token, in the order of the log, each thing in an event of its own.

Spec: client-server-api/#get_matrixclientv3events, which /sync has replaced. Waiting is in event_stream.py; what /sync
says of the same is in assembling.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.errors import BadToken
from homeserver.core.filters import DEFAULT_FILTER
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.client_format import ClientFormat, Sight, Viewer
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.invite_permission import invite_rules
from homeserver.services.rooms.presence import Presence
from homeserver.services.rooms.readers import Readers
from homeserver.services.rooms.typing import Typing
from homeserver.services.sync.ephemeral import presence_event, receipt_event, typing_event
from homeserver.services.sync.request import Window
from homeserver.services.sync.room_lists import EVERYWHERE, from_elsewhere
from homeserver.services.sync.rooms import in_old_form
from homeserver.services.sync.timelines import TimelineQuestion, Timelines
from homeserver.storage.account_data import account_data_since
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, stream_news
from homeserver.storage.memberships import Membership, changes_of_user, memberships_of_user, rooms_of_user
from homeserver.storage.receipts import Receipt, receipts_since
from homeserver.storage.rooms import roots_at, sync_horizon

# Any: JSON and fragments of it, throughout.

UNKNOWN_TOKEN: Final = "this token is of a time that is not remembered here: begin with /initialSync"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Chunk:
    """What happened, and the token to go on from. `has_more`: more has happened, and is in the next chunk."""

    events: Sequence[Any]
    end: SyncToken
    has_more: bool


class StreamChunks:
    """Reads chunks."""

    def __init__(
        self,
        timelines: Timelines,
        readers: Readers,
        formats: ClientFormat,
        typing: Typing,
        presence: Presence,
        epoch: str,
    ) -> None:
        self._timelines = timelines
        self._readers = readers
        self._formats = formats
        self._typing = typing
        self._presence = presence
        self._epoch = epoch

    def token(self, position: int) -> SyncToken:
        """The token of somebody who has seen everything up to a log position, and whoever types."""
        return SyncToken(position, 0, self._epoch, self._typing.serial)

    def typing_since(self, user_id: UserID, since: SyncToken) -> list[tuple[RoomID, list[UserID]]]:
        """Who types in the user's rooms, as far as the token does not know it."""
        serial = since.serial if since.epoch == self._epoch else 0
        return [] if serial >= self._typing.serial else self._typing.typing_since(user_id, serial)

    def presence_since(self, user_id: UserID, since: SyncToken) -> list[tuple[UserID, dict[str, Any]]]:
        """The presence that the user is to be told of, as far as the token does not know it."""
        serial = since.serial if since.epoch == self._epoch else 0
        return [] if serial >= self._typing.serial else self._presence.presence_since(user_id, serial)

    def read(self, tx: Transaction, viewer: Viewer, since: SyncToken, limit: int) -> Chunk:
        """What concerns the user: events of rooms, at most `limit`; receipts, typing, presence and account data.

        Raises BadToken when what happened since the token is not known any more.
        """
        user_id, serial = viewer.user_id, self._typing.serial
        typing, presence = self.typing_since(user_id, since), self.presence_since(user_id, since)
        _check_known(tx, since)
        memberships = _memberships(tx, user_id, since.position)
        found = stream_news(tx, sorted(memberships), after=since.position, upto=tx.log_position, limit=limit + 1)
        has_more, found = len(found) > limit, found[:limit]
        window = Window(since.position, found[-1].log_position or 0 if has_more else tx.log_position)
        by_room: dict[RoomID, list[StoredEvent]] = {}
        for stored in found:
            by_room.setdefault(stored.event.room_id, []).append(stored)
        roots = roots_at(tx, sorted(by_room), at=window.upto) if by_room else {}
        ignored = ignored_users(tx, user_id)
        shown: list[tuple[int, Any]] = []
        for room_id, one in memberships.items():
            if room_id in by_room:
                sight = self._sight(tx, one, roots.get(room_id, EMPTY_ROOT))
                shown += self._of_room(tx, viewer, one, sight, window, by_room[room_id], ignored)
            if one.membership != "join" and since.position < one.log_position <= window.upto:
                shown += self._from_elsewhere(tx, viewer, one, ignored)
        others = [
            *(
                {**typing_event(user for user in users if user not in ignored), "room_id": room}
                for room, users in typing
            ),
            *(presence_event(user, content, is_old=True) for user, content in presence if user not in ignored),
            *_receipts(tx, user_id, memberships, window, ignored),
            *_account_data(tx, user_id, window),
        ]
        end = SyncToken(window.upto, since.to_device, self._epoch, serial)
        return Chunk([*(event for _, event in sorted(shown, key=_position)), *others], end, has_more)

    def read_room(self, tx: Transaction, viewer: Viewer, since: SyncToken, limit: int, room_id: RoomID) -> Chunk:
        """The events of one room that the user may read, in it or not. Raises Forbidden; BadToken as `read` does."""
        _check_known(tx, since)
        access = self._readers.access(tx, room_id, viewer.user_id)
        found = stream_news(tx, [room_id], after=since.position, upto=tx.log_position, limit=limit + 1)
        has_more, found = len(found) > limit, found[:limit]
        window = Window(since.position, found[-1].log_position or 0 if has_more else tx.log_position)
        inside = [stored for stored in found if (stored.place or 0) <= access.upto_place]
        shown = self._rendered(tx, viewer, room_id, access.sight, window, inside, ignored_users(tx, viewer.user_id))
        end = SyncToken(window.upto, since.to_device, self._epoch, since.serial)
        return Chunk([event for _, event in shown], end, has_more)

    def _sight(self, tx: Transaction, one: Membership, root: bytes) -> Sight:
        """What the user sees of a room whose state is `root` now."""
        if one.membership == "join":
            return Sight(root, one.joined_place, EVERYWHERE)
        left = self._readers.departure(tx, one)
        return Sight((None if left is None else left.root) or root, None, None if left is None else left.place)

    def _of_room(
        self,
        tx: Transaction,
        viewer: Viewer,
        one: Membership,
        sight: Sight,
        window: Window,
        events: Sequence[StoredEvent],
        ignored: frozenset[str],
    ) -> list[tuple[int, Any]]:
        """Of these events of a room those that the user sees: none after being out of it. Each with its position."""
        if one.membership != "join":
            events = [stored for stored in events if (stored.log_position or 0) <= one.log_position]
            if _is_unwanted(tx, one, ignored):
                return []
        return self._rendered(tx, viewer, one.room_id, sight, window, events, ignored)

    def _from_elsewhere(
        self, tx: Transaction, viewer: Viewer, one: Membership, ignored: frozenset[str]
    ) -> list[tuple[int, Any]]:
        """How the user stands to a room that this server is not in: nothing else is known of it."""
        outside = from_elsewhere(tx, one)
        if outside is None or _is_unwanted(tx, one, ignored):
            return []
        [event] = self._formats.render(tx, [outside], viewer, with_room_id=True)
        return [(one.log_position, in_old_form(event, outside))]

    def _rendered(
        self,
        tx: Transaction,
        viewer: Viewer,
        room_id: RoomID,
        sight: Sight,
        window: Window,
        events: Sequence[StoredEvent],
        ignored: frozenset[str],
    ) -> list[tuple[int, Any]]:
        """Those events that the user sees, each with its log position."""
        question = TimelineQuestion(
            room_id=room_id,
            user_id=viewer.user_id,
            window=window,
            event_filter=DEFAULT_FILTER.room.timeline,
            ignored=ignored,
            joined_from=sight.joined_from,
            member_upto=sight.member_upto,
        )
        seen = self._timelines.shown(tx, question, events)
        stored = [one for one, _ in seen]
        memberships = {one.event.event_id: membership for one, membership in seen}
        rendered = self._formats.render(tx, stored, viewer, with_room_id=True, memberships=memberships, sight=sight)
        return [(one.log_position or 0, in_old_form(event, one)) for one, event in zip(stored, rendered, strict=True)]


def _check_known(tx: Transaction, since: SyncToken) -> None:
    if not sync_horizon(tx) <= since.position <= tx.log_position:
        raise BadToken(UNKNOWN_TOKEN)


def _memberships(tx: Transaction, user_id: UserID, after: int) -> dict[RoomID, Membership]:
    """Those in rooms that the user is in, and those that have changed since the token: forgotten since then, too."""
    moved = {change.room_id for change in changes_of_user(tx, user_id, after=after, upto=tx.log_position)}
    known = {one.room_id: one for one in rooms_of_user(tx, user_id) if one.membership == "join" or one.room_id in moved}
    return {**known, **memberships_of_user(tx, user_id, sorted(moved - known.keys()))}


def _is_unwanted(tx: Transaction, one: Membership, ignored: frozenset[str]) -> bool:
    """Whether it is an invite of which the user wants to hear nothing."""
    return one.membership == "invite" and (one.sender in ignored or invite_rules(tx, one.user_id).hides(one.sender))


def _position(shown: tuple[int, Any]) -> int:
    return shown[0]


# The specification describes events of rooms alone here, but those who still use this stream learn nowhere else of
# receipts, typing, presence and account data: they come as they always did, without sender and ID.


def _receipts(
    tx: Transaction,
    user_id: UserID,
    memberships: Mapping[RoomID, Membership],
    window: Window,
    ignored: frozenset[str],
) -> Iterator[Any]:
    joined = sorted(room_id for room_id, one in memberships.items() if one.membership == "join")
    by_room: dict[RoomID, list[Receipt]] = {}
    found = receipts_since(tx, joined, after=window.after or 0, upto=window.upto) if joined else []
    for receipt in found:
        by_room.setdefault(receipt.room_id, []).append(receipt)
    for room_id, receipts in by_room.items():
        event = receipt_event(receipts, user_id, ignored)
        if event is not None:
            yield {**event, "room_id": room_id}


def _account_data(tx: Transaction, user_id: UserID, window: Window) -> Iterator[Any]:
    for one in account_data_since(tx, user_id, after=window.after or 0, upto=window.upto):
        event = {"type": one.type, "content": orjson.Fragment(one.content)}
        yield event if one.room_id is None else {**event, "room_id": one.room_id}
