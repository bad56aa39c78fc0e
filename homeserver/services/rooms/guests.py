"""Guests in rooms: in those alone whose m.room.guest_access lets them in. How they get out again: guest_departures.py.

That somebody is a guest only their own server knows, so each server sees to its own: others cannot tell, and the
authorisation rules say nothing of it. Spec: client-server-api/#guest-access
"""

from typing import Final

from homeserver.core.event import Event
from homeserver.core.identifiers import RoomID, UserID
from homeserver.services.errors import GuestAccessForbidden
from homeserver.services.events.creation import Draft
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.events.room_state import GUEST_ACCESS, RoomStates
from homeserver.storage.accounts import is_guest
from homeserver.storage.database import Transaction
from homeserver.storage.rooms import find_head

UNWELCOME: Final = "This room does not let guests in"


def lets_guests_in(guest_access: Event | None) -> bool:
    """Whether guests may be in a room with this m.room.guest_access."""
    return guest_access is not None and guest_access.content.get("guest_access") == "can_join"


def check_may_join(write: RoomWrite, user_id: UserID) -> None:
    """Raise GuestAccessForbidden for a guest whom the room does not let in."""
    if is_guest(write.tx, user_id) and not lets_guests_in(write.state((GUEST_ACCESS,)).get(GUEST_ACCESS)):
        raise GuestAccessForbidden(UNWELCOME)


def check_member_draft(write: RoomWrite, draft: Draft, current: Event | None) -> None:
    """Hold a member event that a guest sets as state to what guests may do: join and leave.

    Raises GuestAccessForbidden.
    """
    if not is_guest(write.tx, draft.sender):
        return
    membership = draft.content.get("membership")
    if draft.state_key != draft.sender or membership not in ("join", "leave"):
        raise GuestAccessForbidden("Guests only join and leave")
    if membership == "join" and (current is None or current.content.get("membership") != "join"):
        check_may_join(write, draft.sender)


def is_unwelcome(tx: Transaction, states: RoomStates, room_id: RoomID, user_id: UserID) -> bool:
    """Whether a user is a guest, and the room lets no guests in."""
    return is_guest(tx, user_id) and not lets_guests_in_now(tx, states, room_id)


def lets_guests_in_now(tx: Transaction, states: RoomStates, room_id: RoomID) -> bool:
    """Whether guests may be in a room by its current state."""
    head = find_head(tx, room_id)
    return head is not None and lets_guests_in(find_guest_access(tx, states, room_id, head.current_root))


def find_guest_access(tx: Transaction, states: RoomStates, room_id: RoomID, root: bytes) -> Event | None:
    """The m.room.guest_access of the state `root`."""
    found = states.find(tx, room_id, root, *GUEST_ACCESS)
    return None if found is None else found.event
