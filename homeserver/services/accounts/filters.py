"""Filters that clients upload once and name in their syncs. Spec: client-server-api/#filtering"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

from homeserver.core.filters import parse_filter
from homeserver.core.identifiers import UserID
from homeserver.runtime.clock import Clock
from homeserver.services.errors import Forbidden, NotFound, TooLarge
from homeserver.storage.database import Database
from homeserver.storage.filters import find_filter, store_filter

MAX_FILTER_BYTES: Final = 64 * 1024
DIGEST_BYTES: Final = 18  # of the digest that names a filter: 24 letters


class Filters:
    """Keeps filters. `requester` asks; what is not the requester's own is forbidden."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def upload(self, requester: UserID, user_id: UserID, definition: Mapping[str, Any]) -> str:
        """Keep a filter and return its ID: the same one whenever the same is said. Any: JSON, checked here.

        Raises Forbidden, BadJson, TooLarge.
        """
        _check_own(requester, user_id)
        parse_filter(definition)
        kept = orjson.dumps(definition)
        if len(kept) > MAX_FILTER_BYTES:
            raise TooLarge(f"A filter must not be larger than {MAX_FILTER_BYTES} bytes")
        filter_id = _id_of(definition)
        await self._database.write(store_filter, user_id, filter_id, kept, now_ms=self._clock.now_ms())
        return filter_id

    async def find(self, requester: UserID, user_id: UserID, filter_id: str) -> bytes:
        """The JSON of a filter, as it was uploaded. Raises Forbidden, NotFound."""
        _check_own(requester, user_id)
        definition = await self._database.read(find_filter, user_id, filter_id)
        if definition is None:
            raise NotFound("There is no filter of this ID")
        return definition


def _check_own(requester: UserID, user_id: UserID) -> None:
    if requester != user_id:
        raise Forbidden("These are another user's filters")


def _id_of(definition: Mapping[str, Any]) -> str:
    """A name for what the filter says, in whatever order. Any: JSON."""
    sorted_json = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    return urlsafe_b64encode(sha256(sorted_json).digest()[:DIGEST_BYTES]).decode()
