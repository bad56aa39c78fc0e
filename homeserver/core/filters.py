"""Filters of clients: read strictly from JSON, and matched against events.

Where filters are stored is in storage/filters.py. Spec: client-server-api/#filtering
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeVar

from homeserver.core.errors import BadIdentifier, BadJson
from homeserver.core.globs import Glob
from homeserver.core.identifiers import parse_user_id
from homeserver.core.property_paths import split_path

MAX_LIMIT: Final = 1_000
MAX_LIST_LENGTH: Final = 1_000
MAX_TYPE_LENGTH: Final = 255
MAX_PATH_LENGTH: Final = 1_024
MAX_STARS: Final = 100  # in all patterns of a list: each is looked for in each event
MAX_FIELDS: Final = 100  # each is looked up in each event,
MAX_FIELD_DEPTH: Final = 32  # name by name

_Path = tuple[str, ...]
_Record = TypeVar("_Record")


class EventFormat(Enum):
    """What events look like in the answer."""

    CLIENT = "client"
    FEDERATION = "federation"


@dataclass(frozen=True, slots=True)
class Names:
    """A list of a filter: what stands in it, or matches one of its patterns with `*`."""

    exact: frozenset[str]
    globs: tuple[Glob, ...] = field(default=(), compare=False)
    patterns: frozenset[str] = frozenset()  # the globs' texts

    def __contains__(self, name: str) -> bool:
        return name in self.exact or any(glob.matches(name) for glob in self.globs)


_NOTHING: Final = Names(frozenset())


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of no room to show: presence and global account data. A None lets all pass."""

    limit: int | None = None  # may be 0: some clients want none
    senders: Names | None = None
    not_senders: Names = _NOTHING
    types: Names | None = None
    not_types: Names = _NOTHING
    is_default: bool = True  # lets everything pass; `limit` doesn't count

    def matches(self, *, event_type: str, sender: str) -> bool:
        """Does the filter let the event pass?"""
        return self.is_default or (
            event_type not in self.not_types
            and sender not in self.not_senders
            and (self.types is None or event_type in self.types)
            and (self.senders is None or sender in self.senders)
        )


@dataclass(frozen=True, slots=True)
class RoomEventFilter:
    """Which events of rooms to show, and which members with them."""

    events: EventFilter = EventFilter()
    rooms: Names | None = None
    not_rooms: Names = _NOTHING
    contains_url: bool | None = None
    related_by_senders: Names | None = None  # some child of the event was sent by one of them
    related_by_rel_types: Names | None = None  # some child of the event relates by one of these
    lazy_load_members: bool = False
    include_redundant_members: bool = False
    unread_thread_notifications: bool = False
    is_default: bool = True  # lets everything pass; limits and how members are shown don't count

    @property
    def limit(self) -> int | None:
        """The most events to show, if the client said so."""
        return self.events.limit

    @property
    def needs_relations(self) -> bool:
        """Does `matches` need to know the event's children?"""
        return self.related_by_senders is not None or self.related_by_rel_types is not None

    def allows_room(self, room_id: str) -> bool:
        """Can anything of this room pass?"""
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)

    def matches(
        self,
        *,
        event_type: str,
        sender: str,
        room_id: str,
        has_url: bool = False,
        children: Collection[tuple[str, str]] = (),
    ) -> bool:
        """Does the filter let the event pass?

        `has_url`: there is a `url` in its content. `children`: relation type and sender of each event that relates
        to it; needed only when `needs_relations`.
        """
        return self.is_default or (
            self.events.matches(event_type=event_type, sender=sender)
            and self.allows_room(room_id)
            and self.contains_url in (None, has_url)
            and (not self.needs_relations or any(self._is_wanted_child(*child) for child in children))
        )

    def _is_wanted_child(self, rel_type: str, sender: str) -> bool:
        return (self.related_by_rel_types is None or rel_type in self.related_by_rel_types) and (
            self.related_by_senders is None or sender in self.related_by_senders
        )


