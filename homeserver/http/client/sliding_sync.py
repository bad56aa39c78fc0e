"""Client-server API: sliding sync, which is not in the specification yet. Spec: MSC4186

The shape is that of the unstable endpoint, which clients use: what it asks for is in services/sync/sliding_request.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from homeserver.core.errors import BadIdentifier, BadToken
from homeserver.core.identifiers import RoomID, UserID, parse_room_id
from homeserver.core.presence import PresenceWord
from homeserver.core.required_state import required_state
from homeserver.core.sliding_tokens import SlidingToken, parse_sliding_token, parse_to_device_token
from homeserver.http.endpoint import ACCESS_TOKEN, Reply, Request, endpoint
from homeserver.http.rate_limiting import RateClass
from homeserver.services.errors import InvalidParameter, UnknownPosition
from homeserver.services.events.client_format import Viewer
from homeserver.services.rooms.presence import Presence
from homeserver.services.rooms.thread_subscriptions import DEFAULT_CHANGES
from homeserver.services.sync.sliding_extensions import THREAD_SUBSCRIPTIONS
from homeserver.services.sync.sliding_poll import SlidingPoll
from homeserver.services.sync.sliding_request import (
    MOST_TIMELINE_EVENTS,
    Extensions,
    ListConfig,
    ListFilter,
    RoomConfig,
    Scope,
    SlidingRequest,
    ToDeviceWish,
)

MOST_LISTS: Final = 100
MOST_RANGES: Final = 20
MOST_SUBSCRIPTIONS: Final = 500
MOST_PAIRS: Final = 200  # of required state, in one list or subscription
MOST_PAIRS_TOGETHER: Final = 2_000  # of all that differ
MOST_FILTERED: Final = 100  # spaces, types or tags of one filter
LONGEST_NAME: Final = 255
DEFAULT_TO_DEVICE_LIMIT: Final = 100
EVERYTHING: Final = "*"

Pairs = list[tuple[str, str]]


class SlidingQuery(msgspec.Struct, frozen=True):
    """Where the connection stands, and how long it waits."""

    pos: str | None = None
    timeout: int = 0
    set_presence: PresenceWord | None = None  # online, unless the user has said something else


class FilterBody(msgspec.Struct, frozen=True):
    """Which rooms a list has."""

    is_dm: bool | None = None
    is_encrypted: bool | None = None
    is_invite: bool | None = None
    is_invited: bool | None = None  # as the proposal calls it by now
    spaces: list[str] | None = None
    room_types: list[str | None] | None = None
    not_room_types: list[str | None] | None = None
    tags: list[str] | None = None
    not_tags: list[str] | None = None
    room_name_like: str | None = None


class SubscriptionBody(msgspec.Struct, frozen=True):
    """What is to be told of a room."""

    timeline_limit: int
    required_state: Pairs


class ListBody(msgspec.Struct, frozen=True):
    """A list of rooms, and what is to be told of those in its ranges."""

    timeline_limit: int
    required_state: Pairs
    ranges: list[tuple[int, int]] | None = None
    range: tuple[int, int] | None = None
    filters: FilterBody | None = None


class ExtensionBody(msgspec.Struct, frozen=True):
    """Whether an extension is wanted, and of which rooms."""

    enabled: bool | None = False
    lists: list[str] | None = msgspec.field(default_factory=lambda: [EVERYTHING])
    rooms: list[str] | None = msgspec.field(default_factory=lambda: [EVERYTHING])


class ToDeviceBody(msgspec.Struct, frozen=True):
    """Whether messages for the device are wanted, and which it has."""

    enabled: bool | None = False
    limit: int = DEFAULT_TO_DEVICE_LIMIT
    since: str | None = None


class E2eeBody(msgspec.Struct, frozen=True):
    """Whether it is wanted to be told of devices and keys."""

    enabled: bool | None = False


class ThreadSubscriptionsBody(msgspec.Struct, frozen=True):
    """Whether changes of subscriptions to threads are wanted, and how many at most."""

    enabled: bool | None = False
    limit: int = DEFAULT_CHANGES


class ExtensionsBody(msgspec.Struct, frozen=True, rename={"thread_subscriptions": THREAD_SUBSCRIPTIONS}):
    """What is wanted beside the rooms. What is not known here is not answered."""

    to_device: ToDeviceBody | None = None
    e2ee: E2eeBody | None = None
    account_data: ExtensionBody | None = None
    receipts: ExtensionBody | None = None
    typing: ExtensionBody | None = None
    thread_subscriptions: ThreadSubscriptionsBody | None = None


class SlidingBody(msgspec.Struct, frozen=True):
    """What a client wants to be told of."""

    conn_id: str | None = None
    lists: dict[str, ListBody] | None = None
    room_subscriptions: dict[str, SubscriptionBody] | None = None
    extensions: ExtensionsBody | None = None


@dataclass(frozen=True)
class SlidingSyncEndpoints:
    """The long poll over windows of lists of rooms."""

    poll: SlidingPoll
    presence: Presence

    @endpoint(
        "POST",
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        auth=ACCESS_TOKEN,
        limit=RateClass.FREE,
        spec="MSC4186",
        query=SlidingQuery,
        body=SlidingBody,
        guests=True,
        waits=True,
    )
    async def sync(self, request: Request[SlidingQuery, SlidingBody]) -> Reply:
        """What happened in the rooms in sight since the client's position, now or when something does."""
        requester, asked = request.requester, _asked(request)
        with self.presence.polling(requester.user_id, requester.device_id, request.query.set_presence):
            answer = await self.poll.sync(asked)
        return Reply({"pos": str(answer.token), **answer.body})


