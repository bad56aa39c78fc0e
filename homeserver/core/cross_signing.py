"""Cross-signing: the keys that a user uploads, and the signatures that are added to keys.

No signature is stored that this server has not verified. Which keys a user has is loaded by services/e2ee.
Spec: client-server-api/#cross-signing
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from homeserver.core.canonical_json import encode_canonical
from homeserver.core.device_keys import check_signatures, check_size
from homeserver.core.errors import BadJson, BadKey, BadKeySignature, BadSignature, KeyIDInUse, MissingMasterKey
from homeserver.core.identifiers import KeyID
from homeserver.core.signing import VerifyKey, verify_json

MAX_KEY_BYTES: Final = 32 * 1024

_ALGORITHM: Final = "ed25519"


class KeyUsage(Enum):
    """What a cross-signing key signs."""

    MASTER = "master"
    SELF_SIGNING = "self_signing"  # the user's own devices
    USER_SIGNING = "user_signing"  # other users' master keys


@dataclass(frozen=True, slots=True)
class CrossSigningKey:
    """A well-formed key of a user; `payload` is the JSON object that clients see."""

    user_id: str
    usage: KeyUsage
    public_key: str  # in unpadded base64
    payload: Mapping[str, Any]

    @property
    def verify_key(self) -> VerifyKey:
        """The key, ready to verify signatures."""
        return VerifyKey.from_base64(KeyID(f"{_ALGORITHM}:{self.public_key}"), self.public_key)


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature to be added to a stored key."""

    signer_id: str  # a user
    key_id: KeyID
    signature: str


@dataclass(frozen=True, slots=True)
class CrossSigningUpload:
    """The keys of one request to /keys/device_signing/upload, verified."""

    master: CrossSigningKey | None
    self_signing: CrossSigningKey | None
    user_signing: CrossSigningKey | None

    @property
    def keys(self) -> tuple[CrossSigningKey, ...]:
        """Those that were uploaded."""
        return tuple(key for key in (self.master, self.self_signing, self.user_signing) if key is not None)


def parse_cross_signing_key(payload: object, *, user_id: str, usage: KeyUsage) -> CrossSigningKey:
    """The key, if it is one of that user and for that usage. Its signatures are not verified. Raises BadJson."""
    if not isinstance(payload, dict):
        raise BadJson(f"the {usage.value} key must be an object")
    if payload.get("user_id") != user_id:
        raise BadJson(f"the {usage.value} key belongs to another user")
    if payload.get("usage") != [usage.value]:
        raise BadJson(f"the {usage.value} key must have that usage and no other")
    keys = payload.get("keys")
    if not isinstance(keys, dict) or len(keys) != 1:
        raise BadJson(f"the {usage.value} key must have exactly one public key")
    ((key_id, public_key),) = keys.items()
    if not isinstance(public_key, str) or key_id != f"{_ALGORITHM}:{public_key}":
        raise BadJson("a cross-signing key's ID must be ed25519: and its public key")
    key = _verify_key(key_id, public_key)
    if key is None or key.to_base64() != public_key:
        raise BadJson("a cross-signing key must be an Ed25519 key in unpadded base64")
    if "signatures" in payload:
        check_signatures(payload["signatures"])
    check_size(payload, MAX_KEY_BYTES, f"the {usage.value} key")
    return CrossSigningKey(user_id, usage, public_key, payload)


def parse_cross_signing_upload(
    body: Mapping[str, Any],
    *,
    user_id: str,
    stored_master: CrossSigningKey | None,
    devices: Mapping[str, Mapping[str, Any]],
) -> CrossSigningUpload:
    """The keys of an upload, each with those signatures alone that were verified.

    `devices` are the device keys of the user by device ID: they may sign the master key.
    Raises BadJson, MissingMasterKey, BadKeySignature, KeyIDInUse.
    """
    master, self_signing, user_signing = (
        None if body.get(name) is None else parse_cross_signing_key(body[name], user_id=user_id, usage=usage)
        for name, usage in (
            ("master_key", KeyUsage.MASTER),
            ("self_signing_key", KeyUsage.SELF_SIGNING),
            ("user_signing_key", KeyUsage.USER_SIGNING),
        )
    )
    for key in (master, self_signing, user_signing):
        if key is not None and key.public_key in devices:
            raise KeyIDInUse("a cross-signing key has the ID of a device")
    signed = [key for key in (self_signing, user_signing) if key is not None]
    signer = master or stored_master
    if signed and signer is None:
        raise MissingMasterKey("there is no master key to verify the other keys by")
    if signer is not None:
        for key in signed:
            check_signed_by_master(key, signer)
        by_master = [signer.verify_key]
        self_signing, user_signing = (
            None if key is None else _with_verified_signatures(key, by_master) for key in (self_signing, user_signing)
        )
    if master is not None:
        master = _with_verified_signatures(master, device_signers(devices))
    return CrossSigningUpload(master, self_signing, user_signing)


def check_signed_by_master(key: CrossSigningKey, master: CrossSigningKey) -> None:
    """Raises BadKeySignature unless the user's master key has signed this other key of theirs."""
    if master.usage is not KeyUsage.MASTER or master.user_id != key.user_id:
        raise BadKeySignature("a key of another user signed it, or no master key")
    _verify(key.payload, key.user_id, master.verify_key)


