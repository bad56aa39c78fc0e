"""Who may read what in a room: by membership now, and by the room's history visibility at each event.

Spec: client-server-api/#room-history-visibility; the rule itself is core/history_visibility.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.event import Event
from homeserver.core.history_visibility import Visibility, may_see_event, read_visibility
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.core.membership_rules import membership_said
from homeserver.services.errors import Forbidden
from homeserver.services.events.client_format import Sight
from homeserver.services.events.room_state import VISIBILITY, RoomStates
from homeserver.storage.database import Transaction
from homeserver.storage.events import StoredEvent, events_by_id
from homeserver.storage.memberships import Membership, find_membership
from homeserver.storage.rooms import RoomHead, find_head

MOST_STEPS: Final = 20  # kicks, bans, invites in a row since the user was last in the room; further back nobody looks
NOT_IN_ROOM: Final = "You are not in this room, and it does not let others read"


@dataclass(frozen=True, slots=True)
class Access:
    """What a user may read of a room: `root` is the state to show, `upto_place` where the timeline ends for them.

    `member_upto` is the place up to which the user was joined last, None for one who never was: up to there, shared
    history is open, from before the join too.
    """

    head: RoomHead
    membership: Membership | None
    root: bytes
    upto_place: int
    member_upto: int | None
    is_open: bool = False  # everybody may read the room as it is now

    @property
    def sight(self) -> Sight:
        """What of the room's history the user sees."""
        joined_from = self.membership.joined_place if self.membership is not None and self.is_joined else None
        return Sight(self.root, joined_from, self.member_upto)

    @property
    def is_joined(self) -> bool:
        """Whether the user is in the room now."""
        return self.membership is not None and self.membership.membership == "join"


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
            return Access(head, membership, head.current_root, head.last_place, head.last_place)
        departure = None if membership is None else self.departure(tx, membership)
        member_upto = None if departure is None else departure.place
        if self._visibility(tx, room_id, head.current_root) is Visibility.WORLD_READABLE:
            return Access(head, membership, head.current_root, head.last_place, member_upto, is_open=True)
        if departure is not None and departure.root is not None and departure.place is not None:
            return Access(head, membership, departure.root, departure.place, member_upto)
        raise Forbidden(NOT_IN_ROOM)

    def find_access(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> Access | None:
        """What the user may read of the room; None for one who may not read it as a whole."""
        try:
            return self.access(tx, room_id, user_id)
        except Forbidden:
            return None

    def sight(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> Sight | None:
        """What of the room's history the user sees; None for one who may not read the room as a whole."""
        access = self.find_access(tx, room_id, user_id)
        return None if access is None else access.sight

    def sees_all(self, tx: Transaction, room_id: RoomID, sight: Sight, *, from_place: int) -> bool:
        """Whether somebody with this sight surely sees all events from a place on, up to where the sight ends."""
        if sight.joined_from is not None and from_place >= sight.joined_from:
            return True
        current = self._states.find(tx, room_id, sight.root, *VISIBILITY)
        if current is not None and current.replaces_state is not None:
            return False  # it may have been otherwise
        visibility = read_visibility(None if current is None else current.event)
        if visibility is Visibility.SHARED:
            return sight.member_upto is not None
        return visibility is Visibility.WORLD_READABLE

    def visible(
        self,
        tx: Transaction | None,
        room_id: RoomID,
        user_id: UserID,
        events: Sequence[StoredEvent],
        *,
        joined_from: int | None,
        member_upto: int | None,
    ) -> list[tuple[StoredEvent, str]]:
        """Those of the room's events that the user may see, each with the user's membership at it.

        `joined_from` and `member_upto` are as in Sight.
        """
        seen: list[tuple[StoredEvent, str]] = []
        counting = self.that_count(tx, events)
        before_join = [one for one in counting if joined_from is None or (one.place or 0) < joined_from]
        at_roots = self._at_roots(tx, room_id, before_join, user_id)
        for stored in counting:
            root = stored.root_before
            if root is None or stored.place is None:
                continue  # an outlier: it has no place in a timeline
            event = stored.event
            after = event.content.get("membership") if is_member_event_of(event, user_id) else None
            if joined_from is not None and stored.place >= joined_from:
                seen.append((stored, after if isinstance(after, str) else "join"))
                continue
            visibility, membership = at_roots[root]
            opened = read_visibility(event) if (event.type, event.state_key) == VISIBILITY else None
            if may_see_event(
                visibility_before=visibility,
                membership_before=membership,
                joined_since=member_upto is not None and stored.place <= member_upto,
                visibility_after=opened,
                membership_after=after if isinstance(after, str) else None,
            ):
                seen.append((stored, (after if isinstance(after, str) else membership) or "leave"))
        return seen

    def that_count(self, tx: Transaction | None, events: Sequence[StoredEvent]) -> Sequence[StoredEvent]:
        """The events without redactions of what is not redacted here, because it may not be, or has not come yet.

        Clients would redact it all the same. Before version 3 the authorisation rules let none of those pass.
        Raises MissingNodes without `tx` when that is not in memory. Spec: rooms/v3/#handling-redactions
        """
        target_ids = [target_id for stored in events if (target_id := _judged_target(stored.event)) is not None]
        if not target_ids:
            return events
        targets = self._states.load(tx, target_ids)
        if tx is not None:
            # What was committed just now may be in this snapshot, and not in memory yet.
            targets |= events_by_id(tx, [target_id for target_id, each in targets.items() if each.redacted_by is None])
        redacted = {
            (target.event.room_id, target_id) for target_id, target in targets.items() if target.redacted_by is not None
        }
        return [
            stored
            for stored in events
            if (target_id := _judged_target(stored.event)) is None or (stored.event.room_id, target_id) in redacted
        ]

    def find_visible(self, tx: Transaction, room_id: RoomID, user_id: UserID, event_id: EventID) -> StoredEvent | None:
        """The event, if it is in this room, was accepted, and the user may see it."""
        seen = self.find_seen(tx, room_id, user_id, event_id)
        return None if seen is None else seen[0]

    def in_sight(
        self, tx: Transaction, room_id: RoomID, user_id: UserID, events: Sequence[StoredEvent], sight: Sight
    ) -> list[tuple[StoredEvent, str]]:
        """As `visible`, for a user with this sight of the room."""
        return self.visible(tx, room_id, user_id, events, joined_from=sight.joined_from, member_upto=sight.member_upto)

    def find_seen(
        self, tx: Transaction, room_id: RoomID, user_id: UserID, event_id: EventID
    ) -> tuple[StoredEvent, str] | None:
        """As find_visible, with the user's membership at the event."""
        head = find_head(tx, room_id)
        if head is None or head.is_blocked:
            return None
        stored = self._states.load(tx, [event_id]).get(event_id)
        if stored is None or stored.event.room_id != room_id or stored.place is None or stored.verdict:
            return None
        membership = find_membership(tx, room_id, user_id)
        if membership is not None and membership.is_forgotten:
            return (stored, "leave") if self._was_readable_by_all(tx, stored) else None
        joined_from: int | None = None
        member_upto: int | None = None
        if membership is not None and membership.membership == "join":
            joined_from, member_upto = membership.joined_place, head.last_place
        elif membership is not None and (departure := self.departure(tx, membership)) is not None:
            member_upto = departure.place
        seen = self.visible(tx, room_id, user_id, [stored], joined_from=joined_from, member_upto=member_upto)
        return seen[0] if seen else None

    def departure(self, tx: Transaction, membership: Membership) -> StoredEvent | None:
        """The event that ended the last time that the user was in the room: the first kick, ban or leave since then.

        None for one who never was in, or forgot the room.
        """
        if membership.is_forgotten or membership.membership not in ("leave", "ban"):
            return None
        key = ("m.room.member", membership.user_id)
        event_id: EventID | None = membership.event_id
        if membership.event_id not in self._states.load(tx, [membership.event_id]):
            event_id = self._last_known(tx, membership)
        for _ in range(MOST_STEPS):
            stored = None if event_id is None else self._states.load(tx, [event_id]).get(event_id)
            if stored is None or stored.root_before is None:
                return None
            before = self._states.select(tx, membership.room_id, stored.root_before, (key,)).get(key)
            if before is None:
                return None
            if before.content.get("membership") == "join":
                return stored
            event_id = before.event_id
        return None

    def _last_known(self, tx: Transaction, membership: Membership) -> EventID | None:
        """How the user got out by what is known of the room here, when the last change came from outside."""
        room_id = membership.room_id
        head = find_head(tx, room_id)
        known = (
            None
            if head is None
            else self._states.find(tx, room_id, head.current_root, "m.room.member", membership.user_id)
        )
        is_out = known is not None and known.event.content.get("membership") in ("leave", "ban")
        return known.event.event_id if known is not None and is_out else None

    def _at_roots(
        self, tx: Transaction | None, room_id: RoomID, events: Sequence[StoredEvent], user_id: UserID
    ) -> dict[bytes, tuple[Visibility, str | None]]:
        """The visibility and the user's membership before each event: read where no event before it tells them."""
        at_roots: dict[bytes, tuple[Visibility, str | None]] = {}
        for stored in sorted(events, key=lambda one: one.place or 0):
            root, event = stored.root_before, stored.event
            if root is None or stored.place is None:
                continue
            if root not in at_roots:
                at_roots[root] = self._at_root(tx, room_id, root, user_id)
            if stored.root_after is not None:
                visibility, membership = at_roots[root]
                if (event.type, event.state_key) == VISIBILITY:
                    visibility = read_visibility(event)
                if is_member_event_of(event, user_id):
                    membership = membership_said(event)
                at_roots[stored.root_after] = (visibility, membership)
        return at_roots

    def _at_root(
        self, tx: Transaction | None, room_id: RoomID, root: bytes, user_id: UserID
    ) -> tuple[Visibility, str | None]:
        member_key = ("m.room.member", user_id)
        state = self._states.select(tx, room_id, root, (VISIBILITY, member_key))
        return read_visibility(state.get(VISIBILITY)), membership_said(state.get(member_key))

    def _visibility(self, tx: Transaction, room_id: RoomID, root: bytes) -> Visibility:
        return read_visibility(self._states.select(tx, room_id, root, (VISIBILITY,)).get(VISIBILITY))

    def _was_readable_by_all(self, tx: Transaction, stored: StoredEvent) -> bool:
        if stored.root_before is None:
            return False
        event = stored.event
        opened = event if (event.type, event.state_key) == VISIBILITY else None
        visibilities = {self._visibility(tx, event.room_id, stored.root_before), read_visibility(opened)}
        return Visibility.WORLD_READABLE in visibilities


def _judged_target(event: Event) -> EventID | None:
    """What an event redacts, if whether it may was not decided when it was let into the room."""
    return event.redacts if event.version.event_ids_are_hashes else None


def is_member_event_of(event: Event, user_id: UserID) -> bool:
    """True for the m.room.member event that is about this user."""
    return event.type == "m.room.member" and event.state_key == user_id