def _asked(request: Request[SlidingQuery, SlidingBody]) -> SlidingRequest:
    """What a client asks for. Raises InvalidParameter and UnknownPosition."""
    query, body, requester = request.query, request.body, request.requester
    if query.timeout < 0:
        raise InvalidParameter("A timeout is not negative")
    _check_lengths([body.conn_id or ""], 1, "conn_id")
    _check_sizes(body)
    lists = {name: _list(one, requester.user_id) for name, one in (body.lists or {}).items()}
    subscriptions = {
        _room_id(room_id): _config(one, requester.user_id) for room_id, one in (body.room_subscriptions or {}).items()
    }
    _check_together([*(one.config for one in lists.values()), *subscriptions.values()])
    return SlidingRequest(
        viewer=Viewer(requester.user_id, requester.device_id),
        conn_id=body.conn_id or "",
        since=_position(query.pos),
        lists=lists,
        subscriptions=subscriptions,
        extensions=_extensions(body.extensions or ExtensionsBody()),
        timeout_ms=query.timeout,
    )


def _check_sizes(body: SlidingBody) -> None:
    lists, subscriptions = body.lists or {}, body.room_subscriptions or {}
    if len(subscriptions) > MOST_SUBSCRIPTIONS:
        raise InvalidParameter(f"More than {MOST_SUBSCRIPTIONS} room subscriptions")
    _check_lengths(lists, MOST_LISTS, "lists")


def _check_together(configs: Collection[RoomConfig]) -> None:
    """What is wanted of one room, because it is in many lists, is bounded too."""
    if sum(len(required.pairs) for required in {config.required_state for config in configs}) > MOST_PAIRS_TOGETHER:
        raise InvalidParameter("Too much required_state")


def _check_lengths(names: Collection[str], most: int, what: str) -> None:
    if len(names) > most:
        raise InvalidParameter(f"{what}: more than {most}")
    for name in names:
        if len(name.encode(errors="surrogatepass")) > LONGEST_NAME or "\0" in name:
            raise InvalidParameter(f"{what}: longer than {LONGEST_NAME} bytes, or not text")


def _position(pos: str | None) -> SlidingToken | None:
    if not pos:
        return None
    try:
        return parse_sliding_token(pos)
    except BadToken as bad:
        raise UnknownPosition from bad  # perhaps of another server: a client that is told so begins anew


