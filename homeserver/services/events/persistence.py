"""The one room where events are stored: one transaction, then one wake-up.

Everything that an event leaves behind is written here: the event, the state that follows from it, who is in the room
now, what it relates to, what it does to unread counts. Who may send what is decided before (authorisation.py).
"""

from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import orjson

from homeserver.core import state_map
from homeserver.core.auth_rules import may_redact
from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.canonical_json import encode_for
from homeserver.core.client_event import stripped_state_event
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.hashing import reference_hash
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.core.redaction import content_for_rules, redacted_event
from homeserver.core.relations import THREAD, relation_of, thread_id_of
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import Nodes, StateKey
from homeserver.core.state_nodes import HashedEventID, Node
from homeserver.runtime.clock import Clock
from homeserver.services.errors import RoomIsPartial
from homeserver.services.events.news import EventNotified, News, OutgoingWritten, RoomBecameWhole, RoomWritten
from homeserver.services.events.notifying import Audience, Notifying
from homeserver.services.events.room_state import (
    FACTS_FROM,
    NAME,
    WORDS_FROM,
    RoomStates,
    directory_texts,
    room_facts,
)
from homeserver.services.events.state_merging import Overlay, StateMerging
from homeserver.storage import events as event_rows
from homeserver.storage import memberships as membership_rows
from homeserver.storage import room_servers as server_rows
from homeserver.storage import rooms as room_rows
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.database import Transaction
from homeserver.storage.early_redactions import note_early_redaction, take_early_redactions
from homeserver.storage.event_edges import events_above, forget_heads, heads_under, insert_edges, insert_shadows
from homeserver.storage.events import (
    ACCEPTED_BEFORE,
    EventNid,
    Form,
    StoredEvent,
    Verdict,
    first_place,
    place_before,
)
from homeserver.storage.memberships import Membership, MembershipChange
from homeserver.storage.notifications import insert_notifications, note_sent, remove_notifications
from homeserver.storage.outgoing_events import insert_removal_notice
from homeserver.storage.partial_rooms import PartialRoom, note_whole
from homeserver.storage.relations import StoredRelation, insert_relation, remove_relation
from homeserver.storage.room_index import BUMP_TYPES, RoomFacts, count_joined, forget_name, note_activity
from homeserver.storage.room_words import renew_room_words
from homeserver.storage.rooms import PLACE_STEP, RoomHead
from homeserver.storage.search import index_event, remove_event
from homeserver.storage.state_nodes import store_nodes
from homeserver.storage.threads import note_thread_event, renew_thread
from homeserver.storage.user_directory import note_names, renew_names
from homeserver.storage.waiting_events import gap_followers, place_over_gaps

WRITTEN_AT_POSITION: Final = (
    "events",
    "room_roots",
    "memberships",
    "membership_changes",
    "removal_notices",
    "room_servers",
    "room_index",
)
MEMBER: Final = "m.room.member"
STRIPPED_TYPES: Final = (
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
)
# Beside what the rules read of state: the version of the room, how a member is shown, what is redacted.
READ_WHEN_JUDGED: Final = frozenset({"m.room.create", "m.room.member", "m.room.redaction"})
HISTORY_SHARE: Final = 1_000  # of what lies between two places, that which an event from the past leaves before it
HISTORY_SHARES: Final = 10_000  # such parts, one for each of many events that come at once: more may come below them
NO_EVENTS: Final[Mapping[EventID, StoredEvent]] = {}
NO_STATE: Final[Mapping[StateKey, Event]] = {}
NOT_NOTIFIED: Final = EventNotified((), ())
NO_AUDIENCE: Final = Audience({}, 0)


@dataclass(frozen=True, slots=True)
class _Added:
    stored: StoredEvent
    pdu: bytes
    notified: EventNotified
    verdict_reason: str | None = None
    is_history: bool = False  # events that are built on it were here before it
    is_ours_to_send: bool = False  # made here, or handed over to this server to be passed on

    @property
    def is_news(self) -> bool:
        """Whether it gets a position in the log: what was rejected has none, nor what was brought in from the past."""
        return not self.is_history and self.stored.place is not None


