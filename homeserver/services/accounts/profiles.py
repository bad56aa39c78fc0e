"""Profiles: how users want to be shown, and what else they tell of themselves.

Spec: client-server-api/#profiles. How rooms show their members is in services/rooms/member_profiles.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import RoomID, ServerName, UserID, parse_server_name, server_name_of_user
from homeserver.services.accounts.requester import Requester
from homeserver.services.errors import (
    Forbidden,
    GuestAccessForbidden,
    InvalidParameter,
    NotFound,
    ProfileKeyTooLarge,
    ProfileTooLarge,
)
from homeserver.services.rooms.member_profiles import MemberProfiles
from homeserver.storage.accounts import find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import joined_room_ids
from homeserver.storage.profiles import (
    Profile,
    delete_profile_field,
    find_profile,
    profile_fields,
    store_profile,
    store_profile_field,
)
from homeserver.storage.user_directory import renew_names

DISPLAY_NAME: Final = "displayname"
AVATAR: Final = "avatar_url"
LARGEST_BYTES: Final = 65_535  # of a whole profile: it "MUST be under 64 KiB"
LONGEST_KEY: Final = 255
LONGEST_DISPLAY_NAME: Final = 256  # characters
LONGEST_AVATAR: Final = 1000
ROOMS_AT_ONCE: Final = 20  # rooms to which one write brings a changed profile
NOBODY: Final = "This server knows no such user"

_KEY: Final = re.compile(r"[a-z][a-z0-9._-]*")
_MEDIA: Final = re.compile(r"mxc://([^/?#]+)/([A-Za-z0-9_-]+)")
_NO_PROFILE: Final = Profile(None, None)


class RemoteProfiles(Protocol):
    """Asks other servers for the profiles of their users."""

    async def profile(self, user_id: UserID) -> Mapping[str, Any]:
        """A remote user's profile, each field of any shape. Raises NotFound, RemoteFailed."""


class Profiles:
    """Shows and changes profiles."""

    def __init__(
        self,
        database: Database,
        member_profiles: MemberProfiles,
        server_name: ServerName,
        remote: RemoteProfiles | None = None,
    ) -> None:
        """Without `remote`, the users of other servers are unknown."""
        self._database = database
        self._member_profiles = member_profiles
        self._server_name = server_name
        self._remote = remote

    async def profile(self, user_id: UserID) -> Mapping[str, Any]:
        """All fields of a user's profile. Raises NotFound, and RemoteFailed for users of other servers."""
        if server_name_of_user(user_id) == self._server_name:
            return await self._database.read(self._profile, user_id)
        if self._remote is None:
            raise NotFound(NOBODY)
        return await self._remote.profile(user_id)

    async def field(self, user_id: UserID, key: str) -> Any:  # Any: JSON
        """One field of a user's profile. Raises NotFound also when the user has not set it."""
        _check_key(key)
        fields = await self.profile(user_id)
        if key not in fields:
            raise NotFound("The user's profile has no such field")
        return fields[key]

    async def set_field(self, requester: Requester, user_id: UserID, key: str, value: Any) -> None:  # Any: JSON
        """Set a field of one's own profile; an empty display name or avatar takes it away.

        Raises Forbidden, InvalidParameter, ProfileKeyTooLarge, ProfileTooLarge.
        """
        _check_key(key)
        self._check_owner(requester, user_id, key)
        check_field(key, value)
        await self._change(user_id, key, value if key not in (DISPLAY_NAME, AVATAR) else value or None)

    async def delete_field(self, requester: Requester, user_id: UserID, key: str) -> None:
        """Take a field of one's own profile away, if it is there. Raises Forbidden."""
        _check_key(key)
        self._check_owner(requester, user_id, key)
        if key in (DISPLAY_NAME, AVATAR):
            await self._change(user_id, key, None)
        else:
            await self._database.write(delete_profile_field, user_id, key)

    async def _change(self, user_id: UserID, key: str, value: Any) -> None:  # Any: JSON
        rooms = await self._member_profiles.write(self._store, user_id, key, value)
        while rooms:
            await self._member_profiles.write(self._member_profiles.update, user_id, rooms[:ROOMS_AT_ONCE])
            rooms = rooms[ROOMS_AT_ONCE:]

    def _check_owner(self, requester: Requester, user_id: UserID, key: str) -> None:
        if requester.is_guest and key != DISPLAY_NAME:
            raise GuestAccessForbidden("Guests may only change their display name")
        is_local = server_name_of_user(user_id) == self._server_name
        if user_id != requester.user_id and not (requester.is_admin and is_local):
            raise Forbidden("This is another user's profile")

    def _profile(self, tx: Transaction, user_id: UserID) -> Mapping[str, Any]:
        if find_account(tx, user_id) is None:
            raise NotFound(NOBODY)
        stored = find_profile(tx, user_id) or _NO_PROFILE
        shown = {DISPLAY_NAME: stored.display_name, AVATAR: stored.avatar_url}
        fields = {key: value for key, value in shown.items() if value is not None}
        return {**fields, **{key: orjson.Fragment(value) for key, value in profile_fields(tx, user_id).items()}}

    def _store(self, tx: Transaction, user_id: UserID, key: str, value: Any) -> Sequence[RoomID]:  # Any: JSON
        """Store a field, bring it into the first rooms, and return those that are left."""
        if find_account(tx, user_id) is None:
            raise NotFound(NOBODY)
        stored = find_profile(tx, user_id) or _NO_PROFILE
        if key == DISPLAY_NAME:
            store_profile(tx, user_id, replace(stored, display_name=value))
            renew_names(tx, [user_id])
        elif key == AVATAR:
            store_profile(tx, user_id, replace(stored, avatar_url=value))
        else:
            store_profile_field(tx, user_id, key, encode_canonical(value))
        _check_size(self._profile(tx, user_id))
        if key not in (DISPLAY_NAME, AVATAR):
            return ()
        rooms = joined_room_ids(tx, user_id)
        self._member_profiles.update(tx, user_id, rooms[:ROOMS_AT_ONCE])
        return rooms[ROOMS_AT_ONCE:]


def _check_size(profile: Mapping[str, Any]) -> None:
    if len(orjson.dumps(profile)) > LARGEST_BYTES:
        raise ProfileTooLarge("A profile is smaller than 64 KiB")


def check_field(key: str, value: Any) -> None:  # Any: JSON
    """Raise InvalidParameter for what can be no display name or no avatar."""
    if key == DISPLAY_NAME:
        _check_text(value, LONGEST_DISPLAY_NAME)
    elif key == AVATAR:
        _check_text(value, LONGEST_AVATAR)
        _check_avatar(value)


def is_key(key: str) -> bool:
    """Whether a field can have this name."""
    return len(key) <= LONGEST_KEY and _KEY.fullmatch(key) is not None


def _check_key(key: str) -> None:
    if len(key.encode()) > LONGEST_KEY:
        raise ProfileKeyTooLarge
    if _KEY.fullmatch(key) is None:
        raise InvalidParameter("The name of a field consists of the letters a-z, digits, and . _ -")


def _check_text(value: Any, longest: int) -> None:  # Any: JSON
    if not isinstance(value, str):
        raise InvalidParameter("The value is not a string")
    if len(value) > longest:
        raise InvalidParameter(f"The value has at most {longest} characters")


def _check_avatar(value: str) -> None:
    match = _MEDIA.fullmatch(value)
    try:
        is_media = not value or (match is not None and parse_server_name(match[1]) is not None)
    except BadIdentifier:
        is_media = False
    if not is_media:
        raise InvalidParameter("An avatar is an mxc:// URI")
