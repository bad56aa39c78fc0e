"""Other servers in memory, which know the devices and keys of their users: an Agent that answers in their names."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import ServerName, UserID, server_name_of_user
from homeserver.outbound.errors import Unreachable
from homeserver.outbound.exchange import Answer, Ask

# JSON is `Any` here.

Tamper = Callable[[dict[str, Any]], Any]


@dataclass
class Person:
    """A user of another server: keys and names by device, one-time keys by device and full ID."""

    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    one_time: dict[str, dict[str, Any]] = field(default_factory=dict)
    master: dict[str, Any] | None = None
    self_signing: dict[str, Any] | None = None
    stream_id: int = 1
    profile: dict[str, Any] = field(default_factory=dict)


class KeyServers:
    """Servers that are reached, unless they fail or are held."""

    def __init__(self) -> None:
        self.people: dict[UserID, Person] = {}
        self.failures: dict[ServerName, Exception | int] = {}  # an int: the status of the answer
        self.held: dict[ServerName, Deferred[None]] = {}  # answer when this fires
        self.tampers: dict[str, Tamper] = {}  # by the operation: what is answered instead
        self.asked: list[tuple[ServerName, str, Any]] = []

    def person(self, user_id: UserID) -> Person:
        """The user, who is made if there is none."""
        return self.people.setdefault(user_id, Person())

    def operations(self) -> list[tuple[ServerName, str]]:
        """Who was asked to do what, in turn."""
        return [(server, operation) for server, operation, _ in self.asked]

    async def exchange(self, ask: Ask, take: Callable[[bytes], None] | None = None) -> Answer:
        """See Agent."""
        path, _, query = ask.uri.partition("?")
        segments = [unquote(segment) for segment in path.split("/")[4:]]
        content = json.loads(ask.body) if ask.body else {name: values[0] for name, values in parse_qs(query).items()}
        operation = "devices" if segments[:2] == ["user", "devices"] else segments[-1]
        self.asked.append((ask.destination, operation, content))
        if ask.destination in self.held:
            waiting: Deferred[None] = Deferred()
            self.held[ask.destination].chainDeferred(waiting)
            await waiting
        failure = self.failures.get(ask.destination)
        if isinstance(failure, Exception):
            raise failure
        if isinstance(failure, int):
            return Answer(failure, {}, b'{"errcode": "M_FAKE", "error": "no"}')
        answer = self._answer(ask.destination, operation, segments, content)
        if answer is None:
            return Answer(404, {}, b'{"errcode": "M_NOT_FOUND", "error": "nobody"}')
        tamper = self.tampers.get(operation)
        raw = answer if tamper is None else tamper(answer)
        return Answer(200, {}, raw if isinstance(raw, bytes) else json.dumps(raw).encode())

    def _answer(self, server: ServerName, operation: str, segments: list[str], content: Any) -> dict[str, Any] | None:
        match operation:
            case "devices":
                return self._devices(UserID(segments[2]))
            case "query":
                return self._query(server, content["device_keys"])
            case "claim":
                return {"one_time_keys": self._claim(server, content["one_time_keys"])}
            case "profile":
                person = self.people.get(UserID(content["user_id"]))
                return None if person is None else dict(person.profile)
        raise Unreachable(f"{operation} is not played here")

    def _devices(self, user_id: UserID) -> dict[str, Any] | None:
        person = self.people.get(user_id)
        if person is None:
            return None
        devices = [
            {
                "device_id": device_id,
                "keys": keys,
                **({"device_display_name": person.names[device_id]} if device_id in person.names else {}),
            }
            for device_id, keys in person.devices.items()
        ]
        answer = {"user_id": user_id, "stream_id": person.stream_id, "devices": devices}
        if person.master is not None:
            answer["master_key"] = person.master
        if person.self_signing is not None:
            answer["self_signing_key"] = person.self_signing
        return answer

    def _query(self, server: ServerName, wanted: dict[str, list[str]]) -> dict[str, Any]:
        people = {
            user_id: self.people[UserID(user_id)]
            for user_id in wanted
            if UserID(user_id) in self.people and server_name_of_user(UserID(user_id)) == server
        }
        return {
            "device_keys": {
                user_id: {
                    device_id: {
                        **keys,
                        "unsigned": {"device_display_name": person.names[device_id]}
                        if device_id in person.names
                        else {},
                    }
                    for device_id, keys in person.devices.items()
                    if not wanted[user_id] or device_id in wanted[user_id]
                }
                for user_id, person in people.items()
            },
            "master_keys": {user_id: one.master for user_id, one in people.items() if one.master},
            "self_signing_keys": {user_id: one.self_signing for user_id, one in people.items() if one.self_signing},
        }

    def _claim(self, server: ServerName, wanted: dict[str, dict[str, str]]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for user_id, devices in wanted.items():
            person = self.people.get(UserID(user_id))
            if person is None or server_name_of_user(UserID(user_id)) != server:
                continue
            for device_id, algorithm in devices.items():
                keys = person.one_time.get(device_id, {})
                full_id = next((name for name in keys if name.startswith(f"{algorithm}:")), None)
                if full_id is not None:
                    given.setdefault(user_id, {})[device_id] = {full_id: keys.pop(full_id)}
        return given
