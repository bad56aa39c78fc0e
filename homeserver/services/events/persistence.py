"""The one room where events are stored: one transaction, then one wake-up.

Everything that an event leaves behind is written here: the event, the state that follows from it, who is in the room
now, what it relates to, what it does to unread counts. The parts are in writing/; who may send what is decided before
(authorisation.py, intake.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from homeserver.core import state_map
from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID, server_name_of
from homeserver.core.redaction import content_for_rules
from homeserver.core.retention import RETENTION, max_lifetime_of
from homeserver.core.room_versions import RoomVersion
from homeserver.core.state_map import StateKey
from homeserver.runtime.clock import Clock
from homeserver.services.events.lifetimes import Lifetimes
from homeserver.services.events.news import EventNotified, News, OutgoingWritten, RoomBecameWhole, RoomWritten
from homeserver.services.events.notifying import Audience, Notifying
from homeserver.services.events.room_state import WORDS_FROM, RoomStates
from homeserver.services.events.state_merging import StateMerging
from homeserver.services.events.writing.at_hand import EventsAtHand
from homeserver.services.events.writing.graph import GraphInMaking
from homeserver.services.events.writing.members import MembersInMaking
from homeserver.services.events.writing.redactions import Redacted, Redactions
from homeserver.services.events.writing.relations import relate, thread_of
from homeserver.services.events.writing.shown import ShownState
from homeserver.services.events.writing.states import StatesInMaking
from homeserver.storage import events as event_rows
from homeserver.storage import rooms as room_rows
from homeserver.storage.collectable_rooms import note_collectable
from homeserver.storage.database import Transaction
from homeserver.storage.events import ACCEPTED_BEFORE, EventNid, Form, StoredEvent, Verdict
from homeserver.storage.memberships import MembershipChange
from homeserver.storage.notifications import insert_notifications, note_sent
from homeserver.storage.outgoing_events import insert_removal_notice
from homeserver.storage.partial_rooms import PartialRoom, note_whole
from homeserver.storage.room_index import BUMP_TYPES, RoomFacts, note_activity
from homeserver.storage.room_lifetimes import store_lifetime
from homeserver.storage.rooms import PLACE_STEP, RoomHead
from homeserver.storage.search import index_event

WRITTEN_AT_POSITION: Final = (
    "events",
    "room_roots",
    "memberships",
    "membership_changes",
    "removal_notices",
    "room_servers",
    "room_index",
)
# Beside what the rules read of state: the version of the room, how a member is shown, what is redacted.
READ_WHEN_JUDGED: Final = frozenset({"m.room.create", "m.room.member", "m.room.redaction"})
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


@dataclass(frozen=True, slots=True)
class _Consequences:
    """What the last event of a write does to the room beside itself."""

    members: Mapping[UserID, StoredEvent | None]  # whose membership is another one
    facts: RoomFacts | None  # if the state is another one
    audience: frozenset[UserID]  # those of this server who were in the room before
    has_others: bool  # there are members of other servers
    now_ms: int


class RoomWrite:
    """Events being added to one room in one transaction; nothing is in the database before `finish`."""

    def __init__(self, tx: Transaction, head: RoomHead, writer: "RoomWriter", *, is_new: bool) -> None:
        at_hand = EventsAtHand(tx, head.room_id, writer.states)
        self.tx = tx
        self.version: RoomVersion = head.version
        self.room_id: RoomID = head.room_id
        self.root = head.current_root
        self.depth = head.depth
        self.is_partial = head.is_partial  # not all of the room's members are known here
        self.is_blocked = head.is_blocked  # this server takes no part in the room
        self.states = StatesInMaking(at_hand, head.version, writer.states, writer.merging)
        self.graph = GraphInMaking(at_hand, head.version, head.heads)
        self._at_hand = at_hand
        self._members = MembersInMaking(
            at_hand, self.states, writer.server_name, forgets_left_rooms=writer.forgets_left_rooms
        )
        self._shown = ShownState(at_hand, self.states, writer.notifying)
        self._head = head
        self._writer = writer
        self._is_new = is_new
        self._place = head.last_place
        self._added: list[_Added] = []
        self._placed: set[EventID] = set()  # of what was added, that which other servers built
        self._replaced_outliers: list[EventNid] = []

    @property
    def has_begun(self) -> bool:
        """Whether the room has any event."""
        return not self._is_new or bool(self._added)

    @property
    def heads(self) -> tuple[EventID, ...]:
        """What nothing is built on yet, with what was added so far."""
        return self.graph.heads

    def is_built_on_head(self, event: Event) -> bool:
        """Whether an event takes the place of a head, and so makes them no more."""
        return bool(self.graph.heads_under(event.prev_event_ids))

    def state(self, keys: Iterable[StateKey]) -> dict[StateKey, Event]:
        """The state events under these keys, with what was added so far."""
        return self.states.select(self.root, keys)

    def rules_state(self, keys: Iterable[StateKey], root: bytes | None = None) -> dict[StateKey, Event]:
        """The state events under these keys as the rules are to see them, in the current state or `root`."""
        return self.states.select(self.root if root is None else root, keys, for_rules=True)

    def shown_state(self, inviter: UserID) -> list[Event]:
        """The state by which somebody who is invited, or knocks, shall know the room."""
        return self._shown.to_invited(self.root, inviter)

    def state_over_gap(self, event_ids: Sequence[EventID]) -> bytes:
        """The state before something that is built on one of these, which are missing; else the current state."""
        for event_id in reversed(event_ids):
            for follower in self.graph.followers_over_gap(event_id):
                if follower.root_before is not None:
                    return follower.root_before
        return self.root

    def load(self, event_ids: Iterable[EventID]) -> dict[EventID, StoredEvent]:
        """These events of any room, those that were just added too."""
        return self._at_hand.load(event_ids)

    def find(self, event_id: EventID) -> StoredEvent | None:
        """The event with this ID, of any room."""
        return self._at_hand.find(event_id)

    def add(
        self, encoded: EncodedEvent, *, transaction: tuple[str, str] | None = None, notifies: bool = True
    ) -> StoredEvent:
        """Put an authorised event on top of the room's heads.

        `transaction` is the device and transaction ID of the client that sent it. `notifies` is False for events
        that nobody needs to be told of, as those that make a new room.
        """
        stored = self._stored(encoded, Form.FULL, Verdict.ACCEPTED, self.root, transaction)
        self._follow((stored.event.event_id,), stored.root or self.root, set(self.heads))
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
        event, graph = stored.event, self.graph
        followers = graph.followers_over_gap(event.event_id)
        # What was rejected is no news, and nothing else may change with it.
        is_followed = verdict is not Verdict.REJECTED and any(one.verdict is Verdict.ACCEPTED for one in followers)
        is_accepted = verdict is Verdict.ACCEPTED
        built_on = set(self.heads) if begins_anew and is_accepted else graph.heads_under(event.prev_event_ids)
        if not built_on and (is_followed or (self.heads and not event.prev_event_ids)):
            if stored.place is not None:
                taken = [one.stored.place for one in self._added if one.stored.place is not None]
                stored = replace(stored, place=graph.place_below(followers, taken))
            self._note_placed(event.event_id, followers)
            return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason, is_history=True)
        heads = tuple(head for head in self.heads if head not in built_on)
        # What was given of a state must not take away what is known here: the heads below it stay until it is found
        # to be what they lead to.
        is_under_head = is_followed and any(self._was_given_rightly(follower, stored) for follower in followers)
        if is_under_head:
            self._follow(heads, self.states.merged(heads), built_on)
        elif is_accepted:
            heads = (*heads, event.event_id)
            self._follow(heads, self.states.merged(heads, {event.event_id: stored}), built_on)
        else:
            graph.stand(event.event_id, built_on)
        if not is_under_head:
            graph.stand_refused(followers, {event.event_id} if is_accepted else built_on)
        self._note_placed(event.event_id, followers)
        return self._keep(
            stored, encoded.pdu_json, notifies=is_accepted, reason=reason, is_ours_to_send=is_relayed and is_accepted
        )

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
        """Put an event into the room's past, at one of the graph's `history_places`: it is no head and no news.

        Nothing changes by it, not even when it shows that one head leads to another: the next event on both will.
        """
        stored = self._stored(encoded, form, verdict, root_before, None, root_given_by)
        event = stored.event
        followers = self.graph.followers_over_gap(event.event_id)
        if verdict is Verdict.REJECTED:
            stands_on = self.graph.heads_under(event.prev_event_ids)
            self.graph.stand(event.event_id, stands_on)
            self.graph.stand_refused(followers, stands_on)
        else:
            stored = replace(stored, place=place)
        self._note_placed(event.event_id, followers)
        return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason, is_history=True)

    def place_outlier(self, encoded: EncodedEvent, form: Form, verdict: Verdict, reason: str | None) -> StoredEvent:
        """Keep an event of which only its auth events are known: others may name it, and it has no place itself."""
        stored = replace(self._stored(encoded, form, Verdict.REJECTED, None, None), verdict=verdict)
        self._placed.add(stored.event.event_id)
        return self._keep(stored, encoded.pdu_json, notifies=False, reason=reason)

    def complete(self, known: StoredEvent, received: EncodedEvent, form: Form) -> None:
        """Replace an event that had come with a wrong hash by its full form, if this is it.

        Not if its content would have been read when it was judged: what was found then stays true.
        """
        if known.form is not Form.WRONG_HASH or form is not Form.FULL or known.event.event_id in self._at_hand.added:
            return
        if known.event.type in READ_WHEN_JUDGED or content_for_rules(received.event) != known.event.content:
            return
        full = event_rows.store_full(self.tx, known, received, thread_of(self._at_hand, received.event))
        self._at_hand.replace(full)
        if full.verdict is Verdict.ACCEPTED and full.place is not None:
            relate(self.tx, full)
            index_event(self.tx, full.nid, full.event, is_history=full.log_position is None)

    def begin_stay(self, servers: Collection[ServerName]) -> None:
        """Begin anew with what the room's state is now; where members are missing, these servers are in the room."""
        self.is_partial = not self.states.is_whole(self.root)
        self._members.give_servers(servers if self.is_partial else ())

    def finish(self) -> tuple[StoredEvent, ...]:
        """Write it all. Raises Conflict when another process moved the room on."""
        tx, writer, before = self.tx, self._writer, self._head.current_root
        if not self._added:
            return ()
        now_ms = writer.clock.now_ms()
        self.states.store()
        # A merged state of several heads is named by no event; what matters is when it is replaced.
        if self.states.has_merged or len(self._head.heads) > 1:
            note_collectable(tx, self.room_id, now_ms)
        self._write_head(now_ms)
        difference = self.states.difference(before, self.root)
        changed = self._members.changed(difference)
        if self._members.begins_stay and self._head.is_partial:
            changed |= self._members.forgotten((before, self.root))
        audience = NO_AUDIENCE if self._is_new else writer.notifying.audience(tx, self.room_id, before)
        self.graph.store([one.stored for one in self._added])
        for nid in self._replaced_outliers:
            event_rows.remove_outlier(tx, nid)
        self._write_beside(now_ms)
        for one in self._added:
            if not one.is_news:
                event_rows.insert_event(tx, one.stored, one.pdu, verdict_reason=one.verdict_reason)
            if one.stored.nid in self._replaced_outliers:
                tx.after_commit(partial(writer.states.events.replace, one.stored))
        consequences = _Consequences(
            members=changed,
            facts=self._shown.facts(self.root) if self.root != before or self._is_new else None,
            audience=frozenset(audience.members),
            has_others=self.is_partial or audience.joined_count > len(audience.members),
            now_ms=now_ms,
        )
        if not difference.keys().isdisjoint(WORDS_FROM):
            self._shown.renew_words(self.root)
        if RETENTION in difference:
            self._note_lifetime()
        published: list[StoredEvent] = []
        news = [one for one in self._added if one.is_news]
        for one in news:
            write = partial(
                self._write_at_position, one=one, is_last=one is news[-1], after=consequences, published=published
            )
            tx.at_position(WRITTEN_AT_POSITION, write)
        return tuple(one.stored for one in self._added)

    def learn_members(self, members: Sequence[StoredEvent]) -> None:
        """Write that some members of a room that is known in part are known from now on: its state is as it was.

        Those whom the state knows already are left as they are, and those who were learned of before.
        """
        now_ms = self._writer.clock.now_ms()
        changed = self._members.not_learned(self._members.unknown(self._head.current_root, members))
        if not changed:
            return

        def write(tx: Transaction, position: int) -> None:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=now_ms)
            self._write_members(changed, position, now_ms)

        self.tx.at_position(WRITTEN_AT_POSITION, write)

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
        self.root, self.is_partial = right[before], False
        self._members.give_servers(())
        self.states.store()
        note_collectable(tx, self.room_id, now_ms)
        room_rows.swap_head(tx, replace(self._head, current_root=self.root, is_partial=False))
        room_rows.replace_roots(tx, self.room_id, right, from_position=from_position)
        event_rows.replace_roots(tx, self.room_id, right, from_position=from_position)
        tx.after_commit(lambda: writer.states.events.replace_roots(right, from_position))
        audience = frozenset(writer.notifying.audience(tx, self.room_id, before).members)
        changed = self._members.unknown(before, self.load(own_members).values())
        facts = self._shown.facts(self.root)
        self._note_lifetime()

        def write(tx: Transaction, position: int) -> None:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=now_ms)
            changes = self._write_members(changed, position, now_ms)
            self._members.write_servers(position, now_ms)
            note_whole(tx, self.room_id, room.join_event_id, position=position, now_ms=now_ms)
            note_activity(tx, self.room_id, position=position, bump_position=None, facts=facts)
            told = audience | {change.user_id for change in changes}
            tx.after_commit(self.states.remember)
            tx.after_commit(lambda: writer.news.publish(RoomBecameWhole(position, self.room_id), told))
            tx.after_commit(lambda: writer.news.publish(OutgoingWritten(position), ()))

        tx.at_position((*WRITTEN_AT_POSITION, "partial_rooms"), write)

    def _note_lifetime(self) -> None:
        """Write for how long the room keeps what is said in it, now that its state says something else."""
        event = self.state((RETENTION,)).get(RETENTION)
        lifetime_ms = None if event is None else max_lifetime_of(event.content)
        store_lifetime(self.tx, self.room_id, lifetime_ms)
        self.tx.after_commit(partial(self._writer.lifetimes.note, self.room_id, lifetime_ms))

    def _follow(self, heads: tuple[EventID, ...], root: bytes, left: set[EventID]) -> None:
        """Have these heads, and the state after them."""
        self.root = root
        self.graph.set_heads(heads, left)

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
        return self.states.merged(prev_ids, {closing.event.event_id: closing}) == follower.root_before

    def _note_placed(self, event_id: EventID, followers: Sequence[StoredEvent]) -> None:
        self._placed.add(event_id)
        self.graph.follow(event_id, followers)

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
        outlier = self.find(event.event_id)
        replaces: EventID | None = None
        root_after: bytes | None = None
        if event.state_key is not None and root_before is not None and verdict is not Verdict.REJECTED:
            root_after = self.states.after(root_before, event)
            replaces = self.states.replaced_by(root_before, event)
        return StoredEvent(
            nid=EventNid(self.tx.next_ids("event_nid")) if outlier is None else outlier.nid,
            event=event,
            log_position=None,
            place=None if verdict is Verdict.REJECTED else self._place + PLACE_STEP,
            verdict=verdict,
            form=form,
            redacted_by=None,
            replaces_state=replaces,
            thread_id=thread_of(self._at_hand, event),
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
        outlier = self.find(stored.event.event_id)
        if outlier is not None:
            self._replaced_outliers.append(outlier.nid)
            if stored.verdict is Verdict.REJECTED and outlier.verdict is not Verdict.REJECTED:
                reason = f"{reason}{ACCEPTED_BEFORE}"
            if outlier.form.is_given_up:
                stored = replace(
                    stored,
                    event=outlier.event,
                    form=outlier.form,
                    redacted_by=outlier.redacted_by,
                    rules_content=outlier.rules_content,
                )
                pdu = encode_for(self.version, outlier.event.pdu)
        self._added.append(_Added(stored, pdu, notified, reason, is_history, is_ours_to_send))
        self._at_hand.add(stored)
        return stored

    def _write_head(self, now_ms: int) -> None:
        head = replace(
            self._head,
            current_root=self.root,
            heads=self.heads,
            depth=self.depth,
            last_place=self._place,
            is_partial=self.is_partial,
        )
        if self._is_new:
            room_rows.insert_room(self.tx, head, created_ms=now_ms)
        else:
            room_rows.swap_head(self.tx, head)

    def _write_beside(self, now_ms: int) -> None:
        """What the events leave behind beside themselves, in tables that know no log position, and what they redact."""
        redactions = Redactions(
            self._at_hand,
            self.states,
            self._shown,
            self.version,
            root_before=self._head.current_root,
            root=self.root,
        )
        for index, one in enumerate(tuple(self._added)):
            if one.stored.verdict is Verdict.ACCEPTED and one.stored.place is not None:
                # One of those before may have redacted it; a redaction that is redacted redacts all the same.
                self._write_one_beside(self._added[index], now_ms)
                if one.stored.event.redacts is not None:
                    self._note_redacted(redactions.redact(one.stored, one.stored.event.redacts))
            if one.stored.event.event_id in self._placed:
                for redacted in redactions.redact_early(one.stored.event.event_id):
                    self._note_redacted(redacted)

    def _write_one_beside(self, one: _Added, now_ms: int) -> None:
        stored, event = one.stored, one.stored.event
        relate(self.tx, stored)
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

    def _note_redacted(self, redacted: Redacted | None) -> None:
        """Write what a redaction made of an event that this transaction adds, and what the room says without it."""
        if redacted is None:
            return
        event = redacted.stored.event
        if (event.type, event.state_key) == RETENTION:
            self._note_lifetime()
        for index, one in enumerate(self._added):
            if one.stored.event.event_id == event.event_id:
                self._added[index] = replace(one, stored=redacted.stored, pdu=redacted.pdu, notified=NOT_NOTIFIED)

    def _write_at_position(
        self,
        tx: Transaction,
        position: int,
        *,
        one: _Added,
        is_last: bool,
        after: _Consequences,
        published: list[StoredEvent],
    ) -> None:
        stored = replace(one.stored, log_position=position)
        told_besides = self._members.told_besides(stored.event) if one.is_ours_to_send else None
        is_outgoing = one.is_ours_to_send and (after.has_others or told_besides is not None)
        event_rows.insert_event(tx, stored, one.pdu, verdict_reason=one.verdict_reason, is_outgoing=is_outgoing)
        if told_besides is not None:
            insert_removal_notice(tx, told_besides, self.room_id, position=position, now_ms=after.now_ms)
        if is_outgoing:
            tx.after_commit(lambda: self._writer.news.publish(OutgoingWritten(position), ()))
        if stored.verdict is Verdict.ACCEPTED:
            published.append(stored)
        if not is_last:
            return
        if self.root != self._head.current_root or self._is_new:
            room_rows.insert_root(tx, self.room_id, log_position=position, root=self.root, written_ms=after.now_ms)
        changes = self._write_members(after.members, position, after.now_ms)
        self._members.write_servers(position, after.now_ms)
        if published:
            bumps = [one.log_position for one in published if one.event.type in BUMP_TYPES]
            bump_position = bumps[-1] if bumps else None
            note_activity(tx, self.room_id, position=position, bump_position=bump_position, facts=after.facts)
            tx.after_commit(partial(self._publish, tuple(published), tuple(changes), after.audience))
        if not is_outgoing and self._members.brings_together(changes, has_others=after.has_others):
            tx.after_commit(lambda: self._writer.news.publish(OutgoingWritten(position), ()))

    def _write_members(
        self, changed: Mapping[UserID, StoredEvent | None], position: int, now_ms: int
    ) -> list[MembershipChange]:
        return self._members.write(changed, position, now_ms, partial(self._shown.stripped, self.root))

    def _publish(
        self,
        events: tuple[StoredEvent, ...],
        changes: tuple[MembershipChange, ...],
        audience: frozenset[UserID],
    ) -> None:
        writer = self._writer
        for stored in events:
            writer.states.events.put(stored)
        self.states.remember()
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
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self.states = states
        self.merging = merging
        self.notifying = notifying
        self.news = news
        self.clock = clock
        self.server_name = server_name
        self.lifetimes = lifetimes or Lifetimes()
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
