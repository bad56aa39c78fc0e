"""Joining, inviting, leaving, kicking, banning, forgetting: how local users come into rooms and go.

Spec: client-server-api/#room-membership. What is allowed is decided by core/membership_rules.py.
"""

from collections.abc import Mapping
from typing import Any

from homeserver.core.event import Event
from homeserver.core.identifiers import EventID, RoomAlias, RoomID, ServerName, UserID, parse_room_id, server_name_of
from homeserver.services.errors import BadState, Forbidden, NotFound, NotRecommended, RemoteFailed, StillJoined
from homeserver.services.events.creation import Draft, EventCreation
from homeserver.services.events.partial_rooms import known_membership
from homeserver.services.events.persistence import RoomWrite
from homeserver.services.rooms.admission import Admission
from homeserver.services.rooms.guests import check_may_join
from homeserver.services.rooms.invite_permission import check_accepts_invites
from homeserver.services.rooms.known_rooms import NO_ROOM
from homeserver.services.rooms.notice_rooms import check_may_decline
from homeserver.services.rooms.readers import NOT_IN_ROOM
from homeserver.services.rooms.restricted_joins import find_authoriser
from homeserver.services.rooms.third_party_invites import Redeemed, check_may_be_redeemed, redeemed
from homeserver.storage.aliases import find_alias
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import forget_room, joined_room_ids
from homeserver.storage.profiles import member_profile


