"""Administrators who lock or suspend accounts. Spec: client-server-api/#server-administration

A locked account can do nothing at all until it is unlocked; one that is suspended can read, leave, and take back what
it said. What each endpoint lets through is on its mark, and judged in http/authentication.py.
"""

from dataclasses import replace

from homeserver.core.identifiers import ServerName, UserID
from homeserver.services.accounts.local_accounts import ADMINISTRATOR, open_account
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.errors import Forbidden
from homeserver.storage.accounts import Account, update_account
from homeserver.storage.database import Database, Transaction


class AccountModeration:
    """Locks and suspends.

    Each method raises InvalidParameter for users of other servers, NotFound for those who do not exist or are
    deactivated, and Forbidden for administrators of this one; but what they were under before they became one may be
    ended, which is a departure from the specification: they could not be made to be of use otherwise.
    """

    def __init__(self, database: Database, tokens: AccessTokens, server_name: ServerName) -> None:
        self._database = database
        self._tokens = tokens
        self._server_name = server_name

    async def is_locked(self, user_id: UserID) -> bool:
        """Whether an account is locked."""
        return (await self._database.read(self._account, user_id)).is_locked

    async def is_suspended(self, user_id: UserID) -> bool:
        """Whether an account is suspended."""
        return (await self._database.read(self._account, user_id)).is_suspended

    async def set_locked(self, user_id: UserID, *, is_locked: bool) -> None:
        """Lock an account, or unlock it. Its sessions stay, and are of no use meanwhile."""
        await self._database.write(self._set_locked, user_id, is_locked=is_locked)
        self._tokens.forget_user(user_id)

    async def set_suspended(self, user_id: UserID, *, is_suspended: bool) -> None:
        """Suspend an account, or end that."""
        await self._database.write(self._set_suspended, user_id, is_suspended=is_suspended)
        self._tokens.forget_user(user_id)

    def _account(self, tx: Transaction, user_id: UserID) -> Account:
        account = open_account(tx, user_id, self._server_name)
        if account.is_admin:
            raise Forbidden(ADMINISTRATOR)
        return account

    def _set_locked(self, tx: Transaction, user_id: UserID, *, is_locked: bool) -> None:
        account = open_account(tx, user_id, self._server_name)
        if account.is_admin and (is_locked or not account.is_locked):
            raise Forbidden(ADMINISTRATOR)
        update_account(tx, replace(account, is_locked=is_locked))

    def _set_suspended(self, tx: Transaction, user_id: UserID, *, is_suspended: bool) -> None:
        account = open_account(tx, user_id, self._server_name)
        if account.is_admin and (is_suspended or not account.is_suspended):
            raise Forbidden(ADMINISTRATOR)
        update_account(tx, replace(account, is_suspended=is_suspended))
