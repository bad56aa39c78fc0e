"""What an audit reads of a room: rows as they are stored, page by page. Nothing here trusts what is in them.

What is made of them is in services/admin/room_audit.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.identifiers import EventID, RoomID, ServerName
from homeserver.storage.database import Transaction
from homeserver.storage.events import ACCEPTED_BEFORE, Form, Verdict

ROOM_IDS = "SELECT room_id FROM rooms WHERE room_id > :after ORDER BY room_id LIMIT :limit"


def room_ids_after(tx: Transaction, after: str, *, limit: int) -> list[RoomID]:
    """The rooms of this server in the order of their IDs, a page at a time."""
    return [RoomID(row[0]) for row in tx.all(ROOM_IDS, after=after, limit=limit)]


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A room's row; `heads` as it is stored."""

    version: str
    current_root: bytes
    heads: bytes
    depth: int
    last_place: int
    is_partial: bool
    purge_horizon: int | None  # up to where some of its history was deleted


ROOM = """
    SELECT version, current_root, heads, depth, last_place, is_partial, purge_horizon FROM rooms
     WHERE room_id = :room_id"""


def room_row(tx: Transaction, room_id: RoomID) -> RoomRow | None:
    """The row of a room."""
    row = tx.one(ROOM, room_id=room_id)
    if row is None:
        return None
    return RoomRow(row[0], bytes(row[1]), bytes(row[2]), row[3], row[4], bool(row[5]), row[6])


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event's row."""

    nid: int
    event_id: EventID
    log_position: int | None
    place: int | None
    type: str
    sender: str
    state_key: str | None
    origin_server_ts: int
    verdict: int
    form: int
    redacted_by: EventID | None
    replaces_state: EventID | None
    root_before: bytes | None
    root_after: bytes | None
    given_by: str | None
    has_reason: bool
    was_accepted: bool  # for some time, before it was rejected
    rules_content: bytes | None
    pdu: bytes

    @property
    def is_accepted(self) -> bool:
        """Whether it counts."""
        return self.verdict == Verdict.ACCEPTED

    @property
    def is_rejected(self) -> bool:
        """Whether the rules refused it."""
        return self.verdict == Verdict.REJECTED

    @property
    def is_whole(self) -> bool:
        """Whether it is kept as it was sent."""
        return self.form == Form.FULL

    @property
    def is_expired(self) -> bool:
        """Whether it was kept for as long as the room says, and no longer."""
        return self.form == Form.EXPIRED

    @property
    def is_of_known_kind(self) -> bool:
        """Whether verdict and form are some that there are, and the form goes with what it is the form of.

        An event was redacted by another one, or by none. What is state never expires.
        """
        known = self.verdict in tuple(Verdict) and self.form in tuple(Form)
        fits = (self.form == Form.REDACTED) == (self.redacted_by is not None)
        return known and fits and not (self.is_expired and self.state_key is not None)


COLUMNS: Final = """event_nid, event_id, log_position, place, type, sender, state_key, origin_server_ts, verdict, form,
           redacted_by, replaces_state, root_before, root_after, root_given_by,
           verdict_reason, rules_content, pdu"""
PLACED = f"""
    SELECT {COLUMNS} FROM events
     WHERE room_id = :room_id AND place > :after ORDER BY place LIMIT :limit"""  # noqa: S608 - the columns are a constant
UNPLACED = f"""
    SELECT {COLUMNS} FROM events
     WHERE room_id = :room_id AND place IS NULL AND event_nid > :after
     ORDER BY event_nid LIMIT :limit"""  # noqa: S608 - as above
BY_ID = f"SELECT {COLUMNS} FROM events WHERE event_id = :event_id AND room_id = :room_id"  # noqa: S608 - as above


def placed_events(tx: Transaction, room_id: RoomID, *, after: int, limit: int) -> list[EventRow]:
    """Events of the room's order after a place, of whatever verdict."""
    return [_event_row(row) for row in tx.all(PLACED, room_id=room_id, after=after, limit=limit)]


def unplaced_events(tx: Transaction, room_id: RoomID, *, after: int, limit: int) -> list[EventRow]:
    """Events that have no place in the room's order, by their numbers."""
    return [_event_row(row) for row in tx.all(UNPLACED, room_id=room_id, after=after, limit=limit)]


def find_event_row(tx: Transaction, room_id: RoomID, event_id: str) -> EventRow | None:
    """The event of this ID, if it is of this room."""
    row = tx.one(BY_ID, room_id=room_id, event_id=event_id)
    return None if row is None else _event_row(row)


ROOM_OF = "SELECT room_id FROM events WHERE event_id = :event_id"


def is_elsewhere(tx: Transaction, room_id: RoomID, event_id: str) -> bool:
    """Whether an event is here, in another room."""
    row = tx.one(ROOM_OF, event_id=event_id)
    return row is not None and row[0] != room_id


@dataclass(frozen=True, slots=True)
class EntryRow:
    """What of an event says whether it may stand in a state."""

    type: str
    state_key: str | None
    verdict: int
    has_state: bool  # around it: it is not known by its auth events alone
    place: int | None


ENTRIES = """
    SELECT event_id, type, state_key, verdict, root_before IS NOT NULL, place FROM events
     WHERE room_id = :room_id AND event_id IN :event_ids[text]"""


def entry_rows(tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID]) -> dict[EventID, EntryRow]:
    """Those of the events that are of this room."""
    rows = tx.all(ENTRIES, room_id=room_id, event_ids=list(event_ids)) if event_ids else []
    return {EventID(row[0]): EntryRow(row[1], row[2], row[3], bool(row[4]), row[5]) for row in rows}


ROOTS_AT = """
    SELECT log_position, root FROM room_roots
     WHERE room_id = :room_id AND log_position IN :positions[bigint]"""


