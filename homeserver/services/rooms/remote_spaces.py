"""What other servers say of rooms and spaces that this one is not in: asked for a user, and remembered for a while.

Each word of it is theirs: what is passed on to clients is copied field by field. What one server says of a room counts
for nobody who would ask another one. Spec: server-server-api/#spaces
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID, ServerName, parse_room_id, parse_server_name, parse_user_id
from homeserver.core.membership_rules import is_knock_rule, is_restricted_rule
from homeserver.core.room_versions import ROOM_VERSIONS
from homeserver.outbound.errors import RemoteError
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.rooms.remote_directory import room_as_told
from homeserver.services.rooms.restricted_joins import MOST_ALLOWED_ROOMS
from homeserver.services.rooms.spaces import CHILD, LONGEST_ORDER, MOST_CHILDREN, SPACE, Entrance, place_of

# JSON of other servers is `Any` here.

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 2 << 20
MOST_ASKED: Final = 3  # servers, about one room
MOST_VIA: Final = 20
REMEMBERED_S: Final = 300.0
FAILURE_REMEMBERED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ToldRoom:
    """A room as another server describes it."""

    room_id: RoomID
    summary: Mapping[str, Any]  # as Spaces.summary has it
    entrance: Entrance

    @property
    def is_space(self) -> bool:
        """Whether it holds rooms."""
        return self.summary.get("room_type") == SPACE


@dataclass(frozen=True, slots=True)
class ToldSpace:
    """A room, what is said of the rooms in it, and which of these nobody of this server can get into."""

    room: ToldRoom
    children: Mapping[RoomID, ToldRoom]
    inaccessible: frozenset[RoomID]


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a server said; None if it was of no use."""

    space: ToldSpace | None
    until_s: float
    size_bytes: int


_Key = tuple[ServerName, RoomID, bool]


class RemoteSpaces:
    """Asks other servers about rooms."""

    def __init__(self, client: FederationClient, budget: CacheBudget, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._remembered: BoundedCache[_Key, _Remembered] = BoundedCache(
            "remote spaces", budget, lambda one: one.size_bytes
        )
        self._locks: KeyedLocks[_Key] = KeyedLocks()

    async def find(self, room_id: RoomID, servers: Sequence[ServerName], *, suggested_only: bool) -> ToldSpace | None:
        """What the first of the servers says that says anything of use."""
        for server in servers[:MOST_ASKED]:
            key = (server, room_id, suggested_only)
            found = self._recall(key)
            if found is None:
                async with self._locks(key):
                    found = self._recall(key) or await self._asked(key)  # of somebody who asked at the same time
            if found.space is not None:
                return found.space
        return None

    def _recall(self, key: _Key) -> _Remembered | None:
        found = self._remembered.get(key)
        return found if found is not None and self._clock.seconds() < found.until_s else None

    async def _asked(self, key: _Key) -> _Remembered:
        server, room_id, suggested_only = key
        space: ToldSpace | None = None
        size_bytes = 0
        try:
            answer = await self._client.hierarchy(
                server, room_id, suggested_only=suggested_only, timeout_s=TIMEOUT_S, most_bytes=MOST_BYTES
            )
        except RemoteError:
            pass
        else:
            space = _space(answer, room_id, suggested_only=suggested_only)
            size_bytes = 0 if space is None else 3 * len(orjson.dumps([space.room.summary, *_summaries(space)]))
        kept_s = FAILURE_REMEMBERED_S if space is None else REMEMBERED_S
        found = _Remembered(space, self._clock.seconds() + kept_s, size_bytes)
        self._remembered.put(key, found)
        return found


def _summaries(space: ToldSpace) -> list[Mapping[str, Any]]:
    return [child.summary for child in space.children.values()]


def _space(answer: Mapping[str, Any], room_id: RoomID, *, suggested_only: bool) -> ToldSpace | None:
    """What an answer says of the room that was asked for; None if it is of another one."""
    room = _room(answer["room"], suggested_only=suggested_only)
    if room is None or room.room_id != room_id:
        return None
    told = [_room(child, suggested_only=suggested_only) for child in answer["children"][:MOST_CHILDREN]]
    inaccessible = _room_ids(answer["inaccessible_children"][:MOST_CHILDREN])
    return ToldSpace(room, {child.room_id: child for child in told if child is not None}, frozenset(inaccessible))


def _room(one: object, *, suggested_only: bool) -> ToldRoom | None:
    shown = room_as_told(one)
    if shown is None or not isinstance(one, dict):
        return None
    summary = dict(shown)
    rule, version = summary.get("join_rule", "public"), ROOM_VERSIONS.get(summary.get("room_version", ""))
    may_knock = rule in ("knock", "knock_restricted") if version is None else is_knock_rule(rule, version)
    is_restricted = rule in ("restricted", "knock_restricted") if version is None else is_restricted_rule(rule, version)
    allowed = _room_ids(one.get("allowed_room_ids"))[:MOST_ALLOWED_ROOMS] if is_restricted else []
    if is_restricted:
        summary["allowed_room_ids"] = allowed
    is_space = summary.get("room_type") == SPACE
    summary["children_state"] = _children(one.get("children_state"), suggested_only=suggested_only) if is_space else []
    entrance = Entrance(summary["world_readable"], rule == "public" or may_knock, tuple(allowed))
    return ToldRoom(RoomID(summary["room_id"]), summary, entrance)


def _children(told: object, *, suggested_only: bool) -> list[dict[str, Any]]:
    """The m.space.child events among what is told, in their order, with what they may say and nothing else."""
    children: dict[str, dict[str, Any]] = {}
    for one in told[:MOST_CHILDREN] if isinstance(told, list) else ():
        child = _child(one)
        if child is not None and (not suggested_only or child["content"].get("suggested") is True):
            children.setdefault(child["state_key"], child)
    return sorted(
        children.values(), key=lambda child: place_of(child["content"], child["origin_server_ts"], child["state_key"])
    )


def _child(one: object) -> dict[str, Any] | None:
    match one:
        case {
            "type": "m.space.child",
            "state_key": str() as state_key,
            "sender": str() as sender,
            "content": {"via": list() as via, **content},
            "origin_server_ts": int() as sent_ms,
        } if type(sent_ms) is int and 0 <= sent_ms < 2**53:
            servers = _server_names(via)
            try:
                parse_room_id(state_key)
                parse_user_id(sender)
            except BadIdentifier:
                return None
            if not servers:
                return None
            shown: dict[str, Any] = {"via": servers}
            order, is_suggested = content.get("order"), content.get("suggested")
            if isinstance(order, str) and len(order) <= LONGEST_ORDER:
                shown["order"] = order
            if isinstance(is_suggested, bool):
                shown["suggested"] = is_suggested
            event = {"type": CHILD, "state_key": state_key, "sender": sender, "content": shown}
            return {**event, "origin_server_ts": sent_ms}
    return None


def _server_names(via: list[object]) -> list[ServerName]:
    names: list[ServerName] = []
    for name in via[:MOST_VIA]:
        try:
            names.append(parse_server_name(name if isinstance(name, str) else ""))
        except BadIdentifier:
            continue
    return names


def _room_ids(told: object) -> list[RoomID]:
    found: list[RoomID] = []
    for one in told[:MOST_CHILDREN] if isinstance(told, list) else ():
        try:
            found.append(parse_room_id(one if isinstance(one, str) else ""))
        except BadIdentifier:
            continue
    return found
