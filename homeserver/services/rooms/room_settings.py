"""What users set for a room (tags, account data, push rules, the mark as a direct chat), repeated for its replacement.

Spec: client-server-api/#room-upgrades. How rooms are replaced is in upgrades.py.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import copied_to_room
from homeserver.services.events.news import AccountDataWritten, News
from homeserver.services.push.rules import PushRules
from homeserver.storage.account_data import AccountData, account_data_usage, swap_account_data
from homeserver.storage.database import Transaction
from homeserver.storage.push_rules import rule_changes_of
from homeserver.storage.room_upgrades import account_data_in_rooms, global_account_data

DIRECT: Final = "m.direct"
MOST_DIRECT_BYTES: Final = 128 * 1024  # larger than any that is not meant to be
# How far the old room was read is no setting.
NOT_REPEATED: Final = frozenset({"m.fully_read", "m.marked_unread", "com.famedly.marked_unread"})


class RoomSettings:
    """Repeats settings."""

    def __init__(self, push_rules: PushRules, news: News) -> None:
        self._push_rules = push_rules
        self._news = news

    def repeat(self, tx: Transaction, user_ids: Sequence[UserID], old_room: RoomID, new_room: RoomID) -> None:
        """Give these users' settings for one room to another, but for those that it has already."""
        if not user_ids:
            return
        for user_id in sorted(rule_changes_of(tx, user_ids)):
            edit = partial(copied_to_room, old_room_id=old_room, new_room_id=new_room)
            self._push_rules.edit(tx, user_id, edit)
        self._repeat_account_data(tx, user_ids, old_room, new_room)
        for owned in global_account_data(tx, user_ids, DIRECT):
            content = _with_room(owned.data.content, old_room, new_room)
            if content is not None and len(content) <= MOST_DIRECT_BYTES:
                self._put(tx, owned.user_id, AccountData(None, DIRECT, content), seen=owned.log_position)

    def _repeat_account_data(
        self, tx: Transaction, user_ids: Sequence[UserID], old_room: RoomID, new_room: RoomID
    ) -> None:
        kept: dict[UserID, list[AccountData]] = defaultdict(list)
        there: set[tuple[UserID, str]] = set()
        for owned in account_data_in_rooms(tx, user_ids, (old_room, new_room)):
            if owned.data.room_id == new_room:
                there.add((owned.user_id, owned.data.type))
            elif owned.data.type not in NOT_REPEATED:
                kept[owned.user_id].append(owned.data)
        for user_id, pieces in kept.items():
            new = [AccountData(new_room, one.type, one.content) for one in pieces if (user_id, one.type) not in there]
            usage = account_data_usage(tx, user_id)
            # All or nothing: what a user keeps for one room is small, unless somebody wants it to be large.
            if new and usage.may_grow(len(new), sum(len(one.content) for one in new)):
                for data in new:
                    self._put(tx, user_id, data, seen=None)

    def _put(self, tx: Transaction, user_id: UserID, data: AccountData, *, seen: int | None) -> None:
        tx.at_position(("account_data",), partial(self._store, user_id=user_id, data=data, seen=seen))

    def _store(self, tx: Transaction, position: int, *, user_id: UserID, data: AccountData, seen: int | None) -> None:
        swap_account_data(tx, user_id, data, seen=seen, log_position=position)
        written = AccountDataWritten(position, user_id, data.room_id, data.type)
        tx.after_commit(lambda: self._news.publish(written, (user_id,)))


def _with_room(content: bytes, old_room: RoomID, new_room: RoomID) -> bytes | None:
    """An m.direct in which the new room stands wherever the old one does; None when nothing changes."""
    rooms_of: Any = orjson.loads(content)  # Any: JSON of the client's own
    if not isinstance(rooms_of, dict):
        return None
    changed = {
        user_id: [*rooms, new_room]
        for user_id, rooms in rooms_of.items()
        if isinstance(rooms, list) and old_room in rooms and new_room not in rooms
    }
    return orjson.dumps({**rooms_of, **changed}) if changed else None
