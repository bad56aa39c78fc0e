"""Which servers may take part in a room: its access control list, changed by the server's hand.

It is done in the name of one of this server's users who is in the room and has the power for it (local_powers.py). What
such a list means is in core/server_acls.py.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.identifiers import RoomID, ServerName
from homeserver.core.server_acls import read_server_acl
from homeserver.core.state_map import StateKey
from homeserver.services.admin.local_powers import by_local_power, local_powers
from homeserver.services.errors import InvalidParameter, NotFound
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.known_rooms import known_head
from homeserver.storage.database import Database, Transaction

SERVER_ACL: Final = "m.room.server_acl"
KEY: Final[StateKey] = (SERVER_ACL, "")
TOO_LARGE: Final = "The room's list of servers would be too large for an event"
EVERYBODY: Final = "*"
MOST_PATTERNS: Final = 1_000  # of a change that an administrator asks for
LARGEST_BYTES: Final = 60_000  # of the list's JSON: an event may have 65,536 in all

_PATTERN: Final = re.compile(r"[A-Za-z0-9.*?:\[\]_-]{1,255}")


@dataclass(frozen=True, slots=True)
class AclLists:
    """The patterns of servers that are allowed and denied, in the order in which the room has them."""

    allow: Sequence[str]
    deny: Sequence[str]
    allow_ip_literals: bool


@dataclass(frozen=True, slots=True)
class AclChange:
    """Patterns to add to each list and to take out of it; None: what the room says of IP addresses stays."""

    allow: Collection[str] = ()
    deny: Collection[str] = ()
    allow_no_more: Collection[str] = ()
    deny_no_more: Collection[str] = ()
    allow_ip_literals: bool | None = None


class RoomAcls:
    """Shows and changes whom rooms shut out."""

    def __init__(self, database: Database, creation: EventCreation, server_name: ServerName) -> None:
        self._database = database
        self._creation = creation
        self._server_name = server_name

    async def show(self, room_id: RoomID) -> AclLists | None:
        """The room's lists; None where there are none, and everybody may take part. Raises NotFound."""
        return await self._database.read(self._show, room_id)

    async def change(self, room_id: RoomID, change: AclChange) -> AclLists:
        """Change the room's lists; what they are then. In a room without any, all servers are allowed before that.

        Raises InvalidParameter, also where this server would be shut out, NotFound, also for a pattern to take out that
        is not there, and Forbidden.
        """
        _check(change)
        return await by_local_power(self._creation, self._change, room_id, change, is_asked_for=True)

    async def deny(self, room_id: RoomID, patterns: Collection[str]) -> None:
        """Shut servers out of a room; who is shut out stays so. Raises NotFound, Forbidden, InvalidParameter."""
        await by_local_power(self._creation, self._change, room_id, AclChange(deny=sorted(set(patterns))))

    async def forgive(self, room_id: RoomID, patterns: Collection[str]) -> None:
        """Take patterns out of what a room denies, if they are there. Raises NotFound, Forbidden."""
        await by_local_power(self._creation, self._change, room_id, AclChange(deny_no_more=frozenset(patterns)))

    def _show(self, tx: Transaction, room_id: RoomID) -> AclLists | None:
        head = known_head(tx, room_id)
        event = self._creation.writer.states.select_known(tx, room_id, head.current_root, (KEY,)).get(KEY)
        return None if event is None else _lists(event.content)

    def _change(self, tx: Transaction, room_id: RoomID, change: AclChange, *, is_asked_for: bool = False) -> AclLists:
        powers = local_powers(tx, self._creation, room_id)
        event = powers.write.state((KEY,)).get(KEY)
        content: Mapping[str, Any] = {"allow": [EVERYBODY]} if event is None else event.content  # Any: JSON
        before = _lists(content)
        if is_asked_for:
            _check_listed(before.allow, change.allow_no_more)
            _check_listed(before.deny, change.deny_no_more)
        changed = dict(content)
        for name, listed, added, removed in (
            ("allow", before.allow, change.allow, change.allow_no_more),
            ("deny", before.deny, change.deny, change.deny_no_more),
        ):
            wanted = [pattern for pattern in dict.fromkeys((*listed, *added)) if pattern not in removed]
            if wanted != listed:
                changed[name] = wanted
        if change.allow_ip_literals not in (None, before.allow_ip_literals):
            changed["allow_ip_literals"] = change.allow_ip_literals
        if changed == content:
            return before
        if is_asked_for and not read_server_acl(changed).allows(self._server_name):
            raise InvalidParameter("This server would be shut out of the room itself")
        if (change.allow or change.deny) and size_of(changed) > LARGEST_BYTES:
            raise InvalidParameter(TOO_LARGE)
        self._creation.add(powers.write, Draft(SERVER_ACL, powers.strongest, changed, state_key=""))
        powers.write.finish()
        return _lists(changed)


def denied_by(content: Mapping[str, Any] | None) -> list[str]:  # Any: JSON, here and below
    """What a room's list denies."""
    return [] if content is None else _texts(content.get("deny"))


def size_of(content: Mapping[str, Any]) -> int:
    """How large a list is."""
    return len(orjson.dumps(content))


def _lists(content: Mapping[str, Any]) -> AclLists:
    return AclLists(
        _texts(content.get("allow")), _texts(content.get("deny")), content.get("allow_ip_literals") is not False
    )


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _check_listed(listed: Sequence[str], removed: Collection[str]) -> None:
    for pattern in removed:
        if pattern not in listed:
            raise NotFound(f"The room's list does not have {pattern}")


def _check(change: AclChange) -> None:
    lists = (change.allow, change.deny, change.allow_no_more, change.deny_no_more)
    if sum(map(len, lists)) > MOST_PATTERNS:
        raise InvalidParameter(f"At most {MOST_PATTERNS} patterns can be changed at once")
    # What is taken out may be whatever somebody has put there.
    if any(_PATTERN.fullmatch(pattern) is None for pattern in (*change.allow, *change.deny)):
        raise InvalidParameter("A pattern is a server name, in which * and ? stand for other characters")
