"""The audit of unread counts: what each event does to them is worked out anew, and compared with what is noted of it.

It can be worked out for those users who are in the room as they were at the event, and whose push rules have not
changed since: what was noted by rules of another time cannot be judged, nor for whom a class of users was that nobody
is in any more. For all others it is looked at whether what is noted fits the event. The same for up to where users
have read: receipts are where their events are, and who sent a message is said to have read up to it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core import state_map
from homeserver.core.auth_selection import CREATE, POWER_LEVELS
from homeserver.core.event_audit import Kept, Unsound
from homeserver.core.identifiers import RoomID, ServerName, UserID, server_name_of
from homeserver.core.power_levels import read_power_levels
from homeserver.core.push_evaluation import (
    CompiledRules,
    EventFacts,
    Outcome,
    RoomFacts,
    UserFacts,
    compile_rules,
    evaluate_class,
    evaluate_user,
    event_facts,
    occurs_in_body,
)
from homeserver.core.push_rules import rule_set
from homeserver.core.state_map import UnknownState
from homeserver.services.admin.audit_reading import Reading
from homeserver.services.events.notifying import notification_levels
from homeserver.services.events.push_classes import DEFAULT_RULES
from homeserver.storage.database import Transaction
from homeserver.storage.partial_rooms import partial_among
from homeserver.storage.room_audit import EventRow
from homeserver.storage.rooms import roots_at, sync_horizon
from homeserver.storage.unread_audit import (
    MAIN,
    NotificationRow,
    Reader,
    notification_rows,
    readers,
    sent_places,
    stray_notification,
    stray_receipt,
    stray_sent_place,
    threads_at,
)

MEMBER: Final = "m.room.member"
NOTHING: Final = (False, False)
MOST_READERS: Final = 200  # for whom it is worked out; the others in their classes have the same rows
MOST_COUNTED: Final = 500  # members of a room whose number at an event is found out, if others are in it now


@dataclass(frozen=True, slots=True)
class Correction:
    """What an event does for somebody is noted otherwise than it is: what is to be noted, None for nothing, and why."""

    place: int
    whose: bytes | UserID
    right: NotificationRow | None
    reason: str


class PageOfUnread:
    """What is noted of some events that stand side by side."""

    def __init__(self, reading: Reading, server_name: ServerName, page: Sequence[EventRow]) -> None:
        tx, room_id = reading.tx, reading.room_id
        places = [row.place for row in page if row.place is not None]
        self._reading = reading
        self._server_name = server_name
        self._rows = notification_rows(tx, room_id, places)
        self._threads = threads_at(tx, room_id, places)
        senders = sorted({row.sender for row in page if self._is_ours(row.sender)})
        self._sent = sent_places(tx, room_id, senders, sorted({MAIN, *self._threads.values()}))
        self._judged_after = _judged_after(tx, room_id)
        known = readers(tx, room_id, limit=MOST_READERS) if self._judged_after is not None else []
        self._readers = {reader.user_id: reader for reader in known}
        self._rules = {user_id: _rules_of(reader, room_id) for user_id, reader in self._readers.items()}
        self._counts: dict[bytes, int | None] = {}
        self._unchanged: dict[bytes, frozenset[UserID]] = {}

    def check(self, kept: Kept) -> None:
        """Raise Unsound unless what is noted of an event is what the event makes of it, as far as that is known."""
        event, place = kept.event, kept.place or 0
        thread_id = self._threads.get(place, MAIN)
        is_said = kept.is_accepted and event.state_key is None
        if is_said and self._is_ours(event.sender):
            sent = self._sent.get((event.sender, thread_id))
            if sent is None:
                raise Unsound(f"{event.sender} sent it, and that is not noted")
            if sent < place:
                raise Unsound(f"{event.sender} sent it, and is said to have sent nothing so late in its thread")
        for correction in self.corrections(kept):
            raise Unsound(correction.reason)

    def corrections(self, kept: Kept) -> Iterator[Correction]:
        """What is to be noted otherwise of what an event does, as far as that is known: to be done in this order."""
        place = kept.place or 0
        rows, thread_id = self._rows.get(place, ()), self._threads.get(place, MAIN)
        is_there = kept.redacted_by is None and not kept.is_expired
        counts = kept.is_accepted and kept.log_position is not None and is_there
        right: list[NotificationRow] = []
        for row in rows:
            correction = _correction_of(row, kept, thread_id, counts=counts)
            if correction is not None:
                yield correction
            left = row if correction is None else correction.right
            right += [] if left is None else [left]
        if counts and kept.event.state_key is None:
            try:
                yield from self._by_rules(kept, right, thread_id)
            except UnknownState:
                return  # not all of the room was known

    def _is_ours(self, user_id: str) -> bool:
        return server_name_of(UserID(user_id)) == self._server_name

    def _by_rules(self, kept: Kept, rows: Sequence[NotificationRow], thread_id: str) -> Iterator[Correction]:
        """What is noted otherwise than the push rules of users have it."""
        reading, position = self._reading, kept.log_position or 0
        if self._judged_after is None or position <= self._judged_after:
            return
        root = roots_at(reading.tx, [reading.room_id], at=position - 1).get(reading.room_id)
        judged = [] if root is None else self._judged(root, kept, thread_id)
        if root is None or not judged:
            return
        room = self._room_facts(root, kept)
        if room is None:
            return
        facts = event_facts(kept.event)
        shared = {self._rules[user_id].class_key: self._rules[user_id] for user_id in judged}
        outcomes = {key: evaluate_class(rules, facts, room) for key, rules in shared.items()}
        persons = {
            user_id: self._outcome(user_id, facts, room, outcomes[self._rules[user_id].class_key]) for user_id in judged
        }
        noted = _Noted(kept, thread_id, {row.whose: (row.notify, row.highlight) for row in rows})
        classes = {user_id: self._rules[user_id].class_key for user_id in judged}
        for user_id, outcome in persons.items():
            if noted.of(user_id, classes[user_id]) != (outcome.notify, outcome.highlight):
                yield noted.of_person(user_id, outcome, outcomes[classes[user_id]], noted.of(user_id, classes[user_id]))
        for key, outcome in outcomes.items():
            if noted.of(key) != (outcome.notify, outcome.highlight):
                yield noted.of_class(key, outcome)
        # Who had the right thing by what was noted for the class, and has it no more.
        for user_id, outcome in persons.items():
            own, shared_outcome = noted.of(user_id, classes[user_id]), outcomes[classes[user_id]]
            is_so = own == (outcome.notify, outcome.highlight) and user_id not in noted.rows
            if is_so and own != (shared_outcome.notify, shared_outcome.highlight):
                yield noted.of_person(user_id, outcome, shared_outcome, own)

    def _outcome(self, user_id: UserID, facts: EventFacts, room: RoomFacts, shared: Outcome) -> Outcome:
        rules, name = self._rules[user_id], self._readers[user_id].display_name
        is_named = user_id in facts.named_users or (
            rules.watches_display_name and name is not None and occurs_in_body(name, facts)
        )
        return evaluate_user(rules, facts, room, UserFacts(user_id, name, None)) if is_named else shared

    def _judged(self, root: bytes, kept: Kept, thread_id: str) -> list[UserID]:
        """Those who were in a state as they are now, and whose rules are those of that time."""
        return [
            user_id
            for user_id, reader in self._readers.items()
            if user_id in self._unchanged_since(root)
            and reader.changed_position < (kept.log_position or 0)
            and user_id != kept.event.sender
            # Who was subscribed to a thread is not known.
            and (thread_id == MAIN or not self._rules[user_id].watches_threads)
        ]

    def _unchanged_since(self, root: bytes) -> frozenset[UserID]:
        members = state_map.subtree_root(self._reading.node, root, MEMBER)
        if members not in self._unchanged:
            keys = tuple((MEMBER, user_id) for user_id in self._readers)
            then = state_map.get_many(self._reading.node, root, keys) if keys else {}
            same = [one for one in self._readers.values() if then.get((MEMBER, one.user_id)) == one.event_id]
            # A redaction takes a member's name, and what was noted by it stays.
            found = {one.user_id: self._reading.find(one.event_id) for one in same}
            self._unchanged[members] = frozenset(
                user_id for user_id, one in found.items() if one is not None and one.redacted_by is None
            )
        return self._unchanged[members]

    def _room_facts(self, root: bytes, kept: Kept) -> RoomFacts | None:
        """What rules ask about the room; None when that is not known, or takes too long to find out."""
        count = self._joined_count(root)
        state = self._reading.select(root, (CREATE, POWER_LEVELS))
        if count is None or CREATE not in state or any(one.redacted_by is not None for one in state.values()):
            return None
        power_levels = state[POWER_LEVELS].event if POWER_LEVELS in state else None
        levels = read_power_levels(state[CREATE].event, power_levels, kept.event.version)
        return RoomFacts(count, levels.user_level(kept.event.sender), notification_levels(power_levels))

    def _joined_count(self, root: bytes) -> int | None:
        """How many were joined in a state."""
        node = self._reading.node
        members = state_map.subtree_root(node, root, MEMBER)
        if members not in self._counts:
            self._counts[members] = None
            if state_map.count_of_type(node, root, MEMBER) <= MOST_COUNTED:
                found = [self._reading.find(event_id) for _, event_id in state_map.items_of_type(node, root, MEMBER)]
                self._counts[members] = sum(
                    one is not None and one.event.content.get("membership") == "join" for one in found
                )
        return self._counts[members]


def check_readers(reading: Reading, server_name: ServerName) -> None:
    """Raise Unsound when something counts or was read where there is nothing."""
    tx, room_id = reading.tx, reading.room_id
    stray = stray_notification(tx, room_id)
    if stray is not None:
        raise Unsound(f"{stray[0]} stands at place {stray[1]}, where there is no event")
    sent = stray_sent_place(tx, room_id, above=reading.purge_horizon)
    if sent is not None:
        raise Unsound(f"{sent[0]} is said to have sent a message at place {sent[1]}, where there is none like it")
    receipt = stray_receipt(tx, room_id, server_name, above=reading.purge_horizon)
    if receipt is not None:
        raise Unsound(
            f"the receipt of {receipt.user_id} for {receipt.event_id} is at place {receipt.place}, "
            f"and that event at {receipt.event_place}"
        )


def _judged_after(tx: Transaction, room_id: RoomID) -> int | None:
    """The position after which the room's states are known as they were; None while not all of it is known."""
    whole = partial_among(tx, [room_id], after=-1)
    if room_id in whole and whole[room_id] is None:
        return None
    return max(sync_horizon(tx), whole.get(room_id) or 0)


