"""What a sliding sync asks for: lists of rooms, windows into them, what is to be told of each room. Spec: MSC4186"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from homeserver.core.identifiers import RoomID
from homeserver.core.required_state import RequiredState
from homeserver.core.sliding_tokens import SlidingToken
from homeserver.services.events.client_format import Viewer
from homeserver.services.events.news import Change
from homeserver.storage.room_index import ListedRoom
from homeserver.storage.sliding_connections import ConnectionKey, SentRoom

MOST_TIMELINE_EVENTS: Final = 100


@dataclass(frozen=True, slots=True)
class RoomConfig:
    """What is to be told of a room: so many of its newest events, and this of its state."""

    timeline_limit: int
    required_state: RequiredState

    def combined(self, other: "RoomConfig | None") -> "RoomConfig":
        """What tells all that either of the two tells."""
        if other is None or other == self:
            return self
        return RoomConfig(
            max(self.timeline_limit, other.timeline_limit), self.required_state.with_pairs_of(other.required_state)
        )


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which rooms are in a list. A None lets all rooms pass."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    spaces: Collection[str] | None = None
    room_types: Collection[str | None] | None = None
    not_room_types: Collection[str | None] = ()
    tags: Collection[str] | None = None
    not_tags: Collection[str] = ()
    name_like: str | None = None

    @property
    def asks_for_facts(self) -> bool:
        """Whether the filter looks at the state of rooms."""
        return bool(
            self.is_encrypted is not None
            or self.room_types is not None
            or self.not_room_types
            or self.name_like is not None
        )


@dataclass(frozen=True, slots=True)
class ListConfig:
    """A list: which rooms, and which part of them by their order; `ranges` include both ends, None is everything."""

    config: RoomConfig
    ranges: Sequence[tuple[int, int]] | None = None
    filter: ListFilter = field(default_factory=ListFilter)


@dataclass(frozen=True, slots=True)
class Scope:
    """In which of the rooms of an answer an extension is wanted: those of some lists, and some of the subscriptions.

    None: all of them.
    """

    lists: Collection[str] | None = None
    rooms: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class ToDeviceWish:
    """Messages for the device after a position: it has those up to there."""

    since: int
    limit: int


@dataclass(frozen=True, slots=True)
class Extensions:
    """What is wanted beside the rooms themselves. None: nothing of the kind."""

    to_device: ToDeviceWish | None = None
    e2ee: bool = False
    account_data: Scope | None = None
    receipts: Scope | None = None
    typing: Scope | None = None
    thread_subscriptions: int | None = None  # so many changes at most


@dataclass(frozen=True, slots=True)
class SlidingRequest:
    """One call of sliding sync. `since` is None for the first of a connection."""

    viewer: Viewer
    conn_id: str = ""
    since: SlidingToken | None = None
    lists: Mapping[str, ListConfig] = field(default_factory=dict)
    subscriptions: Mapping[RoomID, RoomConfig] = field(default_factory=dict)
    extensions: Extensions = Extensions()
    timeout_ms: int = 0

    @property
    def key(self) -> ConnectionKey:
        """Which connection it belongs to."""
        return ConnectionKey(self.viewer.user_id, self.viewer.device_id or "", self.conn_id)

    @property
    def asks_for_rooms(self) -> bool:
        """Whether it asks for any room."""
        return bool(self.lists or self.subscriptions)

    @property
    def wishes(self) -> int:
        """A number that says what it asks for, since whenever and for however long: of this run of the server."""
        extensions, wish = self.extensions, self.extensions.to_device
        if wish is not None:
            extensions = replace(extensions, to_device=replace(wish, since=0))
        return hash((frozenset(self.lists.items()), frozenset(self.subscriptions.items()), extensions))

    @property
    def has_messages_upto(self) -> int:
        """Up to where the device has the messages for it, if it asks for them."""
        wish = self.extensions.to_device
        return 0 if wish is None else wish.since


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was written for the user since the position of the request, up to another one, as memory has it."""

    changes: Sequence[Change]
    upto: int


@dataclass(frozen=True, slots=True)
class View:
    """The rooms in sight with an answer: what lists have, and what each of the rooms is told of.

    `configs` are in the order in which rooms are told of; `rooms` may have more. `has_more`: others wait for the next
    answer.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    by_list: Mapping[str, Collection[RoomID]] = field(default_factory=dict)
    configs: Mapping[RoomID, RoomConfig] = field(default_factory=dict)
    rooms: Mapping[RoomID, ListedRoom] = field(default_factory=dict)
    directs: Collection[str] = ()
    ignored: frozenset[str] = frozenset()
    has_more: bool = False

    def with_rooms(self, rooms: Mapping[RoomID, ListedRoom]) -> "View":
        """The same with other things known of some rooms."""
        return replace(self, rooms={**self.rooms, **rooms})


@dataclass(frozen=True, slots=True)
class SlidingAnswer:
    """A response. Any: JSON and fragments of it.

    `token` does not name the answer that tells of `told`, which is to be noted first. `relevant` are the rooms that
    were looked at. An empty answer tells a client nothing but its next token. `quiet` is the body of the next answer if
    nothing happens, and `view` what is in sight then; both are None when there is more to tell than this one does.
    """

    body: dict[str, Any]
    token: SlidingToken
    told: Mapping[RoomID, SentRoom]
    relevant: Collection[RoomID]
    is_empty: bool
    quiet: dict[str, Any] | None
    view: View | None = None
