"""Replacing a room by one of another room version. Spec: client-server-api/#room-upgrades

What of the old room goes into the new one is in core/room_upgrades.py, what users set for it in room_settings.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from homeserver.core import state_map
from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.errors import AuthRejected, BadIdentifier, EventTooLarge
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, parse_room_id, parse_user_id
from homeserver.core.power_levels import read_power_levels
from homeserver.core.room_upgrades import (
    SPACE_CHILD,
    SPACE_PARENT,
    TOMBSTONE,
    TOMBSTONE_KEY,
    TRANSFERRED_TYPES,
    create_content,
    is_space,
    restricted_power_levels,
    split_aliases,
    transferred_content,
    transferred_power_levels,
)
from homeserver.core.room_versions import RoomVersion
from homeserver.core.slices import slices
from homeserver.core.state_map import Nodes, StateKey
from homeserver.runtime.randomness import Randomness
from homeserver.services.errors import (
    Forbidden,
    InvalidParameter,
    NotFound,
    NotRecommended,
    RoomIsPartial,
)
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.events.room_state import ALIAS
from homeserver.services.rooms.creation import wished_version
from homeserver.services.rooms.room_settings import RoomSettings
from homeserver.storage.aliases import aliases_of_room
from homeserver.storage.database import Database, Transaction
from homeserver.storage.profiles import member_profile
from homeserver.storage.room_upgrades import banned_users, local_user_ids, move_aliases
from homeserver.storage.rooms import find_head, find_published, set_published

MOST_CREATORS: Final = 100
PER_WRITE: Final = 200  # bans, parts of a space, members: the rest of a large room follows in further writes
TOLD: Final = "This room has been replaced"
NO_ROOM: Final = "You are in no such room"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Who wants which room replaced by what."""

    user_id: UserID
    room_id: RoomID
    version: RoomVersion
    additional_creators: tuple[UserID, ...]  # none where the version has none

    @property
    def creators(self) -> frozenset[UserID]:
        """Who stands above all levels in the new room, where its version has that."""
        return frozenset((self.user_id, *self.additional_creators))


@dataclass(frozen=True, slots=True)
class Followers:
    """What of an old room is without bound: bans, the rooms of a space; and its members here, for their settings."""

    keys: Sequence[StateKey]
    members: Sequence[UserID]


