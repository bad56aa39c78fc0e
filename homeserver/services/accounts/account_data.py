"""What users keep on the server for themselves: account data, globally and per room, and the tags of rooms.

Spec: client-server-api/#client-config, #room-tagging. How push rules are edited: services/push/rules.py; the read
marker: services/rooms/receipts.py.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.push_rules import rule_set, rule_set_to_json
from homeserver.services.errors import Forbidden, InvalidParameter, KeptByServer, NotFound, TooLarge
from homeserver.services.events.news import AccountDataWritten, News
from homeserver.storage.account_data import (
    AccountData,
    account_data_usage,
    find_account_data,
    find_versioned,
    store_account_data,
    swap_account_data,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.push_rules import find_rule_changes

PUSH_RULES: Final = "m.push_rules"
TAGS: Final = "m.tag"
KEPT_BY_SERVER: Final = frozenset({"m.fully_read", PUSH_RULES})

MAX_CONTENT_BYTES: Final = 256 * 1024
MAX_TYPE_BYTES: Final = 255
MAX_TAG_BYTES: Final = 255
MAX_TAG_CONTENT_BYTES: Final = 4 * 1024
MOST_TAGS: Final = 100  # in one room

JsonMap = Mapping[str, Any]  # Any: JSON of the client's own


class AccountDataKeeping:
    """Keeps account data and tags. `requester` asks; what is not the requester's own is forbidden."""

    def __init__(self, database: Database, news: News) -> None:
        self._database = database
        self._news = news

    async def find(self, requester: UserID, user_id: UserID, room_id: RoomID | None, data_type: str) -> bytes:
        """The JSON of a piece of account data, of a room or (None) global. Raises Forbidden, NotFound."""
        _check_own(requester, user_id)
        content = await self._database.read(self._find, user_id, room_id, data_type)
        if content is None:
            raise NotFound("There is no account data of this type")
        return content

    async def put(
        self, requester: UserID, user_id: UserID, room_id: RoomID | None, data_type: str, content: JsonMap
    ) -> None:
        """Put account data in place of that of its type. Raises Forbidden, KeptByServer, TooLarge."""
        _check_own(requester, user_id)
        if data_type in KEPT_BY_SERVER:
            raise KeptByServer(f"{data_type} cannot be set as account data")
        if len(data_type.encode()) > MAX_TYPE_BYTES:
            raise InvalidParameter(f"A type is at most {MAX_TYPE_BYTES} bytes long")
        data = AccountData(room_id, data_type, _dumped(content, MAX_CONTENT_BYTES))
        await self._database.write(self._put, user_id, data)

    async def tags(self, requester: UserID, user_id: UserID, room_id: RoomID) -> dict[str, Any]:
        """The user's tags of a room, each with what the client said of it. Any: JSON. Raises Forbidden."""
        _check_own(requester, user_id)
        return _tags_in(await self._database.read(find_account_data, user_id, room_id, TAGS))

    async def put_tag(self, requester: UserID, user_id: UserID, room_id: RoomID, tag: str, content: JsonMap) -> None:
        """Tag a room. Raises Forbidden, InvalidParameter, TooLarge."""
        _check_own(requester, user_id)
        if len(tag.encode()) > MAX_TAG_BYTES:
            raise InvalidParameter(f"A tag is at most {MAX_TAG_BYTES} bytes long")
        kept = {name: value for name, value in content.items() if name != "order" or value is not None}
        order = kept.get("order", 0)
        if type(order) not in (int, float) or not 0 <= order <= 1:
            raise InvalidParameter("The order of a tag is a number from 0 to 1")
        _dumped(kept, MAX_TAG_CONTENT_BYTES)
        await self._database.write(self._put_tag, user_id, room_id, tag, kept)

    async def delete_tag(self, requester: UserID, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """Take a tag from a room, if it has it. Raises Forbidden."""
        _check_own(requester, user_id)
        await self._database.write(self._put_tag, user_id, room_id, tag, None)

    def tag_within(self, tx: Transaction, user_id: UserID, room_id: RoomID, tag: str) -> None:
        """Tag a room for a user, within a write of the caller. Raises TooLarge."""
        self._put_tag(tx, user_id, room_id, tag, {})

    @staticmethod
    def _find(tx: Transaction, user_id: UserID, room_id: RoomID | None, data_type: str) -> bytes | None:
        if room_id is None and data_type == PUSH_RULES:
            rules = rule_set(find_rule_changes(tx, user_id))
            return orjson.dumps({"global": rule_set_to_json(rules, user_id)})
        return find_account_data(tx, user_id, room_id, data_type)

    def _put(self, tx: Transaction, user_id: UserID, data: AccountData) -> None:
        _check_usage(tx, user_id, data, find_account_data(tx, user_id, data.room_id, data.type))
        tx.at_position(("account_data",), partial(self._store, user_id=user_id, data=data))

    def _put_tag(self, tx: Transaction, user_id: UserID, room_id: RoomID, tag: str, content: JsonMap | None) -> None:
        """Give a tag this content; None takes the tag away."""
        found = find_versioned(tx, user_id, room_id, TAGS)
        before, seen = (None, None) if found is None else found
        tags = _tags_in(before)
        if content is not None:
            tags[tag] = content
        elif tags.pop(tag, None) is None:
            return
        if len(tags) > MOST_TAGS:
            raise TooLarge(f"A room has at most {MOST_TAGS} tags")
        data = AccountData(room_id, TAGS, _dumped({"tags": tags}, MAX_CONTENT_BYTES))
        _check_usage(tx, user_id, data, before)
        tx.at_position(("account_data",), partial(self._swap, user_id=user_id, data=data, seen=seen))

    def _store(self, tx: Transaction, position: int, *, user_id: UserID, data: AccountData) -> None:
        store_account_data(tx, user_id, data, log_position=position)
        self._tell(tx, position, user_id, data)

    def _swap(self, tx: Transaction, position: int, *, user_id: UserID, data: AccountData, seen: int | None) -> None:
        swap_account_data(tx, user_id, data, seen=seen, log_position=position)
        self._tell(tx, position, user_id, data)

    def _tell(self, tx: Transaction, position: int, user_id: UserID, data: AccountData) -> None:
        written = AccountDataWritten(position, user_id, data.room_id, data.type)
        tx.after_commit(lambda: self._news.publish(written, (user_id,)))


def _check_own(requester: UserID, user_id: UserID) -> None:
    if requester != user_id:
        raise Forbidden("This is another user's account data")


def _check_usage(tx: Transaction, user_id: UserID, data: AccountData, before: bytes | None) -> None:
    """Raises TooLarge when the user would keep too much. What does not grow is always allowed."""
    growth = len(data.content) - (0 if before is None else len(before))
    if growth <= 0:
        return
    if not account_data_usage(tx, user_id).may_grow(1 if before is None else 0, growth):
        raise TooLarge("You keep too much account data")


def _dumped(content: JsonMap, most_bytes: int) -> bytes:
    dumped = orjson.dumps(content)
    if len(dumped) > most_bytes:
        raise TooLarge(f"This must not be larger than {most_bytes} bytes")
    return dumped


def _tags_in(content: bytes | None) -> dict[str, Any]:
    """The tags in an m.tag, which clients may also have set as account data of any shape. Any: JSON."""
    tags = None if content is None else orjson.loads(content).get("tags")
    return {tag: value for tag, value in tags.items() if isinstance(value, dict)} if isinstance(tags, dict) else {}
