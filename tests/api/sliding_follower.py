"""A client that keeps what sliding syncs tell it, to be held against one that follows by /sync.

What happens to it is in test_sliding_following.py.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from tests.api.client import Client
from tests.api.follower import FollowedRoom, devices_of, fill_gap, receipts_in
from tests.api.sliding import EXTENSIONS, Connection

# Any: JSON, throughout.

EVERYTHING: Final = (["*", "*"],)
LAZILY: Final = (["*", "*"], ["m.room.member", "$LAZY"])
WIDEST: Final = 999


@dataclass(frozen=True)
class SlidingManner:
    """How a follower looks: into a window of so many rooms, until it wants to know everything."""

    window: int = 100
    limit: int = 10
    is_lazy: bool = False


@dataclass
class SlidingFollower:
    """One device that follows by sliding sync and fills the gaps between answers."""

    client: Client
    manner: SlidingManner
    rooms: dict[str, FollowedRoom] = field(default_factory=dict)
    invites: set[str] = field(default_factory=set)
    account_data: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = Connection(self.client)
        self.connection.want(extensions=EXTENSIONS)

    def follow(self, subscribe_to: str | None = None) -> None:
        """Ask once for the window, and keep what is told."""
        self._ask(self.manner.window - 1, self.manner.limit, subscribe_to)

    def catch_up(self) -> None:
        """Ask for all rooms, until nothing is told any more."""
        while self._ask(WIDEST, self.manner.limit, None)["rooms"]:
            pass

    def _ask(self, last: int, limit: int, subscribe_to: str | None) -> Any:
        required = list(LAZILY if self.manner.is_lazy else EVERYTHING)
        self.connection.want_list(last=last, timeline_limit=limit, required_state=required)
        more = {"timeline_limit": limit + 5, "required_state": [["m.room.member", "$ME"]]}
        self.connection.want(room_subscriptions={} if subscribe_to is None else {subscribe_to: more})
        answer = self.connection.ask()
        extensions = answer["extensions"]
        for room_id, section in answer["rooms"].items():
            self._follow_room(room_id, section)
        account_data = extensions["account_data"]
        self.account_data |= {each["type"]: each["content"] for each in account_data["global"]}
        for room_id, events in account_data["rooms"].items():
            if room_id in self.rooms:
                self.rooms[room_id].account_data |= {each["type"]: each["content"] for each in events}
        for room_id, event in extensions["receipts"]["rooms"].items():
            if room_id in self.rooms:
                self.rooms[room_id].receipts |= receipts_in({"ephemeral": {"events": [event]}})
        told = extensions["e2ee"].get("device_lists", {})
        if told.get("changed"):
            self.devices |= devices_of(self.client, set(told["changed"]))
        return answer

    def _follow_room(self, room_id: str, section: Any) -> None:
        membership = section["membership"]
        self.invites.discard(room_id)
        if membership != "join":
            self.rooms.pop(room_id, None)
            if membership == "invite":
                self.invites.add(room_id)
            return
        if section.get("initial"):
            self.rooms[room_id] = FollowedRoom()
        room = self.rooms[room_id]
        known, events = set(room.timeline), [event["event_id"] for event in section["timeline"]]
        if section["limited"] and known.isdisjoint(events):
            room.timeline += fill_gap(self.client, room_id, section["prev_batch"], known)
        room.timeline += [event_id for event_id in events if event_id not in known]
        room.state |= {(event["type"], event["state_key"]): event["event_id"] for event in section["required_state"]}
        room.unread = {name: section[name] for name in ("notification_count", "highlight_count")}
        room.joined_members = section.get("joined_count", room.joined_members)
