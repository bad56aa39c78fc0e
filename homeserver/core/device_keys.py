"""The payloads of device keys: what a device publishes, one-time and fallback keys, claims and queries of them.

Of algorithms nothing is assumed: keys of ones that nobody has thought of yet are stored as they came, if their shape
and size let others do something with them. Signatures of devices are for clients to verify.
Spec: client-server-api/#key-distribution. Cross-signing keys are in cross_signing.py.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.errors import BadIdentifier, BadJson
from homeserver.core.identifiers import DeviceID, UserID, parse_device_id, parse_user_id

MAX_DEVICE_KEYS_BYTES: Final = 32 * 1024  # post-quantum keys and signatures are kilobytes each
MAX_KEY_BYTES: Final = 16 * 1024
MAX_KEYS_PER_UPLOAD: Final = 500
MAX_ALGORITHMS: Final = 64
MAX_CLAIMS: Final = 10_000
MAX_QUERIED_DEVICES: Final = 10_000

SIGNED_CURVE25519: Final = "signed_curve25519"

# No control characters: these names end up in indexes, and in the JSON keys of others.
_ALGORITHM: Final = re.compile(r"[^:\x00-\x1f\x7f\ud800-\udfff]{1,100}")
_KEY_ID: Final = re.compile(rf"({_ALGORITHM.pattern}):([^\x00-\x1f\x7f\ud800-\udfff]{{1,255}})")


@dataclass(frozen=True, slots=True)
class OneTimeKey:
    """A one-time or fallback key, untouched."""

    algorithm: str
    key_id: str  # what follows the colon
    key: str | Mapping[str, Any]

    @property
    def full_id(self) -> str:
        """The key's name in requests and answers: `algorithm:key_id`."""
        return f"{self.algorithm}:{self.key_id}"


class KeyClaim(NamedTuple):
    """Somebody wants a one-time key of a device."""

    user_id: UserID
    device_id: DeviceID
    algorithm: str


class KeyQuery(NamedTuple):
    """Somebody wants the keys of a user's devices. No device IDs: all of them."""

    user_id: UserID
    device_ids: frozenset[DeviceID]


def checked_device_keys(device_keys: object, *, user_id: str, device_id: str) -> dict[str, Any]:
    """What a device publishes of itself, if it is well-formed and really its own. Raises BadJson."""
    keys = _object(device_keys, "device_keys")
    check_size(keys, MAX_DEVICE_KEYS_BYTES, "device_keys")
    if keys.get("user_id") != user_id or keys.get("device_id") != device_id:
        raise BadJson("device_keys belong to another user or device")
    algorithms = keys.get("algorithms")
    if not isinstance(algorithms, list) or not all(isinstance(algorithm, str) for algorithm in algorithms):
        raise BadJson("algorithms must be a list of strings")
    if len(algorithms) > MAX_ALGORITHMS:
        raise BadJson("there are too many algorithms")
    for key_id, key in _object(keys.get("keys"), "keys").items():
        split_key_id(key_id)
        if not isinstance(key, str):
            raise BadJson("keys must be strings")
    check_signatures(keys.get("signatures"))
    if "unsigned" in keys and not isinstance(keys["unsigned"], dict):
        raise BadJson("unsigned must be an object")
    return keys


def parse_one_time_keys(one_time_keys: object) -> tuple[OneTimeKey, ...]:
    """The keys of an upload, in its order. Raises BadJson."""
    keys = _object(one_time_keys, "one_time_keys")
    if len(keys) > MAX_KEYS_PER_UPLOAD:
        raise BadJson(f"more than {MAX_KEYS_PER_UPLOAD} keys at once")
    return tuple(_one_time_key(full_id, key) for full_id, key in keys.items())


def parse_fallback_keys(fallback_keys: object) -> tuple[OneTimeKey, ...]:
    """The fallback keys of an upload, at most one per algorithm. Raises BadJson."""
    keys = parse_one_time_keys(fallback_keys)
    if len({key.algorithm for key in keys}) < len(keys):
        raise BadJson("more than one fallback key of one algorithm")
    return keys


