"""Signing keys of other servers, and the documents that published them.

A key that was wanted for an event stays for good, so that the event can always be checked again. Which key counts for
what is in core/key_validity.py; how keys are fetched, in services/events/remote_keys.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import VerifyKey
from homeserver.storage.database import Transaction
from homeserver.storage.tables import Retention, Table

UNUSED_KEPT_MS: Final = 30 * 24 * 3600 * 1000
MOST_UNUSED: Final = 100  # of one server


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of a server, and where it was seen last."""

    published: PublishedKey
    is_for_events: bool  # it was wanted for an event
    fetched_ms: int
    fetched_from: ServerName
    document_digest: bytes

    @property
    def key_id(self) -> KeyID:
        """The key's ID, which other keys of its server may have too."""
        return self.published.verify_key.key_id


OF_SERVERS = """
    SELECT server_name, key_id, public_key, valid_until_ms, expired_ms, is_for_events, fetched_ms, fetched_from,
           document_digest
      FROM server_keys WHERE server_name IN :server_names[text] ORDER BY server_name, key_id, public_key"""


def server_keys_of(tx: Transaction, server_names: Iterable[ServerName]) -> dict[ServerName, list[StoredKey]]:
    """All keys of these servers; a server of which none is known is absent."""
    found: dict[ServerName, list[StoredKey]] = {}
    for row in tx.all(OF_SERVERS, server_names=list(server_names)):
        published = PublishedKey(VerifyKey(KeyID(row[1]), bytes(row[2])), row[3], row[4])
        stored = StoredKey(published, bool(row[5]), row[6], ServerName(row[7]), bytes(row[8]))
        found.setdefault(ServerName(row[0]), []).append(stored)
    return found


STORE = """
    INSERT INTO server_keys (server_name, key_id, public_key, valid_until_ms, expired_ms, is_for_events, fetched_ms,
                             fetched_from, document_digest)
    VALUES (:server_name, :key_id, :public_key, :valid_until_ms, :expired_ms, :is_for_events, :fetched_ms,
            :fetched_from, :document_digest)
    ON CONFLICT (server_name, key_id, public_key) DO UPDATE SET
        valid_until_ms = excluded.valid_until_ms, expired_ms = excluded.expired_ms,
        is_for_events = excluded.is_for_events, fetched_ms = excluded.fetched_ms,
        fetched_from = excluded.fetched_from, document_digest = excluded.document_digest"""


def store_server_keys(tx: Transaction, server_name: ServerName, keys: Sequence[StoredKey]) -> None:
    """Keep keys of a server in place of what was known of the same keys."""
    tx.run_many(
        STORE,
        [
            {
                "server_name": server_name,
                "key_id": key.key_id,
                "public_key": key.published.verify_key.public,
                "valid_until_ms": key.published.valid_until_ms,
                "expired_ms": key.published.expired_ms,
                "is_for_events": key.is_for_events,
                "fetched_ms": key.fetched_ms,
                "fetched_from": key.fetched_from,
                "document_digest": key.document_digest,
            }
            for key in keys
        ],
    )


STORE_DOCUMENT = """
    INSERT INTO server_key_documents (server_name, digest, document) VALUES (:server_name, :digest, :document)
    ON CONFLICT (server_name, digest) DO NOTHING"""


def store_key_document(tx: Transaction, server_name: ServerName, digest: bytes, document: bytes) -> None:
    """Keep a document, which keys name by its digest."""
    tx.run(STORE_DOCUMENT, server_name=server_name, digest=digest, document=document)


DOCUMENTS = "SELECT digest, document FROM server_key_documents WHERE server_name = :server_name"


def key_documents_of(tx: Transaction, server_name: ServerName) -> dict[bytes, bytes]:
    """The documents of a server that are kept, by their digests."""
    return {bytes(row[0]): bytes(row[1]) for row in tx.all(DOCUMENTS, server_name=server_name)}


FORGET_UNUSED = """
    DELETE FROM server_keys WHERE server_name = :server_name AND NOT is_for_events AND (key_id, public_key) NOT IN (
        SELECT key_id, public_key FROM server_keys WHERE server_name = :server_name AND NOT is_for_events
         ORDER BY fetched_ms DESC, valid_until_ms DESC, key_id, public_key LIMIT :most)"""
FORGET_DOCUMENTS = """
    DELETE FROM server_key_documents WHERE server_name = :server_name AND NOT EXISTS (
        SELECT 1 FROM server_keys WHERE server_keys.server_name = server_key_documents.server_name
                                    AND server_keys.document_digest = server_key_documents.digest)"""


def forget_unused_keys(tx: Transaction, server_name: ServerName) -> None:
    """Let go of a server's documents that name no key any more, and of the oldest keys if no event ever wanted them."""
    tx.run(FORGET_UNUSED, server_name=server_name, most=MOST_UNUSED)
    tx.run(FORGET_DOCUMENTS, server_name=server_name)


SWEEP = """
    DELETE FROM server_keys WHERE (server_name, key_id, public_key) IN (
        SELECT server_name, key_id, public_key FROM server_keys
         WHERE NOT is_for_events AND fetched_ms <= :fetched_ms ORDER BY fetched_ms LIMIT :limit)
    RETURNING server_name"""


def sweep(tx: Transaction, now_ms: int, limit: int) -> int:
    """Delete keys that no event wanted and nobody has published for a while, with their documents."""
    swept = tx.all(SWEEP, fetched_ms=now_ms - UNUSED_KEPT_MS, limit=limit)
    documents = sum(tx.run(FORGET_DOCUMENTS, server_name=server_name) for server_name in {row[0] for row in swept})
    return len(swept) + documents


TABLES: Final[tuple[Table, ...]] = (
    Table("server_keys", retention=Retention.expires(sweep)),
    Table("server_key_documents", retention=Retention.bounded("one per key of another server")),
)
