"""What of a request of the administrators' API is written down as an act. Which requests are one is on their marks.

An act is whatever may change something, asked for by an administrator or by the owner's socket, whether it is then
granted or refused. Requests of others, who are turned away, are none: they would fill the book. Who has the shared
secret proves it in the request itself, so that such an act is only written down once it was granted.

Of a request only what is known not to be a secret is told: numbers, truth values, user IDs, and texts under the names
in PLAIN. Any other text, whatever its field is called, is told as withheld: so passwords and tokens stay out, also
those of endpoints that are yet to be written. Where the book is kept is services/admin/admin_audit.py.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import orjson

from homeserver.core.errors import ProtocolError
from homeserver.core.identifiers import is_user_id
from homeserver.http.arrival import Arrival
from homeserver.http.endpoint import Endpoint, Reply, Request, Upload
from homeserver.http.errors import reply_to
from homeserver.services.accounts.requester import Requester
from homeserver.services.admin.admin_audit import BegunAct
from homeserver.services.errors import ServiceError
from homeserver.storage.admin_audit import Act, End

OWNER: Final = "owner"  # by the socket, or with the server's own files; no user ID looks like this
SECRET_HOLDER: Final = "shared_secret"  # noqa: S105 - who knows it, not the secret
FAILED: Final = End(500, "M_UNKNOWN")
WITHHELD: Final = "(withheld)"
CUT: Final = "(cut)"

PLAIN: Final = frozenset(
    {
        *("alias", "avatar_url", "canonical_alias", "creator", "dir", "display_name", "displayname", "medium"),
        *("name", "new_room_user_id", "order_by", "pattern", "purge_up_to_event_id", "reason", "room_alias", "room_id"),
        *("room_name", "server_name", "target", "topic", "user_id", "user_type", "username"),
        *(
            "deviceId",
            "device_id",
            "devices",
            "eventId",
            "jobId",
            "event_id",
            "reportId",
            "resolution",
            "roomAlias",
            "roomId",
            "roomIdOrAlias",
        ),
        *("apply_to", "room", "serverName", "userId", "rooms", "users", "via"),
        *("allow", "allow_no_more", "deny", "deny_no_more", "new_version", "replacement_room"),
    }
)
# The first of these names whom or what an act is about.
TARGETS: Final = (
    "userId",
    "roomId",
    "roomIdOrAlias",
    "roomAlias",
    "eventId",
    "serverName",
    "jobId",
    "reportId",
    "pattern",
)
TARGETS_IN_BODY: Final = ("user_id", "room_id", "room", "pattern")

LONGEST_TEXT: Final = 200
MOST_MEMBERS: Final = 30
DEEPEST: Final = 3
LARGEST_DETAILS_BYTES: Final = 4_096


class ActLog(Protocol):
    """Where acts are written down. See services/admin/admin_audit.py."""

    async def begin(self, act: Act) -> BegunAct: ...

    async def end(self, begun: BegunAct, end: End) -> None: ...

    async def note_done(self, act: Act, end: End) -> None: ...


def act_of(
    mark: Endpoint, arrival: Arrival, requester: Requester | None, request: Request[Any, Any] | None
) -> Act:  # Any: each endpoint has its own
    """What is written down of a request; `request` is None when it could not be read."""
    path = {name: value for name, value in arrival.path.items() if name in PLAIN}
    query = {} if request is None else _builtins(request.query)
    body = {} if request is None else _builtins(request.body)
    target = _target(path, body)
    details: dict[str, object] = {name: value for name, value in path.items() if value != target}
    if request is None:
        details["unreadable"] = True
    for name, told in (("query", query), ("body", body)):
        if told:
            details[name] = _told(name, told, 0)
    return Act(_actor(arrival, requester), f"{mark.method} {mark.path}", target, _bounded(details))


def end_of(answer: Reply | ProtocolError | ServiceError) -> End:
    """How an act ended that was answered so."""
    reply = answer if isinstance(answer, Reply) else reply_to(answer)
    errcode = reply.body.get("errcode") if isinstance(reply.body, Mapping) and reply.status >= 400 else None
    return End(reply.status, None if errcode is None else str(errcode)[:LONGEST_TEXT])


def _actor(arrival: Arrival, requester: Requester | None) -> str:
    if requester is not None:
        return requester.user_id
    return OWNER if arrival.by_owner else SECRET_HOLDER


def _target(path: Mapping[str, str], body: object) -> str | None:
    for name in TARGETS:
        if name in path:
            return path[name]
    if isinstance(body, Mapping):
        for name in TARGETS_IN_BODY:
            value = body.get(name)
            if isinstance(value, str):
                return value[:LONGEST_TEXT].replace("\0", "")
    return None


def _builtins(read: object) -> Any:  # Any: JSON
    """What was read, as JSON; what was left out stays out."""
    if isinstance(read, Upload):
        return {"size_bytes": read.size_bytes}
    return msgspec.to_builtins(read, enc_hook=lambda _: WITHHELD)


def _told(name: str, value: object, depth: int) -> object:
    """What is told of a value under this name."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _told_text(name, value)
    if depth >= DEEPEST:
        return CUT
    if isinstance(value, Mapping):
        # The names of an object's members are whoever asks to choose.
        members = list(value.items())[:MOST_MEMBERS]
        return {_told_name(key): _told(key, member, depth + 1) for key, member in members}
    if isinstance(value, list | tuple):
        return [_told(name, member, depth + 1) for member in value[:MOST_MEMBERS]]
    return WITHHELD


def _told_name(name: str) -> str:
    return name if len(name) <= LONGEST_TEXT else CUT


def _told_text(name: str, value: str) -> str:
    if name not in PLAIN and not is_user_id(value):
        return WITHHELD
    return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + CUT


def _bounded(details: Mapping[str, object]) -> str:
    text = orjson.dumps(details)
    if len(text) > LARGEST_DETAILS_BYTES:
        text = orjson.dumps({"cut": len(text)})
    return text.decode()
