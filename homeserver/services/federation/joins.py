"""Users of other servers who join rooms by way of this one. Spec: server-server-api/#joining-rooms"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import orjson

from homeserver.core import state_map
from homeserver.core.identifiers import EventID, RoomID, ServerName, UserID
from homeserver.services.errors import Forbidden, NotFound
from homeserver.services.events.room_state import RoomStates
from homeserver.services.federation.membership_intake import MembershipIntake, TakenMembership
from homeserver.services.federation.membership_templates import MEMBER, MembershipTemplates
from homeserver.services.federation.room_access import NO_ROOM
from homeserver.services.federation.serving_state import StateReading, StateSnapshot
from homeserver.services.federation.visibility import ServerVisibility, Standing
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import hero_candidates
from homeserver.storage.rooms import find_head

MOST_HEROES: Final = 5
NOT_WELCOME: Final = "The user is not welcome in the room"
NAMES: Final = (("m.room.name", ""), ("m.room.canonical_alias", ""))


class JoinServing:
    """Lets users of other servers join."""

    def __init__(
        self,
        database: Database,
        templates: MembershipTemplates,
        intake: MembershipIntake,
        states: RoomStates,
        reading: StateReading,
        visibility: ServerVisibility,
        limits: RateLimits,
        server_name: ServerName,
        *,
        bars_join: Callable[[RoomID, UserID], bool] = lambda _room_id, _user_id: False,
    ) -> None:
        self._database = database
        self._templates = templates
        self._intake = intake
        self._states = states
        self._reading = reading
        self._visibility = visibility
        self._limits = limits
        self._server_name = server_name
        self._bars_join = bars_join

    async def make(
        self, server: ServerName, room_id: RoomID, user_id: UserID, versions: Collection[str]
    ) -> dict[str, Any]:  # Any: JSON, here and below
        """A template of the join. Raises what MembershipTemplates.template does, and LimitExceeded."""
        self._limits.check(drawn_by_server(server, room_id), _to_room(room_id))
        self._check_is_welcome(room_id, user_id)
        return await self._templates.template(server, room_id, user_id, "join", versions)

    async def send(
        self,
        server: ServerName,
        room_id: RoomID,
        event_id: EventID,
        pdu: Mapping[str, Any],
        *,
        omits_members: bool = False,
    ) -> dict[str, object]:
        """Take the join, and tell of the state before it with all that authorises it and the join.

        `omits_members`: without those members whom the server can do without at first. Raises what
        MembershipIntake.take does, and LimitExceeded: of what a server asks it alone pays, whatever comes of it, while
        to the room only those count who have come.
        """
        self._limits.check(_to_room(room_id))
        self._limits.draw(drawn_by_server(server, room_id))
        self._check_is_welcome(room_id, pdu.get("state_key"))
        taken = await self._intake.take(server, room_id, event_id, pdu, "join")
        self._limits.note(_to_room(room_id))
        snapshot = await self._database.read(self._state_before, server, taken, omits_members=omits_members)
        found = await self._reading.read(snapshot, beside=[event_id], repeats=not omits_members)
        answer: dict[str, object] = {
            "origin": self._server_name,
            "event": orjson.Fragment(taken.encoded.pdu_json),
            "members_omitted": omits_members,
            **found.as_json(state_name="state"),
        }
        if omits_members:
            answer["servers_in_room"] = sorted(taken.servers_before)
        return answer

    def _check_is_welcome(self, room_id: RoomID, user_id: object) -> None:
        """Raises Forbidden for somebody who would be banned as soon as they are in the room."""
        if isinstance(user_id, str) and self._bars_join(room_id, UserID(user_id)):
            raise Forbidden(NOT_WELCOME)

    def _state_before(
        self, tx: Transaction, server: ServerName, taken: TakenMembership, *, omits_members: bool
    ) -> StateSnapshot:
        event = taken.encoded.event
        stored = self._states.load(tx, [event.event_id]).get(event.event_id)
        head = find_head(tx, event.room_id)
        if stored is None or stored.root_before is None or head is None:
            raise NotFound(NO_ROOM)
        root = stored.root_before
        if omits_members:
            others = self._states.with_nodes(tx, event.room_id, lambda nodes: _without_members(nodes, root))
            ids = [*others, *self._heroes(tx, event.room_id, root, event.sender)]
        else:
            ids = self._states.with_nodes(
                tx, event.room_id, lambda nodes: [event_id for _, event_id in state_map.items(nodes, root)]
            )
        # Of what only authorises it, a server that is new here need not know what erased users said in it.
        standing = Standing(is_open=True, was_there=self._visibility.was_there_before(tx, head, server, stored))
        return StateSnapshot(event.room_id, taken.version, ids, standing, current=frozenset(ids))

    def _heroes(self, tx: Transaction, room_id: RoomID, root: bytes, user_id: UserID) -> list[EventID]:
        """The member events of those by whom a room without a name is called."""
        if self._states.select(tx, room_id, root, NAMES):
            return []
        heroes = hero_candidates(tx, [room_id], user_id, limit=MOST_HEROES).get(room_id, [])
        state = self._states.select(tx, room_id, root, [(MEMBER, hero) for hero in heroes])
        return [event.event_id for event in state.values()]


def _without_members(nodes: state_map.Nodes, root: bytes) -> list[EventID]:
    wanted = [event_type for event_type in state_map.types(nodes, root) if event_type != MEMBER]
    return [event_id for event_type in wanted for _, event_id in state_map.items_of_type(nodes, root, event_type)]


def drawn_by_server(server: ServerName, room_id: RoomID) -> Draw:
    """What a server draws that brings somebody to a room, or to its door."""
    return Draw(Counted.JOINS_BY_SERVER, f"{server} {room_id}", server=server)


def _to_room(room_id: RoomID) -> Draw:
    return Draw(Counted.JOINS_TO_ROOM, room_id)
