"""Cross-signing keys, and the signatures that users add to keys. None is stored that was not verified.

Spec: client-server-api/#cross-signing. What is verified, and by which key, is in core/cross_signing.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from homeserver.core.cross_signing import (
    CrossSigningKey,
    KeyUsage,
    VerifiedSignature,
    device_signers,
    has_new_keys,
    is_same_key,
    parse_cross_signing_upload,
    verify_new_signatures,
    with_signatures,
)
from homeserver.core.errors import BadIdentifier, BadJson, ProtocolError
from homeserver.core.identifiers import KeyID, UserID, parse_user_id
from homeserver.core.signing import VerifyKey
from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.device_lists import DeviceLists
from homeserver.services.errors import NotFound, ServiceError
from homeserver.services.events.news import DeviceListWritten, News
from homeserver.storage.cross_signing import (
    are_keys_replaceable,
    cross_signing_keys_of,
    delete_cross_signing_key,
    forget_signatures_by,
    forget_signatures_on,
    key_signatures_on,
    master_keys_of,
    note_user_signing_change,
    store_cross_signing_keys,
    store_key_signatures,
    store_user_signatures,
)
from homeserver.storage.database import Database, Transaction
from homeserver.storage.device_keys import device_keys_of_user
from homeserver.storage.device_lists import CROSS_SIGNING

MOST_SIGNED_KEYS: Final = 500

Failures = dict[str, dict[str, ProtocolError | ServiceError]]
"""By user ID and key ID: why a signed key was not accepted."""


class CrossSigning:
    """Keeps the keys that sign other keys, and what they signed."""

    def __init__(self, database: Database, device_lists: DeviceLists, news: News, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._device_lists = device_lists
        self._news = news

    async def upload_keys(self, user_id: UserID, keys: Mapping[str, Any], *, is_authenticated: bool) -> bool:
        """Publish a user's keys, those that `keys` names by master_key, self_signing_key and user_signing_key.

        False, and nothing is changed, when keys would be replaced by others: for that the user must be authenticated,
        or an administrator has let them.
        Raises BadJson, MissingMasterKey, BadKeySignature, KeyIDInUse.
        """
        return await self._database.write(self._upload_keys, user_id, keys, is_authenticated=is_authenticated)

    async def upload_signatures(self, signer_id: UserID, signed_keys: Mapping[str, Any]) -> Failures:
        """Add the signatures that signed keys carry, from user IDs to device IDs or public keys to signed keys.

        What is not accepted is told by user and key; the others are stored all the same. Raises BadJson.
        """
        return await self._database.write(self._upload_signatures, signer_id, _signed_keys(signed_keys))

    def _upload_keys(
        self, tx: Transaction, user_id: UserID, keys: Mapping[str, Any], *, is_authenticated: bool
    ) -> bool:
        stored = cross_signing_keys_of(tx, user_id)
        upload = parse_cross_signing_upload(
            keys,
            user_id=user_id,
            stored_master=stored.get(KeyUsage.MASTER),
            devices=device_keys_of_user(tx, user_id),
        )
        has_new = has_new_keys(upload, stored)
        if has_new and not is_authenticated and KeyUsage.MASTER in stored and not self._is_let(tx, user_id):
            return False
        changed = {key.usage for key in upload.keys if not _is_stored(key, stored)}
        for usage in _outdated(upload.keys, stored):
            changed.add(usage)
            key = stored[usage]
            delete_cross_signing_key(tx, user_id, usage)
            forget_signatures_on(tx, user_id, key.public_key)
            forget_signatures_by(tx, user_id, key.verify_key.key_id)
        if has_new:
            store_cross_signing_keys(tx, upload.keys)
        changed.update([key.usage for key in upload.keys if _add_signatures_of(tx, key)])
        if changed == {KeyUsage.USER_SIGNING}:
            tx.at_position(("cross_signing_keys",), partial(self._note_user_signing_at, user_id=user_id))
        elif changed:
            self._device_lists.note_change(tx, user_id)
        return True

    def _is_let(self, tx: Transaction, user_id: UserID) -> bool:
        return are_keys_replaceable(tx, user_id, now_ms=self._clock.now_ms())

    def _note_user_signing_at(self, tx: Transaction, position: int, *, user_id: UserID) -> None:
        """Nobody else ever sees this key, so only the user's own devices are told."""
        note_user_signing_change(tx, user_id, position)
        tx.after_commit(lambda: self._news.publish(DeviceListWritten(position, user_id), (user_id,)))

    def _upload_signatures(
        self, tx: Transaction, signer_id: UserID, signed_keys: Sequence[tuple[UserID, str, Any]]
    ) -> Failures:
        signer = _Signer(tx, signer_id, {user_id for user_id, _, _ in signed_keys})
        failures: Failures = {}
        changed: list[str] = []
        for user_id, key_id, signed in signed_keys:
            try:
                signatures = signer.verify(tx, user_id, key_id, signed)
            except (ProtocolError, ServiceError) as failure:
                failures.setdefault(user_id, {})[key_id] = failure
                continue
            if signatures and user_id == signer_id:
                store_key_signatures(tx, user_id, key_id, signatures)
                changed.append(key_id if signer.is_device(key_id) else CROSS_SIGNING)
            elif signatures:
                tx.at_position(
                    ("user_signatures",),
                    partial(self._sign_user_at, user_id=user_id, key_id=key_id, signatures=signatures),
                )
        if changed:
            self._device_lists.note_change(tx, signer_id, changed)
        return failures

    def _sign_user_at(
        self,
        tx: Transaction,
        position: int,
        *,
        user_id: UserID,
        key_id: str,
        signatures: Sequence[VerifiedSignature],
    ) -> None:
        """Only the signer sees these signatures, so only the signer's devices are told."""
        store_user_signatures(tx, user_id, key_id, signatures, log_position=position)
        signer_id = UserID(signatures[0].signer_id)
        tx.after_commit(lambda: self._news.publish(DeviceListWritten(position, user_id), (signer_id,)))