class RoomWrite:
    """Events being added to one room in one transaction; nothing is in the database before `finish`."""

    def __init__(self, tx: Transaction, head: RoomHead, writer: "RoomWriter", *, is_new: bool) -> None:
        self.tx = tx
        self.version: RoomVersion = head.version
        self.room_id: RoomID = head.room_id
        self.root = head.current_root
        self.heads = head.heads
        self.depth = head.depth
        self.is_partial = head.is_partial  # not all of the room's members are known here
        self._head = head
        self._writer = writer
        self._is_new = is_new
        self._place = head.last_place
        self._added: list[_Added] = []
        self._new_events: dict[EventID, StoredEvent] = {}
        self._found: dict[EventID, StoredEvent] = {}
        self._absent: set[EventID] = set()  # what was looked for and is not here
        self._given_servers: Collection[ServerName] | None = None
        self._new_nodes: dict[bytes, bytes] = {}
        self._parsed_nodes: dict[bytes, Node] = {}
        self._placed: set[EventID] = set()  # of what was added, that which other servers built
        self._left_heads: set[EventID] = set()
        # For what is no head: the heads that it stands on.
        self._shadows: dict[EventID, set[EventID]] = {}
        self._replaced_outliers: list[EventNid] = []
        self._has_merged = False
        self._has_new_words = False  # by which the directory finds the room
        self._followed: dict[EventID, list[StoredEvent]] = {}  # what closes a gap, and what was built on it

    @property
    def has_begun(self) -> bool:
        """Whether the room has any event."""
        return not self._is_new or bool(self._added)

    def is_built_on_head(self, event: Event) -> bool:
        """Whether an event takes the place of a head, and so makes them no more."""
        return bool(self._heads_under(event.prev_event_ids))

    def is_under_itself(self, event: Event) -> bool:
        """Whether an event is built on heads that are built on it, so that placing it would leave none of them.

        Only where servers choose the IDs can they name what is not made yet.
        """
        if self.version.event_ids_are_hashes:
            return False
        reached = {follower.event.event_id for follower in self._followers_over_gap(event.event_id)}
        heads = self._heads_under(event.prev_event_ids) if reached else set()
        if not heads:
            return False
        prev_ids = {event_id: stored.event.prev_event_ids for event_id, stored in self._new_events.items()}
        asked = heads.union(*prev_ids.values())
        before = 0
        while len(reached) > before:
            before = len(reached)
            reached |= events_above(self.tx, self.room_id, reached, among=asked)
            reached |= {event_id for event_id, prev in prev_ids.items() if not reached.isdisjoint(prev)}
            for closing in reached & self._followed.keys():
                reached |= {follower.event.event_id for follower in self._followed[closing]}
        return not reached.isdisjoint(heads)

    def state(self, keys: Iterable[StateKey]) -> dict[StateKey, Event]:
        """The state events under these keys, with what was added so far."""
        return self._writer.states.select(
            self.tx, self.room_id, self.root, keys, fresh=self._parsed_nodes, new_events=self._new_events
        )

    def load(self, event_ids: Iterable[EventID]) -> dict[EventID, StoredEvent]:
        """These events of any room, those that were just added too."""
        known = ChainMap(self._new_events, self._found)
        asked = [event_id for event_id in event_ids if event_id not in self._absent]
        found = self._writer.states.load(self.tx, asked, known)
        self._found.update((event_id, one) for event_id, one in found.items() if event_id not in self._new_events)
        self._absent.update(event_id for event_id in asked if event_id not in found)
        return found

    def add(
        self, encoded: EncodedEvent, *, transaction: tuple[str, str] | None = None, notifies: bool = True
    ) -> StoredEvent:
        """Put an authorised event on top of the room's heads.

        `transaction` is the device and transaction ID of the client that sent it. `notifies` is False for events
        that nobody needs to be told of, as those that make a new room.
        """
        stored = self._stored(encoded, Form.FULL, Verdict.ACCEPTED, self.root, transaction)
        self._set_heads((stored.event.event_id,), stored.root or self.root, set(self.heads))
        return self._keep(stored, encoded.pdu_json, notifies=notifies, is_ours_to_send=True)

    def place(
        self,
        encoded: EncodedEvent,
        form: Form,
        verdict: Verdict,
        root_before: bytes,
        reason: str | None,
        root_given_by: ServerName | None = None,
        *,
        is_relayed: bool = False,
        begins_anew: bool = False,
    ) -> StoredEvent:
        """Put an event that another server built where it belongs in the room's graph.

        `root_before` is the state after what it is built on, where it is not known here on the word of
        `root_given_by`; `reason` is why it was rejected or soft-failed. Only an accepted event becomes a head and
        changes the current state. `is_relayed`: its server relies on this one to send it to the others in the room.
        `begins_anew`: what were heads until now is old, and no head any more once the event is accepted.
        Raises NotMerged, having changed nothing.
        """
        stored = self._stored(encoded, form, verdict, root_before, None, root_given_by)
        event = stored.event
        followers = self._followers_over_gap(event.event_id)
        # What was rejected is no news, and nothing else may change with it.
        is_followed = verdict is not Verdict.REJECTED and any(one.verdict is Verdict.ACCEPTED for one in followers)
        is_accepted = verdict is Verdict.ACCEPTED
        built_on = set(self.heads) if begins_anew and is_accepted else self._heads_under(event.prev_event_ids)
        heads = tuple(head for head in self.heads if head not in built_on)
        if not built_on and (is_followed or (self.heads and not event.prev_event_ids)):
            if stored.place is not None:
                stored = replace(stored, place=self._place_in_history(followers))
            self._note_placed(event.event_id, followers)
            return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason, is_history=True)
        # What was given of a state must not take away what is known here: the heads below it stay until it is found
        # to be what they lead to.
        is_under_head = is_followed and any(self._was_given_rightly(follower, stored) for follower in followers)
        if is_under_head:
            self._set_heads(heads, self.merged_root(heads), built_on)
        elif is_accepted:
            heads = (*heads, event.event_id)
            self._set_heads(heads, self.merged_root(heads, {event.event_id: stored}), built_on)
        else:
            self._shadows[event.event_id] = built_on
        self._note_placed(event.event_id, followers)
        if not is_under_head:
            stands_on = {event.event_id} if is_accepted else built_on
            for follower in followers:
                if follower.verdict is not Verdict.ACCEPTED:
                    self._shadows.setdefault(follower.event.event_id, set()).update(stands_on)
        return self._keep(
            stored, encoded.pdu_json, notifies=is_accepted, reason=reason, is_ours_to_send=is_relayed and is_accepted
        )

    def _was_given_rightly(self, follower: StoredEvent, closing: StoredEvent) -> bool:
        """Whether the state before an accepted event follows from its previous events, of which this was the last.

        Another server gave it when they were not here. Raises NotMerged.
        """
        prev_ids = follower.event.prev_event_ids
        known = {**self.load(prev_ids), closing.event.event_id: closing}
        if follower.verdict is not Verdict.ACCEPTED or any(
            event_id not in known or known[event_id].root is None for event_id in prev_ids
        ):
            return False
        return self.merged_root(prev_ids, {closing.event.event_id: closing}) == follower.root_before

    def _set_heads(self, heads: tuple[EventID, ...], root: bytes, left: set[EventID]) -> None:
        self.root, self.heads = root, heads
        self._left_heads |= left
        for shadow in self._shadows.values():
            shadow -= left

    def _note_placed(self, event_id: EventID, followers: list[StoredEvent]) -> None:
        self._placed.add(event_id)
        if followers:
            self._followed[event_id] = followers

    def history_places(self, event_ids: Sequence[EventID]) -> list[int] | None:
        """Places for events from the past, in this order: right below what is built on them.

        None if nothing that was accepted is.
        """
        upper = place_over_gaps(self.tx, self.room_id, event_ids)
        if upper is None:
            return None
        count = len(event_ids)
        lower = place_before(self.tx, self.room_id, upper)
        step = PLACE_STEP
        if lower is not None:
            step = min(max(1, (upper - lower) // HISTORY_SHARES), (upper - lower - 1) // count)
        if not step:
            # Nothing is left between the two: rather out of order than not at all.
            upper, step = first_place(self.tx, self.room_id), PLACE_STEP
        return [upper - step * (count - index) for index in range(count)]

    def state_over_gap(self, event_ids: Sequence[EventID]) -> bytes:
        """The state before something that is built on one of these, which are missing; else the current state."""
        for event_id in reversed(event_ids):
            for follower in self._followers_over_gap(event_id):
                if follower.root_before is not None:
                    return follower.root_before
        return self.root

    def place_in_history(
        self,
        encoded: EncodedEvent,
        form: Form,
        verdict: Verdict,
        root_before: bytes,
        reason: str | None,
        root_given_by: ServerName | None,
        *,
        place: int,
    ) -> StoredEvent:
        """Put an event into the room's past, at a place of `history_places`: it is no head and no news.

        Nothing changes by it, not even when it shows that one head leads to another: the next event on both will.
        """
        stored = self._stored(encoded, form, verdict, root_before, None, root_given_by)
        event = stored.event
        followers = self._followers_over_gap(event.event_id)
        if verdict is Verdict.REJECTED:
            stands_on = self._shadows[event.event_id] = self._heads_under(event.prev_event_ids)
            for follower in followers:
                if follower.verdict is not Verdict.ACCEPTED:
                    self._shadows.setdefault(follower.event.event_id, set()).update(stands_on)
        else:
            stored = replace(stored, place=place)
        self._note_placed(event.event_id, followers)
        return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason, is_history=True)

    def place_outlier(self, encoded: EncodedEvent, form: Form, verdict: Verdict, reason: str | None) -> StoredEvent:
        """Keep an event of which only its auth events are known: others may name it, and it has no place itself."""
        stored = replace(self._stored(encoded, form, Verdict.REJECTED, None, None), verdict=verdict)
        self._placed.add(stored.event.event_id)
        return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason)

    def _followers_over_gap(self, event_id: EventID) -> list[StoredEvent]:
        """What has its place already and was built on an event that is only coming now."""
        followers = self.load(gap_followers(self.tx, self.room_id, event_id)).values()
        return [follower for follower in followers if follower.root_before is not None]

    def _place_in_history(self, followers: Sequence[StoredEvent]) -> int:
        """A place before what is built on an event, and behind everything that is there already."""
        taken = [one.stored.place for one in self._added if one.stored.place is not None]
        places = [one.place for one in followers if one.place is not None]
        if places:
            upper = min(places)
            stored = place_before(self.tx, self.room_id, upper)
            lower = max([place for place in (stored, *taken) if place is not None and place < upper], default=None)
            if lower is None:
                return upper - PLACE_STEP
            if upper - lower > 1:
                return lower + max(1, (upper - lower) // HISTORY_SHARE)
        # Nothing is left between the two: rather out of order than not at all.
        return min([first_place(self.tx, self.room_id), *taken]) - PLACE_STEP

    def add_state(self, entries: Mapping[StateKey, EventID | HashedEventID]) -> bytes:
        """Keep a whole state that another server tells of; its root."""
        return self.change_state(state_map.EMPTY_ROOT, entries)

    def change_state(self, root: bytes, changes: Mapping[StateKey, EventID | HashedEventID | None]) -> bytes:
        """Keep a state that another server tells of by what is different from one that is here; its root."""
        return self._keep_nodes(lambda nodes: state_map.update(nodes, root, changes))

    def whole_state(self, root: bytes) -> dict[StateKey, EventID] | None:
        """All entries of a state; None if some are not known here."""
        states = self._writer.states
        if not self.is_whole(root):
            return None
        return states.with_nodes(
            self.tx, self.room_id, lambda nodes: dict(state_map.items(nodes, root)), self._parsed_nodes
        )

    def add_partial_state(self, entries: Mapping[StateKey, EventID | HashedEventID | None]) -> bytes:
        """Keep a state of which members may be missing; its root. None: there is no such entry."""
        told = self.add_state({key: entry for key, entry in entries.items() if entry is not None})
        opened = self._keep_nodes(lambda nodes: state_map.leave_open(nodes, told, [MEMBER]))
        absent: dict[StateKey, EventID | HashedEventID | None] = {
            key: None for key, entry in entries.items() if entry is None
        }
        return self._keep_nodes(lambda nodes: state_map.update(nodes, opened, absent))

    def _keep_nodes(self, change: Callable[[Nodes], state_map.Updated]) -> bytes:
        """The root of a new state, whose nodes are stored with the rest."""
        updated = self._writer.states.with_nodes(self.tx, self.room_id, change, self._parsed_nodes)
        self._new_nodes.update(updated.new_nodes)
        self._parsed_nodes.update(updated.parsed)
        return updated.root

    def state_after(self, root: bytes, event: Event) -> bytes:
        """The root of the state with a state event in it."""
        return self._with_entry(root, event)[0]

    def is_whole(self, root: bytes) -> bool:
        """Whether all of a state is known."""
        return self._writer.states.is_whole(self.tx, self.room_id, root, self._parsed_nodes)

    def is_part(self, partial_root: bytes, root: bytes) -> bool:
        """Whether what is known of a state in part is so in a whole one."""
        return self._writer.states.with_nodes(
            self.tx,
            self.room_id,
            lambda nodes: state_map.is_part(nodes, partial_root, root),
            self._parsed_nodes,
        )

    def begin_stay(self, servers: Collection[ServerName]) -> None:
        """Begin anew with what the room's state is now; where members are missing, these servers are in the room."""
        self.is_partial = not self.is_whole(self.root)
        self._given_servers = servers if self.is_partial else ()

    def state_entry(self, event: Event) -> EventID | HashedEventID:
        """What a state holds of an event of the room."""
        return state_entry_of(event)

    def complete(self, known: StoredEvent, received: EncodedEvent, form: Form) -> None:
        """Replace an event that had come with a wrong hash by its full form, if this is it.

        Not if its content would have been read when it was judged: what was found then stays true.
        """
        if known.form is not Form.WRONG_HASH or form is not Form.FULL or known.event.event_id in self._new_events:
            return
        if known.event.type in READ_WHEN_JUDGED or content_for_rules(received.event) != known.event.content:
            return
        full = event_rows.store_full(self.tx, known, received, self._thread_of(received.event))
        self._found[known.event.event_id] = full
        if full.verdict is Verdict.ACCEPTED and full.place is not None:
            self._relate(full)
            index_event(self.tx, full.nid, full.event, is_history=full.log_position is None)
        self.tx.after_commit(lambda: self._writer.states.events.replace(full))

    def merged_root(
        self,
        event_ids: Iterable[EventID],
        fresh: Mapping[EventID, StoredEvent] = NO_EVENTS,
        given_root: bytes | None = None,
    ) -> bytes:
        """The state after several events: what one that is built on all of them has before it.

        `given_root` stands for the state after those that are not here. Raises NotMerged, RoomIsPartial.
        """
        known = {**self.load(event_id for event_id in event_ids if event_id not in fresh), **fresh}
        roots = {root for stored in known.values() if (root := stored.root) is not None}
        roots |= set() if given_root is None else {given_root}
        if not roots:
            return state_map.EMPTY_ROOT
        if len(roots) > 1 and not all(self.is_whole(root) for root in roots):
            raise RoomIsPartial(self.room_id)  # what is not known would be taken for what does not exist
        overlay = Overlay(self._parsed_nodes, {**self._new_events, **fresh})
        merged = self._writer.merging.merge(self.tx, self.room_id, self.version, roots, overlay)
        self._has_merged |= len(roots) > 1
        self._new_nodes.update(merged.new_nodes)
        self._parsed_nodes.update(merged.parsed)
        return merged.root

    def rules_state(self, keys: Iterable[StateKey], root: bytes | None = None) -> dict[StateKey, Event]:
        """The state events under these keys as the rules are to see them, in the current state or `root`."""
        return self._writer.states.select(
            self.tx,
            self.room_id,
            self.root if root is None else root,
            keys,
            fresh=self._parsed_nodes,
            new_events=self._new_events,
            for_rules=True,
        )

    def _heads_under(self, event_ids: Iterable[EventID]) -> set[EventID]:
        """The heads that are among some events, or that these stand on by way of events that are no heads."""
        asked = set(event_ids)
        shadowed = heads_under(self.tx, self.room_id, [one for one in asked if one not in self._new_events])
        for event_id in asked:
            shadowed |= self._shadows.get(event_id, set())
        return (asked | shadowed).intersection(self.heads)

    def _stored(
        self,
        encoded: EncodedEvent,
        form: Form,
        verdict: Verdict,
        root_before: bytes | None,
        transaction: tuple[str, str] | None,
        root_given_by: ServerName | None = None,
    ) -> StoredEvent:
        event = encoded.event
        outlier = self.load([event.event_id]).get(event.event_id)
        replaces: EventID | None = None
        root_after: bytes | None = None
        if event.state_key is not None and root_before is not None and verdict is not Verdict.REJECTED:
            root_after, replaces = self._with_entry(root_before, event)
        return StoredEvent(
            nid=EventNid(self.tx.next_ids("event_nid")) if outlier is None else outlier.nid,
            event=event,
            log_position=None,
            place=None if verdict is Verdict.REJECTED else self._place + PLACE_STEP,
            verdict=verdict,
            form=form,
            redacted_by=None,
            replaces_state=replaces,
            thread_id=self._thread_of(event),
            transaction=transaction,
            root_before=root_before,
            root_after=root_after,
            size_bytes=len(encoded.pdu_json),
            root_given_by=root_given_by,
        )

    def _keep(
        self,
        stored: StoredEvent,
        pdu: bytes,
        *,
        notifies: bool,
        reason: str | None = None,
        is_history: bool = False,
        is_ours_to_send: bool = False,
    ) -> StoredEvent:
        notified = NOT_NOTIFIED
        if notifies:
            notified = self._writer.notifying.evaluate(self.tx, stored, self._head.current_root)
        if stored.place is not None and not is_history:
            self._place = stored.place
            if stored.verdict is Verdict.ACCEPTED:
                self.depth = max(self.depth, stored.event.depth)
        outlier = self.load([stored.event.event_id]).get(stored.event.event_id)
        if outlier is not None:
            self._replaced_outliers.append(outlier.nid)
            if stored.verdict is Verdict.REJECTED and outlier.verdict is not Verdict.REJECTED:
                reason = f"{reason}{ACCEPTED_BEFORE}"
            if outlier.form is Form.REDACTED:
                stored = replace(
                    stored,
                    event=outlier.event,
                    form=outlier.form,
                    redacted_by=outlier.redacted_by,
                    rules_content=outlier.rules_content,
                )
                pdu = encode_for(self.version, outlier.event.pdu)
        self._added.append(_Added(stored, pdu, notified, reason, is_history, is_ours_to_send))
        self._new_events[stored.event.event_id] = stored
        self._absent.discard(stored.event.event_id)
        return stored

    def finish(self) -> tuple[StoredEvent, ...]:
        """Write it all. Raises Conflict when another process moved the room on."""
        tx, writer = self.tx, self._writer
        if not self._added:
            return ()
        now_ms = writer.clock.now_ms()
        store_nodes(tx, self.room_id, self._new_nodes)
        # A merged state of several heads is named by no event; what matters is when it is replaced.
        if self._has_merged or len(self._head.heads) > 1:
            note_collectable(tx, self.room_id, now_ms)
        head = replace(
            self._head,
            current_root=self.root,
            heads=self.heads,
            depth=self.depth,
            last_place=self._place,
            is_partial=self.is_partial,
        )
        if self._is_new:
            room_rows.insert_room(tx, head, created_ms=now_ms)
        else:
            room_rows.swap_head(tx, head)
        changed = self._changed_members()
        if self._given_servers is not None and self._head.is_partial:
            changed |= self._forgotten_members()
        before = self._head.current_root
        audience = NO_AUDIENCE if self._is_new else writer.notifying.audience(tx, self.room_id, before)
        has_others = self.is_partial or audience.joined_count > len(audience.members)
        self._write_graph()
        for nid in self._replaced_outliers:
            event_rows.remove_outlier(tx, nid)
        for index, one in enumerate(tuple(self._added)):
            if one.stored.verdict is Verdict.ACCEPTED and one.stored.place is not None:
                # One of those before may have redacted it; a redaction that is redacted redacts all the same.
                self._write_beside(self._added[index], now_ms)
                if one.stored.event.redacts is not None:
                    self._redact(one.stored, one.stored.event.redacts)
            if one.stored.event.event_id in self._placed:
                self._redact_early(one.stored.event.event_id)
        for one in self._added:
            if not one.is_news:
                event_rows.insert_event(tx, one.stored, one.pdu, verdict_reason=one.verdict_reason)
            if one.stored.nid in self._replaced_outliers:
                tx.after_commit(partial(writer.states.events.replace, one.stored))
        facts = self._facts() if self.root != before or self._is_new else None
        if self._has_new_words:
            self._renew_words()
        published: list[StoredEvent] = []
        changes: list[MembershipChange] = []
        news = [one for one in self._added if one.is_news]
        for index, one in enumerate(news):
            is_last = index == len(news) - 1
            tx.at_position(
                WRITTEN_AT_POSITION,
                partial(
                    self._write_at_position,
                    one=one,
                    changed=changed if is_last else {},
                    is_last=is_last,
                    facts=facts,
                    now_ms=now_ms,
                    published=published,
                    changes=changes,
                    audience=frozenset(audience.members),
                    has_others=has_others,
                ),
            )
        return tuple(one.stored for one in self._added)

    def learn_members(self, members: Sequence[StoredEvent]) -> None:
        """Write that some members of a room that is known in part are known from now on: its state is as it was.

        Those whom the state knows already are left as they are, and those who were learned of before.
        """
        tx, now_ms = self.tx, self._writer.clock.now_ms()
        changed = self._unknown_members(members)
        known = membership_rows.memberships_in_room(tx, self.room_id, list(changed)) if changed else {}
        for user_id, membership in known.items():
            if changed[user_id].event.event_id == membership.event_id:
                del changed[user_id]
        if not changed:
            return

        def write(tx: Transaction, position: int) -> None:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=now_ms)
            self._write_memberships(changed, position, now_ms)

        tx.at_position(WRITTEN_AT_POSITION, write)

    def _unknown_members(self, members: Iterable[StoredEvent]) -> dict[UserID, StoredEvent]:
        """Those of the member events of whose users a state that is known in part says nothing."""
        by_user = {one.event.state_key or "": one for one in members}

        def unknown(nodes: Nodes) -> list[str]:
            looked_up = {key: state_map.lookup(nodes, self._head.current_root, MEMBER, key) for key in by_user}
            return [key for key, found in looked_up.items() if found is state_map.Absence.UNKNOWN]

        keys = self._writer.states.with_nodes(self.tx, self.room_id, unknown)
        # Whatever has NUL in it is nobody: no user ID has, and the rows of users cannot.
        return {UserID(key): by_user[key] for key in keys if "\0" not in key}

    def finish_whole(
        self, room: PartialRoom, right: Mapping[bytes, bytes], from_position: int, own_members: Sequence[EventID]
    ) -> None:
        """Write that the room is known as a whole: what was known in part is put on the ground of what is known now.

        `right` has the root of the whole state for each that was known in part, which events from a log position on
        name. The members were learned of before, but for those of this server, whose events are `own_members`. Raises
        Conflict when another process moved the room on.
        """
        tx, writer = self.tx, self._writer
        now_ms, before = writer.clock.now_ms(), self._head.current_root
        self.root, self.is_partial, self._given_servers = right[before], False, ()
        store_nodes(tx, self.room_id, self._new_nodes)
        note_collectable(tx, self.room_id, now_ms)
        room_rows.swap_head(tx, replace(self._head, current_root=self.root, is_partial=False))
        room_rows.replace_roots(tx, self.room_id, right, from_position=from_position)
        event_rows.replace_roots(tx, self.room_id, right, from_position=from_position)
        tx.after_commit(lambda: writer.states.events.replace_roots(right, from_position))
        audience = frozenset(writer.notifying.audience(tx, self.room_id, before).members)
        changed, facts = self._unknown_members(self.load(own_members).values()), self._facts()

        def write(tx: Transaction, position: int) -> None:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=now_ms)
            changes = self._write_memberships(changed, position, now_ms)
            self._write_servers(position, now_ms)
            note_whole(tx, self.room_id, room.join_event_id, position=position, now_ms=now_ms)
            note_activity(tx, self.room_id, position=position, bump_position=None, facts=facts)
            told = audience | {change.user_id for change in changes}
            tx.after_commit(lambda: writer.states.keep_nodes(self._parsed_nodes))
            tx.after_commit(lambda: writer.news.publish(RoomBecameWhole(position, self.room_id), told))
            tx.after_commit(lambda: writer.news.publish(OutgoingWritten(position), ()))

        tx.at_position((*WRITTEN_AT_POSITION, "partial_rooms"), write)

    def _with_entry(self, root: bytes, event: Event) -> tuple[bytes, EventID | None]:
        """The state with an event in it, and the event that it replaces."""
        states = self._writer.states
        key = (event.type, event.state_key or "")
        value = self.state_entry(event)
        updated = states.with_nodes(
            self.tx,
            self.room_id,
            lambda nodes: state_map.update(nodes, root, {key: value}),
            self._parsed_nodes,
        )
        before = states.with_nodes(
            self.tx, self.room_id, lambda nodes: state_map.get(nodes, root, *key), self._parsed_nodes
        )
        self._new_nodes.update(updated.new_nodes)
        self._parsed_nodes.update(updated.parsed)
        return updated.root, before

    def _thread_of(self, event: Event) -> EventID | None:
        thread_id = thread_id_of(event)
        relation = relation_of(event.content)
        if thread_id is not None or relation is None:
            return thread_id
        # What relates to an event of a thread in another way is in the thread too; that event knows which.
        target = self.load([relation.event_id]).get(relation.event_id)
        return target.thread_id if target is not None and target.event.room_id == self.room_id else None

    def _write_beside(self, one: _Added, now_ms: int) -> None:
        """What an event leaves behind beside itself, in tables that know no log position."""
        stored, event = one.stored, one.stored.event
        self._relate(stored)
        index_event(self.tx, stored.nid, event, is_history=one.is_history)
        if one.notified.classes or one.notified.persons:
            insert_notifications(
                self.tx,
                self.room_id,
                place=stored.place or 0,
                thread_id=stored.thread_id or "",
                sender=event.sender,
                classes=one.notified.classes,
                persons=one.notified.persons,
                now_ms=now_ms,
            )
        if event.state_key is None and server_name_of(event.sender) == self._writer.server_name:
            note_sent(self.tx, event.sender, self.room_id, stored.thread_id or "", stored.place or 0)

    def _write_graph(self) -> None:
        """What is built on what, and which heads there are no more."""
        named = {
            event_id for one in self._added for event_id in (*one.stored.event.prev_event_ids, *_auth_edges(one.stored))
        }
        nids = {event_id: stored.nid for event_id, stored in self.load(named).items()}
        for one in self._added:
            prev = one.stored.event.prev_event_ids
            insert_edges(
                self.tx,
                self.room_id,
                one.stored.nid,
                prev=[nids[event_id] for event_id in prev if event_id in nids],
                auth=[nids[event_id] for event_id in _auth_edges(one.stored) if event_id in nids],
            )
        for event_id, followers in self._followed.items():
            for follower in followers:
                nid = self._new_events[event_id].nid
                if event_id in follower.event.prev_event_ids:
                    insert_edges(self.tx, self.room_id, follower.nid, prev=[nid], auth=())
        if self._left_heads:
            forget_heads(self.tx, self.room_id, self._left_heads)
        for event_id, heads in self._shadows.items():
            if heads:
                insert_shadows(self.tx, self.room_id, event_id, heads)

    def _redact(self, redacting: StoredEvent, target_id: EventID) -> None:
        redaction = redacting.event
        target = self.load([target_id]).get(target_id)
        if target is None:
            note_early_redaction(self.tx, self.room_id, target_id=target_id, redaction_id=redaction.event_id)
            return
        if target.event.room_id != self.room_id or target.form is Form.REDACTED:
            return
        state = self.rules_state((CREATE, POWER_LEVELS), redacting.root_before or state_map.EMPTY_ROOT)
        if not may_redact(redaction, target.event, state):
            return
        event = redacted_event(target.event)
        encoded = EncodedEvent(event, encode_for(self.version, event.pdu))
        redacted = event_rows.store_redacted(self.tx, target, redacted=encoded, by=redaction.event_id)
        self._found[target_id] = redacted
        self._replace_added(redacted, encoded.pdu_json)
        self._part(target)
        remove_event(self.tx, target.nid, target.event)
        if target.place is not None:
            remove_notifications(self.tx, self.room_id, target.place)
        self.tx.after_commit(lambda: self._writer.states.events.replace(redacted))
        if target.event.state_key is not None:
            self._redact_what_shows(target.event, event)

    def _relate(self, stored: StoredEvent) -> None:
        """Keep what an event that was accepted relates to."""
        event, place = stored.event, stored.place or 0
        relation = relation_of(event.content)
        if relation is None:
            return
        insert_relation(
            self.tx,
            StoredRelation(
                stored.nid,
                self.room_id,
                relation.event_id,
                relation.rel_type,
                relation.key,
                event.type,
                event.sender,
                place,
            ),
        )
        if relation.rel_type == THREAD:
            note_thread_event(self.tx, self.room_id, relation.event_id, place)

    def _part(self, target: StoredEvent) -> None:
        """Let an event that is redacted relate to nothing any more."""
        remove_relation(self.tx, target.nid)
        relation = relation_of(target.event.content)
        if relation is not None and relation.rel_type == THREAD:
            renew_thread(self.tx, self.room_id, relation.event_id)

    def _redact_early(self, target_id: EventID) -> None:
        """Redact what was redacted before it came."""
        redactions = take_early_redactions(self.tx, self.room_id, target_id)
        for redaction in self.load(redactions).values():
            # One that has been redacted itself meanwhile does not say any more what it redacts: it still does.
            self._redact(replace(redaction, event=replace(redaction.event, redacts=target_id)), target_id)

    def _replace_added(self, redacted: StoredEvent, pdu: bytes) -> None:
        """Redact an event that this very transaction adds, before it is written."""
        event_id = redacted.event.event_id
        if event_id in self._new_events:
            self._new_events[event_id] = redacted
            for index, one in enumerate(self._added):
                if one.stored.event.event_id == event_id:
                    self._added[index] = replace(one, stored=redacted, pdu=pdu, notified=NOT_NOTIFIED)

    def _redact_what_shows(self, before: Event, after: Event) -> None:
        """Redact the copies of state that are kept beside the event: names of members, what invited users are shown."""
        tx = self.tx
        if before.type == "m.room.member":
            membership_rows.redact_profile(tx, self.room_id, before.state_key or "", before.event_id)
            renew_names(tx, [before.state_key or ""])
            root = self._head.current_root
            members_root = self._writer.states.subtree_root(tx, self.room_id, root, "m.room.member")
            tx.after_commit(lambda: self._writer.notifying.forget_names(self.room_id, members_root))
        key = (before.type, before.state_key or "")
        if key in WORDS_FROM and self._is_current(before):
            self._renew_words({key: after})
            if key == NAME:
                forget_name(tx, self.room_id)
        shown, redacted = stripped_state_event(before), stripped_state_event(after)
        for user_id, stripped in membership_rows.stripped_states(tx, self.room_id):
            entries = orjson.loads(stripped)
            if shown in entries:
                entries[entries.index(shown)] = redacted
                membership_rows.replace_stripped_state(tx, self.room_id, user_id, orjson.dumps(entries))

    def _is_current(self, event: Event) -> bool:
        """Whether a state event is in the room's current state."""
        root, key = self._head.current_root, event.state_key or ""
        return self._writer.states.event_id(self.tx, self.room_id, root, event.type, key) == event.event_id

    def _write_at_position(
        self,
        tx: Transaction,
        position: int,
        *,
        one: _Added,
        changed: Mapping[UserID, StoredEvent | None],
        is_last: bool,
        facts: RoomFacts | None,
        now_ms: int,
        published: list[StoredEvent],
        changes: list[MembershipChange],
        audience: frozenset[UserID],
        has_others: bool,
    ) -> None:
        stored = replace(one.stored, log_position=position)
        told_besides = self._told_besides(one)
        is_outgoing = one.is_ours_to_send and (has_others or told_besides is not None)
        event_rows.insert_event(tx, stored, one.pdu, verdict_reason=one.verdict_reason, is_outgoing=is_outgoing)
        if told_besides is not None:
            insert_removal_notice(tx, told_besides, self.room_id, position=position, now_ms=now_ms)
        if is_outgoing:
            tx.after_commit(lambda: self._writer.news.publish(OutgoingWritten(position), ()))
        if stored.verdict is Verdict.ACCEPTED:
            published.append(stored)
        if not is_last:
            return
        if self.root != self._head.current_root or self._is_new:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=now_ms)
        changes.extend(self._write_memberships(changed, position, now_ms))
        self._write_servers(position, now_ms)
        if published:
            bumps = [one.log_position for one in published if one.event.type in BUMP_TYPES]
            note_activity(tx, self.room_id, position=position, bump_position=bumps[-1] if bumps else None, facts=facts)
            tx.after_commit(partial(self._publish, tuple(published), tuple(changes), audience))
        if not is_outgoing and self._brings_together(changes, has_others=has_others):
            tx.after_commit(lambda: self._writer.news.publish(OutgoingWritten(position), ()))

    def _brings_together(self, changes: Sequence[MembershipChange], *, has_others: bool) -> bool:
        """Whether users of this server came into a room where other servers are, which may not know their devices."""
        own = self._writer.server_name
        came = [server_name_of(change.user_id) for change in changes if change.membership == "join"]
        return own in came and (has_others or any(server != own for server in came))

    def _told_besides(self, one: _Added) -> ServerName | None:
        """The server that must hear of a membership besides those that hear of every event of this server.

        It is that of a user whom the event removes from the room, or whose invite or knock it ends; and that of the
        sender, if this server has redeemed an invite of an address in the name of somebody there.
        """
        event = one.stored.event
        if not one.is_ours_to_send or event.type != "m.room.member" or event.sender == event.state_key:
            return None
        membership = event.content.get("membership")
        if membership not in ("leave", "ban", "invite"):
            return None
        told = event.sender if membership == "invite" else UserID(event.state_key or "")
        server = server_name_of(told)
        if server == self._writer.server_name or server is None:
            return None
        if membership == "invite" and not server_rows.is_server_in_room(self.tx, self.room_id, server):
            return None
        return server

    def _changed_members(self) -> dict[UserID, StoredEvent | None]:
        """Whose member event differs between the room's state before and after, and what it is now."""
        difference = self._writer.states.difference(
            self.tx, self.room_id, self._head.current_root, self.root, self._parsed_nodes
        )
        self._has_new_words = not difference.keys().isdisjoint(WORDS_FROM)
        # Whatever has NUL in it is nobody: no user ID has, and the rows of users cannot.
        members = {
            key: after for (kind, key), (_, after) in difference.items() if kind == "m.room.member" and "\0" not in key
        }
        events = self.load(event_id for event_id in members.values() if event_id is not None)
        return {UserID(key): None if after is None else events[after] for key, after in members.items()}

    def _forgotten_members(self) -> dict[UserID, None]:
        """Who was learned of in an earlier stay that ended before the room was whole, and is not known any more."""
        users = membership_rows.remote_user_ids(self.tx, self.room_id)
        roots = (self._head.current_root, self.root)

        def forgotten(nodes: Nodes) -> list[UserID]:
            return [
                user_id
                for user_id in users
                if all(isinstance(state_map.lookup(nodes, root, MEMBER, user_id), state_map.Absence) for root in roots)
            ]

        return dict.fromkeys(self._writer.states.with_nodes(self.tx, self.room_id, forgotten, self._parsed_nodes))

    def _write_memberships(
        self, changed: Mapping[UserID, StoredEvent | None], position: int, now_ms: int
    ) -> list[MembershipChange]:
        tx, local = self.tx, self._writer.server_name
        removed = [user_id for user_id, stored in changed.items() if stored is None]
        before = membership_rows.memberships_in_room(tx, self.room_id, list(changed)) if changed else {}
        membership_rows.remove_memberships(tx, self.room_id, removed)
        self._count_servers(changed, before, position, now_ms)
        rows, changes = [], []
        for user_id, stored in changed.items():
            if stored is None:
                continue
            content = stored.event.content
            membership = str(content.get("membership", "leave"))
            is_local = server_name_of(user_id) == local
            shows_state = is_local and membership in ("invite", "knock")
            known = before.get(user_id)
            was = None if known is None else known.membership
            joined_place = known.joined_place if known is not None and was == "join" else stored.place
            rows.append(
                Membership(
                    room_id=self.room_id,
                    user_id=user_id,
                    membership=membership,
                    event_id=stored.event.event_id,
                    sender=stored.event.sender,
                    place=stored.place or 0,
                    log_position=position,
                    display_name=_text(content.get("displayname")),
                    avatar_url=_text(content.get("avatar_url")),
                    is_local=is_local,
                    is_forgotten=is_local and self._writer.forgets_left_rooms and membership in ("leave", "ban"),
                    stripped_state=self._stripped_state(stored.event) if shows_state else None,
                    joined_place=joined_place if membership == "join" else None,
                    was_joined=known is not None and (was == "join" or known.was_joined),
                )
            )
            changes.append(MembershipChange(user_id, position, self.room_id, was, membership, stored.event.event_id))
        membership_rows.store_memberships(tx, rows)
        self._write_names(rows, before, removed)
        change = sum(row.membership == "join" for row in rows) - sum(
            known.membership == "join" for known in before.values()
        )
        count_joined(tx, self.room_id, change, position=position)
        membership_rows.insert_changes(tx, changes, written_ms=now_ms)
        return changes

    def _write_names(
        self, rows: Sequence[Membership], before: Mapping[UserID, Membership], removed: Sequence[UserID]
    ) -> None:
        """Let those who came in be found by their names, and those whose names went by what is left."""
        came: dict[UserID, str | None] = {}
        changed: list[str] = [user_id for user_id in removed if user_id in before]
        for row in rows:
            known = before.get(row.user_id)
            if known is not None and known.membership == "join":
                if row.membership != "join" or row.display_name != known.display_name:
                    changed.append(row.user_id)
            elif row.membership == "join":
                came[row.user_id] = row.display_name
        note_names(self.tx, came)
        renew_names(self.tx, changed)

    def _count_servers(
        self,
        changed: Mapping[UserID, StoredEvent | None],
        before: Mapping[UserID, Membership],
        position: int,
        now_ms: int,
    ) -> None:
        """Keep up which servers are in the room."""
        steps = [
            (
                server_name_of(user_id),
                before[user_id].membership if user_id in before else None,
                None if stored is None else str(stored.event.content.get("membership", "leave")),
            )
            for user_id, stored in changed.items()
        ]
        joined = server_rows.member_changes(steps)
        server_rows.count_members(tx=self.tx, room_id=self.room_id, changes=joined, position=position, now_ms=now_ms)

    def _write_servers(self, position: int, now_ms: int) -> None:
        """Take note of the servers in a room whose members are not all known, or that now they all are."""
        if self._given_servers:
            server_rows.give_servers(self.tx, self.room_id, self._given_servers, position=position)
        elif self._given_servers is not None:
            server_rows.settle_given_servers(self.tx, self.room_id, position=position, now_ms=now_ms)

    def _facts(self) -> RoomFacts:
        """What lists of rooms ask about the room's current state."""
        return room_facts(self.state(FACTS_FROM))

    def _renew_words(self, redacted: Mapping[StateKey, Event] = NO_STATE) -> None:
        """Let the room be found by what its name, topic and alias are now."""
        renew_room_words(self.tx, self.room_id, directory_texts({**self.state(WORDS_FROM), **redacted}))

    def shown_state(self, inviter: UserID) -> list[Event]:
        """The state by which somebody who is invited, or knocks, shall know the room."""
        return list(self.state([*((kind, "") for kind in STRIPPED_TYPES), ("m.room.member", inviter)]).values())

    def _stripped_state(self, member_event: Event) -> bytes:
        shown = {(event.type, event.state_key): event for event in self.shown_state(member_event.sender)}
        shown[member_event.type, member_event.state_key] = member_event
        return orjson.dumps([stripped_state_event(event) for event in shown.values()])

    def _publish(
        self,
        events: tuple[StoredEvent, ...],
        changes: tuple[MembershipChange, ...],
        audience: frozenset[UserID],
    ) -> None:
        writer = self._writer
        for stored in events:
            writer.states.events.put(stored)
        writer.states.keep_nodes(self._parsed_nodes)
        written = RoomWritten(
            position=events[-1].log_position or 0,
            room_id=self.room_id,
            events=events,
            notified=tuple(
                one.notified for one in self._added if one.is_news and one.stored.verdict is Verdict.ACCEPTED
            ),
            root_before=self._head.current_root,
            root_after=self.root,
            memberships=changes,
        )
        writer.news.publish(written, audience | {change.user_id for change in changes})


