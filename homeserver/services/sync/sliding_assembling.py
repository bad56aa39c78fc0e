"""One answer of sliding sync, from one read of the database: which rooms are in sight, and what each is told of.

Spec: MSC4186. What was told before, and noting what is told now, is in sliding_connections.py.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.sliding_tokens import SlidingToken
from homeserver.services.errors import UnknownPosition
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.typing import Typing
from homeserver.services.sync.request import NotInMemory, Window
from homeserver.services.sync.room_listings import Listing
from homeserver.services.sync.sliding_connections import SlidingConnections
from homeserver.services.sync.sliding_extensions import ExtensionQuestion, SlidingExtensions
from homeserver.services.sync.sliding_lists import SlidingLists
from homeserver.services.sync.sliding_request import Heard, SlidingAnswer, SlidingRequest, View
from homeserver.services.sync.sliding_rooms import AnswerQuestion, RoomQuestion, RoomResult, SlidingRooms
from homeserver.services.sync.sliding_views import receipts_in_sight, said_in_sight
from homeserver.services.sync.unread import Unread, shown
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import MembershipChange, changes_of_user
from homeserver.storage.receipts import Receipt, receipts_since
from homeserver.storage.rooms import sync_horizon
from homeserver.storage.sliding_connections import SentRoom, SentRooms


@dataclass(frozen=True, slots=True)
class _Known:
    """What the client knows: of each room it was told of, up to which log position."""

    sent: SentRooms
    upto: Mapping[RoomID, int]

    @property
    def oldest(self) -> int | None:
        """Up to where it knows every room that it knows at all."""
        return min(self.upto.values(), default=None)


class SlidingAssembling:
    """Puts answers together."""

    def __init__(
        self,
        lists: SlidingLists,
        rooms: SlidingRooms,
        extensions: SlidingExtensions,
        unread: Unread,
        connections: SlidingConnections,
        typing: Typing,
        epoch: str,
    ) -> None:
        self._lists = lists
        self._rooms = rooms
        self._extensions = extensions
        self._unread = unread
        self._connections = connections
        self._typing = typing
        self._epoch = epoch
        self._answers = count(1)

    def typing_since(self, request: SlidingRequest) -> dict[RoomID, list[UserID]]:
        """Who types in the user's rooms, as far as the token does not know it."""
        since = request.since
        serial = since.serial if since is not None and since.epoch == self._epoch else 0
        if serial >= self._typing.serial:
            return {}
        return dict(self._typing.typing_since(request.viewer.user_id, serial))

    def read(
        self,
        tx: Transaction,
        request: SlidingRequest,
        sent: SentRooms | None,
        listing: Listing | None = None,
        heard: Heard | None = None,
    ) -> SlidingAnswer:
        """The answer to a client that was told what `sent` says, None: that is to be read.

        `listing` is what is known in memory of the user's rooms, `heard` of what was written since the request's
        position. Raises UnknownPosition.
        """
        since, user_id, upto = request.since, request.viewer.user_id, tx.log_position
        serial, answer = self._typing.serial, next(self._answers)
        typing = self.typing_since(request) if request.extensions.typing else {}
        horizon = sync_horizon(tx)
        if since is not None and not horizon <= since.position <= upto:
            raise UnknownPosition
        if sent is None:
            sent = self._connections.read(tx, request)
        known = _known(sent, since, horizon)
        if since is None:
            self._connections.begin_anew(tx, request, answer)
        ignored = ignored_users(tx, user_id)
        sight = self._lists.read(tx, request, listing, told=known.upto, ignored=ignored)
        changes: dict[RoomID, list[MembershipChange]] = {}
        if known.oldest is not None and sight.configs:
            for change in changes_of_user(tx, user_id, after=known.oldest, upto=upto):
                changes.setdefault(change.room_id, []).append(change)
        asked = AnswerQuestion(
            viewer=request.viewer,
            reader=self._connections.reader(request),
            answer=answer,
            live_after=None if since is None else since.position,
            upto=upto,
            ignored=ignored,
        )
        in_sight = _in_sight(sight, known, changes)
        receipts = _moved_receipts(tx, in_sight, upto)
        read_rooms = {receipt.room_id for receipt in receipts if receipt.user_id == user_id}
        due = [one for one in in_sight if one.known_upto is None or _has_news(one) or one.room.room_id in read_rooms]
        results = self._rooms.read(tx, asked, due)
        self._add_counts(tx, asked, in_sight, results)
        _add_direct(sight, results)
        live = {one.room.room_id for one in in_sight}
        told = _told(sent, since, in_sight, results)
        window = Window(None if since is None else since.position, upto)
        extensions = self._extensions.read(
            tx,
            request,
            ExtensionQuestion(
                window=window,
                by_list={name: live.intersection(rooms) for name, rooms in sight.by_list.items()},
                subscriptions=live.intersection(request.subscriptions),
                joined={one.room.room_id for one in in_sight if one.room.membership == "join"},
                live={one.room.room_id for one in in_sight if _is_live(one) and not one.is_initial},
                returned={
                    one.room.room_id: one.known_upto or 0
                    for one in in_sight
                    if not one.is_initial and not _is_live(one)
                },
                fresh={
                    one.room.room_id: results[one.room.room_id].event_ids
                    for one in in_sight
                    if one.is_initial and one.room.room_id in results
                },
                receipts=receipts,
                typing=typing,
                typing_anywhere=self._typing_anywhere(request, in_sight),
                ignored=ignored,
                changes=heard.changes if heard is not None and heard.upto == upto else None,
            ),
        )
        lists = {name: {"count": number} for name, number in sight.counts.items()}
        body: dict[str, Any] = {
            "lists": lists,
            "rooms": {
                room_id: self._in_lists(sight.by_list, result.shown, room_id) for room_id, result in results.items()
            },
            "extensions": extensions.shown,
        }
        connection, number = (0, 0) if since is None else (since.connection, since.number)
        token = SlidingToken(upto, connection, number, self._epoch, serial, answer)
        # Whoever left by themselves is told so once, and then the room is in no list any more.
        is_over = any(result.sent.upto is not None for result in results.values())
        # Messages for the device are told until it shows to have them, not until the next position.
        is_repeated = bool(extensions.shown.get("to_device", {}).get("events"))
        quiet = (
            None
            if is_over or is_repeated or sight.has_more
            else {"lists": lists, "rooms": {}, "extensions": extensions.quiet}
        )
        is_empty = not results and not extensions.has_news
        # Kept without the rooms that are not in sight.
        view = None if quiet is None else replace(sight, rooms={one.room.room_id: one.room for one in in_sight})
        return SlidingAnswer(body, token, told, live, is_empty, quiet, view)

    def from_memory(self, request: SlidingRequest, sent: SentRooms, view: View, heard: Heard) -> SlidingAnswer:
        """The answer to a client that has `view` in sight, when `heard` is all that was written for the user since.

        Raises NotInMemory or MissingNodes when more is needed than memory has.
        """
        since, user_id, ignored = request.since, request.viewer.user_id, view.ignored
        if since is None:
            raise NotInMemory
        serial, answer = self._typing.serial, next(self._answers)
        asked = AnswerQuestion(
            viewer=request.viewer,
            reader=self._connections.reader(request),
            answer=answer,
            live_after=since.position,
            upto=heard.upto,
            ignored=ignored,
        )
        said = said_in_sight(view, request.lists, sent, heard.changes)
        receipts = receipts_in_sight(view, heard.changes, user_id)
        rooms: dict[str, Any] = {}
        for room_id, one in said.items():
            counts = self._unread.from_memory(user_id, room_id, position=heard.upto, ignored=ignored)
            room = self._rooms.said(asked, one).shown | _flat(shown(counts, by_thread=False))
            if room_id in view.directs:
                room["is_dm"] = True
            rooms[room_id] = self._in_lists(view.by_list, room, room_id)
        extensions = self._extensions.read(
            None,
            request,
            ExtensionQuestion(
                window=Window(since.position, heard.upto),
                by_list={name: view.configs.keys() & listed for name, listed in view.by_list.items()},
                subscriptions=view.configs.keys() & request.subscriptions.keys(),
                joined={room_id for room_id in view.configs if view.rooms[room_id].membership == "join"},
                live=view.configs.keys(),
                returned={},
                fresh={},
                receipts=receipts,
                typing=self.typing_since(request) if request.extensions.typing else {},
                typing_anywhere={},
                ignored=ignored,
                changes=heard.changes,
            ),
        )
        lists = {name: {"count": number} for name, number in view.counts.items()}
        return SlidingAnswer(
            body={"lists": lists, "rooms": rooms, "extensions": extensions.shown},
            token=SlidingToken(heard.upto, since.connection, since.number, self._epoch, serial, answer),
            told={},
            relevant=view.configs.keys(),
            is_empty=not rooms and not extensions.has_news,
            quiet={"lists": lists, "rooms": {}, "extensions": extensions.quiet},
            view=view.with_rooms({room_id: one.room for room_id, one in said.items()}) if said else view,
        )

    def _typing_anywhere(
        self, request: SlidingRequest, in_sight: Collection[RoomQuestion]
    ) -> dict[RoomID, list[UserID]]:
        """Who types in the user's rooms, if some have come into sight."""
        if request.extensions.typing is None or all(_is_live(one) and not one.is_initial for one in in_sight):
            return {}
        return dict(self._typing.typing_since(request.viewer.user_id, 0))

    @staticmethod
    def _in_lists(by_list: Mapping[str, Collection[RoomID]], room: dict[str, Any], room_id: RoomID) -> dict[str, Any]:
        lists = [name for name, rooms in by_list.items() if room_id in rooms]
        return {**room, "lists": lists} if lists else room

    def _add_counts(
        self,
        tx: Transaction,
        asked: AnswerQuestion,
        in_sight: Collection[RoomQuestion],
        results: Mapping[RoomID, RoomResult],
    ) -> None:
        """Add how much is unread."""
        joined = [one.room.room_id for one in in_sight if one.room.membership == "join" and one.room.room_id in results]
        counts = {}
        if joined:
            user_id, ignored = asked.viewer.user_id, frozenset(asked.ignored)
            counts = self._unread.read(tx, user_id, joined, position=asked.upto, ignored=ignored)
        for room_id, result in results.items():
            result.shown |= _flat(shown(counts.get(room_id, {}), by_thread=False))


