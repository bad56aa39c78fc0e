"""How an endpoint is declared: method, path, who may call, how often, and what shape it reads and answers.

The marks are static: conformance tests read them from the classes, without a server.
What is in a body or a query is read in parameters.py; the list of all endpoints is table.py.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import IO, Annotated, Any, Final, Generic, TypeAlias, TypedDict, TypeVar, get_args, get_origin

import msgspec
import typing_extensions

from homeserver.core.identifiers import DeviceID, EventID, RoomAlias, RoomID, ServerName, UserID
from homeserver.http.rate_limiting import RateClass
from homeserver.services.accounts.requester import Requester
from homeserver.services.events.client_format import Viewer


class Auth(Enum):
    """Who may call an endpoint."""

    NONE = "none"
    ACCESS_TOKEN = "access token"  # noqa: S105 - the name of a class of endpoints
    OPTIONAL_TOKEN = "access token, or nobody"  # noqa: S105 - as above
    SOFT = "access token, also of a user who is locked or softly logged out"
    ADMIN = "access token of a server administrator, or the owner's socket"
    ADMIN_SOCKET = "only the owner of the server's unix socket"
    FEDERATION = "another server's signature"


NONE: Final = Auth.NONE
ACCESS_TOKEN: Final = Auth.ACCESS_TOKEN
OPTIONAL_TOKEN: Final = Auth.OPTIONAL_TOKEN
SOFT: Final = Auth.SOFT
ADMIN: Final = Auth.ADMIN
ADMIN_SOCKET: Final = Auth.ADMIN_SOCKET
FEDERATION: Final = Auth.FEDERATION


class Surface(Enum):
    """What a listener may serve; the names are those of `serve` in the configuration."""

    CLIENT = "client"
    FEDERATION = "federation"
    MEDIA = "media"
    ADMIN = "admin"
    METRICS = "metrics"


class NoQuery(msgspec.Struct, frozen=True):
    """The query of an endpoint that reads none."""


class NoBody(msgspec.Struct, frozen=True):
    """The body of an endpoint that reads none: whatever is sent is ignored."""


class Nothing(TypedDict):
    """The answer that it was done, and nothing more to say."""


JsonObject: TypeAlias = dict[str, Any]  # opaque JSON: an event's content, a device's keys
# The same within an answer, where it is mostly an orjson.Fragment. Any: as above.
OpaqueObject: TypeAlias = Annotated[Any, msgspec.Meta(extra_json_schema={"type": "object"})]


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of an endpoint that takes bytes. `file` is at its beginning, and is deleted after the reply."""

    file: IO[bytes]
    size_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class FileBody:
    """A reply's body that is sent from a file, piece by piece. The file is closed afterwards."""

    file: IO[bytes]
    size_bytes: int


Q = TypeVar("Q")
B = TypeVar("B")
A_co = typing_extensions.TypeVar("A_co", covariant=True, default=object)