def _room_id(text: str) -> RoomID:
    try:
        return parse_room_id(text)
    except BadIdentifier as bad:
        raise InvalidParameter(f"room_subscriptions: {bad.reason}") from bad


def _config(body: SubscriptionBody | ListBody, user_id: UserID) -> RoomConfig:
    if body.timeline_limit < 0:
        raise InvalidParameter("A timeline_limit is not negative")
    if len(body.required_state) > MOST_PAIRS:
        raise InvalidParameter(f"required_state: more than {MOST_PAIRS}")
    for pair in body.required_state:
        _check_lengths(pair, 2, "required_state")
    return RoomConfig(min(body.timeline_limit, MOST_TIMELINE_EVENTS), required_state(body.required_state, user_id))


def _list(body: ListBody, user_id: UserID) -> ListConfig:
    ranges = body.ranges if body.range is None else [body.range]
    if ranges is not None and len(ranges) > MOST_RANGES:
        raise InvalidParameter(f"ranges: more than {MOST_RANGES}")
    if any(first < 0 or last < first for first, last in ranges or ()):
        raise InvalidParameter("A range begins at 0 or later, and does not end before it begins")
    return ListConfig(
        config=_config(body, user_id),
        ranges=None if ranges is None else tuple(ranges),
        filter=_filter(body.filters or FilterBody()),
    )


def _filter(body: FilterBody) -> ListFilter:
    for name, values in (
        ("spaces", body.spaces),
        ("room_types", body.room_types),
        ("not_room_types", body.not_room_types),
        ("tags", body.tags),
        ("not_tags", body.not_tags),
        ("room_name_like", [body.room_name_like]),
    ):
        _check_lengths([value for value in values or () if value is not None], MOST_FILTERED, name)
    return ListFilter(
        is_dm=body.is_dm,
        is_encrypted=body.is_encrypted,
        is_invite=body.is_invited if body.is_invite is None else body.is_invite,
        spaces=_set(body.spaces),
        room_types=None if body.room_types is None else frozenset(body.room_types),
        not_room_types=frozenset(body.not_room_types or ()),
        tags=_set(body.tags),
        not_tags=frozenset(body.not_tags or ()),
        name_like=body.room_name_like or None,
    )


def _set(values: Sequence[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)


def _extensions(body: ExtensionsBody) -> Extensions:
    to_device = body.to_device
    return Extensions(
        to_device=None if to_device is None or not to_device.enabled else _to_device(to_device),
        e2ee=body.e2ee is not None and bool(body.e2ee.enabled),
        account_data=_scope(body.account_data, "account_data"),
        receipts=_scope(body.receipts, "receipts"),
        typing=_scope(body.typing, "typing"),
        thread_subscriptions=_thread_subscriptions(body.thread_subscriptions),
    )


def _thread_subscriptions(body: ThreadSubscriptionsBody | None) -> int | None:
    """How many changes of subscriptions are wanted, at most."""
    if body is None or not body.enabled:
        return None
    if body.limit < 1:
        raise InvalidParameter("thread_subscriptions: a limit is positive")
    return body.limit


def _to_device(body: ToDeviceBody) -> ToDeviceWish:
    if body.limit < 1:
        raise InvalidParameter("to_device: a limit is positive")
    try:
        return ToDeviceWish(parse_to_device_token(body.since) if body.since else 0, body.limit)
    except BadToken as bad:
        raise InvalidParameter(f"to_device: {bad.reason}") from bad


def _scope(body: ExtensionBody | None, name: str) -> Scope | None:
    """Which rooms an extension is wanted for: all, unless some are named."""
    if body is None or not body.enabled:
        return None
    lists, rooms = body.lists or (), body.rooms or ()
    _check_lengths(lists, MOST_LISTS, f"{name}: lists")
    _check_lengths(rooms, MOST_SUBSCRIPTIONS, f"{name}: rooms")
    return Scope(
        lists=None if EVERYTHING in lists else frozenset(lists),
        rooms=None if EVERYTHING in rooms else frozenset(rooms),
    )
