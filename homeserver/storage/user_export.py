"""All that is stored of a user of this server, read part by part for their export.

A part is a family of rows that belong to the user, told in the words of the table. Which tables are no part, and why,
is in LEFT_OUT; a new table that belongs to users goes into one of the two. What the user sent is read room by room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.identifiers import RoomID, UserID
from homeserver.storage.database import Transaction
from homeserver.storage.dialect import LOWEST
from homeserver.storage.events import SELECT_EVENT, StoredEvent, stored_of


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class SentEvents:
    """What a user sent, among so many events of a room that were read, up to a place in it."""

    events: list[StoredEvent]
    read: int
    upto: int


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table: what each is called, in which column the user stands, what is told, and what orders them."""

    name: str
    table: str
    columns: Mapping[str, Kind]
    key: tuple[str, ...]  # unique among the rows of one user
    owner: str = "user_id"

    def statement(self, *, begins: bool) -> str:
        """What reads a page of the rows: the first, or the one after a key."""
        key = ", ".join(self.key)
        after = "" if begins else f" AND ({key}) > ({', '.join(f':key_{number}' for number in range(len(self.key)))})"
        return (
            f"SELECT {', '.join(self.columns)} FROM {self.table} "  # noqa: S608 - names from the constants below
            f"WHERE {self.owner} = :user_id{after} ORDER BY {key} LIMIT :limit"
        )


def _columns(texts: str, numbers: str = "", flags: str = "", json: str = "") -> Mapping[str, Kind]:
    kinds = {Kind.TEXT: texts, Kind.NUMBER: numbers, Kind.FLAG: flags, Kind.JSON: json}
    return {name: kind for kind, names in kinds.items() for name in names.split()}


PARTS: Final[tuple[Part, ...]] = (
    Part(
        "account",
        "users",
        _columns(
            "user_id kind appservice_id",
            "created_ms rate_per_second rate_burst probation_until_ms",
            "is_admin is_deactivated is_erased is_locked is_suspended is_shadow_banned is_rate_limited",
        ),
        ("user_id",),
    ),
    Part("profile", "profiles", _columns("user_id display_name avatar_url"), ("user_id",)),
    Part("profile_field", "profile_fields", _columns("name", json="value"), ("name",)),
    Part("accepted_terms", "accepted_terms", _columns("policy version", "accepted_ms"), ("policy",)),
    Part(
        "device",
        "devices",
        _columns("device_id display_name last_seen_ip last_seen_user_agent", "created_ms last_seen_ms"),
        ("device_id",),
    ),
    Part("session", "sessions", _columns("device_id", "session_id created_ms"), ("session_id",)),
    Part("device_keys", "device_keys", _columns("device_id", json="keys"), ("device_id",)),
    Part("dehydrated_device", "dehydrated_devices", _columns("device_id", json="data"), ("device_id",)),
    Part("cross_signing_key", "cross_signing_keys", _columns("usage public_key", json="payload"), ("usage",)),
    Part(
        "key_signature",
        "key_signatures",
        _columns("key_id signing_key_id signature"),
        ("key_id", "signing_key_id"),
    ),
    Part(
        "user_signature",
        "user_signatures",
        _columns("user_id key_id signing_key_id signature"),
        ("user_id", "key_id", "signing_key_id"),
        "signer_id",
    ),
    Part("key_backup", "key_backups", _columns("algorithm", "version key_count", json="auth_data"), ("version",)),
    Part(
        "backed_up_key",
        "backed_up_keys",
        _columns(
            "room_id session_id", "version first_message_index forwarded_count", "is_verified", json="session_data"
        ),
        ("version", "room_id", "session_id"),
    ),
    Part("account_data", "account_data", _columns("room_id type", json="content"), ("room_id", "type")),
    Part("push_rules", "push_rules", _columns("user_id", json="changes"), ("user_id",)),
    Part("filter", "filters", _columns("filter_id", "written_ms", json="definition"), ("filter_id",)),
    Part("alias", "room_aliases", _columns("room_alias room_id", "created_ms"), ("room_alias",), "creator"),
    Part(
        "report",
        "reports",
        _columns("report_id room_id event_id user_id reason", "received_ms"),
        ("report_id",),
        "reporter",
    ),
    Part("notice_room", "notice_rooms", _columns("room_id"), ("room_id",)),
    Part(
        "room",
        "memberships",
        _columns("room_id membership event_id sender display_name avatar_url", flags="is_forgotten was_joined"),
        ("room_id",),
    ),
    Part(
        "receipt",
        "receipts",
        _columns("room_id receipt_type thread_id event_id", "ts"),
        ("room_id", "receipt_type", "thread_id"),
    ),
    Part(
        "thread_subscription",
        "thread_subscriptions",
        _columns("room_id root_id", flags="is_subscribed is_automatic"),
        ("room_id", "root_id"),
    ),
    Part(
        "delayed_event",
        "delayed_events",
        _columns("delay_id room_id type state_key outcome event_id", "delay_ms running_since_ms", json="content"),
        ("delay_id",),
    ),
)
EVENTS: Final = "events"  # the table that is read room by room
SECRET: Final = "who has it acts as the user"  # noqa: S105 - a reason
DERIVED: Final = "worked out from what is exported"
IN_PASSING: Final = "kept for a while, so that a client or server misses nothing"
OF_OTHERS: Final = "of users of other servers"
LEFT_OUT: Final[Mapping[str, str]] = {
    "access_tokens": SECRET,
    "class_notifications": DERIVED,
    "client_transactions": IN_PASSING,
    "device_list_changes": IN_PASSING,
    "device_updates": IN_PASSING,
    "fallback_keys": IN_PASSING,
    "key_backup_numbers": DERIVED,
    "login_tokens": SECRET,
    "membership_changes": DERIVED,
    "one_time_keys": IN_PASSING,
    "openid_tokens": SECRET,
    "personal_notifications": DERIVED,
    "refresh_tokens": SECRET,
    "relations": DERIVED,
    "remote_device_lists": OF_OTHERS,
    "remote_devices": OF_OTHERS,
    "remote_memberships": DERIVED,
    "sent_places": DERIVED,
    "sliding_connections": IN_PASSING,
    "sliding_rooms": IN_PASSING,
    "to_device_messages": IN_PASSING,
    "to_device_outbox": IN_PASSING,
    "user_words": DERIVED,
}
_STATEMENTS: Final = {(part.name, begins): part.statement(begins=begins) for part in PARTS for begins in (True, False)}