@dataclass(frozen=True, slots=True)
class Request(Generic[Q, B]):
    """One request, as its handler sees it: authenticated, decoded and checked."""

    path: Mapping[str, str]  # the path's parameters by their names in the template, decoded and checked
    query: Q
    body: B
    authenticated: Requester | None
    origin: ServerName | None  # the server whose signature was verified
    client_ip: str
    uri: str  # path and query, as they were sent
    header: Callable[[str], str | None]  # the value of a header; None when it was not sent

    @property
    def requester(self) -> Requester:
        """Who asks. Only where the endpoint's `auth` makes sure that somebody does."""
        if self.authenticated is None:
            raise LookupError("This endpoint does not ask who calls")
        return self.authenticated

    @property
    def user_id(self) -> UserID | None:
        """The user who asks; None for anybody, and for the owner of the server, who comes by its socket."""
        return None if self.authenticated is None else self.authenticated.user_id

    @property
    def viewer(self) -> Viewer:
        """Who asks, as the one to whom events are shown. Raises as `requester` does."""
        return Viewer(self.requester.user_id, self.requester.device_id)

    @property
    def peer(self) -> ServerName:
        """The server that asks. Only where the endpoint's `auth` is FEDERATION."""
        if self.origin is None:
            raise LookupError("This endpoint is not for other servers")
        return self.origin

    @property
    def user_agent(self) -> str:
        """What the client calls itself; empty when it does not say."""
        return self.header("User-Agent") or ""

    @property
    def room_id(self) -> RoomID:
        """The path's {roomId}."""
        return RoomID(self.path["roomId"])

    @property
    def event_id(self) -> EventID:
        """The path's {eventId}."""
        return EventID(self.path["eventId"])

    @property
    def room_alias(self) -> RoomAlias:
        """The path's {roomAlias}."""
        return RoomAlias(self.path["roomAlias"])

    @property
    def path_user_id(self) -> UserID:
        """The path's {userId}: not always who asks."""
        return UserID(self.path["userId"])

    @property
    def path_device_id(self) -> DeviceID:
        """The path's {deviceId}: not always the one that asks."""
        return DeviceID(self.path["deviceId"])


PlainRequest: TypeAlias = Request[NoQuery, NoBody]


@dataclass(frozen=True, slots=True)
class Reply(Generic[A_co]):
    """What an endpoint answers. Reply[A] says of which shape its body is; Reply does not say.

    `body` is bytes (say in `headers` of which Content-Type), a FileBody, or else whatever can be written as JSON:
    plain values, records, structs, and orjson.Fragment for what is JSON already.
    """

    body: A_co
    status: int = 200
    headers: Sequence[tuple[str, str]] = ()


EMPTY: Final[Reply[Nothing]] = Reply({})

Handler: TypeAlias = Callable[[Request[Any, Any]], Awaitable[Reply]]  # Any: each handler has its own Q and B
Method = TypeVar("Method", bound=Callable[..., Awaitable[Reply]])

_MARKS: Final = "endpoints"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The mark on a handler. Everything that is known without a server."""

    method: str
    path: str
    auth: Auth
    limit: RateClass
    spec: str  # page and anchor of the specification, or the reason why the endpoint exists
    query: Any  # a type; Any, because type forms such as unions have no type of their own
    body: Any  # as above
    answer: Any  # as above; object where the handler's annotation does not say more
    also: tuple[str, ...]
    guests: bool
    suspended: bool
    waits: bool
    max_body_bytes: int | None  # None: what is configured for JSON, or for uploads
    name: str  # "SendingEndpoints.send"

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path under which the endpoint answers: its own, its old names, its aliases."""
        paths = [self.path, *self.also]
        for path in tuple(paths):
            if path.startswith("/_matrix/client/v3/"):
                paths.append(path.replace("/v3/", "/r0/", 1))
            elif path.startswith("/_matrix/media/v3/"):
                paths += [path.replace("/v3/", "/r0/", 1), path.replace("/v3/", "/v1/", 1)]
        return tuple(dict.fromkeys(paths))

    @property
    def is_act(self) -> bool:
        """Whether to ask for it is an act of administration, to be written down: neither for all nor just to read."""
        is_theirs = self.auth in (Auth.ADMIN, Auth.ADMIN_SOCKET)
        return self.method != "GET" and (is_theirs or any(Surface.ADMIN in surfaces_of(path) for path in self.paths))


@dataclass(frozen=True, slots=True)
class BoundEndpoint:
    """A mark and the method of a live object that answers for it."""

    mark: Endpoint
    handler: Handler


