"""Client-server API: server side search."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from homeserver.core.filters import RoomEventFilter, parse_room_event_filter
from homeserver.core.search_words import SEARCHED
from homeserver.core.sync_tokens import parse_search_token
from homeserver.http.endpoint import ACCESS_TOKEN, JsonObject, Reply, Request, endpoint
from homeserver.http.parameters import checked_limit
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter
from homeserver.services.rooms.search import MOST_CONTEXT, ContextWish, Search, SearchWish

TYPES: Final = {f"content.{field}": event_type for event_type, field in SEARCHED.items()}
MOST_GROUPINGS: Final = 10


class ContextBody(msgspec.Struct, frozen=True):
    """What is wanted around each result."""

    before_limit: int = 5
    after_limit: int = 5
    include_profile: bool = False


class GroupBody(msgspec.Struct, frozen=True):
    """By what results are grouped."""

    key: Literal["room_id", "sender"]


class GroupingsBody(msgspec.Struct, frozen=True):
    """In which groups the results are wanted."""

    group_by: list[GroupBody] = []


class RoomEventsBody(msgspec.Struct, frozen=True):
    """What is searched in the events of rooms, and how the results are wanted."""

    search_term: str
    keys: list[Literal["content.body", "content.name", "content.topic"]] | None = None
    filter: JsonObject = {}
    order_by: Literal["recent", "rank"] = "rank"
    event_context: ContextBody | None = None
    include_state: bool = False
    groupings: GroupingsBody = GroupingsBody()


class CategoriesBody(msgspec.Struct, frozen=True):
    """What is searched."""

    room_events: RoomEventsBody | None = None


class SearchBody(msgspec.Struct, frozen=True):
    """A search."""

    search_categories: CategoriesBody


class SearchQuery(msgspec.Struct, frozen=True):
    """Where the search goes on."""

    next_batch: str | None = None


@dataclass(frozen=True)
class SearchEndpoints:
    """Full text search."""

    search: Search

    @endpoint(
        "POST",
        "/_matrix/client/v3/search",
        auth=ACCESS_TOKEN,
        limit=RateClass.SEARCH,
        spec="client-server-api/#post_matrixclientv3search",
        query=SearchQuery,
        body=SearchBody,
    )
    async def search_events(self, request: Request[SearchQuery, SearchBody]) -> Reply:
        """The events that have the words."""
        asked = request.body.search_categories.room_events
        if asked is None:
            return Reply({"search_categories": {}})
        viewer = request.viewer
        found = await self.search.search(viewer, _wish(asked, request.query.next_batch))
        shown: dict[str, Any] = {"count": found.count, "highlights": found.highlights, "results": found.results}
        if found.groups:
            shown["groups"] = found.groups
        if found.state is not None:
            shown["state"] = found.state
        if found.next_batch is not None:
            shown["next_batch"] = found.next_batch
        return Reply({"search_categories": {"room_events": shown}})


def _wish(asked: RoomEventsBody, next_batch: str | None) -> SearchWish:
    context, groups = asked.event_context, asked.groupings.group_by
    if len(groups) > MOST_GROUPINGS:
        raise InvalidParameter(f"At most {MOST_GROUPINGS} groupings can be asked for")
    return SearchWish(
        asked.search_term,
        event_filter=_filter(asked.filter),
        types=frozenset(TYPES.values() if asked.keys is None else (TYPES[key] for key in asked.keys)),
        by_rank=asked.order_by == "rank",
        context=None
        if context is None
        else ContextWish(_limit(context.before_limit), _limit(context.after_limit), context.include_profile),
        include_state=asked.include_state,
        group_by=tuple(dict.fromkeys(group.key for group in groups)),
        begin=None if not next_batch else parse_search_token(next_batch),
    )


def _filter(definition: JsonObject) -> RoomEventFilter:
    return parse_room_event_filter(definition)


def _limit(asked: int) -> int:
    return min(checked_limit(asked), MOST_CONTEXT)
