"""Receipts, typing and presence in a sync. Spec: client-server-api/#receipts, #typing-notifications, #presence"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from homeserver.core.filters import RoomEventFilter
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.events.news import ReceiptWritten
from homeserver.storage.receipts import Receipt

PRIVATE: Final = "m.read.private"


def receipt_event(
    receipts: Iterable[Receipt | ReceiptWritten], viewer: UserID, ignored: Iterable[str] = ()
) -> dict[str, Any] | None:
    """The m.receipt event that tells of these receipts; None when none of them is for the viewer."""
    content: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    hidden = frozenset(ignored)
    for receipt in receipts:
        if receipt.receipt_type == PRIVATE and receipt.user_id != viewer:
            continue
        if receipt.user_id in hidden:
            continue
        shown: dict[str, Any] = {"ts": receipt.ts}
        if receipt.thread_id is not None:
            shown["thread_id"] = receipt.thread_id
        users = content.setdefault(receipt.event_id, {}).setdefault(receipt.receipt_type, {})
        if receipt.thread_id is not None and "thread_id" not in users.get(receipt.user_id, {"thread_id": ""}):
            continue  # there is room for one: that for the whole room says more
        users[receipt.user_id] = shown
    return {"type": "m.receipt", "content": content} if content else None


def typing_event(user_ids: Iterable[UserID]) -> dict[str, Any]:
    """The m.typing event that says who types."""
    return {"type": "m.typing", "content": {"user_ids": list(user_ids)}}


def presence_event(user_id: UserID, content: Mapping[str, Any], *, is_old: bool = False) -> dict[str, Any]:
    """The m.presence event that says this of a user; as it was before there was /sync, the user is in the content."""
    shown = {**content, "user_id": user_id} if is_old else content
    return {"type": "m.presence", "sender": user_id, "content": shown}


def wants(event_filter: RoomEventFilter, event_type: str, room_id: RoomID) -> bool:
    """Whether the filter lets an ephemeral event of this type through. It has no sender."""
    return event_filter.is_default or (
        event_filter.allows_room(room_id) and event_filter.events.matches(event_type=event_type, sender="")
    )
