"""The filters that syncs name by their IDs, parsed once. How they are uploaded is in services/accounts/filters.py."""

from typing import Final

import orjson

from homeserver.core.errors import BadJson
from homeserver.core.filters import DEFAULT_FILTER, Filter, parse_filter
from homeserver.core.identifiers import UserID
from homeserver.services.errors import InvalidParameter
from homeserver.services.sync.memory import Recent
from homeserver.storage.database import Database
from homeserver.storage.filters import find_filter

PARSED_FILTERS: Final = 10_000


class StoredFilters:
    """Finds filters. One that was uploaded never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._parsed: Recent[tuple[UserID, str], Filter] = Recent(PARSED_FILTERS)

    async def find(self, user_id: UserID, given: str | None) -> Filter:
        """What a client gave as `filter`: JSON, the ID of its user's own filter, or nothing.

        Raises InvalidParameter.
        """
        if not given:
            return DEFAULT_FILTER
        known = self._parsed.get((user_id, given))
        if known is not None:
            return known
        definition = given.encode() if given.startswith("{") else await self._database.read(find_filter, user_id, given)
        if definition is None:
            raise InvalidParameter("There is no filter of this ID")
        try:
            parsed = parse_filter(orjson.loads(definition))
        except (orjson.JSONDecodeError, BadJson) as bad:
            raise InvalidParameter(f"filter: {bad}") from bad
        self._parsed.put((user_id, given), parsed)
        return parsed