class RoomWriter:
    """Opens rooms for writing."""

    def __init__(
        self,
        states: RoomStates,
        merging: StateMerging,
        notifying: Notifying,
        news: News,
        clock: Clock,
        server_name: ServerName,
        *,
        forgets_left_rooms: bool = False,
    ) -> None:
        self.states = states
        self.merging = merging
        self.notifying = notifying
        self.news = news
        self.clock = clock
        self.server_name = server_name
        self.forgets_left_rooms = forgets_left_rooms  # who gets out of a room has forgotten it

    def open(self, tx: Transaction, room_id: RoomID) -> RoomWrite | None:
        """The room as it stands, ready for more events; None if this server does not know it."""
        head = room_rows.find_head(tx, room_id)
        return None if head is None else RoomWrite(tx, head, self, is_new=False)

    def begin(self, tx: Transaction, room_id: RoomID, version: RoomVersion) -> RoomWrite:
        """A room that does not exist yet; its first event is m.room.create."""
        head = RoomHead(
            room_id=room_id,
            version=version,
            generation=0,
            current_root=state_map.EMPTY_ROOT,
            heads=(),
            depth=0,
            last_place=0,
            is_blocked=False,
        )
        return RoomWrite(tx, head, self, is_new=True)


def state_entry_of(event: Event) -> EventID | HashedEventID:
    """What a state holds of an event: in room versions 1 and 2, where IDs are given at will, its hash too."""
    if event.version.event_ids_are_hashes:
        return event.event_id
    return HashedEventID(event.event_id, reference_hash(event.pdu, event.version))


def _auth_edges(stored: StoredEvent) -> tuple[EventID, ...]:
    """The auth events of a state event: no other event can authorise anything that state resolution looks at."""
    return stored.event.auth_event_ids if stored.event.state_key is not None else ()


def _text(value: object) -> str | None:
    # A display name may be anything in a remote's event; NUL and lone surrogates have no place in a text column.
    if not isinstance(value, str):
        return None
    return value.replace("\0", "").encode(errors="ignore").decode()
