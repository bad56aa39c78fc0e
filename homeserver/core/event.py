"""An event of a room: a frozen view of one PDU whose format was checked.

How the PDU is checked is in event_format.py, how its ID comes about in hashing.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_versions import RoomVersion



@dataclass(frozen=True, slots=True)
class Event:
    """One event. `pdu` and `content` are never modified: whoever wants a change makes a copy."""

    version: RoomVersion
    event_id: EventID
    room_id: RoomID
    type: str
    sender: UserID
    state_key: str | None
    content: Mapping[str, Any]
    origin_server_ts: int
    depth: int
    prev_event_ids: tuple[EventID, ...]
    auth_event_ids: tuple[EventID, ...]
    redacts: EventID | None  # from content or the top level, wherever the room version keeps it
    pdu: Mapping[str, Any]  # the whole PDU, without event_id from version 3 on

    @property
    def is_state(self) -> bool:
        """True for a state event; the empty state key counts."""
        return self.state_key is not None