class RoomUpgrades:
    """Replaces rooms."""

    def __init__(
        self,
        database: Database,
        creation: EventCreation,
        settings: RoomSettings,
        randomness: Randomness,
        server_name: ServerName,
        per_write: int = PER_WRITE,
    ) -> None:
        self._database = database
        self._creation = creation
        self._settings = settings
        self._randomness = randomness
        self._server_name = server_name
        self._per_write = per_write

    async def upgrade(
        self, user_id: UserID, room_id: RoomID, new_version: str, additional_creators: Sequence[str] = ()
    ) -> RoomID:
        """Replace a room; the ID of the new one. The same request again goes on with the same new room.

        The new room, the tombstone and all that makes them what they are is one write. In a room with very many bans,
        members or rooms of a space the rest of these follows.
        Raises UnsupportedVersion, InvalidParameter, Forbidden for members, and NotFound for others, alike for a room
        that does not exist.
        """
        version = wished_version(new_version)
        named = _creators(additional_creators, user_id) if version.privileged_creators else ()
        upgrade = Upgrade(user_id, room_id, version, named)
        followers = await self._database.read(self._followers, room_id)
        if self._creation.reaches_nobody(user_id):
            return await self._creation.write(self._pretend, upgrade)
        some = self._per_write
        first = Followers(followers.keys[:some], followers.members[:some])
        new_room, is_new = await self._creation.write(self.replace, upgrade, first)
        done = some if is_new else 0
        for keys in slices(followers.keys[done:], some):
            await self._creation.write(self._follow, upgrade, new_room, keys)
        for members in slices(followers.members[done:], some):
            await self._database.write(self._settings.repeat, members, room_id, new_room)
        return new_room

    def _followers(self, tx: Transaction, room_id: RoomID) -> Followers:
        head = find_head(tx, room_id)
        if head is None:
            raise NotFound(NO_ROOM)
        if head.is_partial:
            raise RoomIsPartial(room_id)  # who is banned is not known
        states = self._creation.writer.states
        create = states.find(tx, room_id, head.current_root, *CREATE)
        types = (SPACE_PARENT, SPACE_CHILD) if create is not None and is_space(create.event) else (SPACE_PARENT,)

        def parts(nodes: Nodes) -> list[StateKey]:
            return [
                key for event_type in types for key, _ in state_map.items_of_type(nodes, head.current_root, event_type)
            ]

        bans = [("m.room.member", user_id) for user_id in banned_users(tx, room_id)]
        keys = [*bans, *sorted(states.with_nodes(tx, room_id, parts))]
        return Followers(keys, local_user_ids(tx, room_id))

    def _pretend(self, tx: Transaction, upgrade: Upgrade) -> RoomID:
        """A room that there is not, for somebody whom nobody is to hear, if they might replace the old one."""
        old = self._open(tx, upgrade.room_id)
        member_key = ("m.room.member", upgrade.user_id)
        state = old.state((CREATE, POWER_LEVELS, member_key))
        _check_may_replace(state.get(member_key), state[CREATE], state.get(POWER_LEVELS), upgrade.user_id)
        return RoomID(self._randomness.opaque_id("!", 18) + f":{self._server_name}")

    def replace(self, tx: Transaction, upgrade: Upgrade, followers: Followers) -> tuple[RoomID, bool]:
        """Make the new room and close the old one, within a write.

        The new room's ID, and whether it is new: the same user may have asked for it before.
        """
        old = self._open(tx, upgrade.room_id)
        member_key = ("m.room.member", upgrade.user_id)
        wanted = (CREATE, POWER_LEVELS, ALIAS, TOMBSTONE_KEY, member_key, *_keys(TRANSFERRED_TYPES))
        state = old.state(wanted)
        _check_may_replace(state.get(member_key), state[CREATE], state.get(POWER_LEVELS), upgrade.user_id)
        replacement = self._find_replacement(tx, upgrade, state.get(TOMBSTONE_KEY))
        if replacement is not None:
            return replacement, False

        new = self._begin(tx, old, upgrade, state[CREATE])
        self._add(new, upgrade.user_id, member_key, {"membership": "join", **member_profile(tx, upgrade.user_id)})
        for key in _keys(TRANSFERRED_TYPES):
            content = transferred_content(state[key], upgrade.version) if key in state else None
            if content is not None:
                self._add(new, upgrade.user_id, key, content)
        self._move_aliases(tx, old, new, upgrade, state.get(ALIAS))
        self._add_followers(old, new, upgrade, followers.keys)
        # Last: until then the creator of a room may do everything, whatever level the old room gave them.
        levels = transferred_power_levels(state[CREATE], state.get(POWER_LEVELS), upgrade.version, upgrade.creators)
        self._add(new, upgrade.user_id, POWER_LEVELS, levels)
        restricted = restricted_power_levels(state[CREATE], state.get(POWER_LEVELS))
        if restricted is not None:
            with suppress(AuthRejected, NotRecommended, EventTooLarge):  # then the tombstone has to be enough
                self._add(old, upgrade.user_id, POWER_LEVELS, restricted)

        new.finish()
        old.finish()
        if find_published(tx, upgrade.room_id):
            set_published(tx, upgrade.room_id, is_published=False)
            set_published(tx, new.room_id, is_published=True)
        self._settings.repeat(tx, followers.members, upgrade.room_id, new.room_id)
        return new.room_id, True

    def _find_replacement(self, tx: Transaction, upgrade: Upgrade, tombstone: Event | None) -> RoomID | None:
        """The room that the same request made before, if the user is still in it."""
        if tombstone is None or tombstone.sender != upgrade.user_id:
            return None
        named = tombstone.content.get("replacement_room")
        try:
            room_id = parse_room_id(named if isinstance(named, str) else "")
        except BadIdentifier:
            return None
        write = self._creation.writer.open(tx, room_id)
        if write is None or write.version is not upgrade.version:
            return None
        member_key = ("m.room.member", upgrade.user_id)
        state = write.state((CREATE, member_key))
        create, member = state[CREATE], state.get(member_key)
        predecessor = create.content.get("predecessor")
        is_ours = (
            create.sender == upgrade.user_id
            and isinstance(predecessor, dict)
            and predecessor.get("room_id") == upgrade.room_id
            and create.content.get("additional_creators", []) == list(upgrade.additional_creators)
            and member is not None
            and member.content.get("membership") == "join"
        )
        return room_id if is_ours else None

    def _begin(self, tx: Transaction, old: RoomWrite, upgrade: Upgrade, create: Event) -> RoomWrite:
        """Begin the new room and end the old one, by events that name each other as far as they can."""

        def content(last_event_id: EventID | None) -> Draft:
            named = upgrade.additional_creators
            made = create_content(create, upgrade.version, upgrade.user_id, named, last_event_id)
            return Draft("m.room.create", upgrade.user_id, made)

        if upgrade.version.room_id_is_create_hash:
            # The room ID follows from the create event: that one cannot name a tombstone that names the room.
            new = self._creation.begin_room(tx, content(None), upgrade.version, None)
            self._end(old, upgrade, new.room_id)
            return new
        room_id = RoomID(self._randomness.opaque_id("!", 18) + f":{self._server_name}")
        tombstone_id = self._end(old, upgrade, room_id)
        return self._creation.begin_room(tx, content(tombstone_id), upgrade.version, room_id)

    def _end(self, old: RoomWrite, upgrade: Upgrade, new_room: RoomID) -> EventID:
        content = {"body": TOLD, "replacement_room": new_room}
        return self._creation.add(old, Draft(TOMBSTONE, upgrade.user_id, content, state_key="")).event.event_id

    def _move_aliases(
        self, tx: Transaction, old: RoomWrite, new: RoomWrite, upgrade: Upgrade, current: Event | None
    ) -> None:
        moved = frozenset(aliases_of_room(tx, upgrade.room_id))
        move_aliases(tx, upgrade.room_id, new.room_id)
        if current is None:
            return
        shown_there, shown_here = split_aliases(current.content, moved)
        if shown_there is not None:
            self._add(new, upgrade.user_id, ALIAS, shown_there)
        if shown_here is not None:
            # An alias that leads to the new room does no harm in the old one.
            with suppress(AuthRejected, NotRecommended):
                self._creation.add(old, Draft(ALIAS[0], upgrade.user_id, shown_here, state_key=""))

    def _follow(self, tx: Transaction, upgrade: Upgrade, new_room: RoomID, keys: Sequence[StateKey]) -> None:
        """Copy more of what is without bound, where the new room has nothing of its own yet."""
        new = self._open(tx, new_room)
        known = new.state(keys)
        missing = [key for key in keys if key not in known]
        if missing:
            self._add_followers(self._open(tx, upgrade.room_id), new, upgrade, missing)
            new.finish()

    def _add_followers(self, old: RoomWrite, new: RoomWrite, upgrade: Upgrade, keys: Sequence[StateKey]) -> None:
        for key, event in old.state(keys).items():
            if event.type == "m.room.member":
                if event.content.get("membership") != "ban":
                    continue
                reason = event.content.get("reason")
                content = {"membership": "ban", **({"reason": reason} if isinstance(reason, str) else {})}
            elif (found := transferred_content(event, upgrade.version)) is not None and "via" in found:
                content = dict(found)
            else:
                continue
            # What the new room refuses: state under another user's ID, the ban of one of its creators.
            with suppress(AuthRejected, NotRecommended, EventTooLarge):
                self._add(new, upgrade.user_id, key, content)

    def _add(self, write: RoomWrite, sender: UserID, key: StateKey, content: Mapping[str, Any]) -> None:
        event_type, state_key = key
        self._creation.add(write, Draft(event_type, sender, content, state_key=state_key), notifies=False)

    def _open(self, tx: Transaction, room_id: RoomID) -> RoomWrite:
        write = self._creation.writer.open(tx, room_id)
        if write is None:
            raise NotFound(NO_ROOM)
        return write


def _check_may_replace(member: Event | None, create: Event, power_levels: Event | None, user_id: UserID) -> None:
    if member is None or member.content.get("membership") != "join":
        raise NotFound(NO_ROOM)
    levels = read_power_levels(create, power_levels, create.version)
    if not levels.may_send(user_id, TOMBSTONE, is_state=True):
        raise Forbidden("You may not replace this room")


def _creators(named: Sequence[str], user_id: UserID) -> tuple[UserID, ...]:
    """The additional creators, each once, without the one who is a creator anyway."""
    if len(named) > MOST_CREATORS:
        raise InvalidParameter(f"A room has at most {MOST_CREATORS} additional creators")
    try:
        parsed = [parse_user_id(one) for one in named]
    except BadIdentifier as bad:
        raise InvalidParameter(f"additional_creators: {bad.reason}") from bad
    return tuple(one for one in dict.fromkeys(parsed) if one != user_id)


def _keys(types: Sequence[str]) -> list[StateKey]:
    return [(event_type, "") for event_type in types]
