"""Every request of the client-server API that names a room or an event, made from the table of endpoints.

What a request needs besides its path is said here by the endpoint's name; that each is right is tested where they are
asked, for of a request that is wrong anyway nothing can be told from the answer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from homeserver.http.endpoint import Auth, Endpoint
from tests.api.client import Client, Response
from tests.conformance.operations import declared

# Any: JSON, throughout.

inspect = msgspec.inspect

ROOM: Final = "{the room}"
EVENT: Final = "{the event}"
SELF: Final = "{who asks}"
OTHER: Final = "{somebody else}"
NEW: Final = "{what was never used}"
ALIAS: Final = "{an alias that nobody has}"
VERSION: Final = "{the version of the backup}"

# What the parts of a path stand for.
SEGMENTS: Final[Mapping[str, str]] = {
    "roomId": ROOM,
    "roomIdOrAlias": ROOM,
    "eventId": EVENT,
    "eventType": "m.room.topic",
    "stateKey": "",
    "txnId": NEW,
    "userId": SELF,
    "receiptType": "m.read",
    "relType": "m.thread",
    "type": NEW,
    "tag": "u.work",
    "roomAlias": ALIAS,
    "sessionId": "session",
}
MEMBER: Final = {"eventType": "m.room.member", "stateKey": SELF}
KEY: Final = {"first_message_index": 0, "forwarded_count": 0, "is_verified": False, "session_data": {}}
BACKUP: Final = {"version": VERSION}
TARGET: Final = {"user_id": OTHER}
LISTED: Final = {"lists": {}, "conn_id": NEW}
SHOWN: Final = {"timeline_limit": 20, "required_state": [["*", "*"]]}


@dataclass(frozen=True, slots=True)
class Needs:
    """The query and the body of a request, and what parts of its path stand for instead of the above."""

    query: Mapping[str, Any] | None = None
    body: Any = None
    segments: Mapping[str, str] = field(default_factory=dict)


NOTHING: Final = (Needs(),)
NEEDS: Final[Mapping[str, Sequence[Needs]]] = {
    "AccountDataEndpoints.set_account_data_of_room": (
        Needs(body={"a": 1}),
        Needs(body={"event_id": EVENT, "room_id": ROOM}),
    ),
    "DelayedEventEndpoints.all": (Needs({"room_id": ROOM}),),
    "DelayedEventEndpoints.schedule": (Needs(body={"delay": 3_600_000, "content": {"topic": "t"}}),),
    "EventStreamEndpoints.events": (Needs({"room_id": ROOM, "timeout": 0}),),
    "EventTimeEndpoints.closest": (Needs({"ts": 0, "dir": "f"}), Needs({"ts": 2**52, "dir": "b"})),
    "KeyBackupsEndpoints.add_keys": (Needs(BACKUP, {"rooms": {ROOM: {"sessions": {"s": KEY}}}}),),
    "KeyBackupsEndpoints.add_keys_of_room": (Needs(BACKUP, {"sessions": {"s": KEY}}),),
    "KeyBackupsEndpoints.add_key_of_session": (Needs(BACKUP, KEY),),
    "KeyBackupsEndpoints.keys_of_room": (Needs(BACKUP),),
    "KeyBackupsEndpoints.key_of_session": (Needs(BACKUP),),
    "KeyBackupsEndpoints.delete_keys_of_room": (Needs(BACKUP),),
    "KeyBackupsEndpoints.delete_key_of_session": (Needs(BACKUP),),
    "ReceiptEndpoints.send_receipt": tuple(
        Needs(body=body, segments={"receiptType": kind})
        for kind in ("m.read", "m.read.private", "m.fully_read")
        for body in ({}, *({"thread_id": thread} for thread in ("main", EVENT) if kind != "m.fully_read"))
    ),
    "ReceiptEndpoints.set_read_markers": tuple(
        Needs(body={kind: EVENT}) for kind in ("m.fully_read", "m.read", "m.read.private")
    ),
    "ReportEndpoints.event": (Needs(body={"reason": "r"}),),
    "ReportEndpoints.room": (Needs(body={"reason": "r"}),),
    "RoomDirectoryEndpoints.set_visibility": (Needs(body={"visibility": "private"}),),
    "RoomDirectoryEndpoints.create_alias": (Needs(body={"room_id": ROOM}),),
    "RoomEventsEndpoints.messages": tuple(
        Needs({"dir": direction, "limit": 100, **more})
        for direction in "bf"
        for more in ({}, {"filter": json.dumps({"related_by_rel_types": ["m.thread"]})})
    ),
    "RoomEventsEndpoints.members": (Needs(), Needs({"membership": "join"})),
    "RoomEventsEndpoints.state_event": (Needs(), Needs({"format": "event"})),
    "RoomMembershipEndpoints.invite_user": (Needs(body=TARGET),),
    "RoomMembershipEndpoints.kick": (Needs(body=TARGET),),
    "RoomMembershipEndpoints.ban": (Needs(body=TARGET),),
    "RoomMembershipEndpoints.unban": (Needs(body=TARGET),),
    "RoomUpgradeEndpoints.upgrade": (Needs(body={"new_version": "11"}),),
    "SearchEndpoints.search_events": tuple(
        Needs(
            body={
                "search_categories": {
                    "room_events": {"search_term": "confidential", "filter": {"rooms": [ROOM]}, **more}
                }
            }
        )
        for more in ({}, {"event_context": {"before_limit": 5, "after_limit": 5, "include_profile": True}})
    ),
    "SendingEndpoints.send_message": (
        Needs(body={"topic": "t"}),
        *(
            Needs(body={"m.relates_to": {"rel_type": kind, "event_id": EVENT, "key": NEW}})
            for kind in ("m.thread", "m.annotation", "m.replace", "m.reference")
        ),
        Needs(body={"m.relates_to": {"m.in_reply_to": {"event_id": EVENT}}}),
        Needs(body={"redacts": EVENT}, segments={"eventType": "m.room.redaction"}),
    ),
    "SendingEndpoints.send_another_message": (Needs(body={"topic": "t"}),),
    "SendingEndpoints.redact_event": (Needs(body={}),),
    "SendingEndpoints.redact_event_anew": (Needs(body={}),),
    "SendingEndpoints.set_state": (
        Needs(body={"topic": "t"}),
        Needs(body={"membership": "join"}, segments=MEMBER),
        Needs(body={"pinned": [EVENT]}, segments={"eventType": "m.room.pinned_events"}),
    ),
    "SlidingSyncEndpoints.sync": (
        Needs({"timeout": 0}, {**LISTED, "room_subscriptions": {ROOM: SHOWN}}),
        Needs(
            {"timeout": 0},
            {
                **LISTED,
                "room_subscriptions": {ROOM: SHOWN},
                "extensions": {
                    name: {"enabled": True, "rooms": [ROOM]} for name in ("receipts", "typing", "account_data")
                },
            },
        ),
    ),
    "SyncEndpoints.sync": (
        Needs({"timeout": 0, "set_presence": "offline", "filter": json.dumps({"room": {"rooms": [ROOM]}})}),
    ),
    "TagEndpoints.set_tag": (Needs(body={"order": 0.5}),),
    "ThreadSubscriptionEndpoints.subscribe": (Needs(body={}), Needs(body={"automatic": EVENT})),
    "TypingEndpoints.set_typing": (Needs(body={"typing": True, "timeout": 1}),),
}
# Named by no parameter of the path, but in a body or a query.
BESIDES: Final = (
    "DelayedEventEndpoints.all",
    "EventStreamEndpoints.events",
    "KeyBackupsEndpoints.add_keys",
    "RoomDirectoryEndpoints.create_alias",
    "SearchEndpoints.search_events",
    "SlidingSyncEndpoints.sync",
    "SyncEndpoints.sync",
)


@dataclass(frozen=True, slots=True)
class Question:
    """A request about a room, or an event in it, or both."""

    endpoint: Endpoint
    needs: Needs

    def __str__(self) -> str:
        """Tell it to a reader."""
        return f"{self.endpoint.method} {self.endpoint.path} {self.needs}"

    @property
    def text(self) -> str:
        """All that it says."""
        return self.endpoint.path + json.dumps([self.needs.query, self.needs.body])

    @property
    def names_event(self) -> bool:
        """Whether it is about an event."""
        return "{eventId}" in self.text or EVENT in self.text

    @property
    def names_room(self) -> bool:
        """Whether it is about a room."""
        return "{roomId" in self.text or ROOM in self.text

    def ask(self, client: Client, names: Mapping[str, str]) -> Response:
        """Let a client ask it; `names` says what the names above stand for."""
        word = f"{client.user_id[1:].partition(':')[0]}.{client.new_transaction()}"
        names = {SELF: client.user_id, NEW: word, ALIAS: f"#{word}:{client.server_name}", **names}
        segments = [
            _with_names({**SEGMENTS, **self.needs.segments}[one[1:-1]] if one.startswith("{") else one, names)
            for one in self.endpoint.path.split("/")
        ]
        body = None if self.needs.body is None else _with_names(self.needs.body, names)
        first = "/".join(segments[:2])
        content = json.dumps({} if body is None else body).encode()
        return client.send(
            self.endpoint.method,
            first,
            *segments[2:],
            query=_with_names(self.needs.query, names),
            content=None if self.endpoint.method == "GET" else content,
        )


def questions() -> tuple[Question, ...]:
    """All there are."""
    asked = [
        mark for mark in _of_clients() if "{roomId" in mark.path or "{eventId}" in mark.path or mark.name in BESIDES
    ]
    return tuple(Question(mark, needs) for mark in asked for needs in NEEDS.get(mark.name, NOTHING))


def text_fields() -> Iterator[tuple[str, str]]:
    """Every text in a declared query or body of the client-server API: the endpoint's name, and the field's."""
    for mark in _of_clients():
        for part in (mark.query, mark.body):
            for name in _texts_of(inspect.type_info(part), ""):
                yield mark.name, name


def _of_clients() -> list[Endpoint]:
    return [mark for mark in declared() if mark.path.startswith("/_matrix/client/") and mark.auth is not Auth.ADMIN]


def _texts_of(described: inspect.Type, name: str) -> Iterator[str]:
    match described:
        case inspect.StructType(fields=fields):
            for one in fields:
                yield from _texts_of(one.type, one.encode_name)
        case inspect.UnionType(types=types):
            for each in types:
                yield from _texts_of(each, name)
        case inspect.ListType(item_type=item):
            yield from _texts_of(item, name)
        case inspect.DictType(key_type=key, value_type=value):
            yield from _texts_of(key, name)
            yield from _texts_of(value, name)
        case inspect.StrType():
            yield name


def _with_names(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, meant in names.items():
            value = value.replace(name, meant)
        return value
    if isinstance(value, Mapping):
        return {_with_names(key, names): _with_names(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_with_names(each, names) for each in value]
    return value
