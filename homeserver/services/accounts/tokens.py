"""Whose an access token is: known from memory when it was used lately, else from the database.

How sessions and their tokens begin and end is in sessions.py.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Collection
from dataclasses import dataclass, replace
from typing import Final

from homeserver.core.identifiers import DeviceID, UserID
from homeserver.runtime.clock import Clock
from homeserver.services.accounts.appservice_names import AppserviceNames
from homeserver.services.accounts.requester import Requester
from homeserver.services.accounts.token_values import ACCESS, hash_of, is_possible
from homeserver.services.errors import Forbidden, UnknownDevice
from homeserver.storage.access_tokens import FoundAccessToken, end_refresh_token, find_access_token
from homeserver.storage.accounts import AccountKind, find_account
from homeserver.storage.database import Database, Transaction
from homeserver.storage.devices import find_device

MOST_KNOWN: Final = 50_000


@dataclass(frozen=True, slots=True)
class _Known:
    requester: Requester
    expires_ms: int | None


class AccessTokens:
    """Finds who calls. Writes that end tokens, or change what an account may, say so here after their commit."""

    def __init__(
        self,
        database: Database,
        appservices: AppserviceNames,
        clock: Clock,
        most_known: int = MOST_KNOWN,
        *,
        admits_guests: bool = True,
    ) -> None:
        """Where guests are not admitted the tokens of those who were are nobody's, until they are again."""
        self._database = database
        self._appservices = appservices
        self._clock = clock
        self._most_known = most_known
        self._admits_guests = admits_guests
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._by_user: dict[UserID, set[bytes]] = {}
        self._changes = 0  # how often something was forgotten: what was read before that is not to be remembered

    def find(self, token: str) -> Requester | Awaitable[Requester | None] | None:
        """Whose token it is: at once when memory knows, None for nobody's."""
        appservice = self._appservices.find_by_token(token)
        if appservice is not None:
            return appservice
        if not is_possible(token, ACCESS):
            return None
        token_hash = hash_of(token)
        known = self._known.get(token_hash)
        if known is None:
            return self._find_stored(token_hash)
        self._known.move_to_end(token_hash)
        return self._as_of_now(known)

    async def speak_for(self, requester: Requester, user_id: UserID | None, device_id: DeviceID | None) -> Requester:
        """The user, and the device, that an application service speaks for. Raises Forbidden, UnknownDevice."""
        appservice_id = requester.appservice_id or ""
        spoken_for = requester.user_id if user_id is None else user_id
        if user_id is not None and not self._appservices.may_speak_for(appservice_id, user_id):
            raise Forbidden("This user ID is not in the application service's namespace")
        if spoken_for == requester.user_id and device_id is None:
            return requester
        return await self._database.read(self._speak_for, requester, spoken_for, device_id)

    def forget_user(self, user_id: UserID) -> None:
        """Call after the commit of what changed an account, or ended all its sessions."""
        self._changes += 1
        for token_hash in self._by_user.pop(user_id, ()):
            del self._known[token_hash]

    def forget_devices(self, user_id: UserID, device_ids: Collection[DeviceID]) -> None:
        """Call after the commit of what ended the sessions of devices."""
        self._changes += 1
        for token_hash in list(self._by_user.get(user_id, ())):
            if self._known[token_hash].requester.device_id in device_ids:
                self._forget(token_hash)

    def forget_tokens(self, token_hashes: Collection[bytes]) -> None:
        """Call after the commit of what ended or changed single tokens."""
        self._changes += 1
        for token_hash in token_hashes:
            self._forget(token_hash)

    def __len__(self) -> int:
        """How many tokens are in memory."""
        return len(self._known)

    async def _find_stored(self, token_hash: bytes) -> Requester | None:
        changes = self._changes
        found = await self._database.read(find_access_token, token_hash)
        if found is None or found.is_deactivated or (found.kind is AccountKind.GUEST and not self._admits_guests):
            return None
        if found.replaces is not None:
            await self._database.write(self._end_replaced, token_hash)
            changes = self._changes
            found = await self._database.read(find_access_token, token_hash)
            if found is None or found.is_deactivated:
                return None
        known = _Known(_requester(found), found.expires_ms)
        if changes == self._changes:
            self._remember(token_hash, known)
        return self._as_of_now(known)

    def _end_replaced(self, tx: Transaction, token_hash: bytes) -> None:
        # The first use of a token ends the refresh token that it was got for.
        # Spec: client-server-api/#refreshing-access-tokens
        found = find_access_token(tx, token_hash)
        if found is not None and found.replaces is not None:
            end_refresh_token(tx, found.session, found.replaces, now_ms=self._clock.now_ms())

    def _speak_for(
        self, tx: Transaction, requester: Requester, user_id: UserID, device_id: DeviceID | None
    ) -> Requester:
        account = find_account(tx, user_id)
        if account is None or account.is_deactivated:
            raise Forbidden("The application service has not registered this user")
        if device_id is not None and find_device(tx, user_id, device_id) is None:
            raise UnknownDevice
        return replace(
            requester,
            user_id=user_id,
            device_id=device_id,
            is_locked=account.is_locked,
            is_suspended=account.is_suspended,
            is_shadow_banned=account.is_shadow_banned,
        )

    def _as_of_now(self, known: _Known) -> Requester:
        if known.expires_ms is not None and known.expires_ms <= self._clock.now_ms():
            return replace(known.requester, is_soft_logged_out=True)
        return known.requester

    def _remember(self, token_hash: bytes, known: _Known) -> None:
        self._known[token_hash] = known
        self._by_user.setdefault(known.requester.user_id, set()).add(token_hash)
        if len(self._known) > self._most_known:
            self._forget(next(iter(self._known)))

    def _forget(self, token_hash: bytes) -> None:
        known = self._known.pop(token_hash, None)
        if known is None:
            return
        user_id = known.requester.user_id
        hashes = self._by_user[user_id]
        hashes.discard(token_hash)
        if not hashes:
            del self._by_user[user_id]


def _requester(found: FoundAccessToken) -> Requester:
    return Requester(
        user_id=found.session.user_id,
        device_id=found.session.device_id,
        session_id=found.session.session_id,
        is_guest=found.kind is AccountKind.GUEST,
        is_admin=found.is_admin,
        is_locked=found.is_locked,
        is_suspended=found.is_suspended,
        is_shadow_banned=found.is_shadow_banned,
        is_rate_limited=found.is_rate_limited,
        rate_limit=found.rate_limit,
        probation_until_ms=found.probation_until_ms,
    )