def endpoint(
    method: str,
    path: str,
    *,
    auth: Auth,
    limit: RateClass,
    spec: str,
    query: Any = NoQuery,  # Any: see Endpoint.query
    body: Any = NoBody,  # Any: see Endpoint.body
    also: Iterable[str] = (),
    guests: bool = False,
    suspended: bool = True,
    waits: bool = False,
    max_body_bytes: int | None = None,
) -> Callable[[Method], Method]:
    """Mark a method as the handler of an endpoint. A method may carry several marks.

    `query` and `body` are the types in the handler's `Request[query, body]`; this is checked here. What it answers
    is read from its annotation.
    `guests` may call only where it is True; a suspended user may not where `suspended` is False.
    `waits`: a long poll, which is cancelled when the client goes away; any other handler runs to its end.
    """

    def mark(handler: Method) -> Method:
        expected = Request[query, body]
        declared = next((each for name, each in handler.__annotations__.items() if name != "return"), None)
        if declared != expected:
            raise TypeError(f"{handler.__qualname__} reads {declared}, but its mark says {expected}")
        marked = Endpoint(
            method=method,
            path=path,
            auth=auth,
            limit=limit,
            spec=spec,
            query=query,
            body=body,
            answer=_answer_of(handler),
            also=tuple(also),
            guests=guests,
            suspended=suspended,
            waits=waits,
            max_body_bytes=max_body_bytes,
            name=handler.__qualname__,
        )
        setattr(handler, _MARKS, (marked, *getattr(handler, _MARKS, ())))
        return handler

    return mark


def admin_endpoint(
    method: str,
    path: str,
    *,
    spec: str,
    query: Any = NoQuery,  # Any: see Endpoint.query
    body: Any = NoBody,  # Any: see Endpoint.body
    also: Iterable[str] = (),
    waits: bool = False,
) -> Callable[[Method], Method]:
    """Mark a method as the handler of an endpoint for administrators, as `endpoint` does.

    Who else may call, or as often as it costs, is marked by that.
    """
    limit = RateClass.GENERAL
    return endpoint(method, path, auth=ADMIN, limit=limit, spec=spec, query=query, body=body, also=also, waits=waits)


def _answer_of(handler: Callable[..., Awaitable[Reply]]) -> Any:  # Any: see Endpoint.answer
    returned = handler.__annotations__["return"]
    origin: object = get_origin(returned)
    return get_args(returned)[0] if origin is Reply else object


def endpoints_of(owner: type) -> tuple[Endpoint, ...]:
    """The marks in a class, in the order of their methods."""
    return tuple(marked for attribute in vars(owner).values() for marked in getattr(attribute, _MARKS, ()))


def collect(instances: Iterable[object]) -> tuple[BoundEndpoint, ...]:
    """Every endpoint of live objects, bound to its method."""
    bound: list[BoundEndpoint] = []
    for instance in instances:
        for name, attribute in vars(type(instance)).items():
            bound += [BoundEndpoint(marked, getattr(instance, name)) for marked in getattr(attribute, _MARKS, ())]
    return tuple(bound)


_SURFACES: Final = (
    ("/_matrix/client/v1/media/", frozenset({Surface.CLIENT, Surface.MEDIA})),
    ("/_matrix/federation/v1/media/", frozenset({Surface.FEDERATION, Surface.MEDIA})),
    ("/_matrix/media/", frozenset({Surface.MEDIA})),
    ("/_matrix/federation/", frozenset({Surface.FEDERATION})),
    ("/_matrix/key/", frozenset({Surface.FEDERATION})),
    ("/.well-known/matrix/server", frozenset({Surface.CLIENT, Surface.FEDERATION})),
    ("/_synapse/admin/", frozenset({Surface.ADMIN})),
    ("/_columba/admin/", frozenset({Surface.ADMIN})),
    ("/_columba/metrics", frozenset({Surface.METRICS})),
    ("/_columba/health", frozenset(Surface)),
)


def surfaces_of(path: str) -> frozenset[Surface]:
    """On which surfaces a path is served: a listener serves it if it serves one of them."""
    for prefix, surfaces in _SURFACES:
        if path.startswith(prefix):
            return surfaces
    return frozenset({Surface.CLIENT})
