"""Events: the PDU's bytes, what was extracted from them, and the three numbers that this server gave them.

What relates to what is in relations.py; who is in a room in memberships.py; state roots' nodes in state_nodes.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final, NewType

from homeserver.core.canonical_json import decode_checked, encode_for
from homeserver.core.event import EncodedEvent, Event, view_event
from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.core.redaction import content_for_rules
from homeserver.core.room_versions import RoomVersion, room_version
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Owner, Retention, Table

EventNid = NewType("EventNid", int)
# Ends the reason of a rejection: what was judged meanwhile was judged otherwise.
ACCEPTED_BEFORE: Final = "; before that it was accepted by its auth events alone"


class Verdict(IntEnum):
    """What the authorisation rules said when the event came."""

    ACCEPTED = 0
    SOFT_FAILED = 1
    REJECTED = 2


class Form(IntEnum):
    """In which form the event is stored."""

    FULL = 0
    REDACTED = 1  # by the event `redacted_by`
    WRONG_HASH = 2  # its content hash was wrong on receipt, so it is kept redacted
    EXPIRED = 7  # its time was over, so it is kept redacted (a number that no slip of one makes of another)

    @property
    def is_given_up(self) -> bool:
        """Whether the server had all that the event said, and keeps it no longer."""
        return self in (Form.REDACTED, Form.EXPIRED)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as this server keeps it.

    `place` orders the room's events as shown here; `log_position` is None for what never was news.
    `transaction` is the (device ID, transaction ID) of the local client that sent it.
    """

    nid: EventNid
    event: Event
    log_position: int | None
    place: int | None
    verdict: Verdict
    form: Form
    redacted_by: EventID | None
    replaces_state: EventID | None
    thread_id: EventID | None
    transaction: tuple[str, str] | None
    root_before: bytes | None
    root_after: bytes | None
    size_bytes: int  # of the PDU's JSON
    root_given_by: ServerName | None = None  # whose word the state before it rests on, if it was not found here
    rules_content: Mapping[str, Any] | None = None  # of a redacted state event: what the authorisation rules go by

    @property
    def for_rules(self) -> Event:
        """The event as the authorisation rules are to see it: a redaction changes nothing that they go by."""
        return self.event if self.rules_content is None else replace(self.event, content=self.rules_content)

    @property
    def root(self) -> bytes | None:
        """The state with this event in it: after a state event, at any other."""
        return self.root_after or self.root_before


