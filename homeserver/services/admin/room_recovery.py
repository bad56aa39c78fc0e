"""Bringing users into rooms and to power there, in the name of users of this server who have it.

A room whose moderators are gone is recovered so by an administrator, as long as one of this server's users in it has
the power that it takes. Nobody can give what they do not have: other servers would not accept it.
"""

from collections.abc import Sequence
from typing import Any, Final

from homeserver.core.auth_selection import JOIN_RULES
from homeserver.core.errors import AuthRejected
from homeserver.core.identifiers import RoomID, ServerName, UserID
from homeserver.core.power_levels import CREATOR_LEVEL
from homeserver.services.accounts.local_accounts import open_account
from homeserver.services.admin.local_powers import LocalPowers, local_powers
from homeserver.services.admin.named_rooms import named_room
from homeserver.services.errors import Forbidden
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.rooms.remote_membership import RemoteMembership
from homeserver.storage.database import Database, Transaction
from homeserver.storage.profiles import member_profile

MEMBER: Final = "m.room.member"
CREATORS_GIVE: Final = 100  # what stands above every number gives the one that means all power elsewhere
NO_POWER: Final = "No user of this server who is in the room may change who has power there"


class RoomRecovery:
    """Gives power, and brings users in."""

    def __init__(
        self, database: Database, creation: EventCreation, membership: RemoteMembership, server_name: ServerName
    ) -> None:
        self._database = database
        self._creation = creation
        self._membership = membership
        self._server_name = server_name

    async def make_admin(self, room: str, user_id: UserID) -> None:
        """Give a user of this server as much power in the room of this ID or alias as anybody of this server there can,
        and an invite if the room needs one. Who has as much already keeps it.

        Raises NotFound, InvalidParameter, Forbidden.
        """
        await self._database.read(open_account, user_id, self._server_name)
        try:
            await self._creation.write(self._make_admin, room, user_id)
        except AuthRejected as rejected:
            raise Forbidden(f"The room's rules do not allow it: {rejected.reason}") from rejected

    async def join(self, user_id: UserID, room: str, *, via: Sequence[str]) -> RoomID:
        """Let a user of this server join the room of this ID or alias; a room that needs an invite is entered by one
        of another user of this server who is in it and may invite. Joining again changes nothing.

        Raises NotFound, InvalidParameter, Forbidden, RemoteFailed.
        """
        await self._database.read(open_account, user_id, self._server_name)
        try:
            return await self._membership.join(user_id, room, None, via=via)
        except AuthRejected as rejected:
            if room.startswith("#"):
                raise Forbidden(f"{rejected.reason}; by its ID, the user might be invited first") from rejected
            try:
                await self._creation.write(self._invite, RoomID(room), user_id)
            except AuthRejected as refused:
                raise Forbidden(f"The user cannot be invited either: {refused.reason}") from refused
        return await self._membership.join(user_id, room, None, via=via)

    def _make_admin(self, tx: Transaction, room: str, user_id: UserID) -> None:
        powers = local_powers(tx, self._creation, named_room(tx, room))
        giver, levels = powers.strongest, powers.levels
        if not levels.may_send(giver, "m.room.power_levels", is_state=True):
            raise Forbidden(NO_POWER)
        given = CREATORS_GIVE if powers.level(giver) == CREATOR_LEVEL else int(powers.level(giver))
        if powers.level(user_id) < given:
            content = powers.with_level(user_id, given)
            self._creation.add(powers.write, Draft("m.room.power_levels", giver, content, state_key=""))
        self._invite_into(tx, powers, user_id)
        powers.write.finish()

    def _invite(self, tx: Transaction, room_id: RoomID, user_id: UserID) -> None:
        powers = local_powers(tx, self._creation, room_id)
        self._invite_into(tx, powers, user_id)
        powers.write.finish()

    def _invite_into(self, tx: Transaction, powers: LocalPowers, user_id: UserID) -> None:
        """Invite a user who is outside a room that does not let everybody in."""
        key = (MEMBER, user_id)
        state = powers.write.state((key, JOIN_RULES))
        membership = state[key].content.get("membership") if key in state else None
        rules = state.get(JOIN_RULES)
        is_public = rules is not None and rules.content.get("join_rule") == "public"
        if membership in ("join", "invite") or (is_public and membership != "ban"):
            return
        content: dict[str, Any] = {"membership": "invite", **member_profile(tx, user_id)}  # Any: JSON
        self._creation.add(powers.write, Draft(MEMBER, powers.strongest, content, state_key=user_id))
