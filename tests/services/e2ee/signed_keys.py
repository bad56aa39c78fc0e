"""Devices and cross-signing keys as clients make them: signed without the code under test."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from nacl.signing import SigningKey

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.identifiers import DeviceID, UserID
from homeserver.core.unpadded_base64 import encode_base64
from homeserver.services.events.news import Change
from homeserver.storage.devices import insert_device
from tests.services.world import World, now

JsonObject = dict[str, Any]

PHONE, LAPTOP = DeviceID("PHONE"), DeviceID("LAPTOP")


def secret(name: str) -> SigningKey:
    """The secret key of this name, the same each time."""
    return SigningKey(sha256(name.encode()).digest())


def public(name: str) -> str:
    """The public half of the key of this name, in unpadded base64."""
    return encode_base64(bytes(secret(name).verify_key))


def signed(payload: Mapping[str, Any], user_id: str, name: str, key_id: str | None = None) -> JsonObject:
    """A copy of the payload with a signature by the key of this name; `key_id` is its public half if not said."""
    message = encode_canonical({n: v for n, v in payload.items() if n not in ("signatures", "unsigned")})
    signatures = {user: dict(by_key) for user, by_key in payload.get("signatures", {}).items()}
    signature = encode_base64(secret(name).sign(message).signature)
    signatures.setdefault(user_id, {})[f"ed25519:{key_id or public(name)}"] = signature
    return {**payload, "signatures": signatures}


def device_keys(user_id: str, device_id: str = PHONE, **more: Any) -> JsonObject:
    """What a device publishes, signed by the key that has the name of user and device."""
    name = f"{user_id} {device_id}"
    payload = {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {f"curve25519:{device_id}": "curve key", f"ed25519:{device_id}": public(name)},
        **more,
    }
    return signed(payload, user_id, name, device_id)


def one_time_key(user_id: str, text: str = "public", device_id: str = PHONE) -> JsonObject:
    """A signed one-time key."""
    return signed({"key": text}, user_id, f"{user_id} {device_id}", device_id)


def cross_signing_key(user_id: str, usage: str, name: str | None = None) -> JsonObject:
    """A cross-signing key without signatures; its name is that of user and usage, if not said."""
    key = public(name or f"{user_id} {usage}")
    return {"user_id": user_id, "usage": [usage], "keys": {f"ed25519:{key}": key}}


def identity(user_id: str, suffix: str = "") -> JsonObject:
    """A body of /keys/device_signing/upload: all three keys of a user. Another suffix: other keys."""
    names = {usage: f"{user_id} {usage}{suffix}" for usage in ("master", "self_signing", "user_signing")}
    master = names["master"]
    return {
        "master_key": cross_signing_key(user_id, "master", master),
        "self_signing_key": signed(cross_signing_key(user_id, "self_signing", names["self_signing"]), user_id, master),
        "user_signing_key": signed(cross_signing_key(user_id, "user_signing", names["user_signing"]), user_id, master),
    }


def add_device(world: World, user_id: UserID, device_id: DeviceID = PHONE, name: str | None = None) -> None:
    """A device without keys."""
    world.sync_database.write(insert_device, user_id, device_id, display_name=name, now_ms=world.clock.now_ms())


def publish_device(world: World, user_id: UserID, device_id: DeviceID = PHONE, name: str | None = None) -> JsonObject:
    """A device with its keys, which are returned."""
    add_device(world, user_id, device_id, name)
    keys = device_keys(user_id, device_id)
    now(world.device_keys.upload(user_id, device_id, device_keys=keys))
    return keys


def publish_identity(world: World, user_id: UserID, suffix: str = "") -> JsonObject:
    """A user's cross-signing keys, which are returned as they were uploaded."""
    keys = identity(user_id, suffix)
    assert now(world.cross_signing.upload_keys(user_id, keys, is_authenticated=True))
    return keys


class Listener:
    """What a user is told from now on."""

    def __init__(self, world: World, user_id: UserID) -> None:
        self._world: Final = world
        self._user_id: Final = user_id
        self._position = world.database.position
        world.news.follow(user_id, self._position)

    def heard(self) -> list[Change]:
        """What was told since the last call."""
        changes = self._world.news.since(self._user_id, self._position)
        assert changes is not None
        self._position = self._world.database.position
        return list(changes)