def as_column(text: str) -> str:
    """A type or state key as a text column can hold it: another server may have put NUL there. The PDU keeps it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


INSERT_EVENT = """
    INSERT INTO events (event_nid, event_id, room_id, log_position, place, type, sender, state_key, origin_server_ts,
                        verdict, verdict_reason, form, redacted_by, replaces_state, thread_id,
                        transaction_device, transaction_id, root_before, root_after, root_given_by, rules_content,
                        is_outgoing, pdu)
    VALUES (:event_nid, :event_id, :room_id, :log_position, :place, :type, :sender, :state_key, :origin_server_ts,
            :verdict, :verdict_reason, :form, :redacted_by, :replaces_state, :thread_id,
            :transaction_device, :transaction_id, :root_before, :root_after, :root_given_by, :rules_content,
            :is_outgoing, :pdu)"""


def insert_event(
    tx: Transaction,
    stored: StoredEvent,
    pdu: bytes,
    *,
    verdict_reason: str | None = None,
    is_outgoing: bool = False,
) -> None:
    """Keep an event; `pdu` is the canonical JSON of its PDU, `is_outgoing` whether other servers are to be sent it."""
    event = stored.event
    device, transaction_id = stored.transaction or (None, None)
    row = {
        "event_nid": stored.nid,
        "event_id": event.event_id,
        "room_id": event.room_id,
        "log_position": stored.log_position,
        "place": stored.place,
        "type": as_column(event.type),
        "sender": event.sender,
        "state_key": None if event.state_key is None else as_column(event.state_key),
        "origin_server_ts": event.origin_server_ts,
        "verdict": int(stored.verdict),
        "verdict_reason": verdict_reason,
        "form": int(stored.form),
        "redacted_by": stored.redacted_by,
        "replaces_state": stored.replaces_state,
        "thread_id": stored.thread_id,
        "transaction_device": device,
        "transaction_id": transaction_id,
        "root_before": stored.root_before,
        "root_after": stored.root_after,
        "root_given_by": stored.root_given_by,
        "rules_content": _encoded(event.version, stored.rules_content),
        "is_outgoing": is_outgoing,
        "pdu": pdu,
    }
    tx.insert_many(INSERT_EVENT, [row])


PLACE_BEFORE = "SELECT MAX(place) FROM events WHERE room_id = :room_id AND place < :place"


def place_before(tx: Transaction, room_id: RoomID, place: int) -> int | None:
    """The place of the event that is shown just before that place; None at the beginning of what is here."""
    row = tx.one(PLACE_BEFORE, room_id=room_id, place=place)
    return None if row is None else row[0]


FIRST_PLACE = "SELECT MIN(place) FROM events WHERE room_id = :room_id AND place IS NOT NULL"


def first_place(tx: Transaction, room_id: RoomID) -> int:
    """The place of the first event that is shown; 0 when there is none."""
    row = tx.one(FIRST_PLACE, room_id=room_id)
    return row[0] if row is not None and row[0] is not None else 0


REPLACE_BY_FULL = """
    UPDATE events SET form = :form, thread_id = :thread_id, pdu = :pdu WHERE event_nid = :event_nid"""


def store_full(tx: Transaction, target: StoredEvent, full: EncodedEvent, thread_id: EventID | None) -> StoredEvent:
    """Replace an event that came with a wrong hash by its full form, which has turned up since."""
    tx.run(REPLACE_BY_FULL, form=int(Form.FULL), thread_id=thread_id, pdu=full.pdu_json, event_nid=target.nid)
    return replace(target, event=full.event, form=Form.FULL, thread_id=thread_id, size_bytes=len(full.pdu_json))


REMOVE_OUTLIER = "DELETE FROM events WHERE event_nid = :event_nid AND root_before IS NULL"


def remove_outlier(tx: Transaction, nid: EventNid) -> None:
    """Take away an event that was known without the states around it, for it is kept anew with them."""
    tx.run(REMOVE_OUTLIER, event_nid=nid)


SELECT_EVENT: Final = """
    SELECT e.event_nid, e.event_id, e.room_id, e.log_position, e.place, e.verdict, e.form, e.redacted_by,
           e.replaces_state, e.thread_id, e.transaction_device, e.transaction_id, e.root_before, e.root_after, e.pdu,
           r.version, e.root_given_by, e.rules_content
      FROM events e JOIN rooms r ON r.room_id = e.room_id"""
FIND_EVENT = SELECT_EVENT + " WHERE e.event_id = :event_id"
EVENTS_BY_ID = SELECT_EVENT + " WHERE e.event_id IN :event_ids[text]"


def find_event(tx: Transaction, event_id: EventID) -> StoredEvent | None:
    """The event of this ID, in any room and of any verdict."""
    row = tx.one(FIND_EVENT, event_id=event_id)
    return None if row is None else stored_of(row)


def events_by_id(tx: Transaction, event_ids: Sequence[str]) -> dict[EventID, StoredEvent]:
    """Those of the events that are here, whatever their room and verdict."""
    if not event_ids:
        return {}
    stored = map(stored_of, tx.all(EVENTS_BY_ID, event_ids=list(event_ids)))
    return {one.event.event_id: one for one in stored}


KNOWN = """
    SELECT event_id, root_before IS NOT NULL FROM events WHERE room_id = :room_id AND event_id IN :event_ids[text]"""


def known_events(tx: Transaction, room_id: RoomID, event_ids: Sequence[str]) -> dict[EventID, bool]:
    """Those of the events that are here and of the room, each with whether the state around it is known."""
    if not event_ids:
        return {}
    rows = tx.all(KNOWN, room_id=room_id, event_ids=list(event_ids))
    return {EventID(row[0]): bool(row[1]) for row in rows}


JUDGED = """
    SELECT event_id FROM events WHERE room_id = :room_id AND root_before IS NOT NULL AND form <> :wrong_hash
       AND event_id IN :event_ids[text]"""


def judged_events(tx: Transaction, room_id: RoomID, event_ids: Sequence[str]) -> set[EventID]:
    """Those of the events that were judged in the room, and of which all is here: nothing comes of them once more."""
    if not event_ids:
        return set()
    rows = tx.all(JUDGED, room_id=room_id, wrong_hash=Form.WRONG_HASH, event_ids=list(event_ids))
    return {EventID(row[0]) for row in rows}


ROOM_NEWS = (
    SELECT_EVENT
    + """
     WHERE e.room_id = :room_id AND e.log_position > :after AND e.log_position <= :upto AND e.verdict = 0
     ORDER BY e.log_position DESC LIMIT :limit"""
)


def room_news(
    tx: Transaction,
    room_id: RoomID,
    *,
    after: int,
    upto: int,
    limit: int,
    known: Callable[[EventID], StoredEvent | None],
) -> list[StoredEvent]:
    """The newest accepted events of a room with log positions in (after, upto], newest first.

    Those that are `known` as they are stored are not parsed once more.
    """
    rows = tx.all(ROOM_NEWS, room_id=room_id, after=after, upto=upto, limit=limit)
    return [
        stored if (stored := known(row[1])) is not None and is_stored_so(stored, row) else stored_of(row)
        for row in rows
    ]


STREAM_NEWS = (
    SELECT_EVENT  # noqa: S608 - constants
    + """
     WHERE e.event_nid IN (SELECT event_nid FROM events
                            WHERE room_id IN :room_ids[text] AND log_position > :after AND log_position <= :upto
                                  AND verdict = 0
                            ORDER BY log_position LIMIT :limit)
     ORDER BY e.log_position"""
)


def stream_news(tx: Transaction, room_ids: Sequence[str], *, after: int, upto: int, limit: int) -> list[StoredEvent]:
    """The first accepted events of several rooms with log positions in (after, upto], in the order of the log."""
    if not room_ids:
        return []
    rows = tx.all(STREAM_NEWS, room_ids=list(room_ids), after=after, upto=upto, limit=limit)
    return [stored_of(row) for row in rows]


ACCEPTED_FROM = (
    SELECT_EVENT
    + """
     WHERE e.room_id = :room_id AND e.log_position >= :position AND e.verdict = 0 ORDER BY e.log_position"""
)


def accepted_from(tx: Transaction, room_id: RoomID, position: int) -> list[StoredEvent]:
    """The accepted events of a room from a log position on, oldest first: for rooms into which little came since."""
    return [stored_of(row) for row in tx.all(ACCEPTED_FROM, room_id=room_id, position=position)]


ROOMS_WITH_NEWS = """
    SELECT DISTINCT room_id FROM events
     WHERE room_id IN :room_ids[text] AND log_position > :after AND log_position <= :upto AND verdict = 0"""


def rooms_with_news(tx: Transaction, room_ids: Sequence[str], *, after: int, upto: int) -> set[RoomID]:
    """Those of the rooms that got events with log positions in (after, upto]."""
    if not room_ids:
        return set()
    rows = tx.all(ROOMS_WITH_NEWS, room_ids=list(room_ids), after=after, upto=upto)
    return {RoomID(row[0]) for row in rows}


BACKWARDS = (
    SELECT_EVENT
    + """
     WHERE e.room_id = :room_id AND e.place <= :place AND e.verdict = 0
     ORDER BY e.place DESC LIMIT :limit"""
)
FORWARDS = (
    SELECT_EVENT
    + """
     WHERE e.room_id = :room_id AND e.place > :place AND e.verdict = 0
     ORDER BY e.place LIMIT :limit"""
)


def events_backwards(tx: Transaction, room_id: RoomID, *, place: int, limit: int) -> list[StoredEvent]:
    """Accepted events at `place` and before, newest first."""
    return [stored_of(row) for row in tx.all(BACKWARDS, room_id=room_id, place=place, limit=limit)]


def events_forwards(tx: Transaction, room_id: RoomID, *, place: int, limit: int) -> list[StoredEvent]:
    """Accepted events after `place`, oldest first."""
    return [stored_of(row) for row in tx.all(FORWARDS, room_id=room_id, place=place, limit=limit)]


PLACE_AT = """
    SELECT e.place FROM events e
     WHERE e.room_id = :room_id AND e.log_position <= :at ORDER BY e.log_position DESC LIMIT 1"""


def place_at(tx: Transaction, room_id: RoomID, *, at: int) -> int | None:
    """The place of the newest event that the room had at log position `at`."""
    row = tx.one(PLACE_AT, room_id=room_id, at=at)
    return None if row is None else row[0]


NTH_NEWEST = """
    SELECT place FROM events WHERE room_id = :room_id AND place IS NOT NULL AND verdict = 0
     ORDER BY place DESC LIMIT 1 OFFSET :number"""


def place_below_newest(tx: Transaction, room_id: RoomID, *, number: int) -> int | None:
    """The place of the accepted event that is shown before the newest so many; None if there are no more."""
    row = tx.one(NTH_NEWEST, room_id=room_id, number=number)
    return None if row is None else row[0]


REPLACE_FORM = """
    UPDATE events SET form = :form, redacted_by = :redacted_by, rules_content = :rules_content, pdu = :pdu
     WHERE event_nid = :event_nid"""


def store_redacted(tx: Transaction, target: StoredEvent, *, redacted: EncodedEvent, by: EventID | None) -> StoredEvent:
    """Replace an event's stored form by its redacted one: what it said is gone from here on. `by` None: it expired."""
    rules_content = content_for_rules(target.event) if target.event.state_key is not None else None
    form = Form.EXPIRED if by is None else Form.REDACTED
    tx.run(
        REPLACE_FORM,
        form=int(form),
        redacted_by=by,
        rules_content=_encoded(target.event.version, rules_content),
        pdu=redacted.pdu_json,
        event_nid=target.nid,
    )
    return replace(
        target,
        event=redacted.event,
        form=form,
        redacted_by=by,
        size_bytes=len(redacted.pdu_json),
        rules_content=rules_content,
    )


