"""Accounts as those see and change them who answer for the server.

What users do to their own accounts is in services/accounts/, by which this changes them; their devices and logins are
in user_devices.py. That an administrator did it is written down in http/door.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from homeserver.core.identifiers import RoomID, ServerName, UserID, localpart_of, server_name_of
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.deactivation import Deactivation
from homeserver.services.accounts.local_accounts import CLOSED, NOBODY, check_local, local_account
from homeserver.services.accounts.moderation import AccountModeration
from homeserver.services.accounts.password_change import PasswordChange
from homeserver.services.accounts.passwords import check_new_password
from homeserver.services.accounts.profiles import AVATAR, DISPLAY_NAME, Profiles, check_field
from homeserver.services.accounts.registration import Registration
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.admin.user_restraints import OwnLimit, own_limit_of
from homeserver.services.errors import Forbidden, InvalidParameter, InvalidUsername, NotFound
from homeserver.services.rooms.probation import probation_of
from homeserver.storage.account_data import AccountData, all_account_data
from homeserver.storage.accounts import Account, AccountKind, find_account, update_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.memberships import joined_room_ids, rooms_of_user
from homeserver.storage.users import ORDERS, ListedUser, UserFilter, count_users, find_listed_user, users_page

MOST_PER_PAGE: Final = 1_000


@dataclass(frozen=True, slots=True)
class UserPage:
    """Which page of the accounts: how sorted, after how many, and how many at most."""

    order: str
    is_descending: bool
    offset: int
    limit: int


@dataclass(frozen=True, slots=True)
class ShownUser:
    """An account, the rate limit of its own (None: that of the settings holds), and until when it is on probation."""

    listed: ListedUser
    own_limit: OwnLimit | None
    probation_until_ms: int | None


@dataclass(frozen=True, slots=True)
class UserWish:
    """What is to become of an account; None leaves it as it is. An empty name or avatar takes it away."""

    password: str | None = None
    logs_devices_out: bool = True
    display_name: str | None = None
    avatar_url: str | None = None
    is_admin: bool | None = None
    is_deactivated: bool | None = None
    is_locked: bool | None = None


class Users:
    """Shows accounts."""

    def __init__(self, database: Database, server_name: ServerName, clock: Clock) -> None:
        self._database = database
        self._server_name = server_name
        self._clock = clock

    async def page(self, wanted: UserFilter, page: UserPage) -> tuple[Sequence[ListedUser], int]:
        """Some accounts, and how many there are on all pages. Raises InvalidParameter."""
        if page.order not in ORDERS:
            raise InvalidParameter(f"Accounts are sorted by one of {', '.join(ORDERS)}")
        if not 1 <= page.limit <= MOST_PER_PAGE or page.offset < 0:
            raise InvalidParameter(f"A page has between 1 and {MOST_PER_PAGE} accounts, and begins after 0 or more")
        return await self._database.read(self._page, wanted, page)

    async def user(self, user_id: UserID) -> ShownUser:
        """One account. Raises InvalidParameter, NotFound."""
        check_local(user_id, self._server_name)
        return await self._database.read(self._user, user_id)

    async def joined_rooms(self, user_id: UserID) -> Sequence[RoomID]:
        """The rooms that a user is in, who may be of another server. Raises NotFound for one who is not here."""
        return sorted(await self._database.read(self._rooms, user_id))

    async def memberships(self, user_id: UserID) -> Mapping[RoomID, str]:
        """Every room that a user is or was in, and how, as far as it is known and not forgotten. Raises NotFound."""
        return await self._database.read(self._memberships, user_id)

    async def account_data(self, user_id: UserID) -> Sequence[AccountData]:
        """What a user keeps on the server. Raises InvalidParameter, NotFound."""
        return await self._database.read(self._account_data, user_id)

    def _user(self, tx: Transaction, user_id: UserID) -> ShownUser:
        listed, account = find_listed_user(tx, user_id), find_account(tx, user_id)
        if listed is None or account is None:
            raise NotFound(NOBODY)
        return ShownUser(listed, own_limit_of(account), probation_of(account, self._clock.now_ms()))

    def _check_known(self, tx: Transaction, user_id: UserID) -> None:
        if server_name_of(user_id) == self._server_name:
            local_account(tx, user_id, self._server_name)

    def _page(self, tx: Transaction, wanted: UserFilter, page: UserPage) -> tuple[Sequence[ListedUser], int]:
        found = users_page(
            tx,
            wanted,
            self._server_name,
            order=page.order,
            is_descending=page.is_descending,
            offset=page.offset,
            limit=page.limit,
        )
        return found, count_users(tx, wanted, self._server_name)

    def _rooms(self, tx: Transaction, user_id: UserID) -> list[RoomID]:
        self._check_known(tx, user_id)
        return joined_room_ids(tx, user_id)

    def _memberships(self, tx: Transaction, user_id: UserID) -> Mapping[RoomID, str]:
        self._check_known(tx, user_id)
        return {one.room_id: one.membership for one in rooms_of_user(tx, user_id)}

    def _account_data(self, tx: Transaction, user_id: UserID) -> Sequence[AccountData]:
        local_account(tx, user_id, self._server_name)
        return all_account_data(tx, user_id)


class UserAdministration:
    """Makes and changes accounts. Each method raises InvalidParameter for users of other servers."""

    def __init__(
        self,
        database: Database,
        registration: Registration,
        profiles: Profiles,
        password_change: PasswordChange,
        deactivation: Deactivation,
        moderation: AccountModeration,
        tokens: AccessTokens,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._registration = registration
        self._profiles = profiles
        self._password_change = password_change
        self._deactivation = deactivation
        self._moderation = moderation
        self._tokens = tokens
        self._server_name = server_name

    async def put(self, user_id: UserID, wish: UserWish, *, by: UserID | None) -> bool:
        """Make an account, or change one; True if it is new. All of the wish is checked before any of it is done.

        Raises NotFound, Forbidden, InvalidUsername, WeakPassword.
        """
        account = await self._find(user_id)
        _check_wish(account, wish, by=by)
        if account is None:
            localpart = localpart_of(user_id)
            if localpart != localpart.lower():
                raise InvalidUsername("A new user ID is written in small letters")
            await self._registration.register_by_administrator(
                localpart,
                wish.password,
                is_admin=bool(wish.is_admin),
                display_name=wish.display_name or None,
            )
        else:
            if wish.is_locked is False:
                await self._set_locked(user_id, is_locked=False)
            if wish.is_admin is not None:
                await self.set_admin(user_id, is_admin=wish.is_admin, by=by)
            if wish.password is not None:
                await self.reset_password(user_id, wish.password, logs_devices_out=wish.logs_devices_out)
            if wish.display_name is not None:
                await self._set_field(user_id, DISPLAY_NAME, wish.display_name)
        if wish.avatar_url is not None:
            await self._set_field(user_id, AVATAR, wish.avatar_url)
        if wish.is_locked:
            await self._set_locked(user_id, is_locked=True)
        if wish.is_deactivated:
            await self._deactivation.deactivate(user_id, erase=False)
        return account is None

    async def is_admin(self, user_id: UserID) -> bool:
        """Whether a user is an administrator. Raises NotFound."""
        return (await self._existing(user_id)).is_admin

    async def set_admin(self, user_id: UserID, *, is_admin: bool, by: UserID | None) -> None:
        """Make a user an administrator, or one no more. Nobody stops being one by themselves. Raises NotFound."""
        check_local(user_id, self._server_name)
        if user_id == by and not is_admin:
            raise InvalidParameter("You cannot take this from yourself")
        await self._database.write(_set_admin, user_id, is_admin=is_admin)
        self._tokens.forget_user(user_id)

    async def reset_password(self, user_id: UserID, password: str, *, logs_devices_out: bool) -> None:
        """Give a user another password. Raises NotFound, WeakPassword, InvalidParameter."""
        check_local(user_id, self._server_name)
        check_new_password(password)
        await self._password_change.set_by_administrator(user_id, password, logout_devices=logs_devices_out)

    async def deactivate(self, user_id: UserID, *, erase: bool) -> None:
        """Close an account. Raises NotFound."""
        check_local(user_id, self._server_name)
        await self._deactivation.deactivate(user_id, erase=erase)

    async def set_suspended(self, user_id: UserID, *, is_suspended: bool) -> None:
        """Suspend an account, or end that. Raises NotFound, Forbidden."""
        await self._moderation.set_suspended(user_id, is_suspended=is_suspended)

    async def check_available(self, username: str) -> None:
        """Raise UserInUse, InvalidUsername or Exclusive for a name that is not to be had, even by an administrator."""
        await self._registration.check_free(username)

    async def _set_locked(self, user_id: UserID, *, is_locked: bool) -> None:
        account = await self._existing(user_id)
        if account.is_locked != is_locked:
            await self._moderation.set_locked(user_id, is_locked=is_locked)

    async def _set_field(self, user_id: UserID, key: str, value: str) -> None:
        await self._profiles.set_field(Requester(user_id, None, 0), user_id, key, value)

    async def _existing(self, user_id: UserID) -> Account:
        return await self._database.read(local_account, user_id, self._server_name)

    async def _find(self, user_id: UserID) -> Account | None:
        check_local(user_id, self._server_name)
        return await self._database.read(find_account, user_id)


def _check_wish(account: Account | None, wish: UserWish, *, by: UserID | None) -> None:
    """Refuse what cannot be done of a wish."""
    if wish.password is not None:
        check_new_password(wish.password)
    fields: Mapping[str, Any] = {DISPLAY_NAME: wish.display_name, AVATAR: wish.avatar_url}  # Any: as checked
    for key, value in fields.items():
        if value is not None:
            check_field(key, value)
    is_closed = account is not None and account.is_deactivated
    if is_closed and wish.is_deactivated is False:
        raise InvalidParameter("An account that was closed is not opened again")
    if is_closed and (wish.password is not None or wish.is_admin or wish.is_locked):
        raise InvalidParameter(CLOSED)
    was_admin = account is not None and account.is_admin
    if account is not None and account.user_id == by and wish.is_admin is False:
        raise InvalidParameter("You cannot take this from yourself")
    if account is not None and account.kind is AccountKind.GUEST and wish.is_admin:
        raise InvalidParameter("A guest is no administrator")
    if wish.is_locked and (was_admin if wish.is_admin is None else wish.is_admin):
        raise Forbidden("An administrator cannot be locked")


def _set_admin(tx: Transaction, user_id: UserID, *, is_admin: bool) -> None:
    account = find_account(tx, user_id)
    if account is None or (account.is_deactivated and is_admin):
        raise NotFound(NOBODY)
    if account.kind is AccountKind.GUEST and is_admin:
        raise InvalidParameter("A guest is no administrator")
    update_account(tx, replace(account, is_admin=is_admin))