class _Signer:
    """A user who signs keys, with what is needed to verify that."""

    def __init__(self, tx: Transaction, signer_id: UserID, users: set[UserID]) -> None:
        self._id = signer_id
        self._keys = cross_signing_keys_of(tx, signer_id)
        self._devices = device_keys_of_user(tx, signer_id)
        self._masters = master_keys_of(tx, users)

    def is_device(self, key_id: str) -> bool:
        """Whether the signer has a device of that ID."""
        return key_id in self._devices

    def verify(self, tx: Transaction, user_id: UserID, key_id: str, signed: object) -> tuple[VerifiedSignature, ...]:
        """The new signatures on one key. Raises NotFound, BadJson, BadKeySignature."""
        master = self._masters.get(user_id)
        device = self._devices.get(key_id) if user_id == self._id else None
        if master is not None and key_id == master.public_key:
            stored = dict(master.payload)
            signers = device_signers(self._devices) if user_id == self._id else self._own(KeyUsage.USER_SIGNING)
        elif device:
            stored = device
            signers = self._own(KeyUsage.SELF_SIGNING)
        else:
            raise NotFound("There is no such key")
        if user_id == self._id:
            stored = with_signatures(stored, key_signatures_on(tx, user_id, key_id))
        return verify_new_signatures(signed, stored=stored, signer_id=self._id, signers=signers)

    def _own(self, usage: KeyUsage) -> list[VerifyKey]:
        key = self._keys.get(usage)
        return [] if key is None else [key.verify_key]


def _is_stored(key: CrossSigningKey, stored: Mapping[KeyUsage, CrossSigningKey]) -> bool:
    return key.usage in stored and is_same_key(key, stored[key.usage])


def _outdated(uploaded: Sequence[CrossSigningKey], stored: Mapping[KeyUsage, CrossSigningKey]) -> Iterator[KeyUsage]:
    """Which stored keys an upload puts an end to: those that it replaces, and all that an old master key signed."""
    by_usage = {key.usage: key for key in uploaded}
    new_master = by_usage.get(KeyUsage.MASTER)
    old_master = stored.get(KeyUsage.MASTER)
    is_reset = new_master is not None and old_master is not None and not is_same_key(new_master, old_master)
    for usage, key in stored.items():
        successor = by_usage.get(usage)
        if is_reset or (successor is not None and not is_same_key(successor, key)):
            yield usage


def _add_signatures_of(tx: Transaction, key: CrossSigningKey) -> bool:
    """Store the signatures in an uploaded key, all verified; False when they were there already."""
    user_id = UserID(key.user_id)
    signatures: Mapping[str, str] = key.payload.get("signatures", {}).get(user_id, {})
    known = {(one.key_id, one.signature) for one in key_signatures_on(tx, user_id, key.public_key)}
    new = [
        VerifiedSignature(user_id, KeyID(key_id), signature)
        for key_id, signature in signatures.items()
        if (key_id, signature) not in known
    ]
    store_key_signatures(tx, user_id, key.public_key, new)
    return bool(new)


def _signed_keys(body: Mapping[str, Any]) -> list[tuple[UserID, str, Any]]:
    """User ID, key ID and signed key, of any shape. Raises BadJson."""
    signed_keys: list[tuple[UserID, str, Any]] = []
    for user, keys in body.items():
        try:
            user_id = parse_user_id(user)
        except BadIdentifier as bad:
            raise BadJson(bad.reason) from None
        if not isinstance(keys, dict):
            raise BadJson("The keys of a user must be an object")
        signed_keys += [(user_id, key_id, signed) for key_id, signed in keys.items()]
    if len(signed_keys) > MOST_SIGNED_KEYS:
        raise BadJson(f"More than {MOST_SIGNED_KEYS} signed keys at once")
    return signed_keys
