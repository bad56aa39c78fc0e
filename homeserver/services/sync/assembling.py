"""From what happened since a token to a whole /sync response: each section from its own file.

`from_memory` answers from changes that services/events/news.py still holds, and raises NotInMemory or MissingNodes
when they don't suffice; `read` asks the database in one transaction. Both use the same sections.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import rule_set, rule_set_to_json
from homeserver.core.state_map import EMPTY_ROOT
from homeserver.core.sync_tokens import SyncToken
from homeserver.services.events.news import AccountDataWritten, Change, ReceiptWritten, RoomWritten
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.typing import Typing
from homeserver.services.sync.device_parts import DeviceParts
from homeserver.services.sync.memory import SyncMemory
from homeserver.services.sync.request import Answer, NotInMemory, SyncRequest, Window
from homeserver.services.sync.rooms import RoomPart, SyncRooms
from homeserver.services.sync.summaries import Summary, read_summary
from homeserver.storage.account_data import AccountData, account_data_since, all_account_data, find_account_data
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, rooms_with_news
from homeserver.storage.memberships import (
    Membership,
    MembershipChange,
    changes_of_rooms,
    changes_of_user,
    rooms_of_user,
)
from homeserver.storage.push_rules import find_rule_changes, have_rules_changed
from homeserver.storage.receipts import Receipt, receipts_of_rooms, receipts_since
from homeserver.storage.rooms import roots_at, sync_horizon

PUSH_RULES: Final = "m.push_rules"
IGNORED_USERS: Final = "m.ignored_user_list"
NOBODY: Final[frozenset[str]] = frozenset()
TypingNow = Mapping[RoomID, Sequence[UserID]]


class SyncAssembling:
    """Puts answers together."""

    def __init__(
        self, rooms: SyncRooms, devices: DeviceParts, states: RoomStates, memory: SyncMemory, typing: Typing, epoch: str
    ) -> None:
        self._rooms = rooms
        self._devices = devices
        self._states = states
        self._memory = memory
        self._typing = typing
        self._epoch = epoch

    def typing_since(self, request: SyncRequest) -> TypingNow:
        """Who types in the user's rooms, as far as the token does not know it."""
        since = request.since
        serial = since.serial if since is not None and since.epoch == self._epoch else 0
        if serial >= self._typing.serial:
            return {}
        return dict(self._typing.typing_since(request.viewer.user_id, serial))

    def from_memory(self, request: SyncRequest, since: SyncToken, changes: Sequence[Change], position: int) -> Answer:
        """The answer when `changes` are all that concerns the user after `since`, up to `position`."""
        window = Window(since.position, position)
        user_id = request.viewer.user_id
        serial, typing = self._typing.serial, self.typing_since(request)
        ignored = self._memory.ignored.get(user_id)
        if ignored is None or request.full_state:
            raise NotInMemory
        by_room: dict[RoomID, list[Change]] = {room_id: [] for room_id in typing}
        for change in changes:
            if isinstance(change, AccountDataWritten):
                raise NotInMemory
            if isinstance(change, RoomWritten):
                if change.memberships:
                    raise NotInMemory
                by_room.setdefault(change.room_id, []).append(change)
            elif isinstance(change, ReceiptWritten):
                if change.user_id == user_id:
                    raise NotInMemory  # the counts go down
                by_room.setdefault(change.room_id, []).append(change)
        to_device = self._devices.to_device(None, request, window, changes)
        joined: dict[RoomID, Any] = {}
        for room_id, in_room in by_room.items():
            part = self._part_from_memory(room_id, in_room, window, typing.get(room_id), ignored)
            if request.filter.room.allows_room(room_id):
                section = self._rooms.joined(None, request, part)
                if section is not None:
                    joined[room_id] = section
        token = SyncToken(position, to_device.upto, self._epoch, serial)
        body: dict[str, Any] = {"next_batch": str(token)}
        if joined:
            body["rooms"] = {"join": joined}
        device_lists = self._devices.device_lists(None, request, window, changes)
        if device_lists is not None:
            body["device_lists"] = device_lists
        is_empty = len(body) == 1
        body |= self._devices.key_counts(None, request, changes)
        return Answer(body, token, is_empty)

    def read(self, tx: Transaction, request: SyncRequest) -> Answer:
        """The answer as the database has it."""
        serial, typing = self._typing.serial, self.typing_since(request)
        if request.since is not None and request.since.position < sync_horizon(tx):
            request = replace(request, since=None)
        since = request.since
        upto = tx.log_position
        window = Window(None if since is None else since.position, upto)
        body: dict[str, Any] = {}
        rooms = _ReadRooms(self, tx, request, window, typing).sections()
        if rooms:
            body["rooms"] = rooms
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

    def ignored_users(self, tx: Transaction, user_id: UserID) -> frozenset[str]:
        """Whose messages and invites the user does not want to see."""
        content = find_account_data(tx, user_id, None, IGNORED_USERS)
        listed = orjson.loads(content).get("ignored_users") if content is not None else None
        ignored = frozenset(listed) if isinstance(listed, dict) else NOBODY
        tx.after_commit(lambda: self._memory.ignored.put(user_id, ignored))
        return ignored

    def joined_section(self, tx: Transaction, request: SyncRequest, part: RoomPart) -> dict[str, Any] | None:
        """See SyncRooms.joined."""
        return self._rooms.joined(tx, request, part)

    def left_section(self, tx: Transaction, request: SyncRequest, part: RoomPart) -> dict[str, Any]:
        """See SyncRooms.left."""
        return self._rooms.left(tx, request, part)

    @property
    def states(self) -> RoomStates:
        """Where states of rooms are read."""
        return self._states

    @staticmethod
    def _part_from_memory(
        room_id: RoomID,
        changes: Sequence[Change],
        window: Window,
        typing: Sequence[UserID] | None,
        ignored: frozenset[str],
    ) -> RoomPart:
        written = [change for change in changes if isinstance(change, RoomWritten)]
        nowhere = EMPTY_ROOT  # no events: neither root is looked at
        return RoomPart(
            room_id=room_id,
            window=window,
            before=written[0].root_before if written else nowhere,
            after=written[-1].root_after if written else nowhere,
            joined_throughout=True,
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


class _ReadRooms:
    """The rooms of one answer that is read from the database."""

    def __init__(
        self, assembling: SyncAssembling, tx: Transaction, request: SyncRequest, window: Window, typing: TypingNow
    ) -> None:
        self._assembling = assembling
        self._tx = tx
        self._request = request
        self._window = window
        self._typing = typing
        self._user_id = request.viewer.user_id
        self._ignored = assembling.ignored_users(tx, self._user_id)
        allows_room = request.filter.room.allows_room
        memberships = (one for one in rooms_of_user(tx, self._user_id) if allows_room(one.room_id))
        self._memberships = {one.room_id: one for one in memberships}
        self._changes: dict[RoomID, list[MembershipChange]] = {}
        self._moved: set[RoomID] = set()  # rooms whose members changed
        if window.after is not None:
            for change in changes_of_user(tx, self._user_id, after=window.after, upto=window.upto):
                self._changes.setdefault(change.room_id, []).append(change)

    def sections(self) -> dict[str, dict[RoomID, Any]]:
        """`rooms` of the response; sections without a room are left out."""
        sections: dict[str, dict[RoomID, Any]] = {
            "join": self._joined(),
            "invite": self._stripped("invite"),
            "knock": self._stripped("knock"),
            "leave": self._left(),
        }
        return {name: rooms for name, rooms in sections.items() if rooms}

    def _joined(self) -> dict[RoomID, Any]:
        tx, window, request = self._tx, self._window, self._request
        joined = {room_id: one for room_id, one in self._memberships.items() if one.membership == "join"}
        fresh = [room_id for room_id in joined if self._is_new(room_id)]
        going_on = [room_id for room_id in joined if not self._is_new(room_id)]
        account_data = self._room_account_data(fresh)
        receipts = self._receipts(fresh, going_on)
        with_news: set[RoomID] = set()
        if window.after is not None:
            with_news = rooms_with_news(tx, going_on, after=window.after, upto=window.upto)
            moves = changes_of_rooms(tx, sorted(with_news), after=window.after, upto=window.upto)
            self._moved = {change.room_id for change in moves}
        befores = roots_at(tx, sorted(with_news), at=window.after or 0) if with_news else {}
        rooted = sorted(joined if request.full_state else {*fresh, *with_news})
        roots = roots_at(tx, rooted, at=window.upto)
        shown: dict[RoomID, Any] = {}
        for room_id in (*fresh, *going_on):
            is_fresh = room_id in fresh or request.full_state
            touched = room_id in receipts or room_id in account_data or room_id in self._typing
            if not is_fresh and room_id not in with_news and not touched:
                continue
            nothing_new = room_id not in rooted
            part = RoomPart(
                room_id=room_id,
                window=Window(None if room_id in fresh else window.after, window.upto),
                before=None if is_fresh else befores.get(room_id, EMPTY_ROOT),
                after=EMPTY_ROOT if nothing_new else roots[room_id],
                joined_throughout=room_id not in fresh and room_id not in self._changes,
                events=() if nothing_new else None,
                receipts=receipts.get(room_id, ()),
                typing=self._typing.get(room_id),
                account_data=account_data.get(room_id, ()),
                summary=None if nothing_new else self._summary(room_id, roots[room_id], is_fresh=is_fresh),
                ignored=self._ignored,
            )
            section = self._assembling.joined_section(tx, request, part)
            if section is not None:
                shown[room_id] = section
        return shown

    def _is_new(self, room_id: RoomID) -> bool:
        """Whether the client does not know the room as joined."""
        if self._window.after is None:
            return True
        changes = self._changes.get(room_id)
        return changes is not None and changes[0].before != "join"

    def _summary(self, room_id: RoomID, root: bytes, *, is_fresh: bool) -> Summary | None:
        """The room's summary, when it may have changed."""
        if not is_fresh and room_id not in self._moved:
            return None
        return read_summary(self._tx, self._assembling.states, room_id, root, self._user_id)

    def _stripped(self, membership: str) -> dict[RoomID, Any]:
        """Rooms to which the user was invited, or on whose door the user knocked, since the token."""
        after = -1 if self._window.after is None else self._window.after
        return {
            one.room_id: {f"{membership}_state": {"events": orjson.Fragment(one.stripped_state or b"[]")}}
            for one in self._memberships.values()
            if one.membership == membership and one.log_position > after and one.sender not in self._ignored
        }

    def _left(self) -> dict[RoomID, Any]:
        """Rooms that the user left, or was removed from, since the token."""
        tx, request, window = self._tx, self._request, self._window
        include_all = window.after is None and request.filter.room.include_leave
        gone = [
            one
            for one in self._memberships.values()
            if one.membership in ("leave", "ban") and (include_all or self._left_now(one))
        ]
        befores = roots_at(tx, [one.room_id for one in gone], at=window.after) if window.after is not None else {}
        sections: dict[RoomID, Any] = {}
        for one in gone:
            departure = self._assembling.states.load(tx, [one.event_id]).get(one.event_id)
            if departure is None or departure.root is None:
                continue
            was_joined = self._was_joined(one.room_id, departure)
            part = RoomPart(
                room_id=one.room_id,
                window=Window(window.after, departure.log_position or window.upto),
                before=befores.get(one.room_id, EMPTY_ROOT) if was_joined else departure.root,
                after=departure.root,
                joined_throughout=False,
                is_member=was_joined,
                ignored=self._ignored,
            )
            sections[one.room_id] = self._assembling.left_section(tx, request, part)
        return sections

    def _left_now(self, membership: Membership) -> bool:
        changes = self._changes.get(membership.room_id)
        # One who was banned while out of the room, or whose ban was lifted, is told as well.
        return changes is not None and changes[-1].membership in ("leave", "ban")

    def _was_joined(self, room_id: RoomID, departure: StoredEvent) -> bool:
        changes = self._changes.get(room_id, ())
        if any(change.before == "join" for change in changes):
            return True
        key = ("m.room.member", departure.event.state_key or "")
        root = departure.root_before
        state = {} if root is None else self._assembling.states.select(self._tx, room_id, root, (key,))
        return key in state and state[key].content.get("membership") == "join"

    def _receipts(self, fresh: Sequence[RoomID], going_on: Sequence[RoomID]) -> dict[RoomID, list[Receipt]]:
        window = self._window
        found = receipts_of_rooms(self._tx, fresh, upto=window.upto) if fresh else []
        if going_on and window.after is not None:
            found = [*found, *receipts_since(self._tx, going_on, after=window.after, upto=window.upto)]
        by_room: dict[RoomID, list[Receipt]] = {}
        for receipt in found:
            by_room.setdefault(receipt.room_id, []).append(receipt)
        return by_room

    def _room_account_data(self, fresh: Sequence[RoomID]) -> dict[RoomID, list[AccountData]]:
        window = self._window
        found: list[AccountData] = []
        if window.after is not None:
            found += account_data_since(self._tx, self._user_id, after=window.after, upto=window.upto)
        if fresh:
            known = frozenset(fresh)
            found = [one for one in found if one.room_id not in known]
            found += [one for one in all_account_data(self._tx, self._user_id) if one.room_id in known]
        by_room: dict[RoomID, list[AccountData]] = {}
        for one in found:
            if one.room_id is not None:
                by_room.setdefault(one.room_id, []).append(one)
        return by_room
