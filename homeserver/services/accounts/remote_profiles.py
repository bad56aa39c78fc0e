"""Profiles of users of other servers: asked for when somebody wants to see one, and remembered for a while.

Anybody may want to see one, without an account: so no more than a few are asked for at once.
Spec: server-server-api/#get_matrixfederationv1queryprofile
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import UserID, server_name_of_user
from homeserver.outbound.errors import RemoteError, RemoteRefused
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.runtime.clock import Clock
from homeserver.runtime.locks import KeyedLocks
from homeserver.services.accounts.profiles import AVATAR, DISPLAY_NAME, LARGEST_BYTES, is_key
from homeserver.services.errors import Forbidden, LimitExceeded, NotFound, RemoteFailed

TIMEOUT_S: Final = 10.0
MOST_BYTES: Final = 2 * LARGEST_BYTES  # of an answer, which may be written wastefully
MOST_FIELDS: Final = 1_000
MOST_WAITING: Final = 100
RETRY_AFTER_MS: Final = 1_000
REMEMBERED_S: Final = 300.0
ABSENCE_REMEMBERED_S: Final = 60.0  # that there is no such user


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a server said of a user, in JSON by field; None for a user whom it does not know."""

    fields: Mapping[str, bytes] | None
    until_s: float

    @property
    def size_bytes(self) -> int:
        return sum(100 + len(key) + len(value) for key, value in (self.fields or {}).items())


class RemoteProfileQueries:
    """Asks other servers for profiles: see RemoteProfiles."""

    def __init__(self, client: FederationClient, budget: CacheBudget, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._remembered: BoundedCache[UserID, _Remembered] = BoundedCache(
            "remote profiles", budget, lambda one: one.size_bytes
        )
        self._locks: KeyedLocks[UserID] = KeyedLocks()
        self._waiting = 0

    async def profile(self, user_id: UserID) -> Mapping[str, Any]:  # Any: JSON
        """All fields of a user's profile. Raises NotFound, Forbidden, RemoteFailed, LimitExceeded."""
        found = self._recall(user_id)
        if found is None:
            found = await self._asked_in_turn(user_id)
        if found.fields is None:
            raise NotFound("Their server knows no such user")
        return {key: orjson.Fragment(value) for key, value in found.fields.items()}

    def _recall(self, user_id: UserID) -> _Remembered | None:
        found = self._remembered.get(user_id)
        return found if found is not None and self._clock.seconds() < found.until_s else None

    async def _asked_in_turn(self, user_id: UserID) -> _Remembered:
        if self._waiting >= MOST_WAITING:
            raise LimitExceeded(RETRY_AFTER_MS, "Too many profiles of other servers are asked for")
        self._waiting += 1
        try:
            async with self._locks(user_id):
                found = self._recall(user_id)  # of somebody who asked at the same time
                if found is None:
                    found = await self._asked(user_id)
                    self._remembered.put(user_id, found)
                return found
        finally:
            self._waiting -= 1

    async def _asked(self, user_id: UserID) -> _Remembered:
        server = server_name_of_user(user_id)
        try:
            answer = await self._client.query_profile(server, user_id, timeout_s=TIMEOUT_S, most_bytes=MOST_BYTES)
        except RemoteRefused as refused:
            if refused.status == 403:
                raise Forbidden("Their server does not show the profile") from None
            if refused.status != 404 or refused.is_unrecognized:
                raise RemoteFailed from None
            return _Remembered(None, self._clock.seconds() + ABSENCE_REMEMBERED_S)
        except RemoteError:
            raise RemoteFailed from None
        return _Remembered(_fields(answer), self._clock.seconds() + REMEMBERED_S)


def _fields(answer: Mapping[str, Any]) -> dict[str, bytes]:
    """The fields that can be shown, in JSON: others are left out. Raises RemoteFailed for too much of it."""
    fields: dict[str, bytes] = {}
    for key, value in islice(answer.items(), MOST_FIELDS):
        if value is None or not is_key(key) or (key in (DISPLAY_NAME, AVATAR) and not isinstance(value, str)):
            continue
        try:
            fields[key] = encode_canonical(value)
        except ProtocolError:
            continue
    if sum(len(key) + len(value) for key, value in fields.items()) > LARGEST_BYTES:
        raise RemoteFailed("The other server's answer is no profile")
    return fields
