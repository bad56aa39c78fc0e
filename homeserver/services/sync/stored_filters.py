"""The filters that syncs name by their IDs, parsed once. How they are uploaded is in services/accounts/filters.py."""

from typing import Final

import orjson

from homeserver.core.errors import BadJson
from homeserver.core.filters import DEFAULT_FILTER, Filter, parse_filter
from homeserver.core.identifiers import UserID
from homeserver.runtime.caches import BoundedCache, CacheBudget
from homeserver.services.errors import InvalidParameter
from homeserver.storage.database import Database
from homeserver.storage.filters import find_filter

LARGEST_INLINE_BYTES: Final = 2_048  # a larger filter that is not stored is parsed each time
BYTES_PARSED: Final = 20  # for each byte of a definition


class StoredFilters:
    """Finds filters. One that was uploaded never changes."""

    def __init__(self, database: Database, budget: CacheBudget) -> None:
        self._database = database
        self._parsed: BoundedCache[tuple[UserID, str], tuple[Filter, int]] = BoundedCache(
            "filters", budget, lambda parsed: 500 + BYTES_PARSED * parsed[1]
        )

    async def find(self, user_id: UserID, given: str | None) -> Filter:
        """What a client gave as `filter`: JSON, the ID of its user's own filter, or nothing.

        Raises InvalidParameter.
        """
        if not given:
            return DEFAULT_FILTER
        known = self._parsed.get((user_id, given))
        if known is not None:
            return known[0]
        definition = given.encode() if given.startswith("{") else await self._database.read(find_filter, user_id, given)
        if definition is None:
            raise InvalidParameter("There is no filter of this ID")
        try:
            parsed = parse_filter(orjson.loads(definition))
        except (orjson.JSONDecodeError, BadJson) as bad:
            raise InvalidParameter(f"filter: {bad}") from bad
        if len(given) <= LARGEST_INLINE_BYTES:
            self._parsed.put((user_id, given), (parsed, len(definition)))
        return parsed
