"""Administration: accounts, found, looked at and changed.

The shapes are those of Synapse, whose tools use them. Accounts made for `homeserver admin user register` are in
registration.py, devices and logins of users in user_devices.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NotRequired, TypedDict

import msgspec
import orjson

from homeserver.core.identifiers import RoomID, UserID
from homeserver.http.admin.user_restraints import RateLimitAnswer, shown_limit
from homeserver.http.endpoint import (
    EMPTY,
    NoBody,
    NoQuery,
    Nothing,
    OpaqueObject,
    PlainRequest,
    Reply,
    Request,
    admin_endpoint,
)
from homeserver.services.admin.users import UserAdministration, UserPage, Users, UserWish
from homeserver.services.errors import InvalidParameter
from homeserver.storage.accounts import AccountKind
from homeserver.storage.users import ListedUser, UserFilter

SYNAPSE: Final = "https://element-hq.github.io/synapse/latest/admin_api/user_admin_api.html"
SYNAPSE_VERSION: Final = "https://element-hq.github.io/synapse/latest/admin_api/version_api.html"
WITHOUT_TYPE: Final = ""  # among the types that are not wanted


class UsersWanted(msgspec.Struct, frozen=True, rename={"begin": "from", "direction": "dir"}):
    """Which accounts, in which order, and how many."""

    begin: int = 0
    limit: int = 100
    user_id: str | None = None
    name: str | None = None
    guests: bool = True
    admins: bool | None = None
    locked: bool = False
    order_by: str = "name"
    direction: Literal["f", "b"] = "f"
    not_user_type: list[str] = []


class UsersQuery(UsersWanted, frozen=True):
    """`deactivated` lets those be in the list that are closed."""

    deactivated: bool = False


class UsersQueryV3(UsersWanted, frozen=True):
    """`deactivated` says whether only those that are closed are wanted, or none of them."""

    deactivated: bool | None = None


class AccountBody(msgspec.Struct, frozen=True):
    """What is to become of an account: what is left out, or null, stays."""

    password: str | None = None
    logout_devices: bool = True
    displayname: str | None = None
    avatar_url: str | None = None
    threepids: list[Any] | None = None
    external_ids: list[Any] | None = None
    admin: bool | None = None
    deactivated: bool | None = None
    user_type: str | None = None
    locked: bool | None = None


class DeactivateBody(msgspec.Struct, frozen=True):
    """How an account is to be closed."""

    erase: bool = False


class PasswordBody(msgspec.Struct, frozen=True):
    """A new password."""

    new_password: str
    logout_devices: bool = True


class AdminBody(msgspec.Struct, frozen=True):
    """Whether a user is to be an administrator."""

    admin: bool


class SynapseSuspendBody(msgspec.Struct, frozen=True):
    """Whether an account is to be suspended, in the word of Synapse."""

    suspend: bool


class UsernameQuery(msgspec.Struct, frozen=True):
    """The name that somebody would like to have."""

    username: str


class UserRow(TypedDict):
    """An account, among others. Times are in milliseconds, but for those that are said not to be. Nobody has a type."""

    name: str
    displayname: str | None
    avatar_url: str | None
    is_guest: bool
    admin: bool
    user_type: None
    deactivated: bool
    erased: bool
    locked: bool
    suspended: bool
    shadow_banned: bool
    creation_ts: int
    last_seen_ts: int | None


class UserAnswer(UserRow):
    """An account. What no account here has is null, or an empty list.

    `own_rate_limit` is null where that of the server's settings holds, `probation_until_ts` for whom it has ended.
    """

    own_rate_limit: RateLimitAnswer | None
    probation_until_ts: int | None
    appservice_id: str | None
    threepids: list[OpaqueObject]
    external_ids: list[OpaqueObject]
    consent_server_notice_sent: None
    consent_version: None
    consent_ts: None


class UsersAnswer(TypedDict):
    """A page of accounts, how many there are on all pages, and where the next one begins, if there is one."""

    users: list[UserRow]
    total: int
    next_token: NotRequired[str]


class DeactivateAnswer(TypedDict):
    """An account was closed: it had no third-party identifiers elsewhere."""

    id_server_unbind_result: Literal["success"]


class AdminAnswer(TypedDict):
    """Whether a user is an administrator."""

    admin: bool


class JoinedRoomsAnswer(TypedDict):
    """The IDs of the rooms that a user is in, and how many they are."""

    joined_rooms: Sequence[str]
    total: int


class MembershipsAnswer(TypedDict):
    """By the IDs of rooms: `join`, `invite`, `knock`, `leave` or `ban`."""

    memberships: Mapping[RoomID, str]


AccountDataKept = TypedDict(
    "AccountDataKept",
    {"global": dict[str, OpaqueObject], "rooms": dict[str, dict[str, OpaqueObject]]},
)
AccountDataKept.__doc__ = "Account data by type, and what is of single rooms by their IDs and by type."


class AccountDataAnswer(TypedDict):
    """What a user keeps."""

    account_data: AccountDataKept


class AvailableAnswer(TypedDict):
    """That a name is to be had."""

    available: Literal[True]


class ServerVersionAnswer(TypedDict):
    """What runs here."""

    server_version: str


@dataclass(frozen=True)
class UserAdminEndpoints:
    """Accounts, as those see and change them who answer for the server."""

    users: Users
    administration: UserAdministration
    version: str

    @admin_endpoint("GET", "/_synapse/admin/v2/users", query=UsersQuery, spec=SYNAPSE)
    async def list_users(self, request: Request[UsersQuery, NoBody]) -> Reply[UsersAnswer]:
        """Some accounts; without those that are closed or locked, unless they are asked for."""
        return await self._page(request.query, is_deactivated=None if request.query.deactivated else False)

    @admin_endpoint(
        "GET", "/_synapse/admin/v3/users", also=("/_columba/admin/v1/users",), query=UsersQueryV3, spec=SYNAPSE
    )
    async def list_users_v3(self, request: Request[UsersQueryV3, NoBody]) -> Reply[UsersAnswer]:
        """Some accounts; without those that are locked, unless they are asked for."""
        return await self._page(request.query, is_deactivated=request.query.deactivated)

    @admin_endpoint("GET", "/_columba/admin/v1/users/{userId}", spec="for `homeserver admin user show`")
    async def user(self, request: PlainRequest) -> Reply[UserAnswer]:
        """One account."""
        return Reply(await self._shown(request.path_user_id))

    @admin_endpoint("GET", "/_synapse/admin/v2/users/{userId}", spec=SYNAPSE)
    async def user_as_synapse(self, request: PlainRequest) -> Reply[UserAnswer]:
        """One account, which was made at a time in seconds."""
        return Reply(_in_seconds(await self._shown(request.path_user_id)))

    @admin_endpoint("PUT", "/_columba/admin/v1/users/{userId}", body=AccountBody, spec="for `homeserver admin user`")
    async def put_user(self, request: Request[NoQuery, AccountBody]) -> Reply[UserAnswer]:
        """Make an account, or change one."""
        shown, status = await self._put(request)
        return Reply(shown, status)

    @admin_endpoint("PUT", "/_synapse/admin/v2/users/{userId}", body=AccountBody, spec=SYNAPSE)
    async def put_user_as_synapse(self, request: Request[NoQuery, AccountBody]) -> Reply[UserAnswer]:
        """Make an account, or change one, and show it with the time in seconds at which it was made."""
        shown, status = await self._put(request)
        return Reply(_in_seconds(shown), status)

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/deactivate/{userId}",
        also=("/_columba/admin/v1/users/{userId}/deactivate",),
        body=DeactivateBody,
        spec=SYNAPSE,
    )
    async def deactivate(self, request: Request[NoQuery, DeactivateBody]) -> Reply[DeactivateAnswer]:
        """Close an account for good."""
        await self.administration.deactivate(request.path_user_id, erase=request.body.erase)
        return Reply({"id_server_unbind_result": "success"})  # there is nothing to unbind

    @admin_endpoint(
        "POST",
        "/_synapse/admin/v1/reset_password/{userId}",
        also=("/_columba/admin/v1/users/{userId}/reset_password",),
        body=PasswordBody,
        spec=SYNAPSE,
    )
    async def reset_password(self, request: Request[NoQuery, PasswordBody]) -> Reply[Nothing]:
        """Give a user another password."""
        body = request.body
        await self.administration.reset_password(
            request.path_user_id, body.new_password, logs_devices_out=body.logout_devices
        )
        return EMPTY

    @admin_endpoint("GET", "/_synapse/admin/v1/users/{userId}/admin", spec=SYNAPSE)
    async def is_admin(self, request: PlainRequest) -> Reply[AdminAnswer]:
        """Whether a user is an administrator."""
        return Reply({"admin": await self.administration.is_admin(request.path_user_id)})

    @admin_endpoint(
        "PUT",
        "/_synapse/admin/v1/users/{userId}/admin",
        also=("/_columba/admin/v1/users/{userId}/admin",),
        body=AdminBody,
        spec=SYNAPSE,
    )
    async def set_admin(self, request: Request[NoQuery, AdminBody]) -> Reply[Nothing]:
        """Make a user an administrator, or one no more."""
        await self.administration.set_admin(request.path_user_id, is_admin=request.body.admin, by=request.user_id)
        return EMPTY

    @admin_endpoint("PUT", "/_synapse/admin/v1/suspend/{userId}", body=SynapseSuspendBody, spec=SYNAPSE)
    async def suspend(self, request: Request[NoQuery, SynapseSuspendBody]) -> Reply[dict[str, bool]]:
        """Suspend an account, or end that."""
        user_id, is_suspended = request.path_user_id, request.body.suspend
        await self.administration.set_suspended(user_id, is_suspended=is_suspended)
        return Reply({f"user_{user_id}_suspended": is_suspended})

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/joined_rooms",
        also=("/_columba/admin/v1/users/{userId}/joined_rooms",),
        spec=SYNAPSE,
    )
    async def joined_rooms(self, request: PlainRequest) -> Reply[JoinedRoomsAnswer]:
        """The rooms that a user is in."""
        room_ids = await self.users.joined_rooms(request.path_user_id)
        return Reply({"joined_rooms": room_ids, "total": len(room_ids)})

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/memberships",
        also=("/_columba/admin/v1/users/{userId}/memberships",),
        spec=SYNAPSE,
    )
    async def memberships(self, request: PlainRequest) -> Reply[MembershipsAnswer]:
        """The rooms that a user is or was in, and how."""
        return Reply({"memberships": await self.users.memberships(request.path_user_id)})

    @admin_endpoint(
        "GET",
        "/_synapse/admin/v1/users/{userId}/accountdata",
        also=("/_columba/admin/v1/users/{userId}/accountdata",),
        spec=SYNAPSE,
    )
    async def account_data(self, request: PlainRequest) -> Reply[AccountDataAnswer]:
        """What a user keeps on the server."""
        everywhere: dict[str, OpaqueObject] = {}
        in_rooms: dict[str, dict[str, OpaqueObject]] = {}
        for one in await self.users.account_data(request.path_user_id):
            kept = everywhere if one.room_id is None else in_rooms.setdefault(one.room_id, {})
            kept[one.type] = orjson.Fragment(one.content)
        return Reply({"account_data": {"global": everywhere, "rooms": in_rooms}})

    @admin_endpoint("GET", "/_synapse/admin/v1/username_available", query=UsernameQuery, spec=SYNAPSE)
    async def is_available(self, request: Request[UsernameQuery, NoBody]) -> Reply[AvailableAnswer]:
        """Whether a name is to be had."""
        await self.administration.check_available(request.query.username)
        return Reply({"available": True})

    @admin_endpoint("GET", "/_synapse/admin/v1/server_version", spec=SYNAPSE_VERSION)
    async def server_version(self, _: PlainRequest) -> Reply[ServerVersionAnswer]:
        """What this server is."""
        return Reply({"server_version": self.version})

    async def _page(self, query: UsersWanted, *, is_deactivated: bool | None) -> Reply[UsersAnswer]:
        wanted = UserFilter(
            part_of_user_id=None if query.name is not None else query.user_id,
            part_of_name=query.name,
            is_guest=None if query.guests else False,
            is_admin=query.admins,
            is_deactivated=is_deactivated,
            is_locked=None if query.locked else False,
        )
        page = UserPage(query.order_by, query.direction == "b", query.begin, query.limit)
        found, total = await self.users.page(wanted, page)
        if WITHOUT_TYPE in query.not_user_type:
            found, total = (), 0  # nobody has a type
        answer: UsersAnswer = {"users": [_row(user) for user in found], "total": total}
        if query.begin + len(found) < total:
            answer["next_token"] = str(query.begin + len(found))
        return Reply(answer)

    async def _put(self, request: Request[NoQuery, AccountBody]) -> tuple[UserAnswer, int]:
        is_new = await self.administration.put(request.path_user_id, _wish(request.body), by=request.user_id)
        return await self._shown(request.path_user_id), 201 if is_new else 200

    async def _shown(self, user_id: UserID) -> UserAnswer:
        user = await self.users.user(user_id)
        return {
            **_row(user.listed),
            "own_rate_limit": None if user.own_limit is None else shown_limit(user.own_limit),
            "probation_until_ts": user.probation_until_ms,
            "appservice_id": user.listed.appservice_id,
            "threepids": [],
            "external_ids": [],
            "consent_server_notice_sent": None,
            "consent_version": None,
            "consent_ts": None,
        }


def _in_seconds(shown: UserAnswer) -> UserAnswer:
    """As Synapse shows an account alone; in lists, and of all else, it has milliseconds, and so do its tools."""
    return {**shown, "creation_ts": shown["creation_ts"] // 1000}


def _row(user: ListedUser) -> UserRow:
    return {
        "name": user.user_id,
        "displayname": user.display_name,
        "avatar_url": user.avatar_url,
        "is_guest": user.kind is AccountKind.GUEST,
        "admin": user.is_admin,
        "user_type": None,
        "deactivated": user.is_deactivated,
        "erased": user.is_erased,
        "locked": user.is_locked,
        "suspended": user.is_suspended,
        "shadow_banned": user.is_shadow_banned,
        "creation_ts": user.created_ms,
        "last_seen_ts": user.last_seen_ms,
    }


def _wish(body: AccountBody) -> UserWish:
    if body.threepids or body.external_ids:
        raise InvalidParameter("Accounts of this server have no third-party identifiers and no external ones")
    if body.user_type is not None:
        raise InvalidParameter("Accounts of this server have no types")
    return UserWish(
        body.password,
        body.logout_devices,
        body.displayname,
        body.avatar_url,
        body.admin,
        body.deactivated,
        body.locked,
    )
