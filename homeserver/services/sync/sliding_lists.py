"""The lists of sliding sync: which of a user's rooms are in each, in which order, and which are in sight.

Spec: MSC4186. The order is that in which something happened in the rooms last, so that whatever happens comes into
sight. All rooms of a user are read in one statement, from rows that were written with the events.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import orjson

from homeserver.core.auth_selection import CREATE
from homeserver.core.identifiers import RoomID, UserID
from homeserver.core.state_map import StateKey
from homeserver.services.events.room_state import ENCRYPTION, NAME, RoomStates
from homeserver.services.rooms.invite_permission import invite_rules
from homeserver.services.rooms.readers import Readers
from homeserver.services.sync.room_listings import Listing, RoomListings
from homeserver.services.sync.sliding_request import ListConfig, ListFilter, RoomConfig, SlidingRequest, View
from homeserver.storage.account_data import account_data_of_type, find_account_data
from homeserver.storage.database import Transaction
from homeserver.storage.memberships import Membership, memberships_of_user
from homeserver.storage.room_index import ListedRoom, RoomFacts, departed_rooms
from homeserver.storage.rooms import roots_at

UNKNOWN: Final = RoomFacts(None, None, is_encrypted=False)
MOST_FRESH: Final = 200  # rooms that are new to the client, in one answer; the next one goes on with the others


class SlidingLists:
    """Reads lists of rooms."""

    def __init__(
        self, listings: RoomListings, states: RoomStates, readers: Readers, most_fresh: int = MOST_FRESH
    ) -> None:
        self._listings = listings
        self._states = states
        self._readers = readers
        self._most_fresh = most_fresh

    def read(
        self,
        tx: Transaction,
        request: SlidingRequest,
        listing: Listing | None,
        *,
        told: Mapping[RoomID, int],
        ignored: frozenset[str],
    ) -> View:
        """What is in sight for a client that was `told` of some rooms, of each up to a log position.

        `listing` is what is known in memory of the user's rooms.
        """
        if not request.asks_for_rooms:
            return View(ignored=ignored)
        user_id = request.viewer.user_id
        rooms = self._rooms(tx, user_id, listing, told, ignored)
        directs = direct_rooms(tx, user_id)
        filtering = _Filtering(tx, user_id, rooms, directs, self._states, self._readers)
        counts: dict[str, int] = {}
        by_list: dict[str, Collection[RoomID]] = {}
        by_id = {room.room_id: room for room in rooms}
        configs = {
            room_id: config
            for room_id, config in request.subscriptions.items()
            if room_id in by_id and not _has_to_wait(by_id[room_id], config)
        }
        combined = _Combined()
        for name, wanted in request.lists.items():
            matching = filtering.matching(wanted.filter)
            if wanted.config.required_state.wants_all_members:
                matching = [room for room in matching if not _has_to_wait(room, wanted.config)]
            counts[name] = len(matching)
            window = _in_ranges(matching, wanted)
            by_list[name] = [room.room_id for room in window]
            for room in window:
                configs[room.room_id] = combined.of(wanted.config, configs.get(room.room_id))
        fresh = [room_id for room_id in configs if room_id not in told]
        for room_id in fresh[self._most_fresh :]:
            del configs[room_id]
        return View(counts, by_list, configs, by_id, directs, ignored, has_more=len(fresh) > self._most_fresh)

    def _rooms(
        self,
        tx: Transaction,
        user_id: UserID,
        listing: Listing | None,
        told: Mapping[RoomID, int],
        ignored: Collection[str],
    ) -> list[ListedRoom]:
        """The rooms that lists may have, in their order."""
        rooms = self._listings.read(tx, user_id, listing)
        after = min(told.values(), default=tx.log_position)
        departed = [
            room
            for room in departed_rooms(tx, user_id, after=after)
            if _is_worth_telling(room, user_id, told.get(room.room_id))
        ]
        if departed:
            rooms = sorted((*rooms, *departed), key=lambda room: -room.active_position)
        invites = [room for room in rooms if room.membership == "invite"]
        if invites:
            rules = invite_rules(tx, user_id)
            hidden = {room.room_id for room in invites if room.sender in ignored or rules.hides(room.sender)}
            rooms = [room for room in rooms if room.room_id not in hidden]
        return rooms


class _Combined:
    """What rooms of several lists are told of, put together once for all rooms of the same lists."""

    def __init__(self) -> None:
        # By identity: to look at all that they ask for, for each room, would take as long as putting it together.
        self._known: dict[tuple[int, int], RoomConfig] = {}
        self._kept: list[RoomConfig] = []

    def of(self, one: RoomConfig, other: RoomConfig | None) -> RoomConfig:
        """What tells all that either of the two tells."""
        if other is None:
            return one
        key = (id(one), id(other))
        if key not in self._known:
            self._kept += (one, other)
            self._known[key] = one.combined(other)
        return self._known[key]


class _Filtering:
    """Matches the rooms of one user with filters; what a filter needs to know is read when the first one needs it."""

    def __init__(
        self,
        tx: Transaction,
        user_id: UserID,
        rooms: Sequence[ListedRoom],
        directs: Collection[str],
        states: RoomStates,
        readers: Readers,
    ) -> None:
        self._tx = tx
        self._user_id = user_id
        self._rooms = rooms
        self._directs = directs
        self._states = states
        self._readers = readers
        self._facts: Mapping[RoomID, RoomFacts] | None = None
        self._tags: Mapping[RoomID, Collection[str]] | None = None
        self._children_of: dict[RoomID, frozenset[str]] = {}

    def matching(self, wanted: ListFilter) -> list[ListedRoom]:
        """The rooms that pass a filter, in their order."""
        rooms = list(self._rooms)
        if wanted.is_dm is not None:
            rooms = [room for room in rooms if (room.room_id in self._directs) == wanted.is_dm]
        if wanted.is_invite is not None:
            rooms = [room for room in rooms if (room.membership == "invite") == wanted.is_invite]
        if wanted.tags is not None or wanted.not_tags:
            rooms = [room for room in rooms if _has_tags(self._tags_of(room.room_id), wanted)]
        if wanted.spaces is not None:
            inside = self._children(wanted.spaces)
            rooms = [room for room in rooms if room.room_id in inside]
        if wanted.asks_for_facts:
            facts = self._all_facts()
            rooms = [room for room in rooms if _has_facts(facts[room.room_id], wanted)]
        return rooms

    def _tags_of(self, room_id: RoomID) -> Collection[str]:
        if self._tags is None:
            found: dict[RoomID, Collection[str]] = {}
            for one in account_data_of_type(self._tx, self._user_id, "m.tag"):
                tags = orjson.loads(one.content).get("tags")
                if one.room_id is not None and isinstance(tags, dict):
                    found[one.room_id] = tags.keys()
            self._tags = found
        return self._tags.get(room_id, ())

    def _children(self, spaces: Collection[str]) -> set[str]:
        """The rooms that some of the user's spaces name as theirs."""
        joined = [room.room_id for room in self._rooms if room.membership == "join" and room.room_id in spaces]
        missing = [room_id for room_id in joined if room_id not in self._children_of]
        if missing:
            for room_id, root in roots_at(self._tx, missing, at=self._tx.log_position).items():
                children = self._states.of_type(self._tx, room_id, root, "m.space.child", as_far_as_known=True)
                self._children_of[room_id] = frozenset(
                    stored.event.state_key or ""
                    for stored in children
                    if isinstance(stored.event.content.get("via"), list)
                )
        return {child for room_id in joined for child in self._children_of.get(room_id, ())}

    def _all_facts(self) -> Mapping[RoomID, RoomFacts]:
        if self._facts is None:
            known = {room.room_id: room.facts for room in self._rooms if room.membership == "join" and room.facts}
            others = [room.room_id for room in self._rooms if room.room_id not in known]
            memberships = memberships_of_user(self._tx, self._user_id, others)
            self._facts = {**known, **{room_id: self._facts_of(memberships[room_id]) for room_id in others}}
        return self._facts

    def _facts_of(self, membership: Membership) -> RoomFacts:
        """What the user may know of a room that the index does not tell of: as it was, or as it was shown."""
        if membership.membership in ("invite", "knock"):
            return _stripped_facts(membership.stripped_state)
        root: bytes | None
        if membership.membership == "join":
            root = roots_at(self._tx, [membership.room_id], at=self._tx.log_position).get(membership.room_id)
        else:
            departure = self._readers.departure(self._tx, membership)
            root = None if departure is None else departure.root
        if root is None:
            return UNKNOWN
        state = self._states.select(self._tx, membership.room_id, root, (CREATE, NAME, ENCRYPTION))
        contents = {key: event.content for key, event in state.items()}
        return _facts(contents.get)