def rows_of_part(
    tx: Transaction, part: Part, user_id: UserID, after: Sequence[str | int] | None, *, limit: int
) -> list[Mapping[str, Any]]:  # Any: column values; JSON as its bytes
    """The rows of a part after the one with this key, or from the first on."""
    key = {f"key_{number}": value for number, value in enumerate(after or ())}
    rows = tx.all(_STATEMENTS[part.name, after is None], user_id=user_id, limit=limit, **key)
    return [
        {name: _told(kind, value) for (name, kind), value in zip(part.columns.items(), row, strict=True)}
        for row in rows
    ]


READ_UPTO = """
    SELECT MAX(place), COUNT(*) FROM (
        SELECT place FROM events WHERE room_id = :room_id AND place > :after ORDER BY place LIMIT :limit) AS p"""
SENT = (
    SELECT_EVENT
    + """
     WHERE e.room_id = :room_id AND e.place > :after AND e.place <= :upto AND e.sender = :user_id ORDER BY e.place"""
)
BEFORE_ALL: Final = LOWEST


def sent_events(tx: Transaction, room_id: RoomID, user_id: UserID, after: int, *, limit: int) -> SentEvents:
    """What the user sent, of whatever verdict, of the `limit` events of a room after a place: the first are after
    BEFORE_ALL. If fewer were read there are no more.
    """
    row = tx.one(READ_UPTO, room_id=room_id, after=after, limit=limit)
    if row is None or row[0] is None:
        return SentEvents([], 0, after)
    rows = tx.all(SENT, room_id=room_id, after=after, upto=row[0], user_id=user_id)
    return SentEvents([stored_of(each) for each in rows], row[1], row[0])


def _told(kind: Kind, value: Any) -> Any:  # Any: a column's value
    if value is None:
        return None
    match kind:
        case Kind.FLAG:
            return bool(value)
        case Kind.JSON:
            return bytes(value)
        case Kind.TEXT | Kind.NUMBER:
            return value
