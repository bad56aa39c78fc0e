"""Tells other servers which keys third ones have published: this server as a notary.

It answers what it has stored, asks only the servers themselves, and adds its own signature.
Spec: server-server-api/#querying-keys-through-another-server
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.signing import sign_json
from homeserver.runtime.clock import Clock
from homeserver.services.errors import InvalidParameter
from homeserver.services.events.own_keys import OwnSigningKeys
from homeserver.services.events.remote_keys import Purpose, RemoteKeys, Wish
from homeserver.services.federation.key_document import OwnKeyDocument
from homeserver.storage.database import Database, Transaction
from homeserver.storage.server_keys import StoredKey, key_documents_of

MOST_SERVERS: Final = 200  # in one query


class KeyNotary:
    """Answers queries for the keys of any server."""

    def __init__(
        self,
        database: Database,
        remote_keys: RemoteKeys,
        own_keys: OwnSigningKeys,
        own_document: OwnKeyDocument,
        server_name: ServerName,
        clock: Clock,
    ) -> None:
        self._database = database
        self._remote_keys = remote_keys
        self._own_keys = own_keys
        self._own_document = own_document
        self._server_name = server_name
        self._clock = clock

    async def all_keys(self, server: ServerName, valid_until_ms: int | None) -> list[dict[str, Any]]:
        """The documents in which keys of a server stand; at least one key is to be valid until then, or until now."""
        now_ms = self._clock.now_ms()
        until_ms = now_ms if valid_until_ms is None else valid_until_ms
        wish = Wish({}, until_ms, fresh_at_ms=_fresh_at([until_ms], now_ms))
        return await self._documents({server: wish}, {})

    async def keys(
        self, wanted: Mapping[ServerName, Mapping[KeyID, int | None]]
    ) -> list[dict[str, Any]]:  # Any: JSON that other servers have signed
        """The documents in which these keys stand; each is to be valid until then, or until now.

        Where no keys are named, all that are stored are meant, and the server is not asked. Servers of which nothing
        is known are left out. Raises InvalidParameter for too many servers.
        """
        if len(wanted) > MOST_SERVERS:
            raise InvalidParameter(f"Keys of more than {MOST_SERVERS} servers cannot be asked for at once")
        now_ms = self._clock.now_ms()
        wishes = {server: _wish(keys, now_ms) for server, keys in wanted.items()}
        return await self._documents(wishes, wanted)

    async def _documents(
        self, wishes: Mapping[ServerName, Wish], named: Mapping[ServerName, Iterable[KeyID]]
    ) -> list[dict[str, Any]]:
        found = [self._own_document.content()] if self._server_name in wishes else []
        others = {server: wish for server, wish in wishes.items() if server != self._server_name}
        if others:
            known = await self._remote_keys.known(others, Purpose.NOTARY)
            stored = await self._database.read(_documents_of, known, named)
            found += [
                sign_json(orjson.loads(document), self._server_name, self._own_keys)
                for documents in stored.values()
                for document in documents
            ]
        return found


def _wish(keys: Mapping[KeyID, int | None], now_ms: int) -> Wish:
    if not keys:
        return Wish({})
    wanted = {key_id: now_ms if until_ms is None else until_ms for key_id, until_ms in keys.items()}
    return Wish(wanted, fresh_at_ms=_fresh_at(wanted.values(), now_ms))


def _fresh_at(until_ms: Iterable[int], now_ms: int) -> int:
    """Where keys need only have been valid in the past, what their server says today adds nothing."""
    return now_ms if any(each >= now_ms for each in until_ms) else 0


def _documents_of(
    tx: Transaction, known: Mapping[ServerName, Sequence[StoredKey]], named: Mapping[ServerName, Iterable[KeyID]]
) -> dict[ServerName, list[bytes]]:
    """The documents of the keys that are named, or of all keys of a server of which none is; the newest come first."""
    found: dict[ServerName, list[bytes]] = {}
    for server, keys in known.items():
        key_ids = frozenset(named.get(server, ()))
        documents = key_documents_of(tx, server)
        meant = [key for key in keys if key.key_id in key_ids or not key_ids]
        newest_first = sorted(meant, key=lambda key: key.fetched_ms, reverse=True)
        digests = dict.fromkeys(key.document_digest for key in newest_first)
        found[server] = [documents[digest] for digest in digests if digest in documents]
    return found
