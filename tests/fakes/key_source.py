"""Other servers that publish keys, and notaries: a KeySource of services/events/remote_keys.py that does as told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import PublishedKey, key_document
from homeserver.core.signing import SigningKey, sign_json
from homeserver.outbound.errors import RemoteError, Unreachable


@dataclass
class Publisher:
    """One server that publishes its keys."""

    name: ServerName
    key: SigningKey
    valid_until_ms: int
    old: Sequence[PublishedKey] = ()

    @property
    def document(self) -> dict[str, Any]:
        """What it publishes now."""
        return key_document(self.name, self.key.verify_key, self.old, self.key, valid_until_ms=self.valid_until_ms)

    @property
    def published(self) -> PublishedKey:
        """Its key in use."""
        return PublishedKey(self.key.verify_key, self.valid_until_ms)


class FakeKeySource:
    """Answers at once, unless a server is held; what is not here is unreachable. Any: JSON."""

    def __init__(self) -> None:
        self.documents: dict[ServerName, Any] = {}
        self.failures: dict[ServerName, RemoteError] = {}
        self.held: dict[ServerName, Deferred[None]] = {}
        self.of_notaries: dict[ServerName, list[Any]] = {}
        self.asked: list[ServerName] = []
        self.ignoring_backoff: list[ServerName] = []
        self.asked_notaries: list[tuple[ServerName, dict[ServerName, dict[KeyID, int]]]] = []
        self.under_way = 0
        self.most_under_way = 0

    async def server_keys(
        self, destination: ServerName, *, timeout_s: float, most_bytes: int, ignores_backoff: bool
    ) -> dict[str, Any]:
        """See KeySource."""
        assert timeout_s > 0
        assert most_bytes > 0
        self.asked.append(destination)
        if ignores_backoff:
            self.ignoring_backoff.append(destination)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            if destination in self.held:
                await self.held[destination]
        finally:
            self.under_way -= 1
        if destination in self.failures:
            raise self.failures[destination]
        if destination not in self.documents:
            raise Unreachable("no such server")
        document: dict[str, Any] = self.documents[destination]
        return document

    async def notary_keys(
        self,
        notary: ServerName,
        wanted: Mapping[ServerName, Mapping[KeyID, int]],
        *,
        timeout_s: float,
        most_bytes: int,
    ) -> list[Any]:
        """See KeySource."""
        assert timeout_s > 0
        assert most_bytes > 0
        self.asked_notaries.append((notary, {server: dict(keys) for server, keys in wanted.items()}))
        if notary not in self.of_notaries:
            raise Unreachable("no such notary")
        return self.of_notaries[notary]

    def publish(self, publisher: Publisher) -> None:
        """Let a server answer with the document that it has now."""
        self.documents[publisher.name] = publisher.document

    def show(self, notary: Publisher, *publishers: Publisher, signer: SigningKey | None = None) -> None:
        """Let a notary answer with documents of other servers, signed by its key."""
        self.publish(notary)
        self.of_notaries[notary.name] = [
            sign_json(each.document, notary.name, signer or notary.key) for each in publishers
        ]
