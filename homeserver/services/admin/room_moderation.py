"""What moderators do, done by the server's hand: removing users from rooms, and taking back what was said.

It is done in the name of one of this server's users who is in the room and has the power for it (local_powers.py);
where there is none, it is said so and nothing is done. Many rooms at once: member_patterns.py.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final

from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import EventID, RoomID, UserID
from homeserver.services.admin.local_powers import LocalPowers, by_local_power, local_powers
from homeserver.services.errors import BadState, Forbidden, NotFound, NotRecommended
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.reasons import check_reason
from homeserver.storage.database import Transaction

MEMBER: Final = "m.room.member"


class Removal(Enum):
    """What becomes of a user in a room."""

    KICK = "kick"
    BAN = "ban"
    UNBAN = "unban"


# Whom it can befall: users with one of these memberships. A ban reaches others too, in a room that is named.
BEFALLS: Final[Mapping[Removal, Sequence[str]]] = {
    Removal.KICK: ("join", "invite", "knock"),
    Removal.BAN: ("join", "invite", "knock"),
    Removal.UNBAN: ("ban",),
}


class RoomModeration:
    """Moderates rooms."""

    def __init__(self, creation: EventCreation) -> None:
        self._creation = creation

    async def remove(self, removal: Removal, room_id: RoomID, user_id: UserID, reason: str | None) -> None:
        """Kick, ban or unban a user of any server. Raises NotFound, Forbidden, BadState, InvalidParameter."""
        check_reason(reason)
        await by_local_power(self._creation, self._remove, removal, room_id, user_id, reason)

    async def remove_some(
        self, removal: Removal, room_id: RoomID, user_ids: Sequence[UserID], reason: str | None
    ) -> Mapping[UserID, str]:
        """Kick, ban or unban users in one write; whom it did not befall, and why.

        Raises NotFound, Forbidden, InvalidParameter, with nothing done.
        """
        check_reason(reason)
        return await by_local_power(self._creation, self._remove_some, removal, room_id, user_ids, reason)

    async def redact(self, room_id: RoomID, event_id: EventID, reason: str | None) -> EventID:
        """Redact an event of a user of any server; the ID of the redaction, or of that of before.

        Raises NotFound, Forbidden, InvalidParameter.
        """
        check_reason(reason)
        return await by_local_power(self._creation, self._redact, room_id, event_id, reason)

    async def redact_some(
        self, room_id: RoomID, event_ids: Sequence[EventID], reason: str | None
    ) -> Mapping[EventID, str]:
        """Redact events of a room in one write; which could not be, and why.

        Raises NotFound, Forbidden, InvalidParameter, with nothing done.
        """
        check_reason(reason)
        return await by_local_power(self._creation, self._redact_some, room_id, event_ids, reason)

    def _remove(self, tx: Transaction, removal: Removal, room_id: RoomID, user_id: UserID, reason: str | None) -> None:
        powers = local_powers(tx, self._creation, room_id)
        self._add_removal(powers, removal, user_id, reason)
        powers.write.finish()

    def _remove_some(
        self, tx: Transaction, removal: Removal, room_id: RoomID, user_ids: Sequence[UserID], reason: str | None
    ) -> Mapping[UserID, str]:
        powers = local_powers(tx, self._creation, room_id)
        refused: dict[UserID, str] = {}
        # Those by whose hand it is done go last, the most powerful after all others.
        last = {user_id: rank for rank, user_id in enumerate(reversed(powers.members), 1)}
        for user_id in sorted(user_ids, key=lambda one: last.get(one, 0)):
            try:
                self._add_removal(powers, removal, user_id, reason)
            except (AuthRejected, NotRecommended, BadState, Forbidden) as refusal:
                refused[user_id] = refusal.reason
            else:
                powers = powers.without(user_id)
        powers.write.finish()
        return refused

    def _add_removal(self, powers: LocalPowers, removal: Removal, user_id: UserID, reason: str | None) -> None:
        key = (MEMBER, user_id)
        state = powers.write.state((key,))
        current = state[key].content.get("membership") if key in state else None
        if removal is Removal.BAN and current == "ban":
            return
        if removal is not Removal.BAN and current not in BEFALLS[removal]:
            raise BadState(f"{user_id} is not banned" if removal is Removal.UNBAN else f"{user_id} is not in the room")
        actor = _actor(powers, user_id, leaves=removal is Removal.KICK)
        content = {"membership": "ban" if removal is Removal.BAN else "leave", **_said(reason)}
        self._creation.add(powers.write, Draft(MEMBER, actor, content, state_key=user_id))

    def _redact(self, tx: Transaction, room_id: RoomID, event_id: EventID, reason: str | None) -> EventID:
        powers = local_powers(tx, self._creation, room_id)
        redaction_id = self._add_redaction(powers, event_id, reason)
        powers.write.finish()
        return redaction_id

    def _redact_some(
        self, tx: Transaction, room_id: RoomID, event_ids: Sequence[EventID], reason: str | None
    ) -> Mapping[EventID, str]:
        powers = local_powers(tx, self._creation, room_id)
        refused: dict[EventID, str] = {}
        for event_id in event_ids:
            try:
                self._add_redaction(powers, event_id, reason)
            except (AuthRejected, NotRecommended, NotFound, Forbidden) as refusal:
                refused[event_id] = refusal.reason
        powers.write.finish()
        return refused

    def _add_redaction(self, powers: LocalPowers, event_id: EventID, reason: str | None) -> EventID:
        stored = powers.write.find(event_id)
        if stored is None or stored.event.room_id != powers.write.room_id or stored.place is None:
            raise NotFound("There is no such event in this room here")
        if stored.redacted_by is not None:
            return stored.redacted_by
        actor, sender = powers.strongest, stored.event.sender
        if powers.level(actor) < powers.levels.redact:
            # Everybody may take back what they said themselves.
            if not powers.is_here(sender):
                raise Forbidden("No user of this server in the room has the power to redact events of others")
            actor = sender
        redaction = Draft("m.room.redaction", actor, _said(reason), redacts=event_id)
        return self._creation.add(powers.write, redaction).event.event_id


def _actor(powers: LocalPowers, user_id: UserID, *, leaves: bool) -> UserID:
    """Who removes a user: the strongest of the others, or the user who goes, where nobody is stronger."""
    others = [one for one in powers.members if one != user_id]
    if leaves and powers.is_here(user_id):
        stronger = [one for one in others if powers.level(one) >= powers.levels.kick]
        if not stronger or powers.level(stronger[0]) <= powers.level(user_id):
            return user_id
    return others[0] if others else powers.strongest


def _said(reason: str | None) -> dict[str, Any]:  # Any: JSON
    return {} if reason is None else {"reason": reason}
