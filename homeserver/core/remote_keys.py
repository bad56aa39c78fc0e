"""Devices and keys of users as their own servers tell them: what is malformed, or not signed as it must be, is dropped.

One bad device hides no other. Of algorithms nothing is assumed, as in device_keys.py; signatures of devices are for
clients to verify, those of cross-signing keys are verified here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from homeserver.core.cross_signing import (
    CrossSigningKey,
    KeyUsage,
    check_signed_by_master,
    device_signers,
    parse_cross_signing_key,
    visible_to,
)
from homeserver.core.device_keys import KeyClaim, OneTimeKey, checked_device_keys, parse_one_time_keys
from homeserver.core.errors import BadIdentifier, BadSignature, ProtocolError
from homeserver.core.identifiers import DeviceID, UserID, parse_device_id
from homeserver.core.signing import VerifyKey, verify_json

MOST_DEVICES: Final = 1_000  # of one user
MOST_SIGNERS: Final = 100  # devices of one user whose signatures on the master key are looked at
LONGEST_NAME: Final = 256  # characters

# JSON is `Any` in this file: what other servers sent.


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """A device of another server's user. `keys` is what it publishes, if anything, signed by its owner alone."""

    device_id: DeviceID
    keys: Mapping[str, Any] | None
    display_name: str | None


@dataclass(frozen=True, slots=True)
class RemoteIdentity:
    """The keys with which a user signs devices, each with its verified signatures alone."""

    master: CrossSigningKey | None = None
    self_signing: CrossSigningKey | None = None

    @property
    def keys(self) -> tuple[CrossSigningKey, ...]:
        """Those that there are."""
        return tuple(key for key in (self.master, self.self_signing) if key is not None)


def parse_remote_device(user_id: UserID, device_id: object, keys: object, name: object) -> RemoteDevice | None:
    """One device; None for one whose keys are malformed, or those of another.

    It may have no keys: `keys` is None or empty then, or has none among all that surrounds them.
    """
    try:
        checked_id = parse_device_id(device_id if isinstance(device_id, str) else "")
        if keys is None or keys == {}:
            return RemoteDevice(checked_id, None, _name(name))
        checked = checked_device_keys(keys, user_id=user_id, device_id=checked_id)
    except (BadIdentifier, ProtocolError):
        return None
    own = visible_to("", {field: value for field, value in checked.items() if field != "unsigned"})
    return RemoteDevice(checked_id, own if own["keys"] else None, _name(name))


def parse_queried_devices(user_id: UserID, devices: object) -> dict[DeviceID, RemoteDevice]:
    """What a query of keys is answered with: keys by device ID, the display name among what is not signed."""
    if not isinstance(devices, dict):
        return {}
    return _by_id(
        parse_remote_device(user_id, device_id, keys, _object(_object(keys).get("unsigned")).get("device_display_name"))
        for device_id, keys in devices.items()
        if keys is not None
    )


def parse_listed_devices(user_id: UserID, devices: Sequence[Any]) -> dict[DeviceID, RemoteDevice]:
    """What a server lists as a user's devices: objects with ID, keys and display name."""
    return _by_id(
        parse_remote_device(user_id, device.get("device_id"), device.get("keys"), device.get("device_display_name"))
        for device in devices
        if isinstance(device, dict)
    )


def parse_remote_identity(
    user_id: UserID,
    master: object,
    self_signing: object,
    *,
    devices: Mapping[DeviceID, RemoteDevice],
    known_master: CrossSigningKey | None = None,
) -> RemoteIdentity:
    """The keys of a user. `known_master` stands for a master key that is not sent this time."""
    master_key = _key(user_id, master, KeyUsage.MASTER)
    if master_key is not None:
        signing = device_signers({id_: device.keys for id_, device in devices.items() if device.keys is not None})
        claimed = _object(_object(master_key.payload.get("signatures")).get(user_id))
        signers = islice((key for key in signing if key.key_id in claimed), MOST_SIGNERS)
        master_key = _with_signatures_by(master_key, signers)
    self_signing_key = _key(user_id, self_signing, KeyUsage.SELF_SIGNING)
    signer = master_key or known_master
    if self_signing_key is not None:
        self_signing_key = None if signer is None else _signed_by(self_signing_key, signer)
    return RemoteIdentity(master_key, self_signing_key)


def parse_claimed_key(claim: KeyClaim, answered: object) -> OneTimeKey | None:
    """The key that a server hands out for a claim, among whatever it hands out."""
    of_device = _object(_object(_object(answered).get(claim.user_id)).get(claim.device_id))
    for full_id, key in islice(of_device.items(), MOST_SIGNERS):
        if full_id.startswith(f"{claim.algorithm}:"):
            try:
                return parse_one_time_keys({full_id: key})[0]
            except ProtocolError:
                continue
    return None


def _by_id(devices: Iterator[RemoteDevice | None]) -> dict[DeviceID, RemoteDevice]:
    sound = (device for device in devices if device is not None)
    return {device.device_id: device for device in islice(sound, MOST_DEVICES)}


def _name(name: object) -> str | None:
    """A name that can be kept: JSON can carry characters that databases cannot."""
    if not isinstance(name, str):
        return None
    return name[:LONGEST_NAME].replace("\x00", "").encode(errors="replace").decode()


def _key(user_id: UserID, payload: object, usage: KeyUsage) -> CrossSigningKey | None:
    if payload is None:
        return None
    try:
        return parse_cross_signing_key(payload, user_id=user_id, usage=usage)
    except ProtocolError:
        return None


def _signed_by(key: CrossSigningKey, master: CrossSigningKey) -> CrossSigningKey | None:
    try:
        check_signed_by_master(key, master)
    except ProtocolError:
        return None
    return _with_signatures_by(key, [master.verify_key])


def _with_signatures_by(key: CrossSigningKey, signers: Iterable[VerifyKey]) -> CrossSigningKey:
    """The key with those signatures of its owner that are by one of the signers, and are right."""
    claimed = _object(_object(key.payload.get("signatures")).get(key.user_id))
    kept = {}
    for signer in signers:
        if signer.key_id in claimed:
            try:
                verify_json(key.payload, key.user_id, signer)
            except BadSignature:
                continue
            kept[signer.key_id] = claimed[signer.key_id]
    payload = {name: value for name, value in key.payload.items() if name not in ("signatures", "unsigned")}
    if kept:
        payload["signatures"] = {key.user_id: kept}
    return CrossSigningKey(key.user_id, key.usage, key.public_key, payload)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
