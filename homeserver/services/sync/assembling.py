"""From what happened since a token to a whole /sync response: each section from its own file.

`from_memory` answers from changes that services/events/news.py still holds, and raises NotInMemory or MissingNodes
when they don't suffice; `read` asks the database in one transaction. Both use the same sections.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import rule_set, rule_set_to_json
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.news import AccountDataWritten, Change, ReceiptWritten, RoomBecameWhole, RoomWritten
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.presence import Presence
from homeserver.services.rooms.typing import Typing
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.ephemeral import presence_event
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.request import Answer, NotInMemory, SyncRequest, Window
from homeserver.services.sync.room_lists import RoomLists, TypingNow
from homeserver.services.sync.rooms import RoomPart, SyncRooms
from homeserver.services.sync.summaries import NAMING_TYPES
from homeserver.storage.account_data import account_data_since, all_account_data
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import MembershipChange
from homeserver.storage.push_rules import find_rule_changes, have_rules_changed
from homeserver.storage.rooms import sync_horizon

PresenceNow = Sequence[tuple[UserID, dict[str, Any]]]

PRESENCE: Final = "m.presence"
PUSH_RULES: Final = "m.push_rules"
OLDEST: Final = -(2**62)  # before any place of any room
NEWEST: Final = 2**62  # after any place of any room


class SyncAssembling:
    """Puts answers together."""

    def __init__(
        self,
        rooms: SyncRooms,
        room_lists: RoomLists,
        devices: DeviceParts,
        memory: SyncMemory,
        typing: Typing,
        presence: Presence,
        partial_rooms: PartialRooms,
        epoch: str,
    ) -> None:
        self._rooms = rooms
        self._room_lists = room_lists
        self._devices = devices
        self._memory = memory
        self._typing = typing
        self._presence = presence
        self._partial_rooms = partial_rooms
        self._epoch = epoch

    def typing_since(self, request: SyncRequest) -> TypingNow:
        """Who types in the user's rooms, as far as the token does not know it."""
        since = request.since
        serial = self._serial(since)
        if serial >= self._typing.serial:
            return {}
        return dict(self._typing.typing_since(request.viewer.user_id, serial))

    def presence_since(self, request: SyncRequest) -> PresenceNow:
        """The presence that the user is to be told of, as far as the token does not know it and the filter wants it."""
        wanted = request.filter.presence
        serial = self._serial(request.since)
        if serial >= self._typing.serial or wanted.limit == 0:
            return []
        found = self._presence.presence_since(request.viewer.user_id, serial)
        if wanted.is_default:
            return found
        return [one for one in found if wanted.matches(event_type=PRESENCE, sender=one[0])]

    def near(self, tx: Transaction, user_id: UserID) -> list[UserID]:
        """Whose presence concerns a user, without those whom the user ignores."""
        ignored = ignored_users(tx, user_id)
        return [other for other in self._presence.near(tx, user_id) if other not in ignored]

    def presence_of(self, request: SyncRequest, user_ids: Iterable[UserID]) -> list[dict[str, Any]]:
        """Events that say how present each of these users is now. On the reactor thread."""
        return _presence_events(request, self._presence.true_of(user_ids), ())

    def from_memory(self, request: SyncRequest, since: SyncToken, changes: Sequence[Change], position: int) -> Answer:
        """The answer when `changes` are all that concerns the user after `since`, up to `position`."""
        window = Window(since.position, position)
        user_id = request.viewer.user_id
        serial, typing, presence = self._typing.serial, self.typing_since(request), self.presence_since(request)
        ignored = self._memory.ignored.get(user_id)
        if ignored is None or request.full_state:
            raise NotInMemory
        by_room: dict[RoomID, list[Change]] = {room_id: [] for room_id in typing}
        for change in changes:
            if isinstance(change, AccountDataWritten | RoomBecameWhole):
                raise NotInMemory
            if isinstance(change, RoomWritten):
                if any(map(_is_move, change.memberships)) or any(map(_needs_database, change.events)):
                    raise NotInMemory
                by_room.setdefault(change.room_id, []).append(change)
            elif isinstance(change, ReceiptWritten):
                if change.user_id == user_id:
                    raise NotInMemory  # the counts go down
                by_room.setdefault(change.room_id, []).append(change)
        to_device = self._devices.to_device(None, request, window, changes)
        joined: dict[RoomID, Any] = {}
        is_lazy = request.filter.room.state.lazy_load_members
        for room_id, in_room in by_room.items():
            if not is_lazy and room_id in self._partial_rooms:
                continue  # see room_lists.py
            part = self._part_from_memory(room_id, in_room, window, typing.get(room_id), ignored.value)
            if request.filter.room.allows_room(room_id):
                section = self._rooms.joined(None, request, part)
                if section is not None:
                    joined[room_id] = section
        token = SyncToken(position, to_device.upto, self._epoch, serial)
        body: dict[str, Any] = {"next_batch": str(token)}
        if joined:
            body["rooms"] = {"join": joined}
        shown = _presence_events(request, presence, ignored.value)
        if shown:
            body["presence"] = {"events": shown}
        device_lists = self._devices.device_lists(None, request, window, changes)
        if device_lists is not None:
            body["device_lists"] = device_lists
        is_empty = len(body) == 1
        body |= self._devices.key_counts(None, request, changes)
        return Answer(body, token, is_empty)

    def read(self, tx: Transaction, request: SyncRequest) -> Answer:
        """The answer as the database has it."""
        serial, typing, presence = self._typing.serial, self.typing_since(request), self.presence_since(request)
        upto, since = tx.log_position, request.since
        if since is not None and not sync_horizon(tx) <= since.position <= upto:
            # Too old, or of another database, or of one that was restored from a backup: begin anew.
            request = replace(request, since=None)
            since = None
        if since is None and request.viewer.device_id is not None:
            device = (request.viewer.user_id, request.viewer.device_id)
            tx.after_commit(lambda: self._memory.sent_members.begin_anew(device, upto))
        window = Window(None if since is None else since.position, upto)
        body: dict[str, Any] = {}
        rooms = self._room_lists.sections(tx, request, window, typing)
        if rooms:
            body["rooms"] = rooms
        if presence:
            shown = _presence_events(request, presence, ignored_users(tx, request.viewer.user_id))
            if shown:
                body["presence"] = {"events": shown}
        account_data = self._account_data(tx, request, window)
        if account_data:
            body["account_data"] = {"events": account_data}
        to_device = self._devices.to_device(tx, request, window)
        if to_device.events:
            body["to_device"] = {"events": to_device.events}
        device_lists = self._devices.device_lists(tx, request, window)
        if device_lists is not None:
            body["device_lists"] = device_lists
        is_empty = not body
        token = SyncToken(upto, to_device.upto, self._epoch, serial)
        body["next_batch"] = str(token)
        body |= self._devices.key_counts(tx, request)
        return Answer(body, token, is_empty)

    def _serial(self, since: SyncToken | None) -> int:
        return since.serial if since is not None and since.epoch == self._epoch else 0

    @staticmethod
    def _part_from_memory(
        room_id: RoomID,
        changes: Sequence[Change],
        window: Window,
        typing: Sequence[UserID] | None,
        ignored: frozenset[str],
    ) -> RoomPart:
        written = [change for change in changes if isinstance(change, RoomWritten)]
        nowhere = EMPTY_ROOT  # no events: neither state is looked at
        return RoomPart(
            room_id=room_id,
            window=window,
            position=window.upto,
            before=written[0].root_before if written else nowhere,
            after=written[-1].root_after if written else nowhere,
            joined_from=OLDEST,
            member_upto=NEWEST,
            events=[stored for change in written for stored in change.events],
            written=written,
            receipts=[change for change in changes if isinstance(change, ReceiptWritten)],
            typing=typing,
            ignored=ignored,
        )

    @staticmethod
    def _account_data(tx: Transaction, request: SyncRequest, window: Window) -> list[dict[str, Any]]:
        user_id = request.viewer.user_id
        if window.after is None:
            found, with_rules = all_account_data(tx, user_id), True
        else:
            found = account_data_since(tx, user_id, after=window.after, upto=window.upto)
            with_rules = have_rules_changed(tx, user_id, after=window.after, upto=window.upto)
        events: list[dict[str, Any]] = [
            {"type": one.type, "content": orjson.Fragment(one.content)} for one in found if one.room_id is None
        ]
        if with_rules:
            rules = rule_set_to_json(rule_set(find_rule_changes(tx, user_id)), user_id)
            events.append({"type": PUSH_RULES, "content": {"global": rules}})
        wanted = request.filter.account_data
        return [event for event in events if wanted.is_default or wanted.matches(event_type=event["type"], sender="")]


def _presence_events(request: SyncRequest, presence: PresenceNow, ignored: Container[str]) -> list[dict[str, Any]]:
    limit = request.filter.presence.limit
    told = (
        presence_event(user_id, content, is_old=request.is_old)
        for user_id, content in presence
        if user_id not in ignored
    )
    return list(islice(told, limit))


def _is_move(change: MembershipChange) -> bool:
    """Somebody came or went; otherwise only how a member is shown changed."""
    return change.before != change.membership


def _needs_database(stored: StoredEvent) -> bool:
    """A redaction changes events that were told of before it, and counts; a name, whom a room's summary names."""
    event = stored.event
    return event.redacts is not None or (event.state_key is not None and event.type in NAMING_TYPES)