class RoomMembership:
    """Changes who is in which room."""

    def __init__(
        self, database: Database, creation: EventCreation, admission: Admission, server_name: ServerName
    ) -> None:
        self._database = database
        self._creation = creation
        self._admission = admission
        self._server_name = server_name

    async def join(
        self, user_id: UserID, room: str, reason: str | None, third_party_signed: Mapping[str, Any] | None = None
    ) -> RoomID:
        """Join the room of this ID or alias; joining again changes nothing.

        Raises NotFound, AuthRejected, GuestAccessForbidden, LimitExceeded.
        """
        return await self._creation.write(self._join, user_id, room, reason, third_party_signed)

    async def knock(self, user_id: UserID, room_id: RoomID, reason: str | None) -> RoomID:
        """Ask to be let into a room; knocking again changes nothing. Raises NotFound, AuthRejected."""
        return await self._creation.write(self._knock, user_id, room_id, reason)

    async def invite(self, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        """Invite a user. Raises LimitExceeded, too."""
        await self._creation.write(self._invite, sender, room_id, target, reason)

    async def redeem(self, room_id: RoomID, invite: Redeemed) -> None:
        """Invite a user whose address was invited; one who is invited or in the room already stays so.

        Raises NotFound, AuthRejected, InviteBlocked.
        """
        await self._creation.write(self._redeem_alone, room_id, invite)

    async def leave(self, user_id: UserID, room_id: RoomID, reason: str | None) -> None:
        """Leave a room, decline an invite, or take back a knock; leaving again changes nothing.

        Raises NotFound, CannotLeaveServerNoticeRoom.
        """
        await self._creation.write(self._leave, user_id, room_id, reason)

    async def kick(self, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        """Remove another user from a room. Raises Forbidden for one who is not in it."""
        await self._creation.write(self._kick, sender, room_id, target, reason)

    async def ban(self, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        """Remove a user and let them not come back."""
        await self._creation.write(self._ban, sender, room_id, target, reason)

    async def unban(self, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        """Let a banned user come back. Raises BadState for one who is not banned."""
        await self._creation.write(self._unban, sender, room_id, target, reason)

    async def forget(self, user_id: UserID, room_id: RoomID) -> None:
        """Hide a room that the user has left. Raises StillJoined while the user is in it, NotFound if never."""
        await self._database.write(self._forget, user_id, room_id)

    def reaches_nobody(self, user_id: UserID) -> bool:
        """Whether what a user says is to be heard by nobody: services/events/shadow_bans.py."""
        return self._creation.reaches_nobody(user_id)

    async def joined_rooms(self, user_id: UserID) -> list[RoomID]:
        """The rooms that the user is in."""
        return await self._database.read(joined_room_ids, user_id)

    def _join(
        self, tx: Transaction, user_id: UserID, room: str, reason: str | None, signed: Mapping[str, Any] | None
    ) -> RoomID:
        room_id = self._room_of(tx, room)
        write = self._open(tx, room_id)
        current = _member(write, user_id)
        if current is not None and current.content.get("membership") == "join":
            return room_id
        check_may_join(write, user_id)
        self._admission.count_join(tx, user_id, room_id)
        if signed is not None and (current is None or current.content.get("membership") != "invite"):
            self._redeem(write, redeemed(signed.get("sender"), user_id, signed), notifies=False)
            current = _member(write, user_id)
        content: dict[str, Any] = {"membership": "join", **member_profile(tx, user_id)}
        authoriser = find_authoriser(write, user_id, current, self._server_name)
        if authoriser is not None:
            content["join_authorised_via_users_server"] = authoriser
        self._add(write, user_id, user_id, content, reason)
        return room_id

    def _redeem_alone(self, tx: Transaction, room_id: RoomID, invite: Redeemed) -> None:
        write = self._open(tx, room_id)
        current = _member(write, invite.target)
        if current is None or current.content.get("membership") not in ("invite", "join"):
            check_accepts_invites(tx, invite.target, invite.sender)
            self._redeem(write, invite, notifies=True)
            write.finish()

    def _redeem(self, write: RoomWrite, invite: Redeemed, *, notifies: bool) -> None:
        """Turn the invite of an address into one of the user, in the name of whoever sent it, of any server.

        Spec: server-server-api/#cases-where-an-association-doesnt-exist-for-a-third-party-identifier
        """
        key = ("m.room.third_party_invite", invite.token)
        inviter = _member(write, invite.sender)
        check_may_be_redeemed(None if inviter is None else inviter.content.get("membership"))
        draft = Draft("m.room.member", invite.sender, invite.content(write.state((key,)).get(key)), invite.target)
        self._creation.add(write, draft, notifies=notifies)

    def _knock(self, tx: Transaction, user_id: UserID, room_id: RoomID, reason: str | None) -> RoomID:
        write = self._open(tx, room_id)
        current = _member(write, user_id)
        if current is None or current.content.get("membership") != "knock":
            self._add(write, user_id, user_id, {"membership": "knock", **member_profile(tx, user_id)}, reason)
        return room_id

    def _invite(self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        if server_name_of(target) != self._server_name:
            raise RemoteFailed(f"The server of {target} cannot be reached from here")
        write = self._open_for(tx, room_id)
        self._check_is_joined(write, sender)
        current = _member(write, target)
        if current is not None and current.content.get("membership") == "join":
            raise Forbidden(f"{target} is already in the room")
        check_accepts_invites(tx, target, sender)
        self._admission.count_invites(tx, sender, room_id, [target])
        self._add(write, sender, target, {"membership": "invite", **member_profile(tx, target)}, reason)

    def _leave(self, tx: Transaction, user_id: UserID, room_id: RoomID, reason: str | None) -> None:
        membership = known_membership(tx, room_id, user_id)
        if membership is None:
            raise NotFound(NO_ROOM)
        if membership.membership == "leave":
            return
        if membership.membership == "invite":
            check_may_decline(tx, room_id, user_id)
        try:
            self._set(tx, user_id, room_id, user_id, "leave", reason)
        except NotRecommended:
            if reason is None:
                raise
            # Nobody has to stay for what they said; without a word the leave needs no recommendation.
            self._set(tx, user_id, room_id, user_id, "leave", None)

    def _kick(self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        membership = known_membership(tx, room_id, target)
        if membership is None or membership.membership in ("leave", "ban"):
            raise Forbidden(f"{target} is not in the room")
        self._set(tx, sender, room_id, target, "leave", reason)

    def _ban(self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        write = self._open_for(tx, room_id)
        self._check_is_joined(write, sender)
        self._add(write, sender, target, {"membership": "ban"}, reason)

    def _unban(self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, reason: str | None) -> None:
        write = self._open_for(tx, room_id)
        self._check_is_joined(write, sender)
        current = _member(write, target)
        if current is None or current.content.get("membership") != "ban":
            raise BadState(f"{target} is not banned")
        self._add(write, sender, target, {"membership": "leave"}, reason)

    def _forget(self, tx: Transaction, user_id: UserID, room_id: RoomID) -> None:
        if known_membership(tx, room_id, user_id) is None:
            raise NotFound(NO_ROOM)
        if not forget_room(tx, room_id, user_id):
            raise StillJoined

    def _set(
        self, tx: Transaction, sender: UserID, room_id: RoomID, target: UserID, membership: str, reason: str | None
    ) -> EventID:
        write = self._open_for(tx, room_id)
        return self._add(write, sender, target, {"membership": membership}, reason)

    def _add(
        self, write: RoomWrite, sender: UserID, target: UserID, content: dict[str, Any], reason: str | None
    ) -> EventID:
        if reason is not None:
            content["reason"] = reason
        return self._creation.say(write, Draft("m.room.member", sender, content, state_key=target))

    def _open(self, tx: Transaction, room_id: RoomID) -> RoomWrite:
        write = self._creation.writer.open(tx, room_id)
        if write is None:
            raise NotFound(NO_ROOM)
        return write

    def _open_for(self, tx: Transaction, room_id: RoomID) -> RoomWrite:
        """The room for somebody who must be in it: whether others exist is not told."""
        write = self._creation.writer.open(tx, room_id)
        if write is None:
            raise Forbidden(NOT_IN_ROOM)
        return write

    @staticmethod
    def _check_is_joined(write: RoomWrite, user_id: UserID) -> None:
        member = _member(write, user_id)
        if member is None or member.content.get("membership") != "join":
            raise Forbidden(NOT_IN_ROOM)

    def _room_of(self, tx: Transaction, room: str) -> RoomID:
        if not room.startswith("#"):
            return parse_room_id(room)
        alias = find_alias(tx, RoomAlias(room))
        if alias is None:
            raise NotFound(f"There is no room {room}")
        return alias.room_id


def _member(write: RoomWrite, user_id: UserID) -> Event | None:
    key = ("m.room.member", user_id)
    return write.state((key,)).get(key)
