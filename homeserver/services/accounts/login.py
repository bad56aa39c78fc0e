"""Logging in: with a password, with a token that counts once, or as an application service.

Spec: client-server-api/#login. What a login leads to is in sessions.py.
"""

from typing import Final

from homeserver.core.errors import BadIdentifier
from homeserver.core.identifiers import ServerName, UserID, parse_user_id, server_name_of_user
from homeserver.core.rate_limits import network_of
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.password_check import WRONG, PasswordCheck
from homeserver.services.accounts.passwords import Passwords
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.sessions import DeviceWish, OpenedSession, Sessions
from homeserver.services.accounts.token_values import LOGIN, hash_of, is_possible, new_token
from homeserver.services.errors import Forbidden, UserDeactivated, UserLocked
from homeserver.services.rate_limits import Counted, Draw, RateLimits
from homeserver.services.spam_checks import SpamChecks
from homeserver.storage.accounts import Account, AccountKind, find_account, set_password_hash
from homeserver.storage.database import Database, Transaction
from homeserver.storage.login_tokens import find_login_token, insert_login_token, take_login_token

LOGIN_TOKEN_LIFETIME_MS: Final = 120_000


class Login:
    """Lets users in."""

    def __init__(
        self,
        database: Database,
        check: PasswordCheck,
        passwords: Passwords,
        sessions: Sessions,
        limits: RateLimits,
        checks: SpamChecks,
        clock: Clock,
        randomness: Randomness,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._check = check
        self._passwords = passwords
        self._sessions = sessions
        self._limits = limits
        self._checks = checks
        self._clock = clock
        self._randomness = randomness
        self._server_name = server_name

    async def with_password(
        self, user: str | None, password: str, device: DeviceWish, address: str = ""
    ) -> OpenedSession:
        """Log in. `user` is a user ID or its local part; None when it was named in a way that leads to nobody.

        `address` is where the login comes from: whoever tries the passwords of many accounts fails there.
        Raises Forbidden, LimitExceeded, UserLocked.
        """
        failure = Draw(Counted.FAILED_LOGINS_BY_ADDRESS, network_of(address))
        self._limits.draw(failure)  # before, so that many at once do not get past
        account = await self._check.check(self.user_id_of(user), password)
        self._limits.give_back(failure)
        await self._may_log_in(account.user_id, device, address)
        newer_hash = None
        if account.password_hash is not None and self._passwords.is_outdated(account.password_hash):
            newer_hash = await self._passwords.hash_new(password)
        return await self._database.write(self._open_checked, account, device, newer_hash)

    async def with_token(self, token: str, device: DeviceWish, address: str = "") -> OpenedSession:
        """Log in with a token from `issue_token`. Raises Forbidden, UserLocked."""
        if not is_possible(token, LOGIN):
            raise Forbidden("This login token is not valid")
        if self._checks.has("may_log_in"):
            user_id = await self._database.read(find_login_token, hash_of(token), now_ms=self._clock.now_ms())
            if user_id is not None:
                await self._may_log_in(user_id, device, address)
        session = await self._database.write(self._open_with_token, hash_of(token), device)
        if session is None:
            raise Forbidden("This login token is not valid")
        return session

    async def as_appservice(self, requester: Requester | None, user: str | None, device: DeviceWish) -> OpenedSession:
        """Log a user in for whom an application service speaks. `requester` is the application service as that user.

        Raises Forbidden. Spec: application-service-api/#server-admin-style-permissions
        """
        user_id = self.user_id_of(user)
        if requester is None or requester.appservice_id is None or user_id is None:
            raise Forbidden("Only an application service can log in in this way")
        return await self._database.write(self._open_for_appservice, user_id, requester.appservice_id, device)

    async def _may_log_in(self, user_id: UserID, device: DeviceWish, address: str) -> None:
        await self._checks.ask("may_log_in", user_id, device.device_id, device.display_name, address)

    async def issue_token(self, user_id: UserID) -> tuple[str, int]:
        """A token with which to log in once, and for how many milliseconds."""
        token = new_token(LOGIN, self._randomness)
        expires_ms = self._clock.now_ms() + LOGIN_TOKEN_LIFETIME_MS
        await self._database.write(insert_login_token, hash_of(token), user_id, expires_ms=expires_ms)
        return token, LOGIN_TOKEN_LIFETIME_MS

    def user_id_of(self, user: str | None) -> UserID | None:
        """The user ID that a client means; None for what is none of this server."""
        if not user:
            return None
        try:
            user_id = parse_user_id(user if user.startswith("@") else f"@{user.lower()}:{self._server_name}")
        except BadIdentifier:
            return None
        return user_id if server_name_of_user(user_id) == self._server_name else None

    def _open_checked(
        self, tx: Transaction, checked: Account, device: DeviceWish, newer_hash: str | None
    ) -> OpenedSession:
        account = find_account(tx, checked.user_id)
        if account is None or account.is_deactivated or account.password_hash != checked.password_hash:
            raise Forbidden(WRONG)
        if newer_hash is not None:
            set_password_hash(tx, account.user_id, newer_hash)
        return self._open(tx, account, device)

    def _open_with_token(self, tx: Transaction, token_hash: bytes, device: DeviceWish) -> OpenedSession | None:
        """None, and the token is used up, when it does not let in: an exception would undo that."""
        user_id = take_login_token(tx, token_hash, now_ms=self._clock.now_ms())
        account = None if user_id is None else find_account(tx, user_id)
        return None if account is None or account.is_deactivated else self._open(tx, account, device)

    def _open_for_appservice(
        self, tx: Transaction, user_id: UserID, appservice_id: str, device: DeviceWish
    ) -> OpenedSession:
        account = find_account(tx, user_id)
        if account is None or account.kind is not AccountKind.APPSERVICE or account.appservice_id != appservice_id:
            raise Forbidden("The application service has not registered this user")
        return self._open(tx, account, device)

    def _open(self, tx: Transaction, account: Account, device: DeviceWish) -> OpenedSession:
        if account.is_deactivated:
            raise UserDeactivated
        if account.is_locked:
            raise UserLocked
        return self._sessions.open(tx, account.user_id, device)
