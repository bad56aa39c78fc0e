"""Who may read what in a room: by membership now, and by the room's history visibility at each event.

Spec: client-server-api/#room-history-visibility; the rule itself is core/history_visibility.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, may_see_event, read_visibility
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.state_map import StateKey
from homeserver.services.errors import Forbidden
from homeserver.services.events.room_state import RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent
from homeserver.storage.memberships import Membership, find_membership
from homeserver.storage.rooms import RoomHead, find_head

VISIBILITY: StateKey = ("m.room.history_visibility", "")
MOST_DEPARTURES: Final = 20  # kicks, bans and unbans in a row; further back nobody looks
NOT_IN_ROOM: Final = "You are not in this room, and it does not let others read"


@dataclass(frozen=True, slots=True)
class Access:
    """What a user may read of a room: `root` is the state to show, `upto_place` where the timeline ends for them."""

    head: RoomHead
    membership: Membership | None
    root: bytes
    upto_place: int

    is_member: bool  # joined now, or until `upto_place`: sees shared history from before the join


class Readers:
    """Decides who reads what."""

    def __init__(self, states: RoomStates) -> None:
        self._states = states

    def access(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> Access:
        """What the user may read of the room: all that members see, what was there when they left, or what all may see.

        Raises Forbidden, alike for a room that does not exist.
        """
        head = find_head(tx, room_id)
        if head is None or head.is_blocked:
            raise Forbidden(NOT_IN_ROOM)
        membership = find_membership(tx, room_id, user_id)
        if membership is not None and membership.membership == "join":
            return Access(head, membership, head.current_root, head.last_place, is_member=True)
        if self._visibility(tx, room_id, head.current_root) is Visibility.WORLD_READABLE:
            return Access(head, membership, head.current_root, head.last_place, is_member=False)
        left = membership is not None and membership.membership in ("leave", "ban") and not membership.is_forgotten
        if membership is not None and left:
            departure = self._states.load(tx, [membership.event_id]).get(membership.event_id)
            if departure is not None and departure.root is not None and self._was_joined(tx, departure):
                return Access(head, membership, departure.root, membership.place, is_member=True)
        raise Forbidden(NOT_IN_ROOM)

    def visible(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        user_id: UserID,
        events: Sequence[StoredEvent],
        *,
        is_member: bool,
    ) -> list[tuple[StoredEvent, str]]:
        """Those of the room's events that the user may see, each with the user's membership at it.

        `is_member` says that the user is joined now, or was when the part of history that is asked for ended.
        """
        seen: list[tuple[StoredEvent, str]] = []
        known: dict[bytes, tuple[Visibility, str | None]] = {}
        for stored in events:
            root = stored.root_before
            if root is None:
                continue  # an outlier: it has no place in a timeline
            if root not in known:
                known[root] = self._at_root(tx, room_id, root, user_id)
            visibility, membership = known[root]
            event = stored.event
            after = event.content.get("membership") if is_member_event_of(event, user_id) else None
            opened = read_visibility(event) if (event.type, event.state_key) == VISIBILITY else None
            if may_see_event(
                visibility_before=visibility,
                membership_before=membership,
                joined_since=is_member,
                visibility_after=opened,
                membership_after=after if isinstance(after, str) else None,
            ):
                seen.append((stored, (after if isinstance(after, str) else membership) or "leave"))
        return seen

    def find_visible(self, tx: Transaction, room_id: RoomID, user_id: UserID, event_id: EventID) -> StoredEvent | None:
        """The event, if it is in this room, was accepted, and the user may see it."""
        head = find_head(tx, room_id)
        if head is None or head.is_blocked:
            return None
        membership = find_membership(tx, room_id, user_id)
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None or stored.event.room_id != room_id or stored.place is None or stored.verdict:
            return None
        joined = membership is not None and membership.membership == "join"
        seen = self.visible(tx, room_id, user_id, [stored], is_member=joined)
        return seen[0][0] if seen else None

    def _at_root(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, user_id: UserID
    ) -> tuple[Visibility, str | None]:
        member_key = ("m.room.member", user_id)
        state = self._states.select(tx, room_id, root, (VISIBILITY, member_key))
        member = state.get(member_key)
        membership = None if member is None else member.content.get("membership")
        return read_visibility(state.get(VISIBILITY)), membership if isinstance(membership, str) else None

    def _visibility(self, tx: Transaction, room_id: RoomID, root: bytes) -> Visibility:
        return read_visibility(self._states.select(tx, room_id, root, (VISIBILITY,)).get(VISIBILITY))

    def _was_joined(self, tx: Transaction, departure: StoredEvent) -> bool:
        """Whether a leave or ban event ended a membership that could read (an invite that was declined could not)."""
        if departure.root_before is None:
            return False
        event = departure.event
        key = ("m.room.member", event.state_key or "")
        member = self._states.select(tx, event.room_id, departure.root_before, (key,)).get(key)
        for _ in range(MOST_DEPARTURES):
            # A ban after a kick, an unban after a ban: what counts is how it was before the first of them.
            if member is None or member.content.get("membership") not in ("leave", "ban"):
                break
            stored = self._states.load(tx, [member.event_id]).get(member.event_id)
            if stored is None or stored.root_before is None:
                return False
            member = self._states.select(tx, event.room_id, stored.root_before, (key,)).get(key)
        return member is not None and member.content.get("membership") == "join"


def is_member_event_of(event: Event, user_id: UserID) -> bool:
    """True for the m.room.member event that is about this user."""
    return event.type == "m.room.member" and event.state_key == user_id
