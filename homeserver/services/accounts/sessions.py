"""Sessions: begun by a login, continued by refresh tokens, ended by a logout.

Who may begin one is in login.py and registration.py; whose an access token is, in tokens.py.
"""

from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.runtime.randomness import Randomness
from homeserver.services.accounts.device_removal import DeviceRemoval
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.token_values import ACCESS, REFRESH, hash_of, is_possible, new_token
from homeserver.services.accounts.tokens import AccessTokens
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import Forbidden, UnknownToken, UserLocked
from homeserver.storage.access_tokens import (
    Session,
    end_refresh_token,
    end_sessions,
    expire_successors,
    find_refresh_token,
    insert_access_token,
    insert_refresh_token,
    insert_session,
)
from homeserver.storage.accounts import find_account
from homeserver.storage.cross_signing import cross_signing_keys_of
from homeserver.storage.database import Database, Transaction
from homeserver.storage.devices import devices_of_user, insert_device
from homeserver.storage.login_tokens import delete_login_tokens

LONGEST_NAME: Final = 256  # characters of a device's display name
DEVICE_ID_LENGTH: Final = 10
RETRY_MS: Final = 60_000  # so long a request for new tokens may still be under way after their first use


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """The device that is to be logged in. Without an ID it is a new one."""

    device_id: DeviceID | None = None
    display_name: str | None = None
    wants_refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What the client gets. Without a refresh token the access token does not expire."""

    access_token: str
    refresh_token: str | None = None
    expires_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """Who is logged in now, and with what."""

    user_id: UserID
    device_id: DeviceID
    tokens: IssuedTokens


class Sessions:
    """Begins, continues and ends sessions."""

    def __init__(
        self,
        database: Database,
        tokens: AccessTokens,
        removal: DeviceRemoval,
        device_lists: DeviceLists,
        clock: Clock,
        randomness: Randomness,
        access_token_lifetime_ms: int,
    ) -> None:
        """`access_token_lifetime_ms` counts for access tokens that come with a refresh token."""
        self._database = database
        self._tokens = tokens
        self._removal = removal
        self._device_lists = device_lists
        self._clock = clock
        self._randomness = randomness
        self._lifetime_ms = access_token_lifetime_ms

    def open(self, tx: Transaction, user_id: UserID, wish: DeviceWish, *, until_ms: int | None = None) -> OpenedSession:
        """Log a device in, within a write of the caller. Sessions that the device had before end. Raises Forbidden.

        `until_ms`: when an access token without a refresh token expires; None for never.
        """
        device_id = wish.device_id
        now_ms = self._clock.now_ms()
        name = None if wish.display_name is None else wish.display_name.replace("\0", "")[:LONGEST_NAME]
        if device_id is None:
            device_id = DeviceID(self._randomness.opaque_id("", DEVICE_ID_LENGTH))
        elif any(key.public_key == device_id for key in cross_signing_keys_of(tx, user_id).values()):
            raise Forbidden("A device cannot be called like one of your cross-signing keys")
        if insert_device(tx, user_id, device_id, display_name=name, now_ms=now_ms):
            self._device_lists.note_change(tx, user_id, (device_id,))
        else:
            self._end(tx, user_id, device_id)
        session = insert_session(tx, user_id, device_id, now_ms=now_ms)
        issued = self._issue(tx, session, replaces=None, with_refresh_token=wish.wants_refresh_token, until_ms=until_ms)
        return OpenedSession(user_id, device_id, issued)

    async def refresh(self, refresh_token: str) -> IssuedTokens:
        """A new pair of tokens. The refresh token shown counts until one of the pair is used.

        Whoever shows it after that is not the only one who has it: nobody can tell who is the thief, and the session
        ends. Raises UnknownToken, UserLocked. Spec: client-server-api/#refreshing-access-tokens
        """
        issued = None
        if is_possible(refresh_token, REFRESH):
            issued = await self._database.write(self._refresh, hash_of(refresh_token))
        if issued is None:
            raise UnknownToken("Unknown refresh token")
        return issued

    async def log_out(self, requester: Requester) -> None:
        """End the session, and remove its device."""
        if requester.device_id is not None:
            await self._database.write(self._removal.remove, requester.user_id, (requester.device_id,))

    async def log_out_all(self, user_id: UserID) -> None:
        """End all sessions of a user, and remove all devices."""
        await self._database.write(self._log_out_all, user_id)

    def end_all(self, tx: Transaction, user_id: UserID, *, besides: DeviceID | None) -> None:
        """Remove all devices of a user but one, within a write of the caller."""
        device_ids = [device.device_id for device in devices_of_user(tx, user_id)]
        self._removal.remove(tx, user_id, [device_id for device_id in device_ids if device_id != besides])

    def _log_out_all(self, tx: Transaction, user_id: UserID) -> None:
        delete_login_tokens(tx, user_id)  # or somebody who got one from a session that ends here would come back in
        self.end_all(tx, user_id, besides=None)

    def _refresh(self, tx: Transaction, token_hash: bytes) -> IssuedTokens | None:
        """None for what is no refresh token, or not any more: an exception would undo the end of the session."""
        found = find_refresh_token(tx, token_hash)
        account = None if found is None else find_account(tx, found.session.user_id)
        if found is None or account is None or account.is_deactivated:
            return None
        now_ms = self._clock.now_ms()
        if found.ended_ms is not None:
            if now_ms - found.ended_ms > RETRY_MS:
                self._end(tx, found.session.user_id, found.session.device_id)
            return None
        if account.is_locked:
            raise UserLocked
        if found.replaces is not None:
            end_refresh_token(tx, found.session, found.replaces, now_ms=now_ms)
        ended = expire_successors(tx, found.session, token_hash, now_ms=now_ms)
        tx.after_commit(lambda: self._tokens.forget_tokens(ended))
        return self._issue(tx, found.session, replaces=token_hash, with_refresh_token=True)

    def _end(self, tx: Transaction, user_id: UserID, device_id: DeviceID) -> None:
        """End the sessions of a device, which itself stays."""
        end_sessions(tx, user_id, device_id)
        tx.after_commit(lambda: self._tokens.forget_devices(user_id, (device_id,)))

    def _issue(
        self,
        tx: Transaction,
        session: Session,
        *,
        replaces: bytes | None,
        with_refresh_token: bool,
        until_ms: int | None = None,
    ) -> IssuedTokens:
        now_ms = self._clock.now_ms()
        expires_ms = now_ms + self._lifetime_ms if with_refresh_token else until_ms
        access_token = new_token(ACCESS, self._randomness)
        insert_access_token(
            tx,
            hash_of(access_token),
            session,
            now_ms=now_ms,
            expires_ms=expires_ms,
            replaces=replaces,
        )
        if not with_refresh_token:
            return IssuedTokens(access_token)
        refresh_token = new_token(REFRESH, self._randomness)
        insert_refresh_token(tx, hash_of(refresh_token), session, now_ms=now_ms, replaces=replaces)
        return IssuedTokens(access_token, refresh_token, self._lifetime_ms)