def _known(sent: SentRooms, since: SlidingToken | None, horizon: int) -> _Known:
    """What the client knows, but what is too old to be told from."""
    if since is None:
        return _Known({}, {})
    upto = {room_id: since.position if room.upto is None else room.upto for room_id, room in sent.items()}
    recent = {room_id: position for room_id, position in upto.items() if position >= horizon}
    return _Known({room_id: sent[room_id] for room_id in recent}, recent)


def _in_sight(sight: View, known: _Known, changes: Mapping[RoomID, list[MembershipChange]]) -> list[RoomQuestion]:
    """The rooms in sight, each with what the client knows of it."""
    found: list[RoomQuestion] = []
    for room_id, config in sight.configs.items():
        room, upto = sight.rooms[room_id], known.upto.get(room_id)
        steps = [change for change in changes.get(room_id, ()) if upto is not None and change.log_position > upto]
        known_as = None if upto is None else (steps[0].before if steps else room.membership)
        found.append(RoomQuestion(room, config, upto, known_as, known.sent.get(room_id)))
    return found


def _has_news(one: RoomQuestion) -> bool:
    """Whether there is something to tell of a room that the client knows."""
    room, known_upto = one.room, one.known_upto or 0
    if room.log_position > known_upto:
        return True
    if room.membership != "join":
        return False
    if one.is_initial or one.is_expanded or room.active_position > known_upto:
        return True
    return one.sent is not None and not one.sent.required_state.covers(one.config.required_state)


