"""Each server believes the keys of the other: fetched over TLS, passed on with a second signature, and replaced."""

import asyncio
import json
import ssl
import time
import urllib.request
from typing import Any

import pytest

from homeserver.core.identifiers import ServerName
from homeserver.core.key_validity import PublishedKey, parse_published_keys
from homeserver.core.signing import verify_json
from tests.federation.peers import COLUMBA, Peer
from tests.server import Server
from tests.tls import CertificateAuthority

pytestmark = pytest.mark.peers


class Reader:
    """Somebody who trusts the authority, and asks servers for keys. Any: JSON."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._context = ssl.create_default_context(cafile=str(authority.file))

    async def own_keys(self, peer: Peer) -> list[PublishedKey]:
        """What a server publishes itself."""
        document = await self._ask(peer, "/_matrix/key/v2/server")
        return parse_published_keys(document, ServerName(peer.server_name), fetched_ms=_now_ms())

    async def keys_by(self, notary: Peer, peer: Peer, key_id: str) -> list[PublishedKey]:
        """What another one says that the server publishes; the signatures of both are checked."""
        query = {"server_keys": {peer.server_name: {key_id: {"minimum_valid_until_ts": _now_ms()}}}}
        documents = (await self._ask(notary, "/_matrix/key/v2/query", query))["server_keys"]
        (notary_key, *_) = await self.own_keys(notary)
        found = []
        for document in documents:
            verify_json(document, notary.server_name, notary_key.verify_key)
            found += parse_published_keys(document, ServerName(peer.server_name), fetched_ms=_now_ms())
        return found

    async def _ask(self, peer: Peer, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"https://{peer.server_name}{path}", body)
        request.add_header("Content-Type", "application/json")
        return await asyncio.to_thread(self._send, request)

    def _send(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, context=self._context, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def reader(authority: CertificateAuthority) -> Reader:
    return Reader(authority)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_each_server_fetches_the_keys_of_the_other(host: Peer, guest: Peer, reader: Reader) -> None:
    (own, *_) = await reader.own_keys(guest)

    passed_on = await reader.keys_by(host, guest, own.verify_key.key_id)

    assert own.verify_key in [key.verify_key for key in passed_on]


async def test_a_key_that_was_replaced_is_learned_by_the_other_and_the_old_one_is_remembered(
    sides: tuple[Peer, Peer], reader: Reader
) -> None:
    first, second = sides
    rotating, learning = (first, second) if first.kind == COLUMBA else (second, first)
    (old, *_) = await reader.own_keys(rotating)
    await reader.keys_by(learning, rotating, old.verify_key.key_id)

    server = rotating.contestant.server
    assert isinstance(server, Server)
    done = await asyncio.to_thread(server.command, "admin", "keys", "rotate")
    (new, *_) = await reader.own_keys(rotating)
    learned = await reader.keys_by(learning, rotating, new.verify_key.key_id)
    remembered = await reader.keys_by(learning, rotating, old.verify_key.key_id)

    assert done.returncode == 0, done.stderr
    assert new.verify_key != old.verify_key
    assert [key.verify_key for key in learned if key.expired_ms is None] == [new.verify_key]
    assert old.verify_key in [key.verify_key for key in learned if key.expired_ms is not None]
    assert old.verify_key in [key.verify_key for key in remembered]
