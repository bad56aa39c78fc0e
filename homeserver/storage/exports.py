"""What is told of accounts and rooms when all of them are exported: queries that a Snapshot answers a row at a time.

What becomes of the rows is in services/admin/exporting.py. There are no secrets among the columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from homeserver.storage.whole_tables import Snapshot

# No access tokens or hashes of passwords, and nothing of devices: that is of no use elsewhere.
ACCOUNTS: Final = """
    SELECT u.user_id, u.kind, u.created_ms, u.is_admin, u.is_deactivated, u.is_erased, u.is_locked, u.is_suspended,
           u.appservice_id, p.display_name, p.avatar_url
      FROM users u LEFT JOIN profiles p ON p.user_id = u.user_id ORDER BY u.user_id"""
PROFILE_FIELDS: Final = """
    SELECT f.user_id, f.name, f.value FROM profile_fields f JOIN users u ON u.user_id = f.user_id
     ORDER BY f.user_id, f.name"""
ROOMS: Final = """
    SELECT room_id, version, created_ms, is_published, is_blocked, is_partial FROM rooms ORDER BY room_id"""
ALIASES: Final = "SELECT room_alias, room_id, creator FROM room_aliases ORDER BY room_alias"
# In orders that there are indexes for: nothing is sorted, so that nobody has to hold all of it.
OUTLIERS: Final = """
    SELECT room_id, event_id, verdict, form, pdu FROM events WHERE place IS NULL ORDER BY room_id, event_nid"""
PLACED: Final = """
    SELECT room_id, event_id, verdict, form, pdu FROM events WHERE place IS NOT NULL ORDER BY room_id, place"""
COUNTS: Final = """
    SELECT (SELECT COUNT(*) FROM users) + (SELECT COUNT(*) FROM profile_fields) + (SELECT COUNT(*) FROM rooms)
           + (SELECT COUNT(*) FROM room_aliases) + (SELECT COUNT(*) FROM events)"""


@dataclass(frozen=True, slots=True)
class ExportedAccount:
    """An account, and how its user is shown."""

    user_id: str
    account_kind: str
    created_ms: int
    is_admin: bool
    is_deactivated: bool
    is_erased: bool
    is_locked: bool
    is_suspended: bool
    appservice_id: str | None
    display_name: str | None
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class ExportedField:
    """What else an account's profile holds: JSON under a name."""

    user_id: str
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ExportedRoom:
    """A room."""

    room_id: str
    version: str
    created_ms: int
    is_published: bool
    is_blocked: bool
    is_partial: bool


@dataclass(frozen=True, slots=True)
class ExportedAlias:
    """A name of a room."""

    room_alias: str
    room_id: str
    creator: str


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """An event. `verdict` and `form` are those of storage/events.py; `pdu` is its canonical JSON."""

    room_id: str
    event_id: str
    verdict: int
    form: int
    is_outlier: bool
    pdu: bytes


def accounts(snapshot: Snapshot) -> Iterator[ExportedAccount]:
    """All accounts, by their user IDs."""
    for row in snapshot.answers(ACCOUNTS):
        yield ExportedAccount(*row[:3], *map(bool, row[3:8]), *row[8:])


def profile_fields(snapshot: Snapshot) -> Iterator[ExportedField]:
    """The fields of all accounts' profiles, by user ID and name."""
    for row in snapshot.answers(PROFILE_FIELDS):
        yield ExportedField(row[0], row[1], bytes(row[2]))


def rooms(snapshot: Snapshot) -> Iterator[ExportedRoom]:
    """All rooms, by their IDs."""
    for row in snapshot.answers(ROOMS):
        yield ExportedRoom(*row[:3], *map(bool, row[3:]))


def aliases(snapshot: Snapshot) -> Iterator[ExportedAlias]:
    """All aliases."""
    for row in snapshot.answers(ALIASES):
        yield ExportedAlias(*row)


def events(snapshot: Snapshot) -> Iterator[ExportedEvent]:
    """All events: first those that have no place in their room's order, then those that have, in that order."""
    for sql in (OUTLIERS, PLACED):
        for row in snapshot.answers(sql):
            yield ExportedEvent(row[0], row[1], row[2], row[3], sql == OUTLIERS, bytes(row[4]))


def count_exported(snapshot: Snapshot) -> int:
    """How many things all of these are."""
    return int(next(snapshot.answers(COUNTS))[0])