def has_new_keys(upload: CrossSigningUpload, stored: Mapping[KeyUsage, CrossSigningKey]) -> bool:
    """Is any uploaded key another one than the user has? If so, and there is a master key, authenticate the user."""
    return any(key.usage not in stored or not is_same_key(key, stored[key.usage]) for key in upload.keys)


def is_same_key(key: CrossSigningKey, other: CrossSigningKey) -> bool:
    """Are the two alike but for their signatures? A public key with something else beside it is another key to sign."""
    return encode_canonical(_signed_part(key.payload)) == encode_canonical(_signed_part(other.payload))


def device_signers(devices: Mapping[str, Mapping[str, Any]]) -> list[VerifyKey]:
    """The Ed25519 keys of devices, from their device keys by device ID: they may sign their user's master key."""
    signers = []
    for device_id, device in devices.items():
        key_id, keys = f"{_ALGORITHM}:{device_id}", device.get("keys")
        public_key = keys.get(key_id) if isinstance(keys, dict) else None
        key = _verify_key(key_id, public_key) if isinstance(public_key, str) else None
        if key is not None:
            signers.append(key)
    return signers


def verify_new_signatures(
    uploaded: object, *, stored: Mapping[str, Any], signer_id: str, signers: Iterable[VerifyKey]
) -> tuple[VerifiedSignature, ...]:
    """The signatures of `signer_id` that an upload adds to a stored key.

    `stored` is the payload of a device or of a master key; but for its signatures the upload must equal it.
    `signers` are the keys that may sign it: the uploader's self-signing key for a device of theirs, their devices
    (`device_signers`) for their own master key, their user-signing key for the master key of somebody else.
    Signatures that are stored already, and those by keys that are not among the signers, are passed over.
    Raises BadJson, and BadKeySignature if a signature is wrong or there is none to add or to repeat.
    """
    if not isinstance(uploaded, dict):
        raise BadJson("a signed key must be an object")
    check_signatures(uploaded.get("signatures"))
    check_size(uploaded, MAX_KEY_BYTES, "a signed key")
    if _signed_part(uploaded) != _signed_part(stored):
        raise BadKeySignature("the signed key is not the one that is stored")
    by_signer: Mapping[str, str] = uploaded["signatures"].get(signer_id, {})
    known = _signatures_by(stored, signer_id)
    by_key_id = {key.key_id: key for key in signers}
    added, repeated = [], False
    for key_id, signature in by_signer.items():
        key = by_key_id.get(KeyID(key_id))
        if key is None:
            continue
        if known.get(key_id) == signature:
            repeated = True
            continue
        # What is verified is what is stored: 1 and true, equal here, differ when they are signed.
        _verify({**stored, "signatures": uploaded["signatures"]}, signer_id, key)
        added.append(VerifiedSignature(signer_id, key.key_id, signature))
    if not added and not repeated:
        raise BadKeySignature("no signature by a key that may sign this one")
    return tuple(added)


def with_signatures(payload: Mapping[str, Any], added: Iterable[VerifiedSignature]) -> dict[str, Any]:
    """A copy of a key's payload with signatures added; one without any stays so."""
    signatures = {user_id: dict(by_key) for user_id, by_key in payload.get("signatures", {}).items()}
    for one in added:
        signatures.setdefault(one.signer_id, {})[one.key_id] = one.signature
    return {**payload, "signatures": signatures} if signatures or "signatures" in payload else dict(payload)


def visible_to(viewer_id: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A key's payload with the signatures alone that a user may see: the owner's and their own.

    Spec: client-server-api/#key-and-signature-security
    """
    signatures = payload.get("signatures")
    if not isinstance(signatures, dict):
        return dict(payload)
    seen = (viewer_id, payload.get("user_id"))
    return {**payload, "signatures": {user: by_key for user, by_key in signatures.items() if user in seen}}


def check_device_id(device_id: str, keys: Collection[CrossSigningKey]) -> None:
    """Raises KeyIDInUse when a new device would have the ID of one of its user's cross-signing keys."""
    if any(key.public_key == device_id for key in keys):
        raise KeyIDInUse("a cross-signing key has that ID")


def _with_verified_signatures(key: CrossSigningKey, signers: Iterable[VerifyKey]) -> CrossSigningKey:
    """The key without the signatures that nobody here can vouch for. Raises BadKeySignature for a wrong one."""
    claimed = _signatures_by(key.payload, key.user_id)
    kept = {}
    for signer in signers:
        if signer.key_id in claimed:
            _verify(key.payload, key.user_id, signer)
            kept[signer.key_id] = claimed[signer.key_id]
    payload = {name: value for name, value in key.payload.items() if name != "signatures"}
    if kept:
        payload["signatures"] = {key.user_id: kept}
    return CrossSigningKey(key.user_id, key.usage, key.public_key, payload)


def _verify(payload: Mapping[str, Any], user_id: str, key: VerifyKey) -> None:
    try:
        verify_json(payload, user_id, key)
    except BadSignature as error:
        raise BadKeySignature(error.reason) from None


def _verify_key(key_id: str, public_key: str) -> VerifyKey | None:
    try:
        return VerifyKey.from_base64(KeyID(key_id), public_key)
    except BadKey:
        return None


def _signatures_by(payload: Mapping[str, Any], user_id: str) -> Mapping[str, str]:
    signatures = payload.get("signatures")
    by_user = signatures.get(user_id) if isinstance(signatures, dict) else None
    return by_user if isinstance(by_user, dict) else {}


def _signed_part(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name not in ("signatures", "unsigned")}
