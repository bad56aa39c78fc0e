"""A client that keeps what syncs tell it, as clients do, to be held against what the server says when asked.

What happens to it is in test_following.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.api.client import Client

# Any: JSON, throughout.

StateKey = tuple[str, str]
Receipts = dict[tuple[str, str, str], str]  # event by type, user and thread
PAGE: Final = 20


@dataclass(frozen=True)
class Manner:
    """How a follower syncs."""

    limit: int = 10
    is_lazy: bool = False
    wants_state_after: bool = False

    @property
    def filter(self) -> dict[str, Any]:
        """As a sync takes it."""
        return {"room": {"timeline": {"limit": self.limit}, "state": {"lazy_load_members": self.is_lazy}}}


@dataclass
class FollowedRoom:
    """What a follower knows of a room that it has joined."""

    state: dict[StateKey, str] = field(default_factory=dict)
    timeline: list[str] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    joined_members: int | None = None
    account_data: dict[str, Any] = field(default_factory=dict)
    receipts: Receipts = field(default_factory=dict)


@dataclass
class Follower:
    """One device that follows by incremental syncs and fills the gaps between them."""

    client: Client
    manner: Manner
    since: str | None = None
    rooms: dict[str, FollowedRoom] = field(default_factory=dict)
    invites: set[str] = field(default_factory=set)
    account_data: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, set[str]] = field(default_factory=dict)  # of users with whom a room is shared

    def follow(self) -> None:
        """Sync once, and keep what was told."""
        asked = {"use_state_after": True} if self.manner.wants_state_after else {}
        news = self.client.sync(self.since, filter=self.manner.filter, **asked)
        rooms = news.get("rooms", {})
        for room_id in rooms.get("leave", {}):
            self.rooms.pop(room_id, None)
            self.invites.discard(room_id)
        for room_id, section in rooms.get("join", {}).items():
            self.invites.discard(room_id)
            self._follow_room(room_id, section, self.rooms.setdefault(room_id, FollowedRoom()))
        for room_id in rooms.get("invite", {}):
            self.rooms.pop(room_id, None)
            self.invites.add(room_id)
        self.account_data |= {each["type"]: each["content"] for each in news.get("account_data", {}).get("events", [])}
        is_first, self.since = self.since is None, news["next_batch"]
        # About oneself and whom one finds in one's rooms at first, one asks; of changes one is told.
        told = news.get("device_lists", {})
        found = {self.client.user_id} | companions(self.client, self.rooms) if is_first else set()
        self._ask_for_devices(found | set(told.get("changed", [])))
        for user_id in told.get("left", []):
            self.devices.pop(user_id, None)

    def _ask_for_devices(self, users: set[str]) -> None:
        if users:
            self.devices |= devices_of(self.client, users)

    def _follow_room(self, room_id: str, section: Any, room: FollowedRoom) -> None:
        timeline = section.get("timeline", {})
        events = timeline.get("events", [])
        if timeline.get("limited") or (events and not room.timeline):
            room.timeline += fill_gap(self.client, room_id, timeline["prev_batch"], set(room.timeline))
        room.timeline += [event["event_id"] for event in events]
        told = section.get("state", {}).get("events", []) + [event for event in events if "state_key" in event]
        if self.manner.wants_state_after:
            assert "state" not in section
            told = section.get("state_after", {}).get("events", [])
        room.state |= {(event["type"], event["state_key"]): event["event_id"] for event in told}
        room.unread = section.get("unread_notifications", room.unread)
        room.joined_members = section.get("summary", {}).get("m.joined_member_count", room.joined_members)
        events_of = section.get("account_data", {}).get("events", [])
        room.account_data |= {each["type"]: each["content"] for each in events_of}
        room.receipts |= receipts_in(section)


def fill_gap(client: Client, room_id: str, begin: str, known: set[str]) -> list[str]:
    """What lies between the events that are known and a token, oldest first."""
    missing: list[str] = []
    while True:
        page = client.messages(room_id, "b", begin=begin, limit=PAGE)
        for event in page["chunk"]:
            if event["event_id"] in known:
                return missing[::-1]
            missing.append(event["event_id"])
        if "end" not in page:
            return missing[::-1]
        begin = page["end"]


def companions(client: Client, rooms: Iterable[str]) -> set[str]:
    """Everybody who is in one of these rooms."""
    return {user_id for room_id in rooms for user_id in client.get("rooms", room_id, "joined_members")["joined"]}


def devices_of(client: Client, users: set[str]) -> dict[str, set[str]]:
    """The devices of users that have published their keys."""
    wanted: dict[str, list[str]] = {user_id: [] for user_id in users}
    found = client.post("keys", "query", body={"device_keys": wanted})["device_keys"]
    return {user_id: set(found.get(user_id, {})) for user_id in users}


def receipts_in(section: Any) -> Receipts:
    """The receipts that a room's section tells of."""
    found: Receipts = {}
    for event in section.get("ephemeral", {}).get("events", []):
        if event["type"] != "m.receipt":
            continue
        for event_id, types in event["content"].items():
            for receipt_type, users in types.items():
                for user_id, receipt in users.items():
                    found[receipt_type, user_id, receipt.get("thread_id", "")] = event_id
    return found


def seen_anew(client: Client) -> Follower:
    """What a device knows that has never synced before: state and history as they are when asked for."""
    fresh = Follower(client, Manner(limit=1))
    fresh.follow()
    for room_id, room in fresh.rooms.items():
        state = client.get("rooms", room_id, "state")
        room.state = {(event["type"], event["state_key"]): event["event_id"] for event in state}
    return fresh
