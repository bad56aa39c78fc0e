"""Changing passwords. Spec: client-server-api/#changing-the-password"""

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.services.accounts.interactive_auth import Attempt, InteractiveAuth
from homeserver.services.accounts.passwords import Passwords, check_new_password
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import Sessions
from homeserver.services.errors import NotFound
from homeserver.storage.accounts import find_account, set_password_hash
from homeserver.storage.database import Database, Transaction
from homeserver.storage.login_tokens import delete_login_tokens


class PasswordChange:
    """Puts another password in place of a user's."""

    def __init__(
        self, database: Database, passwords: Passwords, interactive_auth: InteractiveAuth, sessions: Sessions
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._interactive_auth = interactive_auth
        self._sessions = sessions

    async def change(
        self, requester: Requester, new_password: str, attempt: Attempt, *, logout_devices: bool = True
    ) -> None:
        """Change one's own password once the old one was shown; the session that asks goes on.

        Raises WeakPassword, InvalidParameter, UserInteractionRequired.
        """
        check_new_password(new_password)
        await self._interactive_auth.confirm_user(requester.user_id, attempt)
        password_hash = await self._passwords.hash_new(new_password)
        await self._database.write(
            self._store, requester.user_id, password_hash, logout_devices=logout_devices, besides=requester.device_id
        )

    async def set_by_administrator(self, user_id: UserID, new_password: str, *, logout_devices: bool = True) -> None:
        """Give a user a password. Raises NotFound, WeakPassword, InvalidParameter."""
        password_hash = await self._passwords.hash_new(new_password)
        await self._database.write(self._store, user_id, password_hash, logout_devices=logout_devices, besides=None)

    def _store(
        self, tx: Transaction, user_id: UserID, password_hash: str, *, logout_devices: bool, besides: DeviceID | None
    ) -> None:
        account = find_account(tx, user_id)
        if account is None or account.is_deactivated:
            raise NotFound("This server knows no such user")
        set_password_hash(tx, user_id, password_hash)
        delete_login_tokens(tx, user_id)
        if logout_devices:
            self._sessions.end_all(tx, user_id, besides=besides)
