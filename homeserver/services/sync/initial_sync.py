"""Everything at once, as clients asked for it before there was /sync; and one room, for members and onlookers.

Spec: client-server-api/#get_matrixclientv3initialsync, #get_matrixclientv3roomsroomidinitialsync. What is told is that
of a first /sync, put into other words: the rooms are read there. How it goes on is in event_stream.py.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from homeserver.core.filters import parse_filter
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.presence import OFFLINE
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.client_format import ClientFormat, Viewer
from homeserver.services.events.partial_rooms import PartialRooms
from homeserver.services.events.room_state import RoomStates
from homeserver.services.rooms.ignored_users import ignored_users
from homeserver.services.rooms.readers import Access, Readers
from homeserver.services.sync.assembling import PUSH_RULES, SyncAssembling
from homeserver.services.sync.request import SyncRequest, Window
from homeserver.services.sync.room_lists import from_elsewhere
from homeserver.services.sync.rooms import RoomPart, SyncRooms, in_old_form
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import Membership, find_membership, memberships_in_room, rooms_of_user
from homeserver.storage.rooms import published_among

# Any: JSON and fragments of it, throughout.

DEFAULT_MESSAGES: Final = 10
MOST_MESSAGES: Final = 100  # of each room


class InitialSync:
    """Reads it."""

    def __init__(
        self,
        database: Database,
        assembling: SyncAssembling,
        rooms: SyncRooms,
        readers: Readers,
        states: RoomStates,
        formats: ClientFormat,
        partial_rooms: PartialRooms,
    ) -> None:
        self._database = database
        self._assembling = assembling
        self._rooms = rooms
        self._readers = readers
        self._states = states
        self._formats = formats
        self._partial_rooms = partial_rooms

    async def everything(self, viewer: Viewer, *, limit: int | None, archived: bool) -> dict[str, Any]:
        """All that concerns the user; rooms that the user left if `archived`; of each room at most `limit` messages."""
        found, near = await self._database.read(self._everything, viewer, _limit(limit), archived)
        presence = self._presence(viewer, near)
        return {**found, "presence": [event for event in presence if event["content"]["presence"] != OFFLINE]}

    async def room(self, viewer: Viewer, room_id: RoomID, *, limit: int | None) -> dict[str, Any]:
        """A room that the user is or was in, or that everybody may read.

        Raises Forbidden, and RoomIsPartial when it takes too long until the room is known as a whole.
        """
        found, members = await self._partial_rooms.once_known(
            lambda: self._database.read(self._room, viewer, room_id, _limit(limit))
        )
        # That somebody is offline is told, too: the client may know better days of a room that it asks for alone.
        return {**found, "presence": self._presence(viewer, members)}

    def _presence(self, viewer: Viewer, user_ids: Iterable[UserID]) -> list[dict[str, Any]]:
        """How present these are. Those who follow are told of many changes together, after a while; here none waits."""
        return self._assembling.presence_of(_request(viewer, {}), user_ids)

    def _everything(
        self, tx: Transaction, viewer: Viewer, limit: int, archived: bool
    ) -> tuple[dict[str, Any], list[UserID]]:
        """The answer but for presence, and whose presence belongs to it."""
        request = _request(viewer, {"room": {"include_leave": archived, "timeline": {"limit": limit}}})
        answer = self._assembling.read(tx, request)
        sections = answer.body.get("rooms", {})
        # "The global private data created by this user", of which the push rules are none.
        account_data = answer.body.get("account_data", {}).get("events", [])
        shown = {**sections.get("leave", {}), **sections.get("join", {})}
        memberships = {one.room_id: one for one in rooms_of_user(tx, viewer.user_id)}
        published = published_among(tx, sorted(memberships))
        end = str(answer.next_batch)
        rooms = []
        for room_id, one in memberships.items():
            info: dict[str, Any] = {"room_id": room_id, "membership": one.membership}
            if room_id in shown:
                info |= _room_parts(shown[room_id], end)
            elif room_id in sections.get("invite", {}):
                info |= self._invite(tx, viewer, one)
            elif one.membership != "join":
                continue
            # A joined room without more is one of which not all is known yet: the client hears of its events, and asks
            # for the room as such.
            info["visibility"] = _visibility(room_id in published)
            rooms.append(info)
        found = {
            "end": end,
            "rooms": rooms,
            "account_data": [event for event in account_data if event["type"] != PUSH_RULES],
            "receipts": [receipt for room_id, section in shown.items() for receipt in _receipts(room_id, section)],
        }
        return found, self._assembling.near(tx, viewer.user_id)

    def _room(
        self, tx: Transaction, viewer: Viewer, room_id: RoomID, limit: int
    ) -> tuple[dict[str, Any], list[UserID]]:
        """The answer but for presence, and whose presence belongs to it."""
        wanted = {"room": {"rooms": [room_id], "include_leave": True, "timeline": {"limit": limit}}}
        request = _request(viewer, wanted)
        access = self._readers.access(tx, room_id, viewer.user_id)
        answer = self._assembling.read(tx, request)
        sections = answer.body.get("rooms", {})
        section = {**sections.get("leave", {}), **sections.get("join", {})}.get(room_id)
        membership = find_membership(tx, room_id, viewer.user_id)
        if section is None:
            if access.is_joined:
                raise RoomIsPartial(room_id)
            section = self._rooms.left(tx, request, self._looked_at(tx, viewer, access))
        info: dict[str, Any] = {"room_id": room_id, **_room_parts(section, str(answer.next_batch))}
        if membership is not None and membership.membership != "knock":
            info["membership"] = membership.membership
        info["visibility"] = _visibility(bool(published_among(tx, [room_id])))
        near = self._assembling.near(tx, viewer.user_id) if access.is_joined else []
        there = memberships_in_room(tx, room_id, near) if near else {}
        joined = [user_id for user_id in near if user_id in there and there[user_id].membership == "join"]
        return {**info, "receipts": list(_receipts(room_id, section))}, joined

    @staticmethod
    def _looked_at(tx: Transaction, viewer: Viewer, access: Access) -> RoomPart:
        """A room as one sees it who is not in it."""
        return RoomPart(
            room_id=access.head.room_id,
            window=Window(None, tx.log_position),
            position=tx.log_position,
            before=None,
            after=access.root,
            joined_from=None,
            member_upto=access.member_upto,
            ignored=ignored_users(tx, viewer.user_id),
        )

    def _invite(self, tx: Transaction, viewer: Viewer, membership: Membership) -> dict[str, Any]:
        stored = self._states.load(tx, [membership.event_id]).get(membership.event_id) or from_elsewhere(tx, membership)
        if stored is None:
            return {}
        [event] = self._formats.render(tx, [stored], viewer, with_room_id=True)
        return {"invite": in_old_form(event, stored)}


def _request(viewer: Viewer, definition: Mapping[str, Any]) -> SyncRequest:
    """A first sync of no device: what waits for devices, and what they were sent, does not concern these clients."""
    return SyncRequest(
        viewer=Viewer(viewer.user_id, None), filter=parse_filter(definition), state_after=True, is_old=True
    )


def _room_parts(section: Mapping[str, Any], end: str) -> dict[str, Any]:
    timeline = section["timeline"]
    messages = {"chunk": timeline["events"], "end": end}
    if "prev_batch" in timeline:
        messages["start"] = timeline["prev_batch"]
    return {
        "messages": messages,
        "state": section["state_after"]["events"],
        "account_data": section.get("account_data", {}).get("events", []),
    }


def _receipts(room_id: RoomID, section: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Receipts are not in the specification any more, but those who still ask for this learn nowhere else of them."""
    for event in section.get("ephemeral", {}).get("events", ()):
        if event["type"] == "m.receipt":
            yield {**event, "room_id": room_id}


def _visibility(is_published: bool) -> str:
    return "public" if is_published else "private"


def _limit(limit: int | None) -> int:
    return DEFAULT_MESSAGES if limit is None else min(limit, MOST_MESSAGES)