REPLACE_ROOT_BEFORE = """
    UPDATE events SET root_before = :right
     WHERE room_id = :room_id AND log_position >= :from_position AND root_before = :known"""
REPLACE_ROOT_AFTER = """
    UPDATE events SET root_after = :right
     WHERE room_id = :room_id AND log_position >= :from_position AND root_after = :known"""


def replace_roots(tx: Transaction, room_id: RoomID, right: Mapping[bytes, bytes], *, from_position: int) -> None:
    """Note what the states around events were that were known in part: by each root, the root of the whole state.

    From a log position on: an older state of which the same is known need not be the same.
    """
    rows = [
        {"room_id": room_id, "known": known, "right": root, "from_position": from_position}
        for known, root in right.items()
    ]
    tx.run_many(REPLACE_ROOT_BEFORE, rows)
    tx.run_many(REPLACE_ROOT_AFTER, rows)


def with_right_roots(stored: StoredEvent, right: Mapping[bytes, tuple[bytes, int]]) -> StoredEvent:
    """The event as `replace_roots` leaves it; with each root is told from which position on it is right."""
    position = stored.log_position
    if position is None:
        return stored
    before, after = (
        root if root is None or root not in right or position < right[root][1] else right[root][0]
        for root in (stored.root_before, stored.root_after)
    )
    is_right = before == stored.root_before and after == stored.root_after
    return stored if is_right else replace(stored, root_before=before, root_after=after)


