"""Which published keys of servers may have signed what, and the documents that publish them.

Spec: server-server-api/#publishing-keys, rooms/v5/#signing-key-validity-period

How such a document is fetched and kept is in services; the signatures themselves are in signing.py.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from homeserver.core.errors import BadIdentifier, BadKey, BadSignature
from homeserver.core.identifiers import KeyID, ServerName, parse_key_id
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import Signer, VerifyKey, sign_json, signing_key_ids, verify_json

LONGEST_VALIDITY_MS: Final = 7 * 24 * 3600 * 1000
FOR_EVER_MS: Final = 2**63 - 1
# Of one document. Each current key that has signed it costs a verification of the whole.
MOST_CURRENT_KEYS: Final = 32
MOST_OLD_KEYS: Final = 1000

# Keys whose secret half everybody knows. CVE-2026-24044: an installer gave this one to every server that it set up.
COMPROMISED_KEYS: Final = frozenset({"l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og"})


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key as its server published it, with the time up to which that publication counts."""

    verify_key: VerifyKey
    valid_until_ms: int
    expired_ms: int | None = None  # when its server stopped using it, for one among its `old_verify_keys`


def is_compromised(key: VerifyKey) -> bool:
    """True if the secret half of `key` is publicly known, so that its signatures say nothing."""
    return key.to_base64() in COMPROMISED_KEYS


def may_have_signed(key: PublishedKey, version: RoomVersion, origin_server_ts: int) -> bool:
    """True if a signature by `key` counts for an event of that time and room version.

    A key that had been given up before is refused in every room version; one whose publication had run out is in
    version 5 and later. Spec: server-server-api/#validating-hashes-and-signatures-on-received-events
    """
    if is_compromised(key.verify_key):
        return False
    if key.expired_ms is not None:
        return origin_server_ts <= key.expired_ms
    return not version.enforces_key_validity or origin_server_ts <= key.valid_until_ms


def may_sign_requests(key: PublishedKey, now_ms: int) -> bool:
    """True if a signature by `key` counts for a request at this moment. Spec: server-server-api/#publishing-keys"""
    return key.expired_ms is None and now_ms <= key.valid_until_ms and not is_compromised(key.verify_key)


def merge_published(
    known: Iterable[PublishedKey], published: Sequence[PublishedKey], *, fetched_ms: int, is_from_origin: bool
) -> list[PublishedKey]:
    """What is to be kept of a server's keys after one of its documents was fetched: all keys of either.

    What the server itself says now is its last word: a key that it does not mention any more counts up to now. Others
    may show a document that is not the newest: they can lengthen the validity of a key, and end its use, but not
    take back that it ended. Once a key was published as valid up to some time, it is so for events until then.
    """
    before = {key.verify_key: key for key in known}
    merged = dict(before)
    for key in published:
        old = before.get(key.verify_key)
        merged[key.verify_key] = key if old is None else _renewed(old, key, is_from_origin=is_from_origin)
    if is_from_origin:
        for forgotten in before.keys() - {key.verify_key for key in published}:
            old = before[forgotten]
            merged[forgotten] = PublishedKey(forgotten, min(old.valid_until_ms, fetched_ms), old.expired_ms)
    return list(merged.values())


def beside_own_word(told: Iterable[PublishedKey], own: Container[VerifyKey], *, told_ms: int) -> list[PublishedKey]:
    """What others may add to what a server has said of its keys (`own`) just now: keys that it has no more."""
    return [
        key if key.expired_ms is not None else PublishedKey(key.verify_key, told_ms, told_ms)
        for key in told
        if key.verify_key not in own
    ]


def _renewed(old: PublishedKey, new: PublishedKey, *, is_from_origin: bool) -> PublishedKey:
    if new.expired_ms is None and (old.expired_ms is None or is_from_origin):
        return PublishedKey(new.verify_key, max(old.valid_until_ms, new.valid_until_ms))
    if is_from_origin or old.expired_ms is None:
        return new
    expired_ms = old.expired_ms if new.expired_ms is None else min(old.expired_ms, new.expired_ms)
    return PublishedKey(new.verify_key, expired_ms, expired_ms)


