"""The public room directory as clients and other servers both ask for it, and as both are answered."""

from typing import Any

import msgspec

from homeserver.http.endpoint import Reply
from homeserver.services.rooms.directory import DirectoryPage


class RoomsFilter(msgspec.Struct, frozen=True):
    """Which rooms; a room type of null stands for rooms without one."""

    generic_search_term: str | None = None
    room_types: list[str | None] | None = None


def page_reply(page: DirectoryPage) -> Reply:
    """A page of the directory."""
    body: dict[str, Any] = {"chunk": page.chunk, "total_room_count_estimate": page.total}  # Any: JSON
    if page.next_batch is not None:
        body["next_batch"] = page.next_batch
    if page.prev_batch is not None:
        body["prev_batch"] = page.prev_batch
    return Reply(body)
