"""States that other servers tell of: an event whose previous events are not all here is judged in one of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from homeserver.core.auth_selection import auth_types_for
from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, ServerName
from homeserver.core.state_map import EMPTY_ROOT, StateKey
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.events.writing.states import MEMBER, Entry, state_entry_of
from homeserver.storage.events import Verdict


@dataclass(frozen=True, slots=True)
class GivenState:
    """The state before an event whose previous events are not all here, as another server tells it."""

    event_ids: Sequence[EventID]  # of state events that are stored, if only as outliers
    given_by: ServerName
    omits_members: bool = False  # most members are not told, but by which servers they are in the room
    servers: Collection[ServerName] = ()
    followed_by: EventID | None = None  # a stored state event: what is meant is the state after it


class GivenStates:
    """The states that were given with events, made out of one that is here and much like them."""

    def __init__(self, write: RoomWrite, given: Mapping[EventID, GivenState], near: bytes) -> None:
        """`near` is the root of that state."""
        self.near = near
        self._write = write
        self._given = given
        self._known: dict[EventID, StateKey] | None = None  # what is in it
        self._roots: dict[int, bytes | None] = {}  # several events may have the same
        self.servers = {one.given_by for one in given.values()}

    def find(self, event_id: EventID) -> tuple[bytes, ServerName] | None:
        """The root of the state before an event, and who gave it; None if there is none, or it cannot be one."""
        given = self._given.get(event_id)
        if given is None:
            return None
        if id(given) not in self._roots:
            self._roots[id(given)] = self._make(given)
        root = self._roots[id(given)]
        return None if root is None else (root, given.given_by)

    def _make(self, given: GivenState) -> bytes | None:
        changes = self.changes(given)
        return None if changes is None else self._write.states.change(self.near, changes)

    def changes(self, given: GivenState) -> dict[StateKey, Entry | None] | None:
        """What differs from the state that is here: only that is loaded. None if the given state cannot be one."""
        if self._known is None:
            whole = self._write.states.whole(self.near)
            self.near = EMPTY_ROOT if whole is None else self.near
            self._known = {} if whole is None else {event_id: key for key, event_id in whole.items()}
        known = self._known
        others = [event_id for event_id in given.event_ids if event_id not in known]
        entries = _given_entries(self._write, others)
        kept = {known[event_id] for event_id in given.event_ids if event_id in known}
        if entries is None or not kept.isdisjoint(entries):
            return None
        changes: dict[StateKey, Entry | None] = dict.fromkeys(set(known.values()) - kept)
        changes |= entries
        write, last_id = self._write, given.followed_by
        last = None if last_id is None else write.find(last_id)
        if last is not None and last.event.state_key is not None and last.verdict is not Verdict.REJECTED:
            # Judged by its auth events alone, like all the others: nobody would get more into the state by this.
            changes[last.event.type, last.event.state_key] = state_entry_of(last.event)
        return changes


def given_root_before(
    write: RoomWrite, event: Event, near: bytes, changes: Mapping[StateKey, Entry | None], *, omits_members: bool
) -> bytes | None:
    """The state before an event on the word of another server, and of what is here; None if it makes no sense.

    It is told by what is different from the state `near`. Raises NotMerged.
    """
    if omits_members:
        entries = _with_own_members(write, event, changes)
        return None if entries is None else write.states.add_partial(entries)
    given_root = write.states.change(near, changes)
    if not _stands_on_whole_states(write, event):
        return given_root
    return write.states.merged(event.prev_event_ids, given_root=given_root)


def derived_root_before(write: RoomWrite, event: Event, missing: Sequence[EventID]) -> bytes | None:
    """The state before an event if it follows, as a whole, from what is here. Raises NotMerged."""
    if missing or not _stands_on_whole_states(write, event):
        return None
    return write.states.merged(event.prev_event_ids)


def _stands_on_whole_states(write: RoomWrite, event: Event) -> bool:
    """Whether all is known of the states after those of an event's previous events that are here."""
    stored = write.load(event.prev_event_ids).values()
    return all(write.states.is_whole(one.root) for one in stored if one.root is not None)


def _with_own_members(
    write: RoomWrite, event: Event, given: Mapping[StateKey, Entry | None]
) -> dict[StateKey, Entry | None] | None:
    """A state without members, with those that an event needs: its auth events say who they are, and who is not there.

    None if they are others than the state has.
    """
    entries: dict[StateKey, Entry | None] = dict(given)
    for one in write.load(event.auth_event_ids).values():
        entry = state_entry_of(one.event)
        if one.event.type == MEMBER and entries.setdefault((MEMBER, one.event.state_key or ""), entry) != entry:
            return None
    needed = auth_types_for(event.type, event.sender, event.state_key, event.content, event.version)
    return {**{key: None for key in needed if key[0] == MEMBER}, **entries}


def _given_entries(write: RoomWrite, event_ids: Sequence[EventID]) -> dict[StateKey, Entry] | None:
    """The entries of a given state, without what was rejected.

    None if an event of it is not here, or it has two of one type and state key.
    """
    entries: dict[StateKey, Entry] = {}
    stored = write.load(event_ids)
    for event_id in event_ids:
        one = stored.get(event_id)
        if one is None or one.event.room_id != write.room_id or one.event.state_key is None:
            return None
        entry = state_entry_of(one.event)
        if (
            one.verdict is not Verdict.REJECTED
            and entries.setdefault((one.event.type, one.event.state_key), entry) != entry
        ):
            return None
    return entries
