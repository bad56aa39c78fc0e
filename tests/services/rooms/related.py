"""Events that relate to others, sent in tests."""

from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID
from tests.services.world import World, now

# Any: JSON, throughout.


def relate(
    world: World,
    sender: UserID,
    room_id: RoomID,
    parent: EventID,
    rel_type: str,
    event_type: str = "m.room.message",
    **content: Any,
) -> EventID:
    """Send an event that relates to another."""
    relates_to = {"rel_type": rel_type, "event_id": parent, **content.pop("relates_to", {})}
    whole = {"msgtype": "m.text", "body": "child", **content, "m.relates_to": relates_to}
    return now(world.sending.send_message(sender, room_id, event_type, whole, None))


def reply(world: World, sender: UserID, room_id: RoomID, root: EventID, body: str = "in the thread") -> EventID:
    """Send an event of a thread."""
    return relate(world, sender, room_id, root, "m.thread", body=body)


def edit(world: World, sender: UserID, room_id: RoomID, original: EventID, body: str) -> EventID:
    """Send a replacement."""
    content: dict[str, Any] = {"msgtype": "m.text", "body": body}
    return relate(world, sender, room_id, original, "m.replace", **{**content, "m.new_content": content})


def react(world: World, sender: UserID, room_id: RoomID, target: EventID, key: str = "+") -> EventID:
    """Send a reaction."""
    return relate(world, sender, room_id, target, "m.annotation", "m.reaction", relates_to={"key": key})


def redact(world: World, sender: UserID, room_id: RoomID, event_id: EventID) -> EventID:
    """Redact an event."""
    return now(world.sending.redact(sender, room_id, event_id, {}, None))


def ignore(world: World, user_id: UserID, *ignored: UserID) -> None:
    """Let a user ignore others."""
    content: dict[str, Any] = {"ignored_users": {one: {} for one in ignored}}
    now(world.account_data.put(user_id, user_id, None, "m.ignored_user_list", content))
