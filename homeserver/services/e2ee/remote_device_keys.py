"""Asks other servers for the keys of their users: servers at the same time, for as long as the asker waits.

A server is asked for many users in several requests, as one answer of all their keys may be more than is read of it.
What is wrong in an answer is dropped (core/remote_keys.py); a server that gives none is reported.
Spec: server-server-api/#end-to-end-encryption
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from homeserver.core.device_keys import KeyClaim, KeyQuery
from homeserver.core.identifiers import DeviceID, ServerName, UserID, server_name_of_user
from homeserver.core.remote_keys import (
    RemoteDevice,
    RemoteIdentity,
    parse_claimed_key,
    parse_queried_devices,
    parse_remote_identity,
)
from homeserver.core.slices import slices
from homeserver.outbound.errors import RemoteError
from homeserver.outbound.federation_client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.runtime.parallel import in_parallel

AT_ONCE: Final = 20  # servers, for one request of a client
MOST_SERVERS: Final = 500  # for one request of a client
MOST_AT_ONCE: Final = 250  # users, or one-time keys, in one request of a server
REQUESTS_OF_SERVER: Final = 4  # at the same time

T = TypeVar("T", KeyClaim, KeyQuery)


@dataclass(frozen=True, slots=True)
class RemoteKeysOfUser:
    """The devices of a user of another server, and the keys that sign them."""

    devices: Mapping[DeviceID, RemoteDevice] = field(default_factory=dict)
    identity: RemoteIdentity = field(default_factory=RemoteIdentity)


@dataclass(frozen=True, slots=True)
class RemoteQueried:
    """What servers answered of their users, and which did not."""

    users: dict[UserID, RemoteKeysOfUser] = field(default_factory=dict)
    unreachable: set[ServerName] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class RemoteClaimed:
    """The keys that servers handed out by their full IDs, and the servers that did not answer."""

    keys: dict[UserID, dict[DeviceID, dict[str, Any]]] = field(default_factory=dict)  # Any: JSON
    unreachable: set[ServerName] = field(default_factory=set)


class RemoteDeviceKeys:
    """Asks for keys, and keeps none."""

    def __init__(self, client: FederationClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def query(self, queries: Sequence[KeyQuery], timeout_s: float) -> RemoteQueried:
        """The keys of users of other servers. Users whom their server does not mention are left out."""
        found = RemoteQueried()
        await self._ask_each(queries, partial(self._query, found), found.unreachable, timeout_s)
        return found

    async def claim(self, claims: Sequence[KeyClaim], timeout_s: float) -> RemoteClaimed:
        """A one-time key of each of these devices, as far as their servers give one."""
        found = RemoteClaimed()
        await self._ask_each(claims, partial(self._claim, found), found.unreachable, timeout_s)
        return found

    async def _ask_each(
        self,
        wanted: Sequence[T],
        ask: Callable[[ServerName, Sequence[T], float], Awaitable[None]],
        unreachable: set[ServerName],
        timeout_s: float,
    ) -> None:
        by_server: dict[ServerName, list[T]] = {}
        for one in wanted:
            by_server.setdefault(server_name_of_user(one.user_id), []).append(one)
        ends_s = self._clock.seconds() + timeout_s

        async def ask_once(server: ServerName, some: Sequence[T]) -> None:
            left_s = ends_s - self._clock.seconds()
            if left_s <= 0:
                unreachable.add(server)
            if server in unreachable:
                return
            try:
                await ask(server, some, left_s)
            except RemoteError:
                unreachable.add(server)

        async def ask_one(server: ServerName, of_server: Sequence[T]) -> None:
            calls = [partial(ask_once, server, part) for part in slices(of_server, MOST_AT_ONCE)]
            await in_parallel(calls, at_once=REQUESTS_OF_SERVER)

        asked = list(by_server.items())
        unreachable.update(server for server, _ in asked[MOST_SERVERS:])
        await in_parallel([partial(ask_one, *one) for one in asked[:MOST_SERVERS]], at_once=AT_ONCE)

    async def _query(
        self, found: RemoteQueried, server: ServerName, queries: Sequence[KeyQuery], timeout_s: float
    ) -> None:
        wanted = {query.user_id: sorted(query.device_ids) for query in queries}
        answer = await self._client.user_keys_query(server, wanted, timeout_s=timeout_s)
        masters, self_signing = (_object(answer.get(name)) for name in ("master_keys", "self_signing_keys"))
        for query in queries:
            user_id = query.user_id
            devices = parse_queried_devices(user_id, answer["device_keys"].get(user_id))
            identity = parse_remote_identity(user_id, masters.get(user_id), self_signing.get(user_id), devices=devices)
            if query.device_ids:
                devices = {id_: device for id_, device in devices.items() if id_ in query.device_ids}
            if user_id in answer["device_keys"] or identity.keys:
                found.users[user_id] = RemoteKeysOfUser(devices, identity)

    async def _claim(
        self, found: RemoteClaimed, server: ServerName, claims: Sequence[KeyClaim], timeout_s: float
    ) -> None:
        wanted: dict[UserID, dict[str, str]] = {}
        for claim in claims:
            wanted.setdefault(claim.user_id, {})[claim.device_id] = claim.algorithm
        answered = await self._client.user_keys_claim(server, wanted, timeout_s=timeout_s)
        for claim in claims:
            key = parse_claimed_key(claim, answered)
            if key is not None:
                found.keys.setdefault(claim.user_id, {})[claim.device_id] = {key.full_id: key.key}


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
