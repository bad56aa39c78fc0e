"""Keys of other servers: all of them are kept, but for those that no event ever wanted."""

from dataclasses import replace

from homeserver.core.identifiers import KeyID, ServerName
from homeserver.core.key_validity import PublishedKey
from homeserver.core.signing import VerifyKey
from homeserver.storage.database import Transaction
from homeserver.storage.server_keys import (
    MOST_UNUSED,
    UNUSED_KEPT_MS,
    StoredKey,
    forget_unused_keys,
    key_documents_of,
    server_keys_of,
    store_key_document,
    store_server_keys,
    sweep,
)
from tests.databases import SyncDatabase

ONE, TWO = ServerName("one.example"), ServerName("two.example:8448")
NOTARY = ServerName("notary.example")
NOW_MS = 1_700_000_000_000
DIGEST, OTHER_DIGEST = b"\x00" * 32, b"\xff" * 32


def key(
    name: str = "a", public: int = 1, *, is_for_events: bool = False, fetched_ms: int = NOW_MS, digest: bytes = DIGEST
) -> StoredKey:
    """A key that is valid for a second."""
    published = PublishedKey(VerifyKey(KeyID(f"ed25519:{name}"), public.to_bytes(32, "big")), NOW_MS + 1000)
    return StoredKey(published, is_for_events, fetched_ms, ONE, digest)


def stored(db: SyncDatabase, server: ServerName = ONE) -> list[StoredKey]:
    return db.read(server_keys_of, [server]).get(server, [])


def test_keys_are_found_by_their_servers(db: SyncDatabase) -> None:
    old = replace(key("b", is_for_events=True), published=PublishedKey(key("b").published.verify_key, 7, 7))
    of_two = replace(key(), fetched_from=NOTARY)
    db.write(store_server_keys, ONE, [key(), old])
    db.write(store_server_keys, TWO, [of_two])

    found = db.read(server_keys_of, [ONE, TWO, NOTARY])

    assert found == {ONE: [key(), old], TWO: [of_two]}


def test_two_keys_of_one_id_are_two(db: SyncDatabase) -> None:
    db.write(store_server_keys, ONE, [key(public=1), key(public=2)])

    assert stored(db) == [key(public=1), key(public=2)]


def test_what_is_new_of_a_key_takes_the_place_of_what_was_known(db: SyncDatabase) -> None:
    db.write(store_server_keys, ONE, [key()])
    renewed = StoredKey(
        PublishedKey(key().published.verify_key, NOW_MS + 5, NOW_MS + 5),
        is_for_events=True,
        fetched_ms=NOW_MS + 1,
        fetched_from=NOTARY,
        document_digest=OTHER_DIGEST,
    )

    db.write(store_server_keys, ONE, [renewed])

    assert stored(db) == [renewed]


def test_documents_are_kept_while_a_key_names_them(db: SyncDatabase) -> None:
    db.write(store_key_document, ONE, DIGEST, b"first")
    db.write(store_key_document, ONE, DIGEST, b"first")
    db.write(store_server_keys, ONE, [key("a"), key("b")])
    db.write(store_key_document, ONE, OTHER_DIGEST, b"second")
    db.write(store_key_document, TWO, DIGEST, b"of another")
    db.write(store_server_keys, ONE, [key("a", digest=OTHER_DIGEST)])

    db.write(forget_unused_keys, ONE)
    both = db.read(key_documents_of, ONE)
    db.write(store_server_keys, ONE, [key("b", digest=OTHER_DIGEST)])
    db.write(forget_unused_keys, ONE)
    one = db.read(key_documents_of, ONE)

    assert both == {DIGEST: b"first", OTHER_DIGEST: b"second"}
    assert one == {OTHER_DIGEST: b"second"}
    assert db.read(key_documents_of, TWO) == {DIGEST: b"of another"}


def test_of_many_keys_that_no_event_wanted_the_oldest_go(db: SyncDatabase) -> None:
    wanted = key("wanted", is_for_events=True, fetched_ms=0)
    db.write(store_server_keys, ONE, [wanted, *(key(f"k{n:03}", fetched_ms=n) for n in range(MOST_UNUSED + 2))])
    db.write(store_server_keys, TWO, [key(fetched_ms=0)])

    db.write(forget_unused_keys, ONE)

    left = {each.key_id for each in stored(db)}
    assert left == {f"ed25519:k{n:03}" for n in range(2, MOST_UNUSED + 2)} | {"ed25519:wanted"}
    assert len(stored(db, TWO)) == 1


def test_the_current_keys_of_a_document_stay_rather_than_its_old_ones(db: SyncDatabase) -> None:
    old = [
        replace(each, published=PublishedKey(each.published.verify_key, 5, 5))
        for each in (key(f"a{n:03}") for n in range(MOST_UNUSED))
    ]
    db.write(store_server_keys, ONE, [*old, key("z")])

    db.write(forget_unused_keys, ONE)

    assert key("z") in stored(db)
    assert len(stored(db)) == MOST_UNUSED


def test_keys_that_no_event_wanted_are_swept_after_a_while(db: SyncDatabase) -> None:
    for server in (ONE, TWO):
        db.write(store_key_document, server, DIGEST, b"document")
    db.write(store_server_keys, ONE, [key("a"), key("b", is_for_events=True), key("c", fetched_ms=NOW_MS + 1)])
    db.write(store_server_keys, TWO, [key()])

    too_early = db.write(sweep, NOW_MS + UNUSED_KEPT_MS - 1, 100)
    swept = db.write(sweep, NOW_MS + UNUSED_KEPT_MS, 100)

    assert too_early == 0
    assert swept == 3  # two keys and a document
    assert [each.key_id for each in stored(db)] == ["ed25519:b", "ed25519:c"]
    assert db.read(key_documents_of, ONE) == {DIGEST: b"document"}
    assert db.read(key_documents_of, TWO) == {}


def test_a_sweep_stops_at_its_limit(db: SyncDatabase) -> None:
    db.write(store_server_keys, ONE, [key(f"k{n}", fetched_ms=n) for n in range(5)])

    swept = db.write(sweep, NOW_MS + UNUSED_KEPT_MS, 2)

    assert swept == 2
    assert [each.fetched_ms for each in stored(db)] == [2, 3, 4]


def test_a_key_of_a_server_is_not_one_of_another(db: SyncDatabase) -> None:
    def write(tx: Transaction) -> list[ServerName]:
        store_server_keys(tx, ONE, [key()])
        return list(server_keys_of(tx, [TWO]))

    assert db.write(write) == []
