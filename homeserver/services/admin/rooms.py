"""Rooms as administrators look at them: all of them in lists, and each as a whole, whoever may read it otherwise.

What is shown of a room's history does not depend on its history visibility, nor on whether a user of this server is in
it. Nothing is asked of other servers, and nobody in the room learns of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core import state_map
from homeserver.core.auth_selection import CREATE, JOIN_RULES
from homeserver.core.event import Event
from homeserver.core.filters import RoomEventFilter
from homeserver.core.history_visibility import read_visibility
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.room_upgrades import TOMBSTONE_KEY
from homeserver.core.sync_tokens import PaginationToken
from homeserver.services.admin.named_rooms import named_room
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.events.client_format import ClientFormat, Sight, Viewer
from homeserver.services.events.room_state import (
    ALIAS,
    AVATAR,
    ENCRYPTION,
    GUEST_ACCESS,
    NAME,
    TOPIC,
    VISIBILITY,
    RoomStates,
)
from homeserver.services.rooms.aggregations import Aggregations, Onlooker
from homeserver.services.rooms.history_pages import (
    OLDEST,
    HistoryRange,
    Seen,
    raw_page,
    seen_page,
    wanted_events,
)
from homeserver.services.rooms.known_rooms import NO_ROOM, known_head
from homeserver.services.rooms.timeline import Context, Page
from homeserver.storage.database import Database, Transaction
from homeserver.storage.event_times import events_by_time
from homeserver.storage.events import StoredEvent, Verdict
from homeserver.storage.room_listing import (
    NUMBERS,
    TEXTS,
    ListedRoom,
    RoomWanted,
    count_local_devices,
    count_rooms,
    is_remembered,
    joined_user_ids,
    listed_rooms,
    sorted_room_ids,
    wanted_roots,
)
from homeserver.storage.rooms import RoomHead

COUNTED: Final = frozenset({"state_events", "complexity"})
SAID_TEXTS: Final = frozenset({"canonical_alias", "creator", "join_rules", "guest_access", "history_visibility"})
BY_STATE: Final = COUNTED | SAID_TEXTS | {"federatable"}
ORDERS: Final = TEXTS | NUMBERS | BY_STATE
STATE_EVENTS_PER_COMPLEXITY: Final = 500  # as servers tell each other how complex a room is
MOST_ROOMS: Final = 500  # of a page
MOST_EVENTS: Final = 1_000  # of a page, or around an event
LEAST_READ: Final = 200  # at once, of a history of which a filter leaves little
LONGEST_TEXT: Final = 255
LARGEST: Final = 2**63 - 1
SHOWN: Final = (CREATE, NAME, TOPIC, ALIAS, AVATAR, ENCRYPTION, JOIN_RULES, GUEST_ACCESS, VISIBILITY, TOMBSTONE_KEY)
NOBODY: Final = Viewer(UserID(""), None)  # nothing is shown as one's own
NO_EVENT: Final = "There is no such event in this room here"


@dataclass(frozen=True, slots=True)
class RoomDescription:
    """A room, and what its current state says of it; None for what that leaves open, or is not known of it."""

    listed: ListedRoom
    state_events: int
    name: str | None
    topic: str | None
    avatar_url: str | None
    canonical_alias: str | None
    creator: str | None
    encryption: str | None
    is_federated: bool
    join_rule: str | None
    guest_access: str | None
    history_visibility: str
    room_type: str | None
    is_tombstoned: bool
    replacement_room: str | None

    @property
    def complexity(self) -> float:
        """How much state the room has, as servers tell each other."""
        return round(self.state_events / STATE_EVENTS_PER_COMPLEXITY, 2)


@dataclass(frozen=True, slots=True)
class RoomPage:
    """Some of the rooms, beginning with the one after so many, and how many there are."""

    rooms: Sequence[RoomDescription]
    skipped: int
    total: int


@dataclass(frozen=True, slots=True)
class RoomDetails:
    """A room, and what only those ask who look at it alone."""

    description: RoomDescription
    joined_local_devices: int
    is_forgotten: bool


@dataclass(frozen=True, slots=True)
class Extremity:
    """An event on which nothing is built yet, and where it stands. `received_position` is that of the log."""

    event_id: EventID
    depth: int
    origin_server_ts: int
    received_position: int | None


class RoomReading:
    """Reads rooms for administrators. Each method raises NotFound for a room that is not known here."""

    def __init__(
        self, database: Database, states: RoomStates, formats: ClientFormat, aggregations: Aggregations
    ) -> None:
        self._database = database
        self._states = states
        self._formats = formats
        self._aggregations = aggregations

    async def page(self, wanted: RoomWanted, *, by: str, reverses: bool, skipped: int, limit: int) -> RoomPage:
        """Rooms sorted by one of ORDERS: texts from A to Z, numbers from the largest down, unless it `reverses`.

        Raises InvalidParameter.
        """
        if by not in ORDERS:
            raise InvalidParameter(f"Rooms are sorted by one of {', '.join(sorted(ORDERS))}")
        if wanted.text is not None and not 0 < len(wanted.text) <= LONGEST_TEXT:
            raise InvalidParameter(f"What rooms are searched by has one to {LONGEST_TEXT} characters")
        if skipped < 0 or limit < 0:
            raise InvalidParameter("Neither a page's beginning nor its limit is negative")
        descends = reverses if by in TEXTS | SAID_TEXTS else not reverses
        return await self._database.read(self._page, wanted, by, descends, skipped, min(limit, MOST_ROOMS))

    async def details(self, room_id: RoomID) -> RoomDetails:
        """One room."""
        return await self._database.read(self._details, room_id)

    async def members(self, room_id: RoomID) -> list[str]:
        """Who is in a room."""
        return await self._database.read(self._members, room_id)

    async def state(self, room_id: RoomID, event_type: str | None) -> list[orjson.Fragment]:
        """The current state of a room, as far as it is known, or what it has of one type."""
        return await self._database.read(self._state, room_id, event_type)

    async def messages(
        self,
        room_id: RoomID,
        *,
        begin: PaginationToken | None,
        end: PaginationToken | None,
        backwards: bool,
        limit: int,
        event_filter: RoomEventFilter,
    ) -> Page:
        """A page of a room's history from `begin` (None: from the newest, or from the oldest forwards) to `end`."""
        return await self._database.read(
            self._messages, room_id, begin, end, backwards, min(limit, MOST_EVENTS), event_filter
        )

    async def context(self, room_id: RoomID, event_id: EventID, limit: int) -> Context:
        """An event and up to `limit` around it. Raises NotFound for one that is not in the room's history, too."""
        return await self._database.read(self._context, room_id, event_id, min(limit, MOST_EVENTS))

    async def event(self, event_id: EventID) -> orjson.Fragment:
        """An event of any room, unless it was rejected. Raises NotFound for one that is not here."""
        return await self._database.read(self._event, event_id)

    async def closest(self, room_id: RoomID, timestamp_ms: int, *, backwards: bool) -> tuple[EventID, int]:
        """The event closest to a time, at it or on the asked side of it, and its own time. Raises NotFound."""
        return await self._database.read(self._closest, room_id, timestamp_ms, backwards)

    async def extremities(self, room: str) -> list[Extremity]:
        """The heads of the room of this ID or alias."""
        return await self._database.read(self._extremities, room)

    def _page(self, tx: Transaction, wanted: RoomWanted, by: str, descends: bool, skipped: int, limit: int) -> RoomPage:
        if by in BY_STATE:
            room_ids = self._by_state(tx, wanted, by, descends)[skipped : skipped + limit]
        else:
            room_ids = sorted_room_ids(tx, wanted, by=by, descends=descends, skipped=skipped, limit=limit)
        described = [self._described(tx, room) for room in listed_rooms(tx, room_ids)]
        return RoomPage(described, skipped, count_rooms(tx, wanted))

    def _by_state(self, tx: Transaction, wanted: RoomWanted, by: str, descends: bool) -> list[RoomID]:
        """All that are wanted, sorted by what only their states say; those that say nothing come last either way."""
        roots = sorted(wanted_roots(tx, wanted).items())
        ranks = {room_id: self._rank(tx, room_id, root, by) for room_id, root in roots}
        ranked = [(rank, room_id) for room_id, rank in ranks.items() if rank is not None]
        ranked.sort(key=lambda one: one[0], reverse=descends)
        return [*(room_id for _, room_id in ranked), *(room_id for room_id, rank in ranks.items() if rank is None)]

    def _rank(self, tx: Transaction, room_id: RoomID, root: bytes, by: str) -> tuple[int, str] | None:
        if by in COUNTED:
            return self._state_events(tx, room_id, root), ""
        state = self._states.select_known(tx, room_id, root, SHOWN)
        if by == "federatable":
            return int(_is_federated(state.get(CREATE))), ""
        text = {
            "canonical_alias": _text(state.get(ALIAS), "alias"),
            "creator": None if CREATE not in state else state[CREATE].sender,
            "join_rules": _text(state.get(JOIN_RULES), "join_rule"),
            "guest_access": _text(state.get(GUEST_ACCESS), "guest_access"),
            "history_visibility": read_visibility(state.get(VISIBILITY)).value,
        }[by]
        return None if text is None else (0, text)

    def _details(self, tx: Transaction, room_id: RoomID) -> RoomDetails:
        listed = listed_rooms(tx, [room_id])
        if not listed:
            raise NotFound(NO_ROOM)
        return RoomDetails(
            self._described(tx, listed[0]), count_local_devices(tx, room_id), not is_remembered(tx, room_id)
        )

    def _described(self, tx: Transaction, listed: ListedRoom) -> RoomDescription:
        state = self._states.select_known(tx, listed.room_id, listed.current_root, SHOWN)
        create = state.get(CREATE)
        return RoomDescription(
            listed=listed,
            state_events=self._state_events(tx, listed.room_id, listed.current_root),
            name=_text(state.get(NAME), "name"),
            topic=_text(state.get(TOPIC), "topic"),
            avatar_url=_text(state.get(AVATAR), "url"),
            canonical_alias=_text(state.get(ALIAS), "alias"),
            creator=None if create is None else create.sender,
            encryption=_text(state.get(ENCRYPTION), "algorithm"),
            is_federated=_is_federated(create),
            join_rule=_text(state.get(JOIN_RULES), "join_rule"),
            guest_access=_text(state.get(GUEST_ACCESS), "guest_access"),
            history_visibility=read_visibility(state.get(VISIBILITY)).value,
            room_type=_text(create, "type"),
            is_tombstoned=TOMBSTONE_KEY in state,
            replacement_room=_text(state.get(TOMBSTONE_KEY), "replacement_room"),
        )

    def _state_events(self, tx: Transaction, room_id: RoomID, root: bytes) -> int:
        return self._states.with_nodes(tx, room_id, lambda nodes: state_map.count_known(nodes, root))

    def _members(self, tx: Transaction, room_id: RoomID) -> list[str]:
        known_head(tx, room_id)
        return joined_user_ids(tx, room_id)

    def _state(self, tx: Transaction, room_id: RoomID, event_type: str | None) -> list[orjson.Fragment]:
        head = known_head(tx, room_id)
        if event_type is None:
            stored = self._states.whole(tx, room_id, head.current_root, as_far_as_known=True)
        else:
            stored = self._states.of_type(tx, room_id, head.current_root, event_type, as_far_as_known=True)
        return self._shown(tx, head, stored)

    def _messages(
        self,
        tx: Transaction,
        room_id: RoomID,
        begin: PaginationToken | None,
        end: PaginationToken | None,
        backwards: bool,
        limit: int,
        event_filter: RoomEventFilter,
    ) -> Page:
        head = known_head(tx, room_id)
        place = (LARGEST if backwards else OLDEST) if begin is None else begin.place
        if backwards:
            place = min(place, head.last_place)
        until = None if end is None else end.place
        page = seen_page(
            tx,
            HistoryRange(room_id, place, until, head.last_place, backwards),
            limit,
            lambda events: _seen(wanted_events(tx, room_id, events, event_filter)),
            least_read=LEAST_READ,
        )
        return Page(
            chunk=self._shown(tx, head, [one for one, _ in page.seen]),
            start=str(begin or PaginationToken(place)),
            end=str(PaginationToken(page.next_place)) if page.has_more else None,
            state=[],  # whoever reads here knows who is in the room
        )

    def _context(self, tx: Transaction, room_id: RoomID, event_id: EventID, limit: int) -> Context:
        head = known_head(tx, room_id)
        middle = self._states.load(tx, [event_id]).get(event_id)
        if middle is None or middle.event.room_id != room_id or middle.place is None or middle.verdict:
            raise NotFound(NO_EVENT)
        place, upto = middle.place, head.last_place
        before = raw_page(tx, HistoryRange(room_id, place - 1, None, upto, backwards=True), limit // 2)
        after = raw_page(tx, HistoryRange(room_id, place, None, upto, backwards=False), limit - limit // 2)
        shown = self._shown(tx, head, [middle, *before.events, *after.events])
        last = after.events[-1] if after.events else middle
        state = [] if last.root is None else self._states.whole(tx, room_id, last.root, as_far_as_known=True)
        return Context(
            event=shown[0],
            before=shown[1 : 1 + len(before.events)],
            after=shown[1 + len(before.events) :],
            start=str(PaginationToken(before.next_place)),
            end=str(PaginationToken(after.next_place)),
            state=self._shown(tx, head, state),
        )

    def _event(self, tx: Transaction, event_id: EventID) -> orjson.Fragment:
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None or stored.verdict is Verdict.REJECTED:
            raise NotFound("There is no such event here")
        return self._shown(tx, known_head(tx, stored.event.room_id), [stored])[0]

    @staticmethod
    def _closest(tx: Transaction, room_id: RoomID, timestamp_ms: int, backwards: bool) -> tuple[EventID, int]:
        known_head(tx, room_id)
        at_ms = max(-LARGEST, min(timestamp_ms, LARGEST))
        nid = LARGEST if backwards else 0
        found = events_by_time(tx, room_id, timestamp_ms=at_ms, nid=nid, backwards=backwards, limit=1)
        if not found:
            raise NotFound("The room has no event on that side of this time here")
        return found[0][0], found[0][1]

    def _extremities(self, tx: Transaction, room: str) -> list[Extremity]:
        head = known_head(tx, named_room(tx, room))
        events = self._states.load(tx, head.heads)
        return [
            Extremity(one.event.event_id, one.event.depth, one.event.origin_server_ts, one.log_position)
            for one in events.values()
        ]

    def _shown(self, tx: Transaction, head: RoomHead, events: Sequence[StoredEvent]) -> list[orjson.Fragment]:
        # As though the reader had been in the room all the time.
        sight = Sight(head.current_root, OLDEST, head.last_place)
        onlooker = Onlooker(NOBODY, head.room_id, sight, head.last_place, frozenset())
        related = self._aggregations.of(tx, onlooker, events)
        return self._formats.render(tx, events, NOBODY, with_room_id=True, sight=sight, relations=related)


def _seen(events: Sequence[StoredEvent]) -> list[Seen]:
    """All of them, as though whoever reads had been in the room all the time."""
    return [(one, "join") for one in events]


def _is_federated(create: Event | None) -> bool:
    return create is None or create.content.get("m.federate") is not False


def _text(event: Event | None, field: str) -> str | None:
    value: Any = None if event is None else event.content.get(field)  # Any: JSON
    return value if isinstance(value, str) else None