def _is_live(one: RoomQuestion) -> bool:
    return one.sent is not None and one.sent.upto is None


def _moved_receipts(tx: Transaction, in_sight: Collection[RoomQuestion], upto: int) -> list[Receipt]:
    """What moved in the rooms that the client knows, since it does."""
    since: dict[int, list[RoomID]] = {}
    for one in in_sight:
        if one.known_upto is not None and not one.is_initial and one.room.membership == "join":
            since.setdefault(one.known_upto, []).append(one.room.room_id)
    return [
        receipt
        for after, room_ids in since.items()
        if after < upto
        for receipt in receipts_since(tx, room_ids, after=after, upto=upto)
    ]


def _told(
    sent: SentRooms,
    since: SlidingToken | None,
    in_sight: Collection[RoomQuestion],
    results: Mapping[RoomID, RoomResult],
) -> dict[RoomID, SentRoom]:
    """What is to be noted: of each room that is told of otherwise than before, how."""
    now: dict[RoomID, SentRoom] = {}
    for one in in_sight:
        room_id = one.room.room_id
        if room_id in results:
            now[room_id] = results[room_id].sent
        elif one.sent is not None:
            now[room_id] = replace(one.sent, upto=None)
    for room_id, room in sent.items():
        if room_id not in now and room.upto is None and since is not None:
            now[room_id] = replace(room, upto=since.position)  # out of sight: what happens is not told any more
    return {room_id: room for room_id, room in now.items() if sent.get(room_id) != room}


def _add_direct(sight: View, results: Mapping[RoomID, RoomResult]) -> None:
    """Say of rooms whether somebody is talked to in them."""
    for room_id, result in results.items():
        if room_id in sight.directs:
            result.shown["is_dm"] = True


def _flat(counts: Mapping[str, object]) -> dict[str, Any]:
    found = counts["unread_notifications"]
    return dict(found) if isinstance(found, dict) else {}
