"""Asking for a sync in tests: as a client does, with memory's answer held against the database's."""

from typing import Any

from homeserver.core.errors import MissingNodes
from homeserver.core.filters import parse_filter
from homeserver.core.identifiers import UserID
from homeserver.core.sync_tokens import parse_sync_token
from homeserver.services.events.client_format import Viewer
from homeserver.services.sync.request import Answer, NotInMemory, SyncRequest
from tests.services.world import PHONE, World, now, shown

# Any: JSON, throughout.

LAZY = {"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 10}}}


def request(user_id: UserID, since: str | None, definition: Any = None, **more: Any) -> SyncRequest:
    """A sync request of the user's phone."""
    return SyncRequest(
        viewer=Viewer(user_id, PHONE),
        since=None if since is None else parse_sync_token(since),
        filter=parse_filter(definition or {}),
        **more,
    )


def sync(world: World, user_id: UserID, since: str | None = None, definition: Any = None, **more: Any) -> Any:
    """The body of a sync, as a client reads it. Where memory can answer, the database must say the same."""
    asked = request(user_id, since, definition, **more)
    body = shown(now(world.long_poll.sync(asked)).body)
    from_memory = in_memory(world, asked)
    if from_memory is not None:
        stored = world.sync_database.read(world.assembling.read, asked)
        assert timeless(shown(from_memory.body)) == timeless(shown(stored.body))
    return body


def in_memory(world: World, asked: SyncRequest) -> Answer | None:
    """The answer that memory gives, if it can."""
    since = asked.since
    if since is None:
        return None
    changes = world.news.since(asked.viewer.user_id, since.position)
    if changes is None:
        return None
    try:
        return world.assembling.from_memory(asked, since, changes, world.database.position)
    except (NotInMemory, MissingNodes):
        return None


def timeless(value: Any) -> Any:
    """The same without ages and tokens."""
    if isinstance(value, dict):
        return {key: timeless(inner) for key, inner in value.items() if key not in ("age", "next_batch")}
    return [timeless(inner) for inner in value] if isinstance(value, list) else value


def bodies(room: Any) -> list[str]:
    """The texts of the messages in a room's timeline."""
    return [event["content"]["body"] for event in room["timeline"]["events"] if event["type"] == "m.room.message"]


def types(events: Any) -> list[str]:
    """The types of events."""
    return [event["type"] for event in events]