def stored_of(row: tuple[Any, ...]) -> StoredEvent:  # Any: see Transaction
    """The event of a row of SELECT_EVENT."""
    version = room_version(row[15])
    return StoredEvent(
        nid=EventNid(row[0]),
        event=view_event(decode_checked(version, bytes(row[14])), version, event_id=EventID(row[1])),
        log_position=row[3],
        place=row[4],
        verdict=Verdict(row[5]),
        form=Form(row[6]),
        redacted_by=row[7],
        replaces_state=row[8],
        thread_id=row[9],
        transaction=None if row[11] is None else (row[10], row[11]),
        root_before=None if row[12] is None else bytes(row[12]),
        root_after=None if row[13] is None else bytes(row[13]),
        size_bytes=len(row[14]),
        root_given_by=row[16],
        rules_content=None if row[17] is None else decode_checked(version, bytes(row[17])),
    )


def is_stored_so(stored: StoredEvent, row: tuple[Any, ...]) -> bool:  # Any: see Transaction
    """Whether an event that was read at another time is the one of a row of SELECT_EVENT, with all that may change."""
    return (
        (stored.nid, stored.form, stored.redacted_by) == (row[0], row[6], row[7])
        and stored.root_before == row[12]
        and stored.root_after == row[13]
    )


def _encoded(version: RoomVersion, rules_content: Mapping[str, Any] | None) -> bytes | None:
    return None if rules_content is None else encode_for(version, rules_content)


TABLES: Final[tuple[Table, ...]] = (
    Table(
        "events",
        owners={Owner.ROOM: "room_id", Owner.USER: "sender"},
        retention=Retention.bounded("the room's history; goes with its purge"),
    ),
)