def key_document(
    server: ServerName, current: VerifyKey, old: Iterable[PublishedKey], signer: Signer, *, valid_until_ms: int
) -> dict[str, Any]:
    """The signed /_matrix/key/v2/server document of this server. Spec: server-server-api/#get_matrixkeyv2server

    An old key of the same ID as the current one cannot be told in it and is left out.
    """
    document = {
        "server_name": server,
        "valid_until_ts": valid_until_ms,
        "verify_keys": {current.key_id: {"key": current.to_base64()}},
        "old_verify_keys": {
            key.verify_key.key_id: {"key": key.verify_key.to_base64(), "expired_ts": key.expired_ms}
            for key in old
            if key.verify_key.key_id != current.key_id
        },
    }
    return sign_json(document, server, signer)


def parse_published_keys(document: object, server: ServerName, *, fetched_ms: int) -> list[PublishedKey]:
    """The keys in a /_matrix/key/v2/server document of `server`, that it has signed by one of them at least.

    No key counts for longer than seven days after `fetched_ms`. Keys of unknown algorithms and compromised ones are
    left out; a key that is both current and old is old.
    Raises BadKey if the document is none or no current key is left, BadSignature if its signatures are wrong, BadJson.
    Spec: server-server-api/#get_matrixkeyv2server
    """
    if not isinstance(document, dict) or document.get("server_name") != server:
        raise BadKey(f"not a document of the keys of {server}")
    latest_ms = fetched_ms + LONGEST_VALIDITY_MS
    valid_until_ms = min(_time(document, "valid_until_ts"), latest_ms)
    current = {key.key_id: key for key, _ in _keys(document, "verify_keys", most=MOST_CURRENT_KEYS)}
    if not current:
        raise BadKey(f"{server} publishes no key that can be used")
    signed_by = [current[key_id] for key_id in signing_key_ids(document, server) if key_id in current]
    if not signed_by:
        raise BadSignature(f"{server} has not signed its keys by any of them")
    for key in signed_by:
        verify_json(document, server, key)
    published = {key_id: PublishedKey(key, valid_until_ms) for key_id, key in current.items()}
    for key, entry in _keys(document, "old_verify_keys", most=MOST_OLD_KEYS, may_be_absent=True):
        if key.key_id in current and current[key.key_id] != key:
            raise BadKey(f"{server} publishes two keys as {key.key_id}")
        expired_ms = min(_time(entry, "expired_ts"), latest_ms)
        published[key.key_id] = PublishedKey(key, expired_ms, expired_ms)
    return list(published.values())


def _keys(
    document: Mapping[str, Any], name: str, *, most: int, may_be_absent: bool = False
) -> Iterator[tuple[VerifyKey, Mapping[str, Any]]]:
    """The usable keys under `name`, each with the object that holds it."""
    entries = document.get(name, {} if may_be_absent else None)
    if not isinstance(entries, dict):
        raise BadKey(f"{name} must be an object")
    if len(entries) > most:
        raise BadKey(f"{name} holds more than {most} keys")
    for key_id, entry in entries.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            raise BadKey(f"{name} must hold objects with a key that is a string")
        if not key_id.startswith("ed25519:"):
            continue
        key = VerifyKey.from_base64(_checked_key_id(key_id), entry["key"])
        if not is_compromised(key):
            yield key, entry


def _checked_key_id(key_id: str) -> KeyID:
    try:
        return parse_key_id(key_id)
    except BadIdentifier as error:
        raise BadKey(error.reason) from error


def _time(place: Mapping[str, Any], name: str) -> int:
    value = place.get(name)
    if type(value) is not int:
        raise BadKey(f"{name} must be an integer")
    return value
