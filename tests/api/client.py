"""A client that says exactly what a test tells it to, over real HTTP; every answer is held against the specification.

The clients that people use are in tests/clients/.
"""

import contextlib
import http.client
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from tests.conformance.openapi import validate_response
from tests.server import Server

V3: Final = "/_matrix/client/v3"
V1: Final = "/_matrix/client/v1"
PASSWORD: Final = "correct horse battery staple"
TIMEOUT_S: Final = 90.0

T = TypeVar("T")
numbers: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        """The body, which is JSON. Any: JSON has any shape, here and below."""
        assert self.headers.get("content-type", "").split(";")[0] == "application/json", self.headers
        return json.loads(self.body)


@dataclass
class Client:
    """Somebody with an address to ask, and mostly with an access token.

    A path is given in segments, which are quoted: `alice.get("rooms", room_id, "members")`. It lies below
    /_matrix/client/v3, unless its first segment begins with a slash: that one is taken as it is.
    """

    url: str
    user_id: str = ""
    device_id: str = ""
    access_token: str | None = None
    transactions: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def server_name(self) -> str:
        """The part of the user ID that says whose user it is."""
        return self.user_id.partition(":")[2]

    def get(self, *path: str, **options: Any) -> Any:
        """GET; see `call`."""
        return self.call("GET", *path, **options)

    def put(self, *path: str, **options: Any) -> Any:
        """PUT; see `call`."""
        return self.call("PUT", *path, **{"body": {}, **options})

    def post(self, *path: str, **options: Any) -> Any:
        """POST; see `call`."""
        return self.call("POST", *path, **{"body": {}, **options})

    def delete(self, *path: str, **options: Any) -> Any:
        """DELETE; see `call`."""
        return self.call("DELETE", *path, **options)

    def call(
        self,
        method: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        status: int = 200,
        errcode: str | None = None,
    ) -> Any:
        """Ask, and return the JSON of the answer, which must have this status (and this errcode)."""
        content = None if body is None else json.dumps(body).encode()
        response = self.send(method, *path, content=content, query=query)
        told = f"{method} {'/'.join(path)} answered {response.status}: {response.body[:2000]!r}"
        assert response.status == status, told
        answer = response.json
        assert errcode is None or answer.get("errcode") == errcode, told
        return answer

    def send(
        self,
        method: str,
        *path: str,
        content: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Ask, and return the answer whatever it is; JSON is held against the specification."""
        whole = path_of(*path) + (f"?{urlencode(_as_text(query), doseq=True)}" if query else "")
        sent = {"Content-Type": "application/json"} if content is not None else {}
        if self.access_token is not None:
            sent["Authorization"] = f"Bearer {self.access_token}"
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=TIMEOUT_S)
        with contextlib.closing(connection):
            connection.request(method, whole, content, {**sent, **(headers or {})})
            raw = connection.getresponse()
            response = Response(raw.status, {name.lower(): value for name, value in raw.getheaders()}, raw.read())
        if method != "OPTIONS" and response.headers.get("content-type", "").startswith("application/json"):
            validate_response(method, whole, response.status, response.json)
        return response

    def login_again(self, password: str = PASSWORD, **wishes: Any) -> "Client":
        """Another device of the same user; or the same device with another token, when `wishes` has its device_id."""
        identifier = {"type": "m.id.user", "user": self.user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": password, **wishes}
        return self.known_as(Client(self.url).post("login", body=body))

    def known_as(self, answer: Mapping[str, Any]) -> "Client":
        """The client to whom a login or a registration was granted."""
        return Client(self.url, answer["user_id"], answer["device_id"], answer["access_token"])

    # What nearly every test says

    def create_room(self, *invited: "Client", **wishes: Any) -> str:
        """A new room's ID."""
        invite = {"invite": [client.user_id for client in invited]} if invited else {}
        room_id: str = self.post("createRoom", body={**invite, **wishes})["room_id"]
        return room_id

    def create_room_with(self, *members: "Client", **wishes: Any) -> str:
        """The ID of a new room that everybody named has joined, in this order."""
        room_id = self.create_room(*members, **wishes)
        for member in members:
            member.join(room_id)
        return room_id

    def join(self, room: str, **options: Any) -> Any:
        """Join by ID or alias."""
        return self.post("join", room, **options)

    def say(self, room_id: str, text: str, **content: Any) -> str:
        """Send a text message; its event ID."""
        return self.send_event(room_id, "m.room.message", {"msgtype": "m.text", "body": text, **content})

    def send_event(self, room_id: str, event_type: str, content: Mapping[str, Any], txn_id: str | None = None) -> str:
        """Send an event; its event ID."""
        txn_id = self.new_transaction() if txn_id is None else txn_id
        event_id: str = self.put("rooms", room_id, "send", event_type, txn_id, body=content)["event_id"]
        return event_id

    def set_state(self, room_id: str, event_type: str, content: Mapping[str, Any], state_key: str = "") -> str:
        """Send a state event; its event ID."""
        event_id: str = self.put("rooms", room_id, "state", event_type, state_key, body=content)["event_id"]
        return event_id

    def state(self, room_id: str, event_type: str, state_key: str = "", **options: Any) -> Any:
        """The content of a piece of a room's state."""
        return self.get("rooms", room_id, "state", event_type, state_key, **options)

    def messages(self, room_id: str, direction: str = "b", **query: Any) -> Any:
        """A page of history; `begin` stands for `from`."""
        if "begin" in query:
            query["from"] = query.pop("begin")
        return self.get("rooms", room_id, "messages", query={"dir": direction, **query})

    def sync(self, since: str | None = None, timeout_ms: int = 0, **query: Any) -> Any:
        """What /sync answers; a filter that is a mapping is sent as JSON.

        Nobody comes online by it, which would be news a moment later, unless `set_presence` says so.
        """
        if isinstance(query.get("filter"), Mapping):
            query["filter"] = json.dumps(query["filter"])
        asked = {
            "timeout": timeout_ms,
            "set_presence": "offline",
            **query,
            **({"since": since} if since is not None else {}),
        }
        return self.get("sync", query=asked)

    def token(self) -> str:
        """A sync token of now."""
        next_batch: str = self.sync()["next_batch"]
        return next_batch

    def new_transaction(self) -> str:
        """A transaction ID that this client has not used yet."""
        return f"txn{next(self.transactions)}"


def path_of(*segments: str) -> str:
    """Put a path together; see Client."""
    first, *others = segments
    quoted = [quote(segment, safe="") for segment in others]
    if first.startswith("/"):
        return "/".join([first, *quoted])
    return "/".join([V3, quote(first, safe=""), *quoted])


def _as_text(query: Mapping[str, Any]) -> dict[str, Any]:
    words = {True: "true", False: "false"}
    return {name: words[value] if isinstance(value, bool) else value for name, value in query.items()}


def register(url: str, name: str, password: str = PASSWORD, **wishes: Any) -> Client:
    """Make an account by the flow that an open server offers, and return the client who has it."""
    nobody = Client(url)
    body = {"username": name, "password": password, **wishes}
    asked = nobody.post("register", body=body, status=401)
    auth = {"type": "m.login.dummy", "session": asked["session"]}
    return nobody.known_as(nobody.post("register", body={**body, "auth": auth}))


def new_user(url: str, name: str, **wishes: Any) -> Client:
    """Make an account whose name begins like `name` and is nobody else's."""
    return register(url, f"{name}.{next(numbers)}", **wishes)


def new_administrator(server: Server) -> Client:
    """Have an administrator made from the server's shell, whose name is nobody else's."""
    name = f"root.{next(numbers)}"
    made = server.command("admin", "user", "register", name, "--admin", "--password-stdin", text=PASSWORD)
    assert made.returncode == 0, made.stderr
    return Client(server.url, f"@{name}:{server.server_name}").login_again()


@contextlib.contextmanager
def meanwhile(work: Callable[[], T]) -> Iterator["Future[T]"]:
    """Run `work` in a thread while the context lasts; what it returned is in the future. Its end is waited for."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(work)
