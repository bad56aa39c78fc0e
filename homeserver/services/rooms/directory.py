"""The public directory: which rooms are shown there, and searching it.

Spec: client-server-api/#listing-rooms
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, read_visibility
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.power_levels import read_power_levels
from homeserver.core.search_words import search_for
from homeserver.services.errors import Forbidden, InvalidParameter, NotFound
from homeserver.services.events.room_state import VISIBILITY, RoomStates
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.known_rooms import NO_ROOM, known_head
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import find_membership, member_counts
from homeserver.storage.room_words import DirectoryWish, directory_page
from homeserver.storage.rooms import (
    PublishedRoom,
    RoomHead,
    find_published,
    set_published,
)

MOST_ROOMS: Final = 500
MOST_ROOM_TYPES: Final = 100
LONGEST_TERM: Final = 255
SHOWN_TYPES: Final = tuple(
    (event_type, "")
    for event_type in (
        "m.room.create",
        "m.room.name",
        "m.room.topic",
        "m.room.avatar",
        "m.room.canonical_alias",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.encryption",
    )
)


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """A page of the directory, the rooms with most members first."""

    chunk: Sequence[Mapping[str, Any]]
    next_batch: str | None
    prev_batch: str | None
    total: int


class RoomDirectory:
    """The rooms that this server shows to everybody."""

    def __init__(
        self,
        database: Database,
        states: RoomStates,
        admission: Admission,
        shadow_bans: Container[UserID] = frozenset(),
    ) -> None:
        self._database = database
        self._states = states
        self._admission = admission
        self._shadow_bans = shadow_bans

    async def is_published(self, room_id: RoomID) -> bool:
        """Whether the room is shown. Raises NotFound."""
        found = await self._database.read(find_published, room_id)
        if found is None:
            raise NotFound(NO_ROOM)
        return found

    async def publish(self, user_id: UserID, room_id: RoomID, *, is_published: bool, is_admin: bool) -> None:
        """Show the room or hide it: for those who may set its canonical alias, and administrators."""
        if is_published:
            await self._admission.may_publish_room(user_id, room_id)
        await self._database.write(self._publish, user_id, room_id, is_published=is_published, is_admin=is_admin)

    async def search(
        self,
        *,
        term: str | None = None,
        room_types: Sequence[str | None] | None = None,
        limit: int | None = None,
        since: str | None = None,
    ) -> DirectoryPage:
        """The shown rooms with the words of `term` in name, topic or alias, of these types (None: without a type).

        A word is found that begins as one of the term does.
        """
        if term is not None and len(term) > LONGEST_TERM:
            raise InvalidParameter(f"A search term has at most {LONGEST_TERM} characters")
        if room_types is not None and len(room_types) > MOST_ROOM_TYPES:
            raise InvalidParameter(f"At most {MOST_ROOM_TYPES} room types can be asked for")
        begin = _offset(since)
        return await self._database.read(self._search, term, room_types, min(limit or MOST_ROOMS, MOST_ROOMS), begin)

    def summary(self, tx: Transaction, head: RoomHead) -> Mapping[str, Any]:  # Any: JSON
        """How the directory would show a room, whether it does or not."""
        joined = member_counts(tx, head.room_id).get("join", 0)
        return self._entry(tx, PublishedRoom(head.room_id, head.version, head.current_root, joined))

    def _publish(
        self, tx: Transaction, user_id: UserID, room_id: RoomID, *, is_published: bool, is_admin: bool
    ) -> None:
        head = known_head(tx, room_id)
        if not is_admin:
            membership = find_membership(tx, room_id, user_id)
            if membership is None and not find_published(tx, room_id):
                raise NotFound(NO_ROOM)  # whether there is a closed room by this ID is not told
            if membership is None or membership.membership != "join":
                raise Forbidden("You are not in this room")
            state = self._states.select(tx, room_id, head.current_root, (CREATE, POWER_LEVELS))
            levels = read_power_levels(state[CREATE], state.get(POWER_LEVELS), head.version)
            if not levels.may_send(user_id, "m.room.canonical_alias", is_state=True):
                raise Forbidden("Your power level is too low to change the directory")
            if user_id in self._shadow_bans:
                return
        set_published(tx, room_id, is_published=is_published)

    def _search(
        self,
        tx: Transaction,
        term: str | None,
        room_types: Sequence[str | None] | None,
        limit: int,
        begin: int,
    ) -> DirectoryPage:
        wanted = search_for(_alias_name(term)) if term else None
        if term and wanted is None:
            return DirectoryPage((), None, None, 0)
        rooms, total = directory_page(tx, DirectoryWish(wanted, room_types), offset=begin, limit=limit)
        following = begin + limit
        return DirectoryPage(
            chunk=[self._entry(tx, room) for room in rooms],
            next_batch=f"d{following}" if following < total else None,
            prev_batch=f"d{max(0, begin - limit)}" if begin > 0 else None,
            total=total,
        )

    def _entry(self, tx: Transaction, room: PublishedRoom) -> dict[str, Any]:
        state = self._states.select(tx, room.room_id, room.current_root, SHOWN_TYPES)

        def text(event_type: str, key: str) -> str | None:
            event: Event | None = state.get((event_type, ""))
            value = None if event is None else event.content.get(key)
            return value if isinstance(value, str) and value else None

        visibility = read_visibility(state.get(VISIBILITY))
        shown: dict[str, Any] = {
            "room_id": room.room_id,
            "num_joined_members": room.joined_members,
            "world_readable": visibility is Visibility.WORLD_READABLE,
            "guest_can_join": text("m.room.guest_access", "guest_access") == "can_join",
            "join_rule": text("m.room.join_rules", "join_rule") or "invite",
            "room_version": room.version.name,
            "name": text("m.room.name", "name"),
            "topic": text("m.room.topic", "topic"),
            "avatar_url": text("m.room.avatar", "url"),
            "canonical_alias": text("m.room.canonical_alias", "alias"),
            "room_type": text("m.room.create", "type"),
            "encryption": text("m.room.encryption", "algorithm"),
        }
        return {key: value for key, value in shown.items() if value is not None}


def _alias_name(term: str) -> str:
    """What was typed, without the server if it is an alias: rooms are found by the part before it."""
    return term.partition(":")[0] if term.startswith("#") else term


def _offset(since: str | None) -> int:
    if since is None:
        return 0
    if since[:1] != "d" or not since[1:].isascii() or not since[1:].isdigit() or len(since) > 10:
        raise InvalidParameter("This token is not from the directory")
    return int(since[1:])