def direct_rooms(tx: Transaction, user_id: UserID) -> frozenset[str]:
    """The rooms that the user talks to somebody in. Spec: client-server-api/#direct-messaging"""
    content = find_account_data(tx, user_id, None, "m.direct")
    listed = () if content is None else orjson.loads(content).values()
    rooms = [room_id for room_ids in listed if isinstance(room_ids, list) for room_id in room_ids]
    return frozenset(room_id for room_id in rooms if isinstance(room_id, str))


def _is_worth_telling(room: ListedRoom, user_id: UserID, told: int | None) -> bool:
    """Whether somebody who is out of a room is told: who was removed is, others if the client took them to be in."""
    if told is not None and room.log_position > told:
        return True
    return room.was_joined and room.sender != user_id and not room.is_forgotten


def _has_to_wait(room: ListedRoom, config: RoomConfig) -> bool:
    """Who asks for all members would take those that are known for all: that room is told of when all are known."""
    return room.is_partial and config.required_state.wants_all_members


def _in_ranges(rooms: Sequence[ListedRoom], wanted: ListConfig) -> Sequence[ListedRoom]:
    if wanted.ranges is None:
        return rooms
    indices = {index for first, last in wanted.ranges for index in range(first, min(last + 1, len(rooms)))}
    return [rooms[index] for index in sorted(indices)]


