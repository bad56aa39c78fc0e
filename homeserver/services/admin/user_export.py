"""All that this server stores of one of its users, page by page: what they have a right to, or take elsewhere.

What is part of it and what is left out, and why, is in storage/user_export.py. A page says where the next one begins,
and nothing is remembered between two: what changes meanwhile is in one of the pages or not.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_for
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.services.accounts.local_accounts import local_account
from homeserver.services.errors import InvalidParameter
from homeserver.storage.database import Database, Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import next_room_of_user
from homeserver.storage.user_export import BEFORE_ALL, PARTS, Kind, Part, rows_of_part, sent_events

ROWS_PER_PAGE: Final = 250
EVENTS_PER_READ: Final = 250  # of a room, of which the user sent some
COST_OF_ROOM: Final = 50  # also of one without events, in events
MOST_READ: Final = 10_000  # for a page
LONGEST_PLACE: Final = 8_192
LARGEST: Final = 2**63 - 1
EVENT: Final = "event"
NO_PLACE: Final = "This is no place where a page of an export begins"

_BY_NAME: Final = {part.name: part for part in PARTS}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: with which part, and after which of its rows (None: with the first).

    Of events the key is a room and a place in it.
    """

    part: str
    after: tuple[str | int, ...] | None


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Some of what is stored, each with what it is as `part`, and where the next page begins; None after the last."""

    lines: Sequence[Mapping[str, Any]]  # Any: JSON
    next: str | None


class UserExport:
    """Reads what is stored of users."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def page(self, user_id: UserID, begin: str | None) -> ExportPage:
        """A page, which may have no lines also before the last. Raises InvalidParameter, NotFound."""
        return await self._database.read(self._page, user_id, _FIRST if begin is None else _read(begin))

    def _page(self, tx: Transaction, user_id: UserID, begin: Place) -> ExportPage:
        local_account(tx, user_id, self._server_name)
        lines: list[Mapping[str, Any]] = []  # Any: JSON
        place: Place | None = begin
        while place is not None and place.part != EVENT and len(lines) < ROWS_PER_PAGE:
            place = _add_rows(tx, user_id, place, lines)
        cost = 0
        while place is not None and place.part == EVENT and len(lines) < ROWS_PER_PAGE and cost < MOST_READ:
            place, read = _add_events(tx, user_id, place, lines)
            cost += read + COST_OF_ROOM
        return ExportPage(lines, None if place is None else _written(place))


def _add_rows(
    tx: Transaction,
    user_id: UserID,
    place: Place,
    lines: list[Mapping[str, Any]],  # Any: JSON
) -> Place:
    """Add rows of the part at a place to the lines; where the next begin."""
    part, limit = _BY_NAME[place.part], ROWS_PER_PAGE - len(lines)
    rows = rows_of_part(tx, part, user_id, place.after, limit=limit)
    lines += [{"part": part.name, **{name: _json(value) for name, value in row.items()}} for row in rows]
    if len(rows) == limit:
        return Place(part.name, tuple(rows[-1][name] for name in part.key))
    number = PARTS.index(part) + 1
    return Place(PARTS[number].name if number < len(PARTS) else EVENT, None)


def _add_events(
    tx: Transaction,
    user_id: UserID,
    place: Place,
    lines: list[Mapping[str, Any]],  # Any: JSON
) -> tuple[Place | None, int]:
    """Add events that the user sent to the lines; where the next begin, if there are more, and how many were read."""
    room: RoomID | None
    if place.after is None:
        room, after = next_room_of_user(tx, user_id, ""), BEFORE_ALL
    else:
        room, after = RoomID(str(place.after[0])), int(place.after[1])
    if room is None:
        return None, 0
    sent = sent_events(tx, room, user_id, after, limit=EVENTS_PER_READ)
    lines += [{"part": EVENT, **_event(event)} for event in sent.events]
    if sent.read == EVENTS_PER_READ:
        return Place(EVENT, (room, sent.upto)), sent.read
    room = next_room_of_user(tx, user_id, room)
    return None if room is None else Place(EVENT, (room, BEFORE_ALL)), sent.read


def _event(stored: StoredEvent) -> Mapping[str, Any]:  # Any: JSON
    event = stored.event
    told: dict[str, Any] = {
        "room_id": event.room_id,
        "event_id": event.event_id,
        "type": event.type,
        "origin_server_ts": event.origin_server_ts,
        "content": orjson.Fragment(encode_for(event.version, event.content)),
    }
    if event.state_key is not None:
        told["state_key"] = event.state_key
    if stored.redacted_by is not None:
        told["redacted_by"] = stored.redacted_by
    return told


def _json(value: Any) -> Any:  # Any: a column's value
    return orjson.Fragment(value) if isinstance(value, bytes) else value


_FIRST: Final = Place(PARTS[0].name, None)


def _written(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([place.part, *(place.after or ())])).decode().rstrip("=")


def _read(text: str) -> Place:
    """The place that is written so. Raises InvalidParameter: anybody may have written it."""
    if len(text) > LONGEST_PLACE:
        raise InvalidParameter(NO_PLACE)
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        read = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, orjson.JSONDecodeError) as wrong:
        raise InvalidParameter(NO_PLACE) from wrong
    if not isinstance(read, list) or not read or not isinstance(read[0], str):
        raise InvalidParameter(NO_PLACE)
    name, after = read[0], tuple(read[1:])
    kinds = (Kind.TEXT, Kind.NUMBER) if name == EVENT else _kinds_of_key(_BY_NAME.get(name))
    if not kinds or (after and (len(after) != len(kinds) or not all(map(_is_of, kinds, after)))):
        raise InvalidParameter(NO_PLACE)
    return Place(name, after or None)


def _kinds_of_key(part: Part | None) -> tuple[Kind, ...]:
    return () if part is None else tuple(part.columns[name] for name in part.key)


def _is_of(kind: Kind, value: object) -> bool:
    if kind is Kind.TEXT:
        return isinstance(value, str) and "\0" not in value
    return isinstance(value, int) and not isinstance(value, bool) and -LARGEST - 1 <= value <= LARGEST
