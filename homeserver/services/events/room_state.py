"""A room's state at any root, read through caches of nodes and events.

The map itself is core/state_map.py; which root a room is at stands in its row (storage/rooms.py).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from homeserver.core import state_map
from homeserver.core.auth_selection import CREATE, JOIN_RULES
from homeserver.core.errors import MissingNodes
from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, read_visibility
from homeserver.core.identifiers import EventID, RoomID
from homeserver.core.state_map import Nodes, StateKey, UnknownState
from homeserver.core.state_nodes import Node, Stub
from homeserver.core.state_nodes import size_bytes as node_size
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.errors import RoomIsPartial
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form, StoredEvent, events_by_id, room_news, with_right_roots
from homeserver.storage.room_index import RoomFacts
from homeserver.storage.state_nodes import load_nodes

T = TypeVar("T")
Difference = Mapping[StateKey, tuple[EventID | None, EventID | None]]
NAME: Final[StateKey] = ("m.room.name", "")
TOPIC: Final[StateKey] = ("m.room.topic", "")
AVATAR: Final[StateKey] = ("m.room.avatar", "")
ALIAS: Final[StateKey] = ("m.room.canonical_alias", "")
ENCRYPTION: Final[StateKey] = ("m.room.encryption", "")
VISIBILITY: Final[StateKey] = ("m.room.history_visibility", "")
GUEST_ACCESS: Final[StateKey] = ("m.room.guest_access", "")
FACTS_FROM: Final[tuple[StateKey, ...]] = (CREATE, NAME, ENCRYPTION, JOIN_RULES, VISIBILITY)
WORDS_FROM: Final[tuple[StateKey, ...]] = (NAME, TOPIC, ALIAS)
RECENTLY_CHANGED: Final = 10_000
NEVER_AGAIN: Final = 1 << 10  # more changes than an event goes through
KEPT_DIFFERENCE: Final = 100  # entries; a larger one is read again
DIFFERENCE_BYTES: Final = 400  # an entry
FORMS_IN_TURN: Final = (Form.WRONG_HASH, Form.FULL, Form.EXPIRED, Form.REDACTED)


class EventCache:
    """Stored events by ID.

    An event changes when it is redacted, when one that was known without the states around it finds its place, and
    when states that were known in part become whole: whoever writes that notes it here.
    """

    def __init__(self, budget: CacheBudget) -> None:
        self._events: BoundedCache[EventID, StoredEvent] = BoundedCache("events", budget, _event_size)
        # A reader whose snapshot is older than a change must not bring the old form back.
        self._changed: dict[EventID, int] = {}
        self._right: dict[bytes, tuple[bytes, int]] = {}
        self._closed: set[RoomID] = set()

    def get(self, event_id: EventID) -> StoredEvent | None:
        """The event, if it is at hand."""
        stored = self._events.get(event_id)
        return stored if stored is None or not self._right else with_right_roots(stored, self._right)

    def put(self, stored: StoredEvent) -> None:
        """Keep an event that was read from the database or was committed to it."""
        event_id = stored.event.event_id
        if stored.event.room_id in self._closed:
            return
        if _changes(stored) >= self._changed.get(event_id, 0):
            self._events.put(event_id, stored)

    def replace(self, stored: StoredEvent) -> None:
        """Forget the form that an event had before a change of it was committed."""
        event_id = stored.event.event_id
        if stored.event.room_id in self._closed:
            return
        self._changed.pop(event_id, None)
        self._changed[event_id] = _changes(stored)
        if len(self._changed) > RECENTLY_CHANGED:
            del self._changed[next(iter(self._changed))]
        self._events.put(event_id, stored)

    def forget(self, deleted: Iterable[EventID], changed: Iterable[EventID]) -> None:
        """Forget events that were deleted, and such of which something else is kept now than is here."""
        for event_id in deleted:
            self._changed.pop(event_id, None)
            self._changed[event_id] = NEVER_AGAIN  # until it is written anew
            self._events.discard(event_id)
        while len(self._changed) > RECENTLY_CHANGED:
            del self._changed[next(iter(self._changed))]
        for event_id in changed:
            self._events.discard(event_id)

    def close_room(self, room_id: RoomID) -> None:
        """Keep no event of a room any more, until it is opened again: they are about to be deleted."""
        self._closed.add(room_id)
        self._events.discard_where(lambda stored: stored.event.room_id == room_id)

    def open_room(self, room_id: RoomID) -> None:
        """What was in the room is deleted, and nobody reads it any more: what comes now is new."""
        self._closed.discard(room_id)

    def replace_roots(self, right: Mapping[bytes, bytes], from_position: int) -> None:
        """Show other roots around events from a position on: by each of a state known in part, that of the whole."""
        self._right.update({known: (root, from_position) for known, root in right.items()})
        while len(self._right) > RECENTLY_CHANGED:
            del self._right[next(iter(self._right))]


class RoomStates:
    """Reads states: entries of the map, and the events that they name."""

    def __init__(self, budget: CacheBudget, events: EventCache) -> None:
        self.events = events
        self._nodes: BoundedCache[bytes, Node] = BoundedCache("state nodes", budget, node_size)
        self._differences: BoundedCache[tuple[bytes, bytes], Difference] = BoundedCache(
            "state differences", budget, lambda difference: 300 + DIFFERENCE_BYTES * len(difference)
        )

    def with_nodes(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        question: Callable[[Nodes], T],
        fresh: Mapping[bytes, Node] | None = None,
    ) -> T:
        """Ask the map a question, loading the nodes that it turns out to need.

        `fresh` are nodes that are not stored yet. Without `tx` only what is cached answers: raises MissingNodes.
        Raises RoomIsPartial when the answer depends on what is not known of the room.
        """
        loaded: dict[bytes, Node] = {}
        known = fresh or loaded  # never copied: it may hold a whole state, and be asked for each of its entries
        cached = self._nodes.get

        def nodes(digest: bytes) -> Node | Stub | None:
            return known.get(digest) or loaded.get(digest) or cached(digest)

        while True:
            try:
                return question(nodes)
            except UnknownState as unknown:
                raise RoomIsPartial(room_id) from unknown
            except MissingNodes as missing:
                if tx is None:
                    raise
                found = load_nodes(tx, room_id, missing.digests)
                if len(found) < len(missing.digests):
                    raise
                for digest, node in found.items():
                    self._nodes.put(digest, node)  # named by its content: true whoever commits what
                loaded.update(found)

    def keep_nodes(self, nodes: Mapping[bytes, Node]) -> None:
        """Cache nodes that were committed."""
        for digest, node in nodes.items():
            self._nodes.put(digest, node)

    def event_id(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, event_type: str, state_key: str = ""
    ) -> EventID | None:
        """The ID of the state event of this type and key in the state `root`."""
        return self.with_nodes(tx, room_id, lambda nodes: state_map.get(nodes, root, event_type, state_key))

    def find(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, event_type: str, state_key: str = ""
    ) -> StoredEvent | None:
        """The state event of this type and key in the state `root`."""
        event_id = self.event_id(tx, room_id, root, event_type, state_key)
        return None if event_id is None else self.load(tx, [event_id]).get(event_id)

    def select(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        root: bytes,
        keys: Iterable[StateKey],
        fresh: Mapping[bytes, Node] | None = None,
        new_events: Mapping[EventID, StoredEvent] | None = None,
        *,
        for_rules: bool = False,
    ) -> dict[StateKey, Event]:
        """The state events under these keys in the state `root`; keys without one are left out.

        `for_rules`: as the authorisation rules are to see them, whatever was redacted since.
        """
        wanted = tuple(keys)
        found = self.with_nodes(tx, room_id, lambda nodes: state_map.get_many(nodes, root, wanted), fresh)
        ids = [event_id for event_id in found.values() if event_id is not None]
        events = self.load(tx, ids, new_events)
        return {
            key: events[event_id].for_rules if for_rules else events[event_id].event
            for key, event_id in found.items()
            if event_id is not None and event_id in events
        }

    def select_known(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, keys: Iterable[StateKey]
    ) -> dict[StateKey, Event]:
        """As `select`; keys of which it is not known what they have are left out, too."""
        found = self.known_ids(tx, room_id, root, tuple(keys))
        events = self.load(tx, list(found.values()))
        return {key: events[event_id].event for key, event_id in found.items() if event_id in events}

    def known_ids(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, keys: Sequence[StateKey]
    ) -> dict[StateKey, EventID]:
        """The IDs of the state events under those of the keys of which it is known that they have one."""
        return self.with_nodes(tx, room_id, lambda nodes: state_map.known_of(nodes, root, keys))

    def whole(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, *, as_far_as_known: bool = False
    ) -> list[StoredEvent]:
        """Every event of the state `root`, in no order.

        Raises RoomIsPartial unless all of it is known, or `as_far_as_known` will do.
        """

        def entries(nodes: Nodes) -> list[EventID]:
            if not as_far_as_known and not state_map.is_whole(nodes, root):
                raise UnknownState("not all of the state is known")
            return [event_id for _, event_id in state_map.items(nodes, root)]

        return list(self.load(tx, self.with_nodes(tx, room_id, entries)).values())

    def all_but_type(self, tx: Transaction | None, room_id: RoomID, root: bytes, left_out: str) -> list[StoredEvent]:
        """Every event of the state `root` but those of one type, in no order."""

        def entries(nodes: Nodes) -> list[EventID]:
            return [event_id for _, event_id in state_map.items(nodes, root, left_out=left_out)]

        return list(self.load(tx, self.with_nodes(tx, room_id, entries)).values())

    def of_type(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, event_type: str, *, as_far_as_known: bool = False
    ) -> list[StoredEvent]:
        """Every event of one type in the state `root`, in no order. Raises as `whole` does."""

        def entries(nodes: Nodes) -> list[EventID]:
            if not as_far_as_known and state_map.is_open_type(nodes, root, event_type):
                raise UnknownState(f"not all of {event_type} is known")
            return [event_id for _, event_id in state_map.items_of_type(nodes, root, event_type)]

        return list(self.load(tx, self.with_nodes(tx, room_id, entries)).values())

    def is_whole(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, fresh: Mapping[bytes, Node] | None = None
    ) -> bool:
        """Whether all of the state `root` is known."""
        return self.with_nodes(tx, room_id, lambda nodes: state_map.is_whole(nodes, root), fresh)

    def difference(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        before: bytes,
        after: bytes,
        fresh: Mapping[bytes, Node] | None = None,
    ) -> Difference:
        """What differs between two states: (before, after) for each key, at the cost of the difference."""
        if before == after:
            return {}
        known = self._differences.get((before, after))
        if known is not None:
            return known
        found = self.with_nodes(tx, room_id, lambda nodes: state_map.difference(nodes, before, after), fresh)
        if len(found) <= KEPT_DIFFERENCE:
            self._differences.put((before, after), found)  # states never change, and so neither does this
        return found

    def subtree_root(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        root: bytes,
        event_type: str,
        fresh: Mapping[bytes, Node] | None = None,
    ) -> bytes:
        """The digest of all state of one type: what follows from that state alone is cached under it."""
        return self.with_nodes(tx, room_id, lambda nodes: state_map.subtree_root(nodes, root, event_type), fresh)

    def news(self, tx: Transaction, room_id: RoomID, *, after: int, upto: int, limit: int) -> list[StoredEvent]:
        """The newest accepted events of a room with log positions in (after, upto], newest first."""
        known = self.events.get
        found = room_news(tx, room_id, after=after, upto=upto, limit=limit, known=known)
        for stored in found:
            if known(stored.event.event_id) is not stored:
                tx.after_commit(partial(self.events.put, stored))
        return found

    def load(
        self,
        tx: Transaction | None,
        event_ids: Sequence[EventID],
        new_events: Mapping[EventID, StoredEvent] | None = None,
    ) -> dict[EventID, StoredEvent]:
        """These events, from memory where they are at hand. Without `tx`, raises MissingNodes when some are not."""
        found: dict[EventID, StoredEvent] = {}
        missing: list[EventID] = []
        for event_id in event_ids:
            stored = (new_events.get(event_id) if new_events else None) or self.events.get(event_id)
            if stored is None:
                missing.append(event_id)
            else:
                found[event_id] = stored
        if missing:
            if tx is None:
                raise MissingNodes(())
            loaded = events_by_id(tx, missing)
            for stored in loaded.values():
                # Not before the commit: an event of a neighbour in the same batch may yet be taken back.
                tx.after_commit(partial(self.events.put, stored))
            found.update(loaded)
        return found


def _changes(stored: StoredEvent) -> int:
    """Which changes an event has been through; more of them is a greater number."""
    return (stored.root_before is not None) + 2 * FORMS_IN_TURN.index(stored.form)


def _event_size(stored: StoredEvent) -> int:
    return 1_500 + 4 * stored.size_bytes  # JSON takes several times its size as objects


def room_facts(state: Mapping[StateKey, Event]) -> RoomFacts:
    """What is kept of a room beside its state, by what that has under FACTS_FROM."""
    return RoomFacts(
        room_type=_text(state, CREATE, "type"),
        name=_text(state, NAME, "name") or None,
        is_encrypted=ENCRYPTION in state,
        is_public=_text(state, JOIN_RULES, "join_rule") == "public"
        or read_visibility(state.get(VISIBILITY)) is Visibility.WORLD_READABLE,
    )


def directory_texts(state: Mapping[StateKey, Event]) -> list[str]:
    """By whose words a room is found in the directory, by what its state has under WORDS_FROM."""
    alias = _text(state, ALIAS, "alias") or ""
    # Of an alias what stands before the server: all of a server's rooms would be found by that.
    texts = (_text(state, NAME, "name"), alias.partition(":")[0], _text(state, TOPIC, "topic"))
    return [text for text in texts if text]


def _text(state: Mapping[StateKey, Event], key: StateKey, field: str) -> str | None:
    event = state.get(key)
    value = None if event is None else event.content.get(field)
    return value if isinstance(value, str) else None