def is_same_key(old: str | Mapping[str, Any], new: str | Mapping[str, Any]) -> bool:
    """Is it the same key, uploaded again? It may have been signed again."""
    if isinstance(old, str) or isinstance(new, str):
        return old == new
    return _without_signatures(old) == _without_signatures(new)


def parse_claims(one_time_keys: object) -> tuple[KeyClaim, ...]:
    """What /keys/claim asks for, in its order. Raises BadJson."""
    claims = tuple(_claims(_object(one_time_keys, "one_time_keys")))
    if len(claims) > MAX_CLAIMS:
        raise BadJson(f"more than {MAX_CLAIMS} keys at once")
    return claims


def parse_key_queries(device_keys: object) -> tuple[KeyQuery, ...]:
    """What /keys/query asks for, in its order. Raises BadJson."""
    queries = []
    for user_id, device_ids in _object(device_keys, "device_keys").items():
        # Old clients send an empty object for all devices.
        if not isinstance(device_ids, list) and device_ids != {}:
            raise BadJson("device IDs must be a list")
        queries.append(KeyQuery(_user_id(user_id), frozenset(map(_device_id, device_ids))))
    if sum(max(1, len(query.device_ids)) for query in queries) > MAX_QUERIED_DEVICES:
        raise BadJson(f"more than {MAX_QUERIED_DEVICES} devices at once")
    return tuple(queries)


def split_key_id(full_id: str) -> tuple[str, str]:
    """Algorithm and identifier of `algorithm:identifier`. Raises BadJson."""
    match = _KEY_ID.fullmatch(full_id)
    if match is None:
        raise BadJson(f"not a key ID: {full_id!r:.60}")
    return match[1], match[2]


def check_signatures(signatures: object) -> None:
    """Raises BadJson unless it is a map from user ID to a map from key ID to a string."""
    for user_id, by_key in _object(signatures, "signatures").items():
        _user_id(user_id)
        for key_id, signature in _object(by_key, "signatures").items():
            split_key_id(key_id)
            if not isinstance(signature, str):
                raise BadJson("signatures must be strings")


def check_size(value: object, most: int, name: str) -> None:
    """Raises BadJson for what is larger than `most` bytes, or isn't canonical JSON at all: others could not use it."""
    if len(encode_canonical(value)) > most:
        raise BadJson(f"{name} must not be larger than {most} bytes")


def _one_time_key(full_id: str, key: object) -> OneTimeKey:
    algorithm, key_id = split_key_id(full_id)
    if not isinstance(key, str | dict):
        raise BadJson("a key must be a string or an object")
    if algorithm == SIGNED_CURVE25519 and isinstance(key, str):
        raise BadJson("a signed key must be an object")
    if isinstance(key, dict):
        if algorithm == SIGNED_CURVE25519 and not isinstance(key.get("key"), str):
            raise BadJson("a signed key needs its key, a string")
        if algorithm == SIGNED_CURVE25519 or "signatures" in key:
            check_signatures(key.get("signatures"))
    check_size(key, MAX_KEY_BYTES, "a key")
    return OneTimeKey(algorithm, key_id, key)


def _claims(one_time_keys: Mapping[str, Any]) -> Iterator[KeyClaim]:
    for user, devices in one_time_keys.items():
        user_id = _user_id(user)
        for device_id, algorithm in _object(devices, "devices").items():
            if not isinstance(algorithm, str) or _ALGORITHM.fullmatch(algorithm) is None:
                raise BadJson("algorithms must be strings")
            yield KeyClaim(user_id, _device_id(device_id), algorithm)


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadJson(f"{name} must be an object")
    return value


def _user_id(value: str) -> UserID:
    try:
        return parse_user_id(value)
    except BadIdentifier as error:
        raise BadJson(error.reason) from None


def _device_id(value: object) -> DeviceID:
    try:
        return parse_device_id(value if isinstance(value, str) else "")
    except BadIdentifier as error:
        raise BadJson(error.reason) from None


def _without_signatures(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in key.items() if name != "signatures"}
