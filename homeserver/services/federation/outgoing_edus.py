"""The EDUs that this server sends, as canonical JSON: receipts, typing, presence, changed devices and keys.

Messages from device to device are put together where they are written (services/e2ee/to_device.py). When what is sent
to whom is in sender.py. Spec: server-server-api/#edus
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.core.canonical_json import encode_lenient
from homeserver.core.cross_signing import CrossSigningKey, KeyUsage, VerifiedSignature, with_signatures
from homeserver.core.identifiers import KeyID, RoomID, UserID
from homeserver.core.presence import Status
from homeserver.storage.cross_signing import PublishedKeys
from homeserver.storage.device_lists import CROSS_SIGNING, DeviceUpdate
from homeserver.storage.receipts import Receipt

# JSON values are `Any`.

SHOWN_KEYS: Final = {KeyUsage.MASTER: "master_key", KeyUsage.SELF_SIGNING: "self_signing_key"}


def typing_edu(room_id: RoomID, user_id: UserID, *, is_typing: bool) -> bytes:
    """A user types in a room, or does no longer. Spec: #typing-notifications"""
    return _edu("m.typing", {"room_id": room_id, "user_id": user_id, "typing": is_typing})


def presence_edu(statuses: Mapping[UserID, Status], now_s: float) -> bytes:
    """What users do now, in one EDU. Spec: #presence"""
    push = [{**status.content(now_s), "user_id": user_id} for user_id, status in statuses.items()]
    for told in push:
        told.setdefault("last_active_ago", 0)  # the specification wants it, of whoever it is
    return _edu("m.presence", {"push": push})


def receipt_edus(receipts: Iterable[Receipt]) -> list[bytes]:
    """The newest receipt of each user, room and thread, in as few EDUs as can hold them. Spec: #receipts

    An EDU has room for one receipt of each user and room.
    """
    newest = {(one.room_id, one.user_id, one.thread_id): one for one in receipts}
    contents: list[dict[str, Any]] = []
    for receipt in newest.values():
        data: dict[str, Any] = {"ts": receipt.ts}
        if receipt.thread_id is not None:
            data["thread_id"] = receipt.thread_id
        said = {"data": data, "event_ids": [receipt.event_id]}
        for content in contents:
            users = content.setdefault(receipt.room_id, {}).setdefault("m.read", {})
            if receipt.user_id not in users:
                users[receipt.user_id] = said
                break
        else:
            contents.append({receipt.room_id: {"m.read": {receipt.user_id: said}}})
    return [_edu("m.receipt", content) for content in contents]


@dataclass(frozen=True, slots=True)
class Signatures:
    """What users published, found by what it is about."""

    by_key: Mapping[tuple[UserID, str], Sequence[VerifiedSignature]]
    keys: Mapping[tuple[UserID, KeyUsage], CrossSigningKey]


def signatures_of(published: PublishedKeys) -> Signatures:
    """The cross-signing keys that were read, and the signatures of their owners."""
    by_key: dict[tuple[UserID, str], list[VerifiedSignature]] = {}
    for one in published.signatures:
        verified = VerifiedSignature(one.signer_id, KeyID(one.signing_key_id), one.signature)
        by_key.setdefault((one.user_id, one.key_id), []).append(verified)
    return Signatures(by_key, {(UserID(key.user_id), key.usage): key for key in published.cross_signing_keys})


def device_edu(update: DeviceUpdate, signatures: Signatures) -> bytes:
    """What became of a device, or of the keys with which its user signs. Spec: #device-management

    `stream_id` is where it stands in the change log. A server that does not know the update before it asks for all.
    """
    if update.device_id == CROSS_SIGNING:
        return _signing_key_edu(update.user_id, signatures)
    content: dict[str, Any] = {
        "user_id": update.user_id,
        "device_id": update.device_id,
        "stream_id": update.position,
        "prev_id": [] if update.previous is None else [update.previous],
    }
    if update.is_gone:
        content["deleted"] = True
    if update.name is not None:
        content["device_display_name"] = update.name
    if update.keys is not None:
        added = signatures.by_key.get((update.user_id, update.device_id), ())
        content["keys"] = with_signatures(orjson.loads(update.keys), added)
    return _edu("m.device_list_update", content)


def _signing_key_edu(user_id: UserID, signatures: Signatures) -> bytes:
    content: dict[str, Any] = {"user_id": user_id}
    for usage, name in SHOWN_KEYS.items():
        key = signatures.keys.get((user_id, usage))
        if key is not None:
            content[name] = with_signatures(key.payload, signatures.by_key.get((user_id, key.public_key), ()))
    return _edu("m.signing_key_update", content)


def _edu(edu_type: str, content: Mapping[str, Any]) -> bytes:
    return encode_lenient({"content": content, "edu_type": edu_type})