@dataclass(frozen=True, slots=True)
class RoomFilter:
    """What to show of rooms in a sync."""

    rooms: Names | None = None
    not_rooms: Names = _NOTHING
    include_leave: bool = False
    timeline: RoomEventFilter = RoomEventFilter()
    state: RoomEventFilter = RoomEventFilter()
    ephemeral: RoomEventFilter = RoomEventFilter()
    account_data: RoomEventFilter = RoomEventFilter()

    def allows_room(self, room_id: str) -> bool:
        """Is the room to be shown at all?"""
        return room_id not in self.not_rooms and (self.rooms is None or room_id in self.rooms)


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole filter, as /sync takes it."""

    room: RoomFilter = RoomFilter()
    presence: EventFilter = EventFilter()
    account_data: EventFilter = EventFilter()
    event_format: EventFormat = EventFormat.CLIENT
    event_fields: tuple[_Path, ...] | None = None  # None: all of them

    @property
    def is_default(self) -> bool:
        """True for the filter of those who gave none."""
        return self == DEFAULT_FILTER


DEFAULT_FILTER: Final = Filter()


def parse_filter(definition: object, *, max_limit: int = MAX_LIMIT) -> Filter:
    """The filter that a client defined. Limits above `max_limit` become it. Raises BadJson.

    Names that we don't know are passed over.
    """
    fields = _object(definition, "filter")
    event_format = fields.get("event_format", EventFormat.CLIENT.value)
    if event_format not in ("client", "federation"):
        raise BadJson("event_format must be client or federation")
    return Filter(
        room=_room_filter(fields.get("room", {}), max_limit),
        presence=_event_filter(_object(fields.get("presence", {}), "presence"), max_limit),
        account_data=_event_filter(_object(fields.get("account_data", {}), "account_data"), max_limit),
        event_format=EventFormat(event_format),
        event_fields=_event_fields(fields),
    )


def parse_room_event_filter(definition: object, *, max_limit: int = MAX_LIMIT) -> RoomEventFilter:
    """The filter that a client gave to /messages, /context or /search. Raises BadJson."""
    fields = _object(definition, "filter")
    events = _event_filter(fields, max_limit)
    rooms, not_rooms = _rooms(fields, "rooms"), _rooms(fields, "not_rooms")
    contains_url = _flag(fields, "contains_url")
    senders, rel_types = _names(fields, "related_by_senders"), _names(fields, "related_by_rel_types")
    return RoomEventFilter(
        events=events,
        rooms=rooms,
        not_rooms=not_rooms or _NOTHING,
        contains_url=contains_url,
        related_by_senders=senders,
        related_by_rel_types=rel_types,
        lazy_load_members=_flag(fields, "lazy_load_members") or False,
        include_redundant_members=_flag(fields, "include_redundant_members") or False,
        unread_thread_notifications=_flag(fields, "unread_thread_notifications") or False,
        is_default=events.is_default
        and all(one is None for one in (rooms, not_rooms, contains_url, senders, rel_types)),
    )


def projected(event: Mapping[str, Any], paths: Collection[_Path]) -> dict[str, Any]:
    """The event with the fields at `paths` alone (`Filter.event_fields`)."""
    shown: dict[str, Any] = {}
    for path in paths:
        source, target = event, shown
        for name in path[:-1]:
            inner = source.get(name)
            if not isinstance(inner, dict):
                break
            source = inner
            # A field that was taken whole before is not cut down, nor is the event itself written to.
            if target.get(name) is inner:
                break
            target = target.setdefault(name, {})
        else:
            if path[-1] in source:
                target[path[-1]] = source[path[-1]]
    return shown


def _room_filter(definition: object, max_limit: int) -> RoomFilter:
    fields = _object(definition, "room")
    parts = {
        name: parse_room_event_filter(_object(fields.get(name, {}), name), max_limit=max_limit)
        for name in ("timeline", "state", "ephemeral", "account_data")
    }
    return RoomFilter(
        rooms=_rooms(fields, "rooms"),
        not_rooms=_rooms(fields, "not_rooms") or _NOTHING,
        include_leave=_flag(fields, "include_leave") or False,
        **parts,
    )


def _event_filter(fields: Mapping[str, Any], max_limit: int) -> EventFilter:
    senders, not_senders = _senders(fields, "senders"), _senders(fields, "not_senders")
    types, not_types = _types(fields, "types"), _types(fields, "not_types")
    return EventFilter(
        limit=_limit(fields, max_limit),
        senders=senders,
        not_senders=not_senders or _NOTHING,
        types=types,
        not_types=not_types or _NOTHING,
        is_default=all(names is None for names in (senders, not_senders, types, not_types)),
    )


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson(f"{name} must be an object")
    return value


def _limit(fields: Mapping[str, Any], max_limit: int) -> int | None:
    limit = fields.get("limit")
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise BadJson("limit must be a positive integer")
    return min(limit, max_limit)


def _flag(fields: Mapping[str, Any], name: str) -> bool | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadJson(f"{name} must be true or false")
    return value


def _strings(fields: Mapping[str, Any], name: str) -> list[str] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadJson(f"{name} must be a list of strings")
    if len(value) > MAX_LIST_LENGTH:
        raise BadJson(f"{name} must not have more than {MAX_LIST_LENGTH} entries")
    return value


def _names(fields: Mapping[str, Any], name: str) -> Names | None:
    strings = _strings(fields, name)
    return None if strings is None else Names(frozenset(strings))


def _rooms(fields: Mapping[str, Any], name: str) -> Names | None:
    strings = _strings(fields, name)
    if strings is not None and not all(room_id.startswith("!") for room_id in strings):
        raise BadJson(f"{name} must be a list of room IDs")
    return None if strings is None else Names(frozenset(strings))


def _senders(fields: Mapping[str, Any], name: str) -> Names | None:
    strings = _strings(fields, name)
    try:
        return None if strings is None else Names(frozenset(map(parse_user_id, strings)))
    except BadIdentifier:
        raise BadJson(f"{name} must be a list of user IDs") from None


def _types(fields: Mapping[str, Any], name: str) -> Names | None:
    strings = _strings(fields, name)
    if strings is None:
        return None
    if any(len(event_type) > MAX_TYPE_LENGTH for event_type in strings):
        raise BadJson(f"{name} holds a type that is too long")
    patterns = frozenset(event_type for event_type in strings if "*" in event_type)
    if sum(pattern.count("*") for pattern in patterns) > MAX_STARS:
        raise BadJson(f"{name} holds too many patterns")
    globs = tuple(Glob(pattern, question_mark=False) for pattern in sorted(patterns))
    return Names(frozenset(strings) - patterns, globs, patterns)


def _event_fields(fields: Mapping[str, Any]) -> tuple[_Path, ...] | None:
    """An empty list counts as none at all: nothing could be done with events without any field."""
    paths = _strings(fields, "event_fields")
    if not paths:
        return None
    if any(len(path) > MAX_PATH_LENGTH for path in paths):
        raise BadJson("event_fields holds a path that is too long")
    split = tuple(dict.fromkeys(map(split_path, paths)))
    if len(split) > MAX_FIELDS or any(len(path) > MAX_FIELD_DEPTH for path in split):
        raise BadJson("event_fields holds too many paths, or too deep ones")
    return split