def roots_at_positions(tx: Transaction, room_id: RoomID, positions: Sequence[int]) -> dict[int, bytes]:
    """The room's current states that are noted at these positions of the log."""
    rows = tx.all(ROOTS_AT, room_id=room_id, positions=list(positions)) if positions else []
    return {row[0]: bytes(row[1]) for row in rows}


@dataclass(frozen=True, slots=True)
class RootRow:
    """A row of room_roots; whether an event of the room has its position, or more of the room was known from there."""

    log_position: int
    root: bytes
    has_event: bool


ROOTS = """
    SELECT r.log_position, r.root,
           EXISTS (SELECT 1 FROM events e WHERE e.room_id = r.room_id AND e.log_position = r.log_position)
           OR EXISTS (SELECT 1 FROM partial_rooms p
                       WHERE p.room_id = r.room_id AND p.whole_position = r.log_position)
           OR EXISTS (SELECT 1 FROM membership_changes c
                       WHERE c.room_id = r.room_id AND c.log_position = r.log_position)
      FROM room_roots r WHERE r.room_id = :room_id AND r.log_position > :after ORDER BY r.log_position LIMIT :limit"""


def root_rows(tx: Transaction, room_id: RoomID, *, after: int, limit: int) -> list[RootRow]:
    """What is noted of the room's current states, oldest first."""
    rows = tx.all(ROOTS, room_id=room_id, after=after, limit=limit)
    return [RootRow(row[0], bytes(row[1]), bool(row[2])) for row in rows]


NEWEST_ROOT = "SELECT root FROM room_roots WHERE room_id = :room_id ORDER BY log_position DESC LIMIT 1"


def newest_root(tx: Transaction, room_id: RoomID) -> bytes | None:
    """The newest current state that is noted."""
    row = tx.one(NEWEST_ROOT, room_id=room_id)
    return None if row is None else bytes(row[0])


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A row of memberships."""

    user_id: str
    membership: str
    event_id: EventID
    sender: str
    place: int
    log_position: int
    display_name: str | None
    avatar_url: str | None
    is_local: bool
    joined_place: int | None


MEMBERS = """
    SELECT user_id, membership, event_id, sender, place, log_position, display_name, avatar_url, is_local,
           joined_place
      FROM memberships m WHERE room_id = :room_id AND user_id > :after
       AND NOT EXISTS (SELECT 1 FROM remote_memberships r
                        WHERE r.room_id = m.room_id AND r.user_id = m.user_id AND r.event_id = m.event_id)
     ORDER BY user_id LIMIT :limit"""


def member_rows(tx: Transaction, room_id: RoomID, *, after: str, limit: int) -> list[MemberRow]:
    """Who is said to be in the room or to have been, in the order of their IDs.

    Not those of whom that is known from outside alone, while this server is not in the room.
    """
    rows = tx.all(MEMBERS, room_id=room_id, after=after, limit=limit)
    return [
        MemberRow(
            user_id=row[0],
            membership=row[1],
            event_id=EventID(row[2]),
            sender=row[3],
            place=row[4],
            log_position=row[5],
            display_name=row[6],
            avatar_url=row[7],
            is_local=bool(row[8]),
            joined_place=row[9],
        )
        for row in rows
    ]


ALL_MEMBERS = "SELECT user_id FROM memberships WHERE room_id = :room_id"


def member_ids(tx: Transaction, room_id: RoomID) -> set[str]:
    """Everybody who has a row."""
    return {row[0] for row in tx.all(ALL_MEMBERS, room_id=room_id)}


COUNT_MEMBERS = "SELECT COUNT(*) FROM memberships WHERE room_id = :room_id"


def member_count(tx: Transaction, room_id: RoomID) -> int:
    """How many have a row."""
    row = tx.one(COUNT_MEMBERS, room_id=room_id)
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A row of membership_changes."""

    user_id: str
    log_position: int
    before: str | None
    membership: str
    event_id: str


CHANGES = """
    SELECT user_id, log_position, before, membership, event_id FROM membership_changes c
     WHERE room_id = :room_id AND user_id IN :user_ids[text]
       AND (EXISTS (SELECT 1 FROM room_roots r WHERE r.room_id = c.room_id AND r.log_position = c.log_position)
            OR EXISTS (SELECT 1 FROM room_servers s
                        WHERE s.room_id = c.room_id AND s.server = :server AND s.since_position <= c.log_position
                          AND (s.until_position IS NULL OR s.until_position > c.log_position)))
     ORDER BY log_position"""


def change_rows(tx: Transaction, room_id: RoomID, user_ids: Sequence[str], server: ServerName) -> list[ChangeRow]:
    """How the memberships of these users went in the room, oldest first, but for what came from outside.

    That came while `server`, this one, was not in the room, and the room's state had no part in it.
    """
    rows = tx.all(CHANGES, room_id=room_id, user_ids=list(user_ids), server=server) if user_ids else []
    return [ChangeRow(*row) for row in rows]


def _event_row(row: tuple[Any, ...]) -> EventRow:  # Any: see Transaction
    return EventRow(
        nid=row[0],
        event_id=EventID(row[1]),
        log_position=row[2],
        place=row[3],
        type=row[4],
        sender=row[5],
        state_key=row[6],
        origin_server_ts=row[7],
        verdict=row[8],
        form=row[9],
        redacted_by=row[10],
        replaces_state=row[11],
        root_before=None if row[12] is None else bytes(row[12]),
        root_after=None if row[13] is None else bytes(row[13]),
        given_by=row[14],
        has_reason=row[15] is not None,
        was_accepted=row[15] is not None and row[15].endswith(ACCEPTED_BEFORE),
        rules_content=None if row[16] is None else bytes(row[16]),
        pdu=bytes(row[17]),
    )
