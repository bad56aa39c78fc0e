"""Local users for loads, each with one connection of its own."""

import hashlib
import hmac
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from tests.connection import Connection, path_of

REGISTER: Final = "/_synapse/admin/v1/register"
PASSWORD: Final = "correct horse battery staple"


@dataclass
class User:
    """A user with a device, and what a client says most."""

    user_id: str
    device_id: str
    connection: Connection
    transactions: "itertools.count[int]" = field(default_factory=itertools.count)

    # Any: JSON, here and below.
    async def call(
        self, method: str, *path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """Ask for a path below /_matrix/client/v3, given in segments. Raises Lost, Refused."""
        return await self.connection.call(method, path_of(*path, query=query), body)

    async def create_room(self, **wishes: Any) -> str:
        """A new room's ID."""
        room_id: str = (await self.call("POST", "createRoom", body=wishes))["room_id"]
        return room_id

    async def join(self, room_id: str) -> None:
        """Join a room of this server."""
        await self.call("POST", "rooms", room_id, "join", body={})

    async def say(self, room_id: str, text: str, transaction_id: str | None = None) -> str:
        """Send a text message; its event ID."""
        transaction_id = transaction_id or f"t{next(self.transactions)}"
        body = {"msgtype": "m.text", "body": text}
        path = ("rooms", room_id, "send", "m.room.message", transaction_id)
        event_id: str = (await self.call("PUT", *path, body=body))["event_id"]
        return event_id

    async def sync(self, since: str | None = None, timeout_ms: int = 0) -> Any:
        """What /sync answers. The user does not count as online for it: presence costs are not what is looked at."""
        asked: dict[str, Any] = {"timeout": timeout_ms, "set_presence": "offline"}
        if since is not None:
            asked["since"] = since
        return await self.call("GET", "sync", query=asked)

    async def token(self) -> str:
        """A sync token of now."""
        next_batch: str = (await self.sync())["next_batch"]
        return next_batch

    def another_connection(self) -> "User":
        """The same user and device on a connection beside."""
        return User(self.user_id, self.device_id, Connection(self.connection.port, self.connection.access_token))


async def register(port: int, name: str) -> User:
    """Make an account on a server whose registration is open."""
    connection = Connection(port)
    body: dict[str, Any] = {"username": name, "password": PASSWORD}
    asked = await connection.send("POST", path_of("register"), orjson.dumps(body))
    auth = {"type": "m.login.dummy", "session": orjson.loads(asked[1])["session"]}
    return _user(await connection.call("POST", path_of("register"), {**body, "auth": auth}), connection)


async def register_with_secret(port: int, name: str, shared_secret: str, *, is_admin: bool = False) -> User:
    """Make an account, of an administrator if wanted, with the secret that the server's configuration holds."""
    connection = Connection(port)
    nonce = (await connection.call("GET", REGISTER))["nonce"]
    role = "admin" if is_admin else "notadmin"
    signed = b"\0".join(part.encode() for part in (nonce, name, PASSWORD, role))
    mac = hmac.new(shared_secret.encode(), signed, hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": PASSWORD, "admin": is_admin, "mac": mac}
    return _user(await connection.call("POST", REGISTER, body), connection)


def _user(answer: Mapping[str, Any], connection: Connection) -> User:
    connection.access_token = answer["access_token"]
    return User(answer["user_id"], answer["device_id"], connection)