def _has_tags(tags: Collection[str], wanted: ListFilter) -> bool:
    if any(tag in tags for tag in wanted.not_tags):
        return False
    return wanted.tags is None or any(tag in tags for tag in wanted.tags)


def _has_facts(facts: RoomFacts, wanted: ListFilter) -> bool:
    if wanted.is_encrypted is not None and facts.is_encrypted != wanted.is_encrypted:
        return False
    if facts.room_type in wanted.not_room_types:
        return False
    if wanted.room_types is not None and facts.room_type not in wanted.room_types:
        return False
    return wanted.name_like is None or wanted.name_like.casefold() in (facts.name or "").casefold()


def _stripped_facts(stripped_state: bytes | None) -> RoomFacts:
    contents: dict[StateKey, Mapping[str, object]] = {}
    for event in orjson.loads(stripped_state or b"[]"):
        match event:
            case {"type": str() as kind, "state_key": str() as key, "content": dict() as content}:
                contents[kind, key] = content
    return _facts(contents.get)


def _facts(content_of: Callable[[StateKey], Mapping[str, object] | None]) -> RoomFacts:
    create, name = content_of(CREATE) or {}, content_of(NAME) or {}
    room_type, shown = create.get("type"), name.get("name")
    return RoomFacts(
        room_type=room_type if isinstance(room_type, str) else None,
        name=shown if isinstance(shown, str) and shown else None,
        is_encrypted=content_of(ENCRYPTION) is not None,
    )