def _rules_of(reader: Reader, room_id: RoomID) -> CompiledRules:
    rules = compile_rules(rule_set(reader.changes)) if reader.changed_position else DEFAULT_RULES
    return rules.in_room(room_id)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What is noted of an event, by whose it is: whether it counts, and whether it highlights."""

    kept: Kept
    thread_id: str
    rows: Mapping[bytes | UserID, tuple[bool, bool]]

    def of(self, *whose: bytes | UserID) -> tuple[bool, bool]:
        """What it does for the first of these of whom something is noted."""
        return next((self.rows[one] for one in whose if one in self.rows), NOTHING)

    def of_person(self, user_id: UserID, outcome: Outcome, shared: Outcome, found: tuple[bool, bool]) -> Correction:
        """A user for whom it does something else, or the same as for the others of the class."""
        is_shared = (outcome.notify, outcome.highlight) == (shared.notify, shared.highlight)
        right = None if is_shared else self._row(user_id, None, outcome)
        return Correction(self.kept.place or 0, user_id, right, _difference(user_id, found, outcome))

    def of_class(self, key: bytes, outcome: Outcome) -> Correction:
        """A class for which it does something else."""
        right = self._row(key, self.kept.event.sender, outcome) if outcome.notify else None
        return Correction(self.kept.place or 0, key, right, _difference("a class", self.of(key), outcome))

    def _row(self, whose: bytes | UserID, sender: UserID | None, outcome: Outcome) -> NotificationRow:
        place = self.kept.place or 0
        return NotificationRow(place, whose, self.thread_id, sender, outcome.notify, outcome.highlight)


def _correction_of(row: NotificationRow, kept: Kept, thread_id: str, *, counts: bool) -> Correction | None:
    """What of a row an event cannot have, whatever the push rules say."""
    is_of_class = isinstance(row.whose, bytes)
    whose = "a class" if isinstance(row.whose, bytes) else row.whose
    fitting = replace(row, thread_id=thread_id, sender=kept.event.sender if is_of_class else None)
    if not counts:
        return Correction(row.place, row.whose, None, f"it is noted what it does for {whose}, and it does nothing")
    if row.whose == kept.event.sender:
        return Correction(row.place, row.whose, None, "it is noted what it does for its sender")
    if (row.highlight or is_of_class) and not row.notify:
        left = None if is_of_class else replace(fitting, highlight=False)
        return Correction(row.place, row.whose, left, f"for {whose} it is noted that it does not count")
    if row.thread_id != thread_id:
        reason = f"for {whose} it counts in thread {row.thread_id!r}, and it is in {thread_id!r}"
        return Correction(row.place, row.whose, fitting, reason)
    if row.sender not in (None, kept.event.sender):
        return Correction(row.place, row.whose, fitting, f"for {whose} it counts as sent by {row.sender}")
    return None


def _difference(whose: str, found: tuple[bool, bool], outcome: Outcome) -> str:
    right = _words(outcome.notify, outcome.highlight)
    return f"for {whose} it {_words(*found)}, and by the push rules it {right}"


def _words(notify: bool, highlight: bool) -> str:
    if not notify:
        return "does not count"
    return "counts and highlights" if highlight else "counts"
