"""Guests: accounts that anybody has for the asking, where the server allows it, and that may little.

What they may is on the marks of endpoints (`guests`), and judged in http/authentication.py; which rooms they may be in,
in services/rooms/guests.py. Spec: client-server-api/#guest-access
"""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

from homeserver.core.identifiers import ServerName, UserID, parse_user_id
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.new_accounts import NewAccounts
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession, Sessions
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import Forbidden, GuestAccessForbidden, UserInUse, UserLocked
from homeserver.storage.accounts import Account, AccountKind, find_account, insert_account, update_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.user_directory import note_names

NAME_LENGTH: Final = 16


class GuestAccounts:
    """Makes guests, and users of guests."""

    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        tokens: AccessTokens,
        new_accounts: NewAccounts,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
        *,
        are_allowed: bool,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._tokens = tokens
        self._new_accounts = new_accounts
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name
        self._are_allowed = are_allowed

    async def register(self, device_name: str | None, address: str = "") -> OpenedSession:
        """A new guest from some address, logged in; the server chooses user and device.

        Raises GuestAccessForbidden, LimitExceeded.
        """
        if not self._are_allowed:
            raise GuestAccessForbidden("This server has no guest accounts")
        self._new_accounts.count(address)
        localpart = self._randomness.opaque_id("guest-", NAME_LENGTH).lower()
        account = Account(parse_user_id(f"@{localpart}:{self._server_name}"), AccountKind.GUEST, self._clock.now_ms())
        return await self._database.write(self._create, account, device_name)

    async def check_is_guest(self, token: str, user_id: UserID) -> None:
        """Check that an access token is that of the guest of this name. Raises Forbidden, UserLocked."""
        found = self._tokens.find(token)
        guest = await found if isinstance(found, Awaitable) else found
        if guest is None or not _is_guest(guest, user_id):
            raise Forbidden("This is not the access token of a guest of this name")
        if guest.is_locked:
            raise UserLocked

    def upgrade(self, tx: Transaction, account: Account) -> None:
        """Make a guest the user of `account`, within a write of the caller. Raises UserInUse when it is no guest."""
        guest = find_account(tx, account.user_id)
        if guest is None or guest.kind is not AccountKind.GUEST or guest.is_deactivated or guest.is_locked:
            raise UserInUse
        upgraded = replace(
            guest,
            kind=account.kind,
            password_hash=account.password_hash,
            probation_until_ms=account.probation_until_ms,
        )
        update_account(tx, upgraded)
        tx.after_commit(lambda: self._tokens.forget_user(account.user_id))

    def _create(self, tx: Transaction, account: Account, device_name: str | None) -> OpenedSession:
        if not insert_account(tx, account):
            raise UserInUse
        note_names(tx, {account.user_id: None})
        return self._sessions.open(tx, account.user_id, DeviceWish(display_name=device_name))


def _is_guest(requester: Requester, user_id: UserID) -> bool:
    return requester.is_guest and requester.user_id == user_id and requester.appservice_id is None
